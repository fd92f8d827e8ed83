"""`--watch`: drawn in place on a terminal, appended in a pipe, and ended by Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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


ERROR = {"tried": "GET", "problem": "no-leader: no coordinator is known to lead", "next": "wait"}
NO_LEADER = (409, {"error": ERROR})
"""What a coordinator that stands by answers while none leads."""
TESTED = (200, {"event": 7})
GIVEN = (200, {"receivers": [{"kind": "mqtt", "receiver": "broker:1883", "confirmed": 7, "behind": 0}]})


@contextmanager
def answering(*answers: tuple[int, Mapping[str, object]]) -> Iterator[str]:
    """A coordinator that gives these answers, one after the other, and then the last one again."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, content = left.pop(0) if len(left) > 1 else left[0]
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name is http.server's

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(PATIENCE_SECONDS)


def test_the_seconds_in_which_no_coordinator_leads_are_waited_out(shell: Shell) -> None:
    with answering(NO_LEADER) as url:
        seen, code = watched(replace(shell, url=url), "rollout", mark=b"NO ANSWER: no-leader", on_terminal=False)

    assert code == 0
    assert "no coordinator is known to lead" in seen


@pytest.mark.parametrize("command", ["status", "rollout"])
def test_so_they_are_with_json_whose_lines_are_answers_alone(shell: Shell, command: str) -> None:
    with answering((200, {"n": 1}), NO_LEADER, (200, {"n": 2})) as url:
        seen, code = watched(replace(shell, url=url), command, "--json", mark=b'{"n"', on_terminal=False)

    assert code == 0
    assert seen.splitlines()[:4] == [
        '{"n": 1}',
        "agbot: no-leader: no coordinator is known to lead; trying again",
        "agbot: the coordinator answers again",
        '{"n": 2}',
    ]


def test_a_command_line_that_gets_no_first_answer_ends(shell: Shell) -> None:
    with answering(NO_LEADER) as url:
        result = shell.run("status", "--watch", "--json", AGBOT_URL=url)

    assert (result.exit_code, json.loads(result.stdout)["error"]["exit_code"]) == (7, 7)


def test_whether_a_receiver_has_the_test_event_is_asked_until_a_coordinator_leads(shell: Shell) -> None:
    with answering(TESTED, NO_LEADER, GIVEN) as url:
        result = shell.act("notify", "--test", "--url", url)

    assert (result.exit_code, result.stdout) == (0, "mqtt broker:1883: has the test event\n")


def test_but_no_longer_than_it_was_to_wait(shell: Shell) -> None:
    with answering(TESTED, NO_LEADER) as url:
        result = shell.act("notify", "--test", "--wait", "0.1", "--url", url)

    assert result.exit_code == 7
    assert "no coordinator is known to lead" in result.stderr
