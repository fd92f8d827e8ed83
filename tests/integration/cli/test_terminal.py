"""What a person sees on a real terminal, and what a pipe gets."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.integration.cli.conftest import Shell
from tests.integration.console.scripted import BETA, WAITING


def on_a_terminal(shell: Shell, *words: str, columns: int, **environ: str) -> str:
    """Run the command with a pseudo terminal as its output."""
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm", "COLUMNS": str(columns), **environ}
    command = [sys.executable, "-m", "agbot.cli.main", *words, "--url", shell.url]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # the terminal is gone when the command has ended
            while part := os.read(ours, 65536):
                seen += part
        os.close(ours)
    assert process.returncode == 0
    return seen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(("columns", "is_ruled"), [(200, True), (80, False)])
def test_a_table_is_ruled_where_it_fits_and_never_cuts_a_name(shell: Shell, columns: int, is_ruled: bool) -> None:
    seen = on_a_terminal(shell, "leases", "--all", columns=columns)

    assert ("────" in seen) is is_ruled
    assert "agent acme/agent-2.32" in seen


def test_rules_that_hold_a_node_back_stand_out(shell: Shell) -> None:
    seen = on_a_terminal(shell, "explain", "acme/beta", columns=120)

    assert "\x1b[1macme/beta waits" in seen
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
