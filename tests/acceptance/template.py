"""A process that has imported the product, and forks for every program that a test starts.

A fork is the `agbot` command with its own memory, descriptors, environment and signals, without the
0.6 s of processor that Python's start and the imports take. It is left to the process that asked
for it, which is a reaper of orphans, so that it can wait for the end as for a child of its own.

Run as a script, this is the template; imported, what asks it for forks.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_LARGEST_MESSAGE = 65_536
_GLANCE_SECONDS = 0.005
_LATE = ("daemon.daemon", "guard.installing", "guard.status", "store.postgres.moving")
"""What commands import when they need it, and what takes longest."""


@dataclass
class Forked:
    """A fork, with what tests use of `subprocess.Popen`."""

    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, or the negative number of the signal that ended it, or None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it still runs after these seconds.
        """
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("agbot", timeout)
            time.sleep(_GLANCE_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.send_signal(signal.SIGTERM)


class Template:
    """The template of one process that runs tests; it ends with it."""

    def __init__(self, environ: Mapping[str, str], root: Path | None = None) -> None:
        """Start it; with a root, an installation is below that and not on this machine."""
        # what a fork leaves behind when the process between has ended is this process's child
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "this process cannot become a reaper of orphans")
        self._one_at_a_time = threading.Lock()
        self._socket, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its_end:
            self._process = subprocess.Popen(
                [sys.executable, Path(__file__), str(its_end.fileno()), *([root] if root else [])],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environ,
                pass_fds=[its_end.fileno()],
            )

    def fork(
        self,
        words: Sequence[str],
        environ: Mapping[str, str],
        *,
        stdout: int,
        stderr: int,
        open_files: int | None,
        stdin: int | None = None,
        folder: Path | None = None,
    ) -> Forked:
        """Start `agbot` with these words; without more it reads from nowhere, in this process's folder."""
        request = json.dumps([words, dict(environ), open_files, str(folder or "")]).encode()
        with self._one_at_a_time:
            socket.send_fds(self._socket, [request], [stdout, stderr, *([] if stdin is None else [stdin])])
            pid = int(self._socket.recv(_LARGEST_MESSAGE))
            assert self._socket.recv(_LARGEST_MESSAGE) == b"orphaned", "the template has ended"
        return Forked(pid)

    def end(self) -> None:
        """Let it end."""
        self._socket.close()
        self._process.wait()


def main() -> None:
    """Import everything, fork for each request, and be the command in each fork."""
    if sys.argv[2:]:
        _move(Path(sys.argv[2]))
    commands = importlib.import_module("agbot.cli.main")
    for name in [*_LATE, *(f"cli.{module}" for module, _ in commands.COMMANDS.values())]:
        importlib.import_module(f"agbot.{name}")
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        while True:
            request, descriptors, _, _ = socket.recv_fds(requests, _LARGEST_MESSAGE, 3)
            if not request:  # no one will ask again
                return
            if _is_fork(requests):
                break
            for each in descriptors:
                os.close(each)
    _become(*json.loads(request), descriptors=descriptors)
    try:
        commands.main()
    except SystemExit as ended:
        _end(ended.code)


def _become(
    words: list[str], environ: dict[str, str], open_files: int | None, folder: str, *, descriptors: list[int]
) -> None:
    """Take the streams, the folder, the limit and the environment that were asked for."""
    for stream, each in zip((1, 2, 0), descriptors, strict=False):
        os.dup2(each, stream)
        os.close(each)
    if folder:
        os.chdir(folder)
    # the former ones remember whether their file can seek
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - it lasts as long as the process
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115 - as above
    if open_files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["agbot", *words]


def _end(code: object) -> NoReturn:
    """End as the interpreter does, but without destroying every object: that is four fifths of what a short command costs."""
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - what the interpreter itself calls here
    atexit._run_exitfuncs()  # noqa: SLF001 - as above
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _move(root: Path) -> None:
    """Let every command find the files of an installation below another root: this machine's /etc is not the tests'."""
    for name, constant in (("agbot.cli.settings_file", "DEFAULT"), ("agbot.cli.client", "DEFAULT_TOKEN_FILE")):
        module = importlib.import_module(name)
        setattr(module, constant, root / getattr(module, constant).relative_to("/"))


def _is_fork(requests: socket.socket) -> bool:
    """Fork, and answer with the pid of the fork, once it is an orphan."""
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        requests.send(b"orphaned")
        return False
    fork = os.fork()
    if fork:
        requests.send(str(fork).encode())
        os._exit(0)
    return True


if __name__ == "__main__":
    main()
