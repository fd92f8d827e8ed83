"""A command and a coordinator of different versions: the command states that, and not a bare 404."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec
import pytest

from agbot import __version__
from agbot.cli.client import Client
from agbot.cli.failure import Exit, Failure
from agbot.console import api, server, status
from agbot.console.routes import HANDLERS
from tests.integration.cli.conftest import Shell

FIRST_PATHS = frozenset({"/healthz", "/v1", "/v1/groups", "/v1/leases"})
Coordinator = Callable[[str], Shell]


@pytest.fixture
def coordinator(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Coordinator:
    """Run a coordinator of this version, which has the paths of the first one."""

    def of_version(version: str) -> Shell:
        first = {each: handler for each, handler in HANDLERS.items() if each.path in FIRST_PATHS}
        monkeypatch.setattr(server, "HANDLERS", first)
        monkeypatch.setattr(status, "__version__", version)
        shell = request.getfixturevalue("shell")
        assert isinstance(shell, Shell)
        return shell

    return of_version


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("rollout",),
        ("rollout", "acme/up1"),
        ("history",),
        ("explain", "acme/beta"),
        ("orders",),
        ("notify",),
        ("hold", "*", "--reason", "x"),
        ("release", "acme/mills", "--yes", "--reason", "x"),
        ("lead", "--yes", "--reason", "x"),
    ],
    ids=lambda words: words[0],
)
def test_a_command_states_that_the_coordinator_is_older(coordinator: Coordinator, words: tuple[str, ...]) -> None:
    shell = coordinator("0.0.9")

    result = shell.act(*words) if "--reason" in words else shell.run(*words)

    assert result.exit_code == Exit.UNREACHABLE
    stated = f"the coordinator at {shell.url} is older than this command (version 0.0.9; this is {__version__})"
    assert stated in result.stderr
    assert "there is no such path" not in result.stderr


@pytest.mark.parametrize(
    ("version", "stated"), [("99.1", "is newer than this command"), (f"{__version__}rc", "is of another version than")]
)
def test_a_newer_one_and_another_build_are_told_apart(coordinator: Coordinator, version: str, stated: str) -> None:
    assert stated in coordinator(version).run("status").stderr


def test_an_answer_of_another_shape_is_put_down_to_the_version(
    coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = coordinator("0.0.9")
    of_ours = msgspec.defstruct("_Leases", [("not_yet_there", int)])
    shaped = dataclasses.replace(api.LEASES, answer=of_ours)  # type: ignore[arg-type]  # another shape
    monkeypatch.setattr(api, "LEASES", shaped)

    result = shell.run("leases")

    assert result.exit_code == Exit.UNREACHABLE
    assert "is older than this command (version 0.0.9;" in result.stderr


def test_a_value_that_an_older_coordinator_refuses_is_shown_with_its_version(coordinator: Coordinator) -> None:
    shell = coordinator("0.0.9")

    with pytest.raises(Failure) as raised:
        Client(url=shell.url).get(api.GROUPS, state="not-yet-known")

    assert raised.value.exit_code == Exit.BAD_INPUT
    assert raised.value.problem.startswith('"not-yet-known" is not a state of a group; the coordinator at')
    assert "is older than this command" in raised.value.problem


def test_what_the_user_has_mistyped_is_not_put_down_to_the_version(shell: Shell) -> None:
    result = shell.run("status", "acme/none")

    assert result.exit_code == Exit.NOT_FOUND
    assert "this command" not in result.stderr
