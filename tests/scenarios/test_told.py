"""What others hear of a rollout, and what the history reports of it afterwards."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from agbot.coordinator.operators import history
from agbot.delivery.outbox import Outbox, Outlet
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Deliveries
from agbot.events.outage import Outage
from agbot.store.contract import Entry, JournalQuery
from tests.scenarios.rollouts import rollout
from tests.support.virtual_time import in_virtual_time


@dataclass
class Receiver:
    """Another system, which may hang."""

    name: str = "receiver"
    receiver: str = "receiver.example"
    kind: Kind = Kind.WEBHOOK
    outage: Outage = field(default_factory=Outage)
    emitted: list[Entry] = field(default_factory=list)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, outlet: Outlet) -> None:
        while True:
            for each in await outlet.next(10):
                await self.answers.wait()
                self.emitted.append(each)
                outlet.confirm(each)


@in_virtual_time
async def test_a_rollout_does_not_wait_for_a_receiver_that_hangs_and_which_then_hears_everything_in_order() -> None:
    async with rollout({"g1": 2, "g2": 2}) as hub:
        receiver = Receiver()
        deliveries = Deliveries(Outbox(hub.store, hub.clock, hub.emitted.append), [receiver])
        await deliveries.begin()
        delivering = asyncio.create_task(deliveries.run())
        hub.publish()
        await hub.until_all()
        assert receiver.emitted == []

        receiver.answers.set()
        await asyncio.sleep(120)
        journal = await hub.store.journal(JournalQuery(after=0, limit=1000))
        assert [each.id for each in receiver.emitted] == sorted(each.id for each in journal)
        for group in ("o1/g1", "o1/g2"):
            received = [(each.event, each.token) for each in receiver.emitted if each.group == group and each.token]
            ends = [each for each in received if each[0] in {"lease.granted", "lease.released"}]
            assert ends == [(event, token) for token in (1, 2) for event in ("lease.granted", "lease.released")]
        delivering.cancel()
        await asyncio.gather(delivering, return_exceptions=True)


@in_virtual_time
async def test_the_history_reports_who_went_when_and_which_person_had_a_hand_in_it() -> None:
    async with rollout() as hub:
        held, urgent, _ = hub.members()
        await hub.hold(f"node:{held.name}")
        hub.publish()
        await hub.allow(urgent)
        await hub.until(lambda: len(hub.went()) == 2, 1200)
        await hub.resume(f"node:{held.name}")
        await hub.until_all()
        await hub.until(hub.is_free)

        emitted = [
            history.view(each)
            for each in await hub.store.journal(JournalQuery(after=0, limit=1000))
            if each.event not in history.LEFT_OUT
        ]
        assert [each.node for each in emitted if each.event == "lease.granted"] == [one.node for one in hub.begun()]
        assert [each.node for each in emitted if each.event == "lease.released"] == [one.node for one in hub.begun()]
        people = [(each.event, each.who, each.why) for each in emitted if each.who not in {"coordinator", ""}]
        assert people == [
            ("hold.set", "ada", "audit"),
            ("allowance.given", "ada", "urgent"),
            ("hold.ended", "ada", "seen to"),
        ]
