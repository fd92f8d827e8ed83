"""`--watch`: drawn in place on a terminal, appended in a pipe, and ended by Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.acceptance.programs import template
from tests.integration.cli.conftest import Shell
from tests.support.patience import PATIENCE_SECONDS

PICTURES = 3


def watched(shell: Shell, *words: str, mark: bytes, on_terminal: bool) -> tuple[str, int]:
    """Watch until this mark was written several times, press Ctrl-C, and return the output and exit code."""
    ours, theirs = pty.openpty() if on_terminal else os.pipe()
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm", "COLUMNS": "80", "LINES": "12"}
    process = template().fork(
        [*words, "--watch", "--interval", "0.2", "--url", shell.url],
        environment,
        stdout=theirs,
        stderr=theirs,
        open_files=None,
    )
    os.close(theirs)
    seen = b""
    while seen.count(mark) < PICTURES:
        more = os.read(ours, 65536)
        assert more, f"it has ended: {seen.decode()}"
        seen += more
    process.send_signal(signal.SIGINT)
    seen += rest(ours)
    os.close(ours)
    return seen.decode().replace("\r\n", "\n"), process.wait(PATIENCE_SECONDS)


def rest(descriptor: int) -> bytes:
    found = b""
    try:
        while part := os.read(descriptor, 65536):
            found += part
    except OSError:  # a terminal that its last user has left
        pass
    return found


def test_a_terminal_is_drawn_over_and_shows_what_it_has_room_for(shell: Shell) -> None:
    seen, code = watched(shell, "status", mark=b"\x1b[H", on_terminal=True)

    assert code == 0
    pictures: Sequence[str] = seen.split("\x1b[H")[1:PICTURES]
    for picture in pictures:
        lines = picture.partition("\x1b[J")[0].splitlines()
        assert len(lines) == 11
        assert all(line.endswith("\x1b[K") for line in lines)
        assert "more lines: name an organisation or a group" in lines[-1]
    assert "Traceback" not in seen
    assert "Aborted" not in seen


@pytest.mark.parametrize(
    ("more", "mark"), [((), b"ready; last cycle"), (("--json",), b'{"sentence"')], ids=["text", "json"]
)
def test_a_pipe_gets_one_picture_after_the_other(shell: Shell, more: tuple[str, ...], mark: bytes) -> None:
    seen, code = watched(shell, "status", *more, mark=mark, on_terminal=False)

    assert code == 0
    assert "\x1b" not in seen
    assert not more or json.loads(seen.splitlines()[0])["ready"] is True


class NoLeader(BaseHTTPRequestHandler):
    """Answers as a coordinator that stands by, while none leads."""

    def do_GET(self) -> None:
        error = {"tried": "GET", "problem": "no-leader: no coordinator is known to lead", "next": "wait"}
        body = json.dumps({"error": error}).encode()
        self.send_response(409)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture
def standby() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), NoLeader)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(PATIENCE_SECONDS)


def test_the_seconds_in_which_no_coordinator_leads_are_waited_out(shell: Shell, standby: str) -> None:
    there = replace(shell, url=standby)
    seen, code = watched(there, "rollout", mark=b"NO ANSWER: no-leader", on_terminal=False)

    assert code == 0
    assert "no coordinator is known to lead" in seen
