"""What a command says whose output goes to a disk that is full."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from agbot.cli.failure import Exit, unwritable
from tests.acceptance.programs import AGBOT, environment
from tests.integration.cli.conftest import Shell

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a file that is always full")
@pytest.mark.parametrize("words", [["history"], ["status", "--json"], ["--help"]], ids=" ".join)
def test_a_full_disk_is_named_in_one_sentence_and_not_as_an_internal_error(words: list[str], shell: Shell) -> None:
    with FULL.open("wb") as full:
        done = subprocess.run(
            [AGBOT, *words],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(AGBOT_URL=shell.url),
        )

    first, *_ = done.stderr.splitlines()
    assert first == "agbot: the output cannot be written: No space left on device"
    assert (done.returncode, "Traceback" in done.stderr) == (Exit.BAD_FILE, False), done.stderr


@pytest.mark.parametrize(
    ("number", "next_step"),
    [
        (errno.EACCES, "run it as root"),
        (errno.ENOSPC, "free space there, or write to another place"),
        (errno.EDQUOT, "free space there, or write to another place"),
    ],
)
def test_a_file_on_a_full_disk_needs_space_and_no_rights(number: int, next_step: str) -> None:
    failure = unwritable(Path("/etc/agbot.toml"), OSError(number, "why"), "run it as root")

    assert (failure.problem, failure.next_step) == ("/etc/agbot.toml cannot be written: why", next_step)
    assert failure.exit_code == Exit.BAD_FILE
