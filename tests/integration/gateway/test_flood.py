"""One node that asks about everything it can think of costs the Exchange no more than a bounded number of reads."""

from __future__ import annotations

from agbot.coordinator.permission import Answer, Refused
from agbot.rules.facts import Ask
from agbot.rules.reasons import Code, Reason
from agbot.settings.model import GatewaySettings
from tests.integration.gateway.scripted import gateway

HAGROUP = "/org/o1/hagroup/g1"
NOTHING_KNOWN = Refused(reasons=(Reason(code=Code.VIEW_STALE, text="nobody has read that yet"),))
N1, N2 = f"{HAGROUP}/nodemanagement/n1/p1", f"{HAGROUP}/nodemanagement/n2/p1"


async def look_it_up(_: Ask) -> Answer:
    """Answer as a coordinator does that has to read what it is asked about."""
    return NOTHING_KNOWN


async def test_made_up_policies_of_a_node_are_put_as_often_as_a_minute_allows() -> None:
    async with gateway(GatewaySettings(questions_per_minute=10)) as running:
        running.permission.says = look_it_up
        got = [await running.ask(f"{HAGROUP}/nodemanagement/n1/made-up-{one}", "o1/n1:n1tok") for one in range(40)]
        others = await running.ask(N2, "o1/n2:n2tok")
        assert len(running.exchange.reads) <= 12
    assert [b"busy: this node asks more often" in one.body for one in got[11:]] == [True] * 29
    assert {one.status for one in got[11:]} == {409}
    assert b"busy" not in others.body


async def test_a_refusal_from_memory_is_never_counted() -> None:
    async with gateway(GatewaySettings(questions_per_minute=5)) as running:
        await running.ask(N1, "o1/n1:n1tok")
        got = [await running.ask(N2, "o1/n2:n2tok") for _ in range(30)]
    assert {b"lease-held" in one.body for one in got} == {True}


async def test_an_agbot_has_a_minute_for_each_node() -> None:
    async with gateway(GatewaySettings(questions_per_minute=3)) as running:
        running.permission.says = look_it_up
        for node, group in (("n1", "g1"), ("n5", "g2")):
            path = f"/org/o1/hagroup/{group}/deployment/{node}/o1%2F"
            got = [await running.ask(f"{path}made-up-{one}", "IBM/agbot:agbottok") for one in range(8)]
            assert [b"busy" in one.body for one in got][-4:] == [True] * 4
            assert b"busy" not in got[0].body


async def test_a_name_that_the_exchange_would_trim_or_not_take_causes_no_read() -> None:
    async with gateway() as running:
        got = [
            await running.ask(f"{HAGROUP}/nodemanagement/n1/{name}", "o1/n1:n1tok")
            for name in ("up1%20", "%20up1", "x" * 600, "%F0%9F%98%80" * 60)
        ]
    assert [one.status for one in got] == [400] * 4
    assert running.exchange.reads == []
