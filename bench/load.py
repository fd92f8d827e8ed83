"""A client that asks questions as agents do, each on a separate connection, and takes the time.

It is one process with one loop over raw sockets, the same for every server. A connection is opened,
the request of a real agent is sent, the answer is read, the connection is closed, and the next one
follows. Nothing is parsed without need. `Answers` has the processor time of the client: far less
than a core, so the server is what is measured.
"""

from __future__ import annotations

import base64
import itertools
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_READ_BYTES = 65_536
_SILENT_SECONDS = 30.0

_QUESTION = (
    "POST /org/{org}/hagroup/{group}/nodemanagement/{node}/{policy} HTTP/1.1\r\n"
    "Host: 127.0.0.1:8093\r\n"
    "User-Agent: Go-http-client/1.1\r\n"
    "Content-Length: 0\r\n"
    "Accept: application/json\r\n"
    "Authorization: Basic {credentials}\r\n"
    "Content-Type: application/json\r\n"
    "Accept-Encoding: gzip\r\n\r\n"
)
"""As a real agent sent it (`tests/recorded/agent-permission.jsonl`); a test compares it with the
recording."""


def question(org: str, group: str, node: str, policy: str, secret: str) -> bytes:
    """Return the question of an agent, byte for byte; all names are bare."""
    credentials = base64.b64encode(f"{org}/{node}:{secret}".encode()).decode()
    return _QUESTION.format(org=org, group=group, node=node, policy=policy, credentials=credentials).encode()


@dataclass(slots=True, kw_only=True)
class Answers:
    """The results of a load."""

    seconds: float = 0.0
    client_cpu_seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    """Seconds from the opening of the connection to the last byte of the answer."""

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    def expect(self, status: int) -> Answers:
        """Return itself if every answer has this status: wrong answers are not measured.

        Raises:
            AssertionError: some have another status.
        """
        assert set(self.statuses) == {status}, f"answers other than {status}: {dict(self.statuses)}"
        return self


@dataclass(slots=True)
class _Open:
    began_at: float
    received: bytes = b""


def drive(port: int, questions: Sequence[bytes], *, in_flight: int, seconds: float | None = None) -> Answers:
    """Ask each question once, or all in turn for `seconds`, with `in_flight` open at a time.

    Raises:
        ConnectionError: a connection ended without a whole answer.
        TimeoutError: no answer came for half a minute.
    """
    answers = Answers()
    began_at, cpu_began_at = time.perf_counter(), time.process_time()
    supply = iter(questions) if seconds is None else _for(seconds, questions)
    with selectors.DefaultSelector() as selector:
        for payload in itertools.islice(supply, in_flight):
            _ask(selector, port, payload)
        while selector.get_map():
            ready = selector.select(_SILENT_SECONDS)
            if not ready:
                raise TimeoutError("no answer for half a minute")
            for key, _ in ready:
                if _receive(key, answers):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr] # only sockets are registered
                    payload_next = next(supply, None)
                    if payload_next is not None:
                        _ask(selector, port, payload_next)
    answers.seconds = time.perf_counter() - began_at
    answers.client_cpu_seconds = time.process_time() - cpu_began_at
    return answers


def _for(seconds: float, questions: Sequence[bytes]) -> Iterator[bytes]:
    end = time.perf_counter() + seconds
    return itertools.takewhile(lambda _: time.perf_counter() < end, itertools.cycle(questions))


def _ask(selector: selectors.BaseSelector, port: int, payload: bytes) -> None:
    began_at = time.perf_counter()
    connection = socket.create_connection(("127.0.0.1", port), timeout=_SILENT_SECONDS)
    connection.sendall(payload)
    selector.register(connection, selectors.EVENT_READ, _Open(began_at))


def _receive(key: selectors.SelectorKey, answers: Answers) -> bool:
    """Read what has arrived; return whether the answer is complete.

    Every body ends with a newline, and no head ends like that.
    """
    connection, this = key.fileobj, key.data
    assert isinstance(connection, socket.socket)
    assert isinstance(this, _Open)
    data = connection.recv(_READ_BYTES)
    if not data:
        raise ConnectionError("the server closed the connection before its answer was whole")
    this.received += data
    if not this.received.endswith((b"}\n", b'"\n')):
        return False
    answers.latencies.append(time.perf_counter() - this.began_at)
    answers.statuses[int(this.received[9:12])] += 1
    return True
