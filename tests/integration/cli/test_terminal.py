"""What a person sees on a real terminal, and what a pipe gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from agbot.cli.failure import Exit
from agbot.coordinator.contract import Done, NotDone
from agbot.rules.ids import GroupId, NodeId
from tests.integration.cli.conftest import Shell
from tests.integration.console.scripted import BETA, ENTRY, GROUPS, HELD, WAITING
from tests.support.examples import some
from tests.support.hostile import HOSTILE
from tests.support.terminal import seen_on_terminal

_SENT = {name: text for name, text in HOSTILE.items() if name != "is half a pair"}
"""No JSON of the coordinator can hold the other one."""


def on_a_terminal(shell: Shell, *words: str, columns: int, **environ: str) -> str:
    """Run the command with a pseudo terminal as its output."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm", "COLUMNS": str(columns), **environ}
    code, seen = seen_on_terminal([*words, "--url", shell.url], environment)
    assert code == 0
    return seen


@pytest.mark.parametrize(("columns", "is_ruled"), [(200, True), (80, False)])
def test_a_table_is_ruled_where_it_fits_and_never_cuts_a_name(shell: Shell, columns: int, is_ruled: bool) -> None:
    seen = on_a_terminal(shell, "leases", "--all", columns=columns)

    assert ("────" in seen) is is_ruled
    assert "agent acme/agent-2.32" in seen


def test_rules_that_hold_a_node_back_stand_out(shell: Shell) -> None:
    seen = on_a_terminal(shell, "explain", "acme/beta", columns=120)

    assert "\x1b[1macme/beta has been waiting" in seen
    assert "\x1b[1;31m✗\x1b[0m \x1b[1mlease" in seen
    assert "\x1b[32m✓\x1b[0m" in seen


def test_what_a_rule_looked_at_is_dim(shell: Shell) -> None:
    rules = [replace(WAITING.rules[0], facts={"members": 3}, age_seconds=12.0)]
    shell.operations.explained[BETA] = replace(WAITING, rules=rules)

    assert "\x1b[2m  members 3, read 12 s ago\x1b[0m" in on_a_terminal(shell, "explain", "acme/beta", columns=120)


def test_a_terminal_without_colours_gets_none(shell: Shell) -> None:
    seen = on_a_terminal(shell, "explain", "acme/beta", columns=120, NO_COLOR="1")

    assert "\x1b[31m" not in seen
    assert "\x1b[32m" not in seen


def test_a_pipe_that_cannot_carry_the_marks_gets_others(shell: Shell) -> None:
    shell.operations.explained[BETA] = replace(WAITING, answer="größe waits.")
    environ = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "agbot.cli.main", "explain", "acme/beta", "--url", shell.url]
    done = subprocess.run(command, capture_output=True, check=True, env=environ)

    assert b"gr??e waits." in done.stdout
    assert b"  - lease" in done.stdout
    assert b"  + membership" in done.stdout
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize("hostile", some(_SENT.values()), ids=_SENT)
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize(
    "words",
    [
        ("status", "--all"),
        ("leases", "--all"),
        ("explain", "acme/beta"),
        ("history",),
        ("release", "acme/mills", "--yes", "--reason", "x"),
    ],
    ids=lambda words: words[0],
)
def test_no_control_character_of_a_name_reaches_a_terminal(
    shell: Shell, words: tuple[str, ...], more: tuple[str, ...], hostile: str
) -> None:
    node = NodeId(f"acme/n{hostile}1")
    held = replace(HELD, holder=node, status=hostile, note=hostile)
    member = replace(GROUPS[0].members[0], node=node, why_unavailable=hostile, agent_version=hostile)
    waiting = replace(GROUPS[0].waiting[0], node=node)
    shell.operations.known = (
        replace(GROUPS[0], id=GroupId(f"acme/g{hostile}"), members=(member,), waiting=(waiting,), lease=held),
    )
    rules = [replace(WAITING.rules[0], text=hostile, facts={"holder": node})]
    shell.operations.explained[BETA] = replace(WAITING, answer=f"{node} waits", rules=rules, lease=held)
    shell.operations.entries = (replace(ENTRY, node=node, facts={"why": hostile}),)
    shell.operations.outcome = Done(text=f"{node} is released")

    result = shell.act(*words, *more) if words[0] == "release" else shell.run(*words, *more)

    assert result.exit_code == (Exit.NEEDS_A_PERSON if words[0] == "status" else 0)
    assert [letter for letter in result.output if not letter.isprintable() and letter != "\n"] == []
    assert "\nok: all well" not in result.output
    if more:
        assert f"n{hostile}1" in strings(json.loads(result.output)), "a program reads the name as it is"


def strings(value: object) -> str:
    """Return every string of a JSON value."""
    match value:
        case dict():
            return " ".join(map(strings, (*value, *value.values())))
        case list():
            return " ".join(map(strings, value))
        case _:
            return str(value)


@pytest.mark.parametrize("hostile", some(_SENT.values()), ids=_SENT)
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_nor_does_one_of_a_refusal(shell: Shell, more: tuple[str, ...], hostile: str) -> None:
    shell.operations.outcome = NotDone(text=f"n{hostile}1 holds it{hostile}")

    result = shell.act("release", "acme/mills", "--yes", "--reason", "x", *more)

    assert result.exit_code == Exit.REFUSED
    assert [letter for letter in result.output if not letter.isprintable() and letter != "\n"] == []
    assert "\nok: all well" not in result.output
