"""Programs under test: processes of the `agbot` command, each with a log of its own.

None outlives its test. Most are forks of a template (`tests/acceptance/template.py`), which all tests of
this process share; where it matters how a process begins, it is the installed script.

They get an environment of their own, so that whatever is set where the tests run (HZN_EXCHANGE_URL,
NOTIFY_SOCKET) changes nothing, and every warning that Python or a library would give is an error in
them.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from tests.acceptance.template import Forked, Template
from tests.support.patience import PATIENCE_SECONDS, until

AGBOT = Path(sys.executable).with_name("agbot")
_PORTS = range(10_240, 32_000)
"""Below the ports that the kernel gives to clients: one of those could take a listener's port while
its daemon is being restarted."""
_given: set[int] = set()

_WARNINGS = "error,ignore:'imghdr' is deprecated:DeprecationWarning"
"""Every warning is an error, but one that Apprise gives when it is imported."""


def free_port() -> int:
    """Return a port that no one listens on now, and that this process was not given before."""
    while True:
        port = random.choice(_PORTS)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port


def environment(**more: str) -> dict[str, str]:
    """Return what a program gets to see."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "COVERAGE_PROCESS_START") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "PYTHONWARNINGS": _WARNINGS, **more}


@cache
def template() -> Template:
    """Return the template of this process, which ends with it."""
    found = Template(environment())
    atexit.register(found.end)
    return found


@dataclass
class Program:
    """One process from start to end."""

    process: Forked | subprocess.Popen[bytes]
    log_file: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """All that it has written so far, both streams."""
        return self.log_file.read_text(encoding="utf-8")

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines of its log; each must be JSON (one that is being written is left out)."""
        whole = self.log.rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of one event."""
        named = [json.loads(line) for line in self.log.rpartition("\n")[0].splitlines() if name in line]
        return [line for line in named if line["event"] == name]

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def freeze(self) -> None:
        """Stop it where it is, as SIGSTOP does."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to stop, as systemd does."""
        self.process.terminate()

    def reload(self) -> None:
        """Let it read its settings again."""
        self.process.send_signal(signal.SIGHUP)

    async def ended(self) -> int:
        """Wait for its end and return its exit code."""
        await until("the end of the process", lambda: self.process.poll() is not None)
        return cast("int", self.process.returncode)


@dataclass
class Said:
    """What a command stated."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Programs:
    """Every process that a test has started."""

    folder: Path
    template: Template
    started: list[Program] = field(default_factory=list)

    def start(
        self,
        *words: str | Path,
        open_files: int | None = None,
        environ: Mapping[str, str] | None = None,
        stderr: int | None = None,
        installed: bool = False,
    ) -> Program:
        """Start `agbot` with these words: a fork of the template, or the installed script.

        Its log goes to a file of its own unless `stderr` says where.

        `open_files` is the limit of descriptors, which it cannot raise.
        """
        log_file = self.folder / f"{len(self.started)}-{words[0]}.log"
        start = start_installed if installed else self.template.fork
        with log_file.open("wb") as log:
            process = start(
                [str(word) for word in words],
                environment(**(environ or {})),
                stdout=log.fileno(),
                stderr=log.fileno() if stderr is None else stderr,
                open_files=open_files,
            )
        self.started.append(Program(process, log_file))
        return self.started[-1]

    async def run(self, *words: str | Path, environ: Mapping[str, str] | None = None) -> Said:
        """Run `agbot` with these words to its end."""
        err_file = self.folder / f"{len(self.started)}-{words[0]}.err"
        with err_file.open("wb") as err:
            program = self.start(*words, environ=environ, stderr=err.fileno())
        code = await program.ended()
        return Said(code, program.log, err_file.read_text(encoding="utf-8"))

    def end(self) -> None:
        """Let nothing live on."""
        for program in self.started:
            program.kill()


def start_installed(
    words: Sequence[str], environ: Mapping[str, str], *, stdout: int, stderr: int, open_files: int | None
) -> subprocess.Popen[bytes]:
    """Start the installed script, with an interpreter of its own."""
    limited = ["sh", "-c", f'ulimit -n {open_files}; exec "$@"', "sh"] if open_files else []
    return subprocess.Popen(
        [*limited, AGBOT, *words], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=dict(environ)
    )
