"""A store with a journal, and what delivers from it, for tests with real brokers and receivers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agbot.delivery.mqtt import Mqtt
from agbot.delivery.mqtt_connection import Broker
from agbot.delivery.outbox import Outbox
from agbot.delivery.payload import BrakeState, GroupState, HoldState, MemberState, ReasonState, WaiterState
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Backoff, Deliveries, Outcome, Sink
from agbot.delivery.topics import Topics
from agbot.events import leases
from agbot.events.event import Event
from agbot.events.leases import Ending
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Lease
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import Now
from agbot.store.contract import Entry, Lost, Store, Writes
from agbot.store.sqlite import SqliteStore
from tests.contract import values
from tests.contract.values import ANNA, BERT, NOW, UPGRADE
from tests.support.clocks import HandClock
from tests.support.listening import Listener
from tests.support.mosquitto import Mosquitto
from tests.support.patience import PATIENCE_SECONDS, until

HASTY = Backoff(first_seconds=0.02, longest_seconds=0.1, refused_seconds=0.1, quiet_seconds=0.1)
POLL_SECONDS = 2 * PATIENCE_SECONDS
"""Longer than any test waits for a delivery: who is not woken is late."""
STATE = "agbot/acme/pumps/state"


@dataclass
class Journal:
    """A store in which upgrades follow each other, as the coordinator would write them."""

    store: Store
    deliveries: Deliveries | None = None
    leases: dict[GroupId, Lease] = field(default_factory=dict)
    lost: list[Entry] = field(default_factory=list)
    """What the outbox has written itself, as the daemon hears of it."""

    async def upgrade(self, group: GroupId, node: NodeId) -> None:
        """Grant a lease and release it, each with its entry in the same transaction."""
        free = self.leases.get(group, Lease(group=group))
        held = values.granted(free, node)
        held = await self.swap(free, held, leases.granted(held, Now.unblinded(NOW)))
        ended = leases.released(held, Ending(cause=Cause.SUCCEEDED, why="it is done"), Now.unblinded(NOW))
        self.leases[group] = await self.swap(held, values.released(held), ended)

    async def swap(self, before: Lease, after: Lease, event: Event) -> Lease:
        outcome = await self.store.swap(before, after, Writes(entries=[Entry.of(event, NOW)]))
        assert not isinstance(outcome, Lost)
        self.wake()
        return outcome

    async def report(self, *entries: Entry) -> None:
        """Write entries alone."""
        await self.store.write(Writes(entries=entries))
        self.wake()

    def hear(self, entry: Entry) -> None:
        self.lost.append(entry)
        self.wake()

    def wake(self) -> None:
        if self.deliveries is not None:
            self.deliveries.wake()


class Counted(Counter[tuple[Kind, Outcome]]):
    """What a sink has counted."""

    def count(self, kind: Kind, outcome: Outcome, number: int) -> None:
        self[kind, outcome] += number


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    store = SqliteStore(tmp_path / "agbot.db")
    await store.open()
    yield Journal(store)
    await store.close()


@pytest.fixture
def counted() -> Counted:
    return Counted()


@asynccontextmanager
async def delivering(journal: Journal, *sinks: Sink) -> AsyncIterator[Deliveries]:
    """Deliver from the journal until the block ends, as a daemon does from its start to its stop."""
    outbox = Outbox(journal.store, HandClock(), journal.hear, poll_seconds=POLL_SECONDS)
    deliveries = Deliveries(outbox, sinks)
    await deliveries.begin()
    journal.deliveries = deliveries
    task = asyncio.create_task(deliveries.run())
    try:
        yield deliveries
    finally:
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        journal.deliveries = None
    assert isinstance(outcome, asyncio.CancelledError), outcome


def firsts(events: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Return the events without their repetitions, as a receiver that looks at the id keeps them."""
    return list({str(event["id"]): event for event in reversed(events)}.values())[::-1]


@dataclass
class Standing:
    """How groups stand: each with the token of its upgrades so far, as the journal has it."""

    journal: Journal
    gone: set[GroupId] = field(default_factory=set)
    idle: set[GroupId] = field(default_factory=set)

    def busy(self) -> set[GroupId]:
        return set(self.journal.leases) - self.gone - self.idle

    def is_gone(self, group: GroupId) -> bool:
        return group in self.gone

    def state(self, group: GroupId) -> GroupState | None:
        lease = self.journal.leases.get(group)
        if lease is None:
            return None
        reason = ReasonState(code="soaking", text="the group rests")
        return GroupState(
            group=group,
            state=lease.state.value,
            token=lease.token,
            holder=None,
            kind=None,
            subject=None,
            granted_at=None,
            expires_at=None,
            members=[MemberState(node=ANNA, deferred_for=None), MemberState(node=BERT, deferred_for=UPGRADE)],
            waiting=[WaiterState(node=BERT, kind="agent", subject=UPGRADE, since=NOW, reasons=[reason])],
            brakes=[BrakeState(subject=UPGRADE, since=NOW, cause="failed", node=ANNA)],
            holds=[HoldState(scope="*", since=NOW, by="ola", why="a trial", until=None)],
        )


@dataclass
class Telling:
    """One journal, one broker, and a way between them."""

    journal: Journal
    broker: Mosquitto
    counted: Counted
    standing: Standing = field(init=False)
    way: Broker = field(init=False)

    def __post_init__(self) -> None:
        self.standing = Standing(self.journal)
        self.way = Broker(host="127.0.0.1", port=self.broker.port, client_id="agbot-test", answer_seconds=5.0)

    def running(self) -> AbstractAsyncContextManager[Deliveries]:
        sink = Mqtt(self.way, Topics("agbot"), self.standing, self.counted.count, backoff=HASTY)
        return delivering(self.journal, sink)


async def received_all(listener: Listener, count: int) -> None:
    await until(f"{count} events", lambda: len(listener.numbers()) >= count)


@pytest.fixture
def reporting(journal: Journal, broker: Mosquitto, counted: Counted) -> Telling:
    return Telling(journal, broker, counted)
