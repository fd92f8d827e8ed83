"""The programs that a test plays: their calls arrive here, with the streams of whoever typed them."""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.template import Forked, Template

_LARGEST_CALL = 131_072
_GLANCE_SECONDS = 0.01
_STAND_IN = Path(__file__).with_name("typed_program.py")
Played = Callable[["Call"], int]


@dataclass
class Call:
    """One command that was typed."""

    line: socket.socket
    name: str
    words: list[str]
    folder: Path
    environ: dict[str, str]
    streams: tuple[int, int, int]
    """Output, errors, input."""

    def say(self, text: str) -> int:
        """Write a line of output, and return success."""
        os.write(self.streams[0], f"{text}\n".encode())
        return 0

    def complain(self, text: str, code: int = 1) -> int:
        """Write a line of errors, and return this code."""
        os.write(self.streams[1], f"{text}\n".encode())
        return code

    def fork(self, template: Template) -> int:
        """Be `agbot`, and take signals as it does."""
        out, err, typed = self.streams
        process = template.fork(
            self.words, self.environ, stdout=out, stderr=err, stdin=typed, folder=self.folder, open_files=None
        )
        while process.poll() is None:
            if select.select([self.line], [], [], _GLANCE_SECONDS)[0]:
                number = self.line.recv(16)
                process.send_signal(int(number) if number else signal.SIGKILL)
                if not number:
                    break
        return _code(process)


@dataclass
class Stage:
    """A folder for the PATH, whose programs are played."""

    folder: Path
    programs: dict[str, Played] = field(default_factory=dict)
    typed: list[str] = field(default_factory=list)
    """Every call so far, as it was typed."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        interpreter = (self.folder / ".program").resolve()
        interpreter.write_text(f"#!{sys.executable} -IS\n{_STAND_IN.read_text(encoding='utf-8')}", encoding="utf-8")
        interpreter.chmod(0o755)
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.bind(str(self.folder / ".line"))
        self._line.listen(16)
        self._thread = threading.Thread(target=self._answer_all, daemon=True)
        self._thread.start()

    def play(self, name: str, program: Played) -> None:
        """Put a program on the PATH."""
        self.programs[name] = program
        (self.folder / name).symlink_to(".program")

    def close(self) -> None:
        """Answer no more."""
        self._line.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._line.close()

    def _answer_all(self) -> None:
        while True:
            try:
                line, _ = self._line.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with line:
            request, descriptors, _, _ = socket.recv_fds(line, _LARGEST_CALL, 3)
            name, words, folder, environ = json.loads(request)
            out, err, typed = descriptors
            call = Call(line, name, words, Path(folder), environ, (out, err, typed))
            self.typed.append(shlex.join([name, *words]))
            code = 70
            try:
                code = self.programs[name](call)
            finally:
                for each in descriptors:
                    os.close(each)
                line.send(str(code).encode())


def _code(process: Forked) -> int:
    """Return the exit code as a shell gives it."""
    ended = process.wait(5)
    return 128 - ended if ended < 0 else ended
