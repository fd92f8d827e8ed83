"""The wheel: code, types, units and sample configuration in one file, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest

import agbot
from agbot import _dist

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Build the wheel as `make wheel` does."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_package_project_and_wheel_state_one_version(wheel: zipfile.ZipFile) -> None:
    metadata = Parser().parsestr(wheel.read(f"agbot-{agbot.__version__}.dist-info/METADATA").decode())

    assert agbot.__version__ == PROJECT["version"] == metadata["Version"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"


@pytest.mark.parametrize("name", ["config", "systemd"])
def test_units_and_sample_configuration_travel_in_the_wheel(wheel: zipfile.ZipFile, name: str) -> None:
    inside = {path for path in wheel.namelist() if path.startswith(f"agbot/_dist/{name}/")}

    assert inside == {f"agbot/_dist/{name}/{path.name}" for path in (ROOT / name).iterdir()}
    assert inside


def test_every_module_and_the_mark_of_typed_code_are_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    inside = set(wheel.namelist())

    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "agbot").rglob("*.py")} <= inside
    assert "agbot/py.typed" in inside


def test_nothing_but_the_package_and_its_metadata_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    assert {path.split("/")[0] for path in wheel.namelist()} == {"agbot", f"agbot-{agbot.__version__}.dist-info"}
    assert not [path for path in wheel.namelist() if path.endswith(".pyc")]


def test_the_command_of_the_wheel_is_agbot(wheel: zipfile.ZipFile) -> None:
    entry_points = wheel.read(f"agbot-{agbot.__version__}.dist-info/entry_points.txt").decode()

    assert "agbot = agbot.cli.main:main" in entry_points


def test_a_checkout_finds_the_files_that_a_wheel_carries() -> None:
    assert (_dist.folder("systemd") / "agbot.service").is_file()
    assert (_dist.folder("config") / "agbot.toml").is_file()


def test_an_installed_wheel_finds_its_own_files_without_a_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    command = [sys.executable, "-c", "from agbot import _dist; print(_dist.folder('systemd'))"]
    ran = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )

    assert Path(ran.stdout.strip()) == tmp_path / "agbot" / "_dist" / "systemd"
