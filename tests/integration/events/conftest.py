"""A store with a journal, and what delivers from it, for tests with real brokers and receivers."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agbot.events.delivery import Deliveries, Kind, Outcome, Pauses, Sink
from agbot.events.outbox import Outbox
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Lease
from agbot.store.contract import Entry, Lost, Store, Writes
from agbot.store.sqlite import SqliteStore
from tests.contract import values
from tests.contract.values import NOW, UPGRADE
from tests.support.hand_clock import HandClock

HASTY = Pauses(first_seconds=0.02, longest_seconds=0.1, refused_seconds=0.1, quiet_seconds=0.1)
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a new folder is made there
POLL_SECONDS = 5.0
"""Longer than any test waits for a delivery: who is not woken is late."""


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
        held = await self.swap(free, values.granted(free, node), "lease.granted", node)
        self.leases[group] = await self.swap(held, values.released(held), "lease.released", node)

    async def swap(self, before: Lease, after: Lease, event: str, node: NodeId) -> Lease:
        told = Entry(at=NOW, event=event, group=after.group, node=node, subject=UPGRADE, token=after.token)
        outcome = await self.store.swap(before, after, Writes(entries=[told]))
        assert not isinstance(outcome, Lost)
        self.wake()
        return outcome

    async def tell(self, *entries: Entry) -> None:
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
async def journal() -> AsyncIterator[Journal]:
    """In memory where there is a file system of it: how long a busy disk takes for a commit is no matter of who is told."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None) as folder:
        store = SqliteStore(Path(folder) / "agbot.db")
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
