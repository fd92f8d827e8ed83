"""A release: what its package, its image and its examples say. `make release` builds and starts it."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # no stubs

import agbot
from agbot.settings import load
from agbot.settings.model import Settings
from tests.support.authority import made

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "Containerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "examples/compose/compose.yaml").read_text(encoding="utf-8"))
COORDINATOR: dict[str, Any] = COMPOSE["services"]["coordinator"]
UNIT = (ROOT / "systemd/agbot.service").read_text(encoding="utf-8")


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, flags=re.MULTILINE))


def instructions(name: str) -> list[str]:
    joined = CONTAINERFILE.replace("\\\n", " ")
    return [line.removeprefix(name).strip() for line in joined.splitlines() if line.startswith(f"{name} ")]


def test_a_release_runs_the_versions_that_the_tests_ran() -> None:
    tested, released = pins("lock.txt"), pins("runtime.txt")

    assert {name: version for name, version in released.items() if tested.get(name) != version} == {}


def test_a_release_has_every_dependency_and_extra_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = itertools.chain.from_iterable(project["optional-dependencies"].values())
    asked = [*project["dependencies"], *extras]

    assert {re.split(r"[\[<>=]", each)[0] for each in asked} <= set(pins("runtime.txt"))


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_a_maintainer_script_is_valid_shell_that_ends_at_the_first_error(script: str) -> None:
    path = ROOT / "packaging/debian" / script

    assert subprocess.run(["/bin/sh", "-n", str(path)], check=False).returncode == 0
    assert "\nset -e\n" in path.read_text(encoding="utf-8")


def test_the_package_puts_the_program_where_the_unit_starts_it() -> None:
    build = (ROOT / "packaging/debian/build").read_text(encoding="utf-8")

    assert "ExecStart=/opt/agbot/bin/agbot " in UNIT
    assert 'cp -a "$environment" "$root/opt/agbot"' in build
    assert "/etc/agbot/agbot.toml >" in build  # settings that the operator has edited stay


def test_only_purging_deletes_settings_and_leases() -> None:
    script = (ROOT / "packaging/debian/postrm").read_text(encoding="utf-8")
    purging = re.search(r'if \[ "\$1" = purge \]; then\n(.*?)\nfi', script, flags=re.DOTALL)

    assert purging
    assert purging[1].split()[2:] == ["/etc/agbot", "/var/lib/agbot", "/var/lib/private/agbot"]
    assert script.count("rm ") == 1


def test_the_image_runs_the_program_as_the_unit_does_and_not_as_root() -> None:
    (command,) = re.findall(r"^ExecStart=(.*)$", UNIT, flags=re.MULTILINE)
    started = [word for name in ("ENTRYPOINT", "CMD") for each in instructions(name) for word in json.loads(each)]

    assert started == command.split()
    assert instructions("USER") == ["8083"]
    assert "--uid 8083" in CONTAINERFILE


def test_the_image_offers_the_ports_and_the_folder_of_the_default_settings() -> None:
    defaults = Settings()

    ports = {address.rpartition(":")[2] for address in (defaults.gateway.listen, defaults.console.listen)}
    assert set(instructions("EXPOSE")[0].split()) == ports
    assert instructions("VOLUME") == [str(Path(defaults.store.path).parent)]


def test_everything_that_the_image_copies_is_built_by_make_release() -> None:
    script = (ROOT / "packaging/release").read_text(encoding="utf-8")
    (copied,) = [each for each in instructions("COPY") if not each.startswith("--from")]

    assert [Path(each).name for each in copied.split()[:-1]] == ["agbot-*-constraints.txt", "agbot-*.whl"]
    assert "agbot-$version-constraints.txt" in script
    assert "--require-hashes" in CONTAINERFILE


def test_the_compose_example_joins_the_hubs_network_and_takes_the_agbots_address() -> None:
    assert COMPOSE["networks"]["hub"] == {"external": True, "name": "hzn_horizonnet"}
    assert "${HZN_LISTEN_IP:-127.0.0.1}:3111:8083" in COORDINATOR["ports"]
    assert "127.0.0.1:8084:8084" in COORDINATOR["ports"]  # operators only from this machine
    assert COORDINATOR["image"] == f"agbot:{agbot.__version__}"
    assert set(COORDINATOR["secrets"]) == set(COMPOSE["secrets"]) == {"exchange-token", "operator-token"}


@pytest.mark.parametrize("with_comments", [False, True], ids=["as-it-is", "with-what-is-commented-out"])
@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").rglob("*.toml")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_the_settings_of_an_example_are_good(path: Path, tmp_path: Path, *, with_comments: bool) -> None:
    """Nothing is wrong with them but that this machine has no hub's certificate."""
    pair = made(tmp_path, "hub")
    text = path.read_text(encoding="utf-8")
    if with_comments:
        text = uncommented(text)
    text = text.replace("/etc/horizon/keys/horizonMgmtHub.crt", str(pair.certificate))
    settings = tmp_path / "agbot.toml"
    settings.write_text(text.replace("/etc/horizon/keys/horizonMgmtHub.key", str(pair.key)), encoding="utf-8")
    (tmp_path / "exchange-token").write_text("made-up")
    (tmp_path / "operator-token").write_text("made-up")

    loaded = load.load(settings, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert ("tls" in path.name) is loaded.settings.exchange.url.startswith("https://")
    assert None not in (loaded.secrets.exchange_token, loaded.secrets.operator_token)
    assert (len(loaded.settings.agbot.api), bool(loaded.settings.store.url)) == (
        2 if with_comments else 1,
        with_comments,
    )


def uncommented(text: str) -> str:
    """Return the settings with those that are commented out; such a key replaces that of its section."""
    once = re.sub(r"^(\w+) = .*\n((?:(?!#?\[).*\n)*?)#\1 = ", r"\2\1 = ", text, flags=re.MULTILINE)
    return re.sub(r"^#(?=\S)", "", once, flags=re.MULTILINE)


def test_the_command_in_the_compose_file_gives_its_secrets_to_the_user_of_the_image() -> None:
    text = (ROOT / "examples/compose/compose.yaml").read_text(encoding="utf-8")
    command = re.search(r"chown (\d+) (.+)$", text, re.MULTILINE)
    assert command is not None

    assert command[1] == instructions("USER")[0].partition(":")[0]
    assert set(command[2].split()) == {Path(each["file"]).name for each in COMPOSE["secrets"].values()}
