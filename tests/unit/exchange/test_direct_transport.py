"""The in-process transport of the simulations enacts faults on a virtual clock as a socket would in real time."""

from __future__ import annotations

import asyncio

import pytest

from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import Unreachable
from agbot.exchange.transport import Reply
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.faults import Fault, FaultKind
from tests.support.clocks import LoopClock
from tests.support.direct_transport import DirectTransport

pytestmark = pytest.mark.looptime


def exchange(*faults: Fault) -> SimExchange:
    made = SimExchange(clock=LoopClock(), root_password="rootpw")
    seed.agbot(made, "IBM", "us")
    for fault in faults:
        made.faults.add(fault)
    return made


async def ask(transport: DirectTransport) -> Reply:
    credentials = Credentials(identity="IBM/us", secret=seed.token_of("us"))
    return await transport.request(
        "GET", "/changes/maxchangeid", credentials=credentials, body=None, timeout_seconds=10
    )


async def test_a_request_takes_the_way_there_and_back() -> None:
    transport = DirectTransport(exchange(), way_seconds=lambda: 2.0)

    assert (await ask(transport)).status == 200
    assert asyncio.get_running_loop().time() == 4.0
    assert transport.requests == {("GET", "/changes/maxchangeid"): 1}


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (Fault(kind=FaultKind.DROP), 0.0),
        (Fault(kind=FaultKind.TRUNCATE), 0.0),
        (Fault(kind=FaultKind.HANG), 10.0),
        (Fault(kind=FaultKind.LATENCY, seconds=3600), 10.0),
    ],
)
async def test_no_whole_answer_is_unreachable_after_its_time(fault: Fault, seconds: float) -> None:
    with pytest.raises(Unreachable):
        await ask(DirectTransport(exchange(fault)))

    assert asyncio.get_running_loop().time() == seconds


async def test_a_slow_answer_within_the_time_arrives() -> None:
    assert (await ask(DirectTransport(exchange(Fault(kind=FaultKind.LATENCY, seconds=9))))).status == 200
    assert asyncio.get_running_loop().time() == 9.0
