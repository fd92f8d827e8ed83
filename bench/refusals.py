"""Refusals per second, a new connection for each question, against a bare aiohttp handler: the same client, the same parser, in turns.

The daemon is a whole one (`agbot run` with its scheduler, store, log and metrics); the lease of every group is held by the asker's peer,
and the askers' credentials are remembered. Nearly all that agents ever hear is a refusal, so this is what the daemon's cost is made of.
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
class _Round:
    per_second: float
    cpu_microseconds: float
    """Of the server, per question."""
    server_share: float
    client_share: float


def measure(folder: Path, *, rounds: int, seconds: float) -> list[Figure]:
    """Measure, `rounds` times in turns, each turn `seconds` long."""
    with Hub(folder, groups=GROUPS) as hub:
        load.drive(hub.gateway_port, hub.questions("a"), in_flight=IN_FLIGHT).expect(201)
        for group in hub.groups:
            hub.report(f"{group}a", "download started")  # a claim that nothing confirms would be taken back
        questions = hub.questions("b")
        load.drive(hub.gateway_port, questions, in_flight=IN_FLIGHT).expect(409)
        with _bare(_body(hub.gateway_port, questions[0])) as (bare_port, bare):
            for port in (bare_port, hub.gateway_port):
                load.drive(port, questions, in_flight=IN_FLIGHT, seconds=_WARM_UP_SECONDS).expect(409)
            theirs: list[_Round] = []
            ours: list[_Round] = []
            for _ in range(rounds):
                theirs.append(_turn(bare_port, bare, questions, seconds))
                ours.append(_turn(hub.gateway_port, hub.daemon, questions, seconds))
    return _figures(theirs, ours)


def _turn(port: int, process: int, questions: Sequence[bytes], seconds: float) -> _Round:
    before = machine.cpu_seconds(process)
    answers = load.drive(port, questions, in_flight=IN_FLIGHT, seconds=seconds).expect(409)
    used = machine.cpu_seconds(process) - before
    return _Round(
        per_second=answers.per_second,
        cpu_microseconds=1e6 * used / len(answers.latencies),
        server_share=used / answers.seconds,
        client_share=answers.client_cpu_seconds / answers.seconds,
    )


def _figures(theirs: Sequence[_Round], ours: Sequence[_Round]) -> list[Figure]:
    pairs = list(zip(theirs, ours, strict=True))
    return [
        Figure(
            name="refusals, ratio",
            unit=Unit.RATIO,
            rounds=[mine.per_second / bare.per_second for bare, mine in pairs],
            note="answers per second over those of the bare handler",
        ),
        Figure(
            name="refusals, ratio by processor time",
            unit=Unit.RATIO,
            rounds=[bare.cpu_microseconds / mine.cpu_microseconds for bare, mine in pairs],
            note="the same from the servers' own processor time",
        ),
        Figure(name="refusals", unit=Unit.PER_SECOND, rounds=[each.per_second for each in ours]),
        Figure(name="bare answers", unit=Unit.PER_SECOND, rounds=[each.per_second for each in theirs]),
        Figure(name="processor per refusal", unit=Unit.MICROSECONDS, rounds=[each.cpu_microseconds for each in ours]),
        Figure(
            name="processor per bare answer", unit=Unit.MICROSECONDS, rounds=[each.cpu_microseconds for each in theirs]
        ),
        Figure(
            name="server while measured",
            unit=Unit.SHARE,
            rounds=[each.server_share for each in (*ours, *theirs)],
            note="near 1: the server is what was measured",
        ),
        Figure(name="client while measured", unit=Unit.SHARE, rounds=[each.client_share for each in (*ours, *theirs)]),
    ]


def _body(port: int, question: bytes) -> bytes:
    """Return the body that the gateway answers with."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(question)
        received = b""
        while not received.endswith(b"}\n"):
            received += connection.recv(65_536)
    return received.partition(b"\r\n\r\n")[2]


@contextmanager
def _bare(body: bytes) -> Iterator[tuple[int, int]]:
    """Run the baseline; its port and process id."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.bare", str(port)], stdin=subprocess.PIPE)
    try:
        assert process.stdin is not None
        process.stdin.write(body)
        process.stdin.close()
        wait_for(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(timeout=10)
