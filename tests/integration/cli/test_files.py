"""`agbot check-config` and `agbot install-units`: what is done with files."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agbot import _dist
from agbot.cli import settings_file
from agbot.cli.failure import Exit
from agbot.cli.main import main
from tests.support.authority import made


def run(*words: str) -> Result:
    environ: dict[str, str | None] = {name: None for name in os.environ if name.startswith(("AGBOT_", "HZN_"))}
    return CliRunner().invoke(main, words, env=environ, prog_name="agbot")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    token = tmp_path / "token"
    token.write_text("s3cret", encoding="utf-8")
    token.chmod(0o600)
    path = tmp_path / "agbot.toml"
    path.write_text(
        'agbot = { secure_api = "https://127.0.0.1:8082", api = ["http://127.0.0.1:8080"] }\n'
        '[exchange]\nurl = "https://hub.example.com/v1"\nidentity = "IBM/c"\ntoken_file = "token"\n',
        encoding="utf-8",
    )
    return path


def test_a_good_file_is_called_good(config: Path) -> None:
    with config.open("a", encoding="utf-8") as file:
        file.write('[gateway]\nlisten = "127.0.0.1:8083"\n[store]\npath = "agbot.db"\n')

    result = run("check-config", str(config))

    assert (result.exit_code, result.stdout) == (0, f"{config} is good\n")


def test_every_mistake_is_listed_with_place_expectation_and_explanation(config: Path) -> None:
    with config.open("a", encoding="utf-8") as file:
        file.write("poll_seconds = -1\n[gateway]\nanswer_seconds = 60\nlistn = 3\n")

    result = run("check-config", str(config))

    assert result.exit_code == 1
    assert f"{config}:6: mistake: exchange.poll_seconds: -1 is not greater than 0" in result.stdout
    assert f"{config}:8: mistake: gateway.answer_seconds: 60 is not less than 20" in result.stdout
    assert f'{config}:9: mistake: gateway.listn: there is no key "listn"; did you mean "listen"?' in result.stdout
    assert "    expected:  a number greater than 0" in result.stdout
    assert f"The documented sample: {_dist.folder('config') / 'agbot.toml'}" in result.stdout
    assert result.stdout.endswith(f"{config} cannot be used: 3 mistakes\n")


def test_json_lists_the_same(config: Path) -> None:
    config.write_text(config.read_text(encoding="utf-8") + "poll_seconds = -1\n", encoding="utf-8")

    result = run("check-config", str(config), "--json")
    shown = json.loads(result.stdout)

    assert result.exit_code == 1
    assert shown["ok"] is False
    (mistake,) = shown["mistakes"]
    assert (mistake["key"], mistake["line"], mistake["file"]) == ("exchange.poll_seconds", 6, str(config))
    assert mistake["sample_line"] > 0


def test_what_holds_for_a_group_is_shown_with_where_each_value_comes_from(config: Path) -> None:
    with config.open("a", encoding="utf-8") as file:
        file.write('[scope.o1]\nmin_available = 2\n[scope."o1/edge-*"]\nwindows = ["sat 22:00-04:00 Europe/Berlin"]\n')

    result = run("check-config", str(config), "--effective", "o1/edge-1")
    rows = [re.split(r" {2,}", line) for line in result.stdout.splitlines()]

    assert result.exit_code == 0
    assert ["key", "value", "origin"] in rows
    assert ["lease_seconds", "600", "default"] in rows
    assert ["min_available", "2", "[scope.o1] line 7"] in rows
    (windows,) = [row for row in rows if row[0] == "windows"]
    assert re.fullmatch(
        r"sat 22:00-04:00 Europe/Berlin \((open now|opens \d{4}-\d\d-\d\d \d\d:00:00 \w+)\)", windows[1]
    )
    assert windows[2] == '[scope."o1/edge-*"] line 9'
    assert run("check-config", str(config), "--effective", "edge-1", "-o", "o1").stdout == result.stdout


def test_what_holds_for_a_group_is_given_as_json_too(config: Path) -> None:
    with config.open("a", encoding="utf-8") as file:
        file.write("[scope.o1]\nmin_available = 2\n")

    shown = json.loads(run("check-config", str(config), "--effective", "o1/g", "--json").stdout)

    assert shown["ok"]
    assert shown["effective"]["group"] == "o1/g"
    assert shown["effective"]["rules"]["min_available"]["value"] == 2
    assert shown["effective"]["rules"]["min_available"]["origin"] == "[scope.o1] line 7"
    assert "effective" not in json.loads(run("check-config", str(config), "--json").stdout)


def test_with_a_mistake_nothing_holds_for_any_group(config: Path) -> None:
    with config.open("a", encoding="utf-8") as file:
        file.write('[scope."o1//"]\nmin_available = 2\n')

    result = run("check-config", str(config), "--effective", "o1/g")
    shown = json.loads(run("check-config", str(config), "--effective", "o1/g", "--json").stdout)

    assert result.exit_code == 1
    assert f'{config}:6: mistake: scope."o1//": it has two slashes; a group\'s id has one' in result.stdout
    assert "lease_seconds" not in result.stdout
    assert shown["effective"] is None


def test_a_group_without_its_organisation_is_wrong_usage(config: Path) -> None:
    result = run("check-config", str(config), "--effective", "edge-1")

    assert result.exit_code == 2
    assert "does not name a group" in result.stderr


def test_a_missing_file_is_one_of_the_mistakes(tmp_path: Path) -> None:
    result = run("check-config", str(tmp_path / "none.toml"))

    assert result.exit_code == Exit.BAD_FILE
    assert "none.toml: mistake: the file cannot be read: No such file or directory" in result.stdout


def test_no_secret_is_ever_written(config: Path) -> None:
    assert "s3cret" not in run("check-config", str(config), "--json").output


def test_an_address_that_no_service_could_use_is_a_mistake(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (config.parent / "addresses").write_text("json://localhost\n", encoding="utf-8")
    with config.open("a", encoding="utf-8") as file:
        file.write('[store]\npath = "agbot.db"\n[notify]\naddresses_file = "addresses"\n')
    assert run("check-config", str(config)).exit_code == 0

    monkeypatch.setitem(sys.modules, "apprise", None)
    result = run("check-config", str(config))

    assert result.exit_code == 1
    assert "mistake: notify.addresses_file: " in result.stdout
    assert "Apprise is missing; install agbot[notify]" in result.stdout
    assert "would refuse to start" not in result.stdout


def test_a_certificate_that_expires_soon_is_warned_of(config: Path) -> None:
    pair = made(config.parent / "tls", "soon", days=5)
    with config.open("a", encoding="utf-8") as file:
        file.write(f'[gateway]\ncertificate_file = "{pair.certificate}"\nkey_file = "{pair.key}"\n')

    result = run("check-config", str(config))

    assert result.exit_code == 0
    assert (
        f"warning: gateway.certificate_file: [gateway] certificate_file {pair.certificate} expires in" in result.stdout
    )


def test_the_shipped_sample_can_be_checked_as_it_is() -> None:
    result = run("check-config", str(_dist.folder("config") / "agbot.toml"))

    assert result.exit_code == 0
    assert "is good: 3 warnings" in result.stdout
    assert "would refuse to start here, because of store.path, exchange.token_file; a service" in result.stdout
    assert "the daemon does not start without it, unless its unit provides it" in result.stdout
    assert run("run", "--config", str(_dist.folder("config") / "agbot.toml")).exit_code == 1


def test_what_systemd_has_not_provided_is_a_mistake_where_it_could_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    result = run("check-config", str(_dist.folder("config") / "agbot.toml"))

    assert result.exit_code == 1
    assert "the key is not set, and systemd has provided no credential" in result.stdout


def test_unit_and_sample_are_copied_out(tmp_path: Path) -> None:
    result = run("install-units", "--prefix", str(tmp_path))

    unit = tmp_path / "etc/systemd/system/agbot.service"
    sample = tmp_path / "etc/agbot/agbot.toml"
    assert result.exit_code == 0
    assert unit.read_bytes() == (_dist.folder("systemd") / "agbot.service").read_bytes()
    assert sample.read_bytes() == (_dist.folder("config") / "agbot.toml").read_bytes()
    assert {("written", str(unit)), ("written", str(sample))} <= {
        tuple(line.split()) for line in result.stdout.splitlines()
    }
    assert {path.stat().st_mode & 0o777 for path in (unit, sample)} == {0o644}


def test_copying_twice_changes_nothing(tmp_path: Path) -> None:
    run("install-units", "--prefix", str(tmp_path))

    result = run("install-units", "--prefix", str(tmp_path), "--json")

    assert set(json.loads(result.stdout)["files"].values()) == {"unchanged"}


def test_an_edited_file_is_kept_unless_forced_and_then_kept_beside(tmp_path: Path) -> None:
    run("install-units", "--prefix", str(tmp_path))
    sample = tmp_path / "etc/agbot/agbot.toml"
    sample.write_text("edited", encoding="utf-8")

    kept = run("install-units", "--prefix", str(tmp_path))
    assert f"kept      {sample}" in kept.stdout
    assert sample.read_text(encoding="utf-8") == "edited"

    forced = run("install-units", "--prefix", str(tmp_path), "--force")
    assert f"replaced  {sample}" in forced.stdout
    assert sample.read_bytes() == (_dist.folder("config") / "agbot.toml").read_bytes()
    assert sample.with_name("agbot.toml.old").read_text(encoding="utf-8") == "edited"
    assert sorted(path.name for path in sample.parent.iterdir()) == ["agbot.toml", "agbot.toml.old"]


def test_a_file_that_cannot_be_replaced_stays_where_it_is(tmp_path: Path) -> None:
    """A unit that is missing is not started again."""
    run("install-units", "--prefix", str(tmp_path))
    unit = tmp_path / "etc/systemd/system/agbot.service"
    unit.write_text("edited", encoding="utf-8")
    unit.with_name(".agbot.service.draft").mkdir()

    assert run("install-units", "--prefix", str(tmp_path), "--force").exit_code == Exit.BAD_FILE
    assert unit.read_text(encoding="utf-8") == "edited"


def test_nothing_is_written_where_a_link_beside_a_file_leads(tmp_path: Path) -> None:
    """Root types it, and the folder of the settings may be the service's own."""
    victim, folder = tmp_path / "victim", tmp_path / "etc/agbot"
    victim.write_text("precious", encoding="utf-8")
    victim.chmod(0o600)
    folder.mkdir(parents=True)
    (folder / ".agbot.toml.draft").symlink_to(victim)

    assert run("install-units", "--prefix", str(tmp_path)).exit_code == 0
    assert (victim.read_text(encoding="utf-8"), victim.stat().st_mode & 0o777) == ("precious", 0o600)
    assert [(each.name, each.is_symlink()) for each in folder.iterdir()] == [("agbot.toml", False)]


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file, not a folder", encoding="utf-8")

    result = run("install-units", "--prefix", str(tmp_path))

    assert result.exit_code == Exit.BAD_FILE
    assert "cannot be written" in result.stderr
    assert "--prefix" in result.stderr


@pytest.mark.parametrize(
    ("more", "schemas"),
    [
        ((), ("ours", "theirs")),
        (("--schema", "a"), ("a", "theirs")),
        (("--schema", "a", "--agbot-schema", "b"), ("a", "b")),
    ],
    ids=["none", "one", "both"],
)
def test_a_schema_that_is_not_named_is_that_of_the_settings_also_in_a_database_that_is(
    more: tuple[str, ...], schemas: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another schema has no leases, and a guard in it lets every upgrade wait."""
    file, token = tmp_path / "agbot.toml", tmp_path / "token"
    token.write_text("hush7hush\n", encoding="utf-8")
    token.chmod(0o600)
    file.write_text(
        '[exchange]\nurl = "https://hub/v1"\nidentity = "IBM/c"\ntoken_file = "token"\n'
        '[store]\nurl = "postgresql://c@db/agbot"\nschema = "ours"\n[guard]\nagbot_schema = "theirs"\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(settings_file, "DEFAULT", file)

    result = run("guard", "uninstall", "--dry-run", "--database", "postgresql://c@other/agbot", *more)

    assert result.exit_code == 0, result.output
    assert all(f"{name}." in result.stdout for name in schemas), result.stdout


@pytest.mark.parametrize("words", [("doctor",), ("store", "compact"), ("guard", "status")])
def test_every_command_finds_the_installed_settings_by_itself(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "agbot.toml"
    file.write_text("[gateway]\nlisten = 3\n", encoding="utf-8")
    monkeypatch.setattr(settings_file, "DEFAULT", file)

    result = CliRunner().invoke(main, words, env={"AGBOT_URL": "http://127.0.0.1:9"})

    assert result.exit_code != 0
    assert f"{file}:2" in result.output


def test_the_daemon_finds_the_installed_settings_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "agbot.toml"
    monkeypatch.setattr(settings_file, "DEFAULT", file)
    for content, stated in ((None, f"there is no {file}: `agbot install-units` writes one"), ("x = 1\n", f"{file}:1")):
        if content:
            file.write_text(content, encoding="utf-8")
        with pytest.raises(SystemExit) as ended:
            main(["run"], prog_name="agbot")

        assert (ended.value.code, stated in capfd.readouterr().err) == (1, True)


@pytest.mark.parametrize("words", [("doctor",), ("simulate", "--nmp", "o1/up1"), ("store", "compact")])
def test_a_command_without_settings_names_the_file_that_it_looked_for_and_what_writes_it(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "agbot.toml"
    monkeypatch.setattr(settings_file, "DEFAULT", file)

    result = CliRunner().invoke(main, words, env={"AGBOT_URL": "http://127.0.0.1:9", "AGBOT_STORE_PATH": "3/"})

    assert result.exit_code == 1
    stated = " ".join(result.output.split())
    assert f"there is no {file}" in stated
    assert "`agbot install-units` writes" in stated
