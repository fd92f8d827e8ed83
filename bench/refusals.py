"""Refusals, with a new connection for each question, and a bare aiohttp handler, in turns.

The bare handler uses aiohttp's C parser, and the client is the same. The daemon is a complete one
(`agbot run` with its scheduler, store, log and metrics). The asker's peer holds the lease of every
group, and the askers' credentials are cached: nearly every question is answered by such a refusal
from memory. The listener alone is measured too, with a constant refusal: the difference is the cost
of the decision. Both are judged by the servers' own processor time, which other programs on the
machine disturb least; the speed is only shown.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import load, machine
from bench.figure import Figure, Unit
from bench.hub import Hub
from bench.ports import free_port, wait_for

GROUPS = 100
IN_FLIGHT = 16
_WARM_UP_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    port: int
    process: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    per_second: float
    cpu_microseconds: float
    """Of the server, per question."""
    server_share: float
    client_share: float


def measure(folder: Path, *, rounds: int, seconds: float) -> list[Figure]:
    """Measure all servers in turns of `seconds`, `rounds` times."""
    with Hub(folder, groups=GROUPS) as hub:
        load.drive(hub.gateway_port, hub.questions("a"), in_flight=IN_FLIGHT).expect(201)
        for group in hub.groups:
            # a lease without a sign of its upgrade would be taken back
            hub.report(f"{group}a", "download started")
        questions = hub.questions("b")
        load.drive(hub.gateway_port, questions, in_flight=IN_FLIGHT).expect(409)
        body = _body(hub.gateway_port, questions[0])
        with _process("bench.bare", body) as bare, _process("bench.gateway") as alone:
            servers = (bare, alone, _Server(port=hub.gateway_port, process=hub.daemon))
            for each in servers:
                load.drive(each.port, questions, in_flight=IN_FLIGHT, seconds=_WARM_UP_SECONDS).expect(409)
            turns = [[_turn(each, questions, seconds) for each in servers] for _ in range(rounds)]
    return _figures(turns)


def _turn(server: _Server, questions: Sequence[bytes], seconds: float) -> _Round:
    before = machine.cpu_seconds(server.process)
    answers = load.drive(server.port, questions, in_flight=IN_FLIGHT, seconds=seconds).expect(409)
    used = machine.cpu_seconds(server.process) - before
    return _Round(
        per_second=answers.per_second,
        cpu_microseconds=1e6 * used / len(answers.latencies),
        server_share=used / answers.seconds,
        client_share=answers.client_cpu_seconds / answers.seconds,
    )


def _figures(turns: Sequence[Sequence[_Round]]) -> list[Figure]:
    theirs, alone, ours = zip(*turns, strict=True)
    return [
        Figure(
            name="refusals, ratio by processor time",
            unit=Unit.RATIO,
            rounds=[bare.cpu_microseconds / mine.cpu_microseconds for bare, _, mine in turns],
            note="processor time of the bare handler over the daemon's",
        ),
        Figure(
            name="listener alone, ratio by processor time",
            unit=Unit.RATIO,
            rounds=[bare.cpu_microseconds / listener.cpu_microseconds for bare, listener, _ in turns],
            note="the same without the decision",
        ),
        Figure(
            name="refusals, ratio",
            unit=Unit.RATIO,
            rounds=[mine.per_second / bare.per_second for bare, _, mine in turns],
            note="answers per second over those of the bare handler",
        ),
        *_each("refusal", ours),
        *_each("listener's answer", alone),
        *_each("bare answer", theirs),
        Figure(
            name="server while measured",
            unit=Unit.SHARE,
            rounds=[each.server_share for turn in turns for each in turn],
            note="near 1: the server was the limit",
        ),
        Figure(
            name="client while measured",
            unit=Unit.SHARE,
            rounds=[each.client_share for turn in turns for each in turn],
        ),
    ]


def _each(what: str, rounds: Sequence[_Round]) -> list[Figure]:
    return [
        Figure(name=f"{what}s", unit=Unit.PER_SECOND, rounds=[each.per_second for each in rounds]),
        Figure(
            name=f"processor per {what}",
            unit=Unit.MICROSECONDS,
            rounds=[each.cpu_microseconds for each in rounds],
        ),
    ]


def _body(port: int, question: bytes) -> bytes:
    """Return the body of the gateway's answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(question)
        received = b""
        while not received.endswith(b"}\n"):
            received += connection.recv(65_536)
    return received.partition(b"\r\n\r\n")[2]


@contextmanager
def _process(module: str, given: bytes = b"") -> Iterator[_Server]:
    """Run a server of the bench with `given` on its standard input."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(port)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.close()
        wait_for(port)
        yield _Server(port=port, process=process.pid)
    finally:
        process.terminate()
        process.wait(timeout=10)
