"""Programs under test: processes of the installed `agbot` script, each with a log of its own. None outlives its test.

They get an environment of their own, so that whatever is set where the tests run (HZN_EXCHANGE_URL, NOTIFY_SOCKET) changes nothing, and
every warning that Python or a library would give is an error in them.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from pathlib import Path
from typing import Any, TypeVar, cast, overload

AGBOT = Path(sys.executable).with_name("agbot")
PATIENCE_SECONDS = 40.0
"""For what takes a second on an idle machine, and may take thirty times as long on one that is busy with other things."""
_GLANCE_SECONDS = 0.02
_PORTS = range(10_240, 32_000)
"""Below the ports that the kernel gives to clients: one of those could take a listener's port while its daemon is being restarted."""

T = TypeVar("T")


@overload
async def until(what: str, look: Callable[[], Coroutine[Any, Any, T]], *, within_seconds: float = ...) -> T: ...
@overload
async def until(what: str, look: Callable[[], T], *, within_seconds: float = ...) -> T: ...
async def until(what: str, look: Callable[[], Any], *, within_seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until a look shows something that counts as true, and return it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    while True:
        found = look()
        seen = await found if isawaitable(found) else found
        if seen:
            return seen
        assert loop.time() < deadline, f"{what}: not within {within_seconds:g} s, seen last: {seen!r}"
        await asyncio.sleep(_GLANCE_SECONDS)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def environment(**more: str) -> dict[str, str]:
    """Return what a program gets to see."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "COVERAGE_PROCESS_START") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "PYTHONWARNINGS": "error", **more}


@dataclass
class Program:
    """One process from start to end."""

    popen: subprocess.Popen[bytes]
    log_file: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

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
        return [line for line in self.lines() if line["event"] == name]

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.popen.kill()
        self.popen.wait(PATIENCE_SECONDS)

    def terminate(self) -> None:
        """Ask it to stop, as systemd does."""
        self.popen.terminate()

    def reload(self) -> None:
        """Let it read its settings anew."""
        self.popen.send_signal(signal.SIGHUP)

    async def ended(self, *, within_seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for its end and return its exit code."""
        await until("the end of the process", lambda: self.popen.poll() is not None, within_seconds=within_seconds)
        return cast("int", self.popen.returncode)


@dataclass
class Said:
    """What a command said."""

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
    started: list[Program] = field(default_factory=list)

    def start(
        self,
        *words: str | Path,
        open_files: int | None = None,
        environ: Mapping[str, str] | None = None,
        stderr: int | None = None,
    ) -> Program:
        """Start `agbot` with these words; its log goes to a file of its own unless `stderr` says where.

        `open_files` is the limit of descriptors, which it cannot raise.
        """
        limited = ["sh", "-c", f'ulimit -n {open_files}; exec "$@"', "sh"] if open_files else []
        log_file = self.folder / f"{len(self.started)}-{words[0]}.log"
        with log_file.open("wb") as log:
            popen = subprocess.Popen(
                [*limited, AGBOT, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log if stderr is None else stderr,
                env=environment(**(environ or {})),
            )
        self.started.append(Program(popen, log_file))
        return self.started[-1]

    async def run(self, *words: str | Path, environ: Mapping[str, str] | None = None) -> Said:
        """Run `agbot` with these words to its end."""
        process = await asyncio.create_subprocess_exec(
            AGBOT,
            *words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**(environ or {})),
        )
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Said(process.returncode or 0, out.decode(), err.decode())

    def end(self) -> None:
        """Let nothing live on."""
        for program in self.started:
            program.kill()
