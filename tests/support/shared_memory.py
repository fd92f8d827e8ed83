"""A store in memory that several coordinators share, for tests and the simulation.

It keeps the contract of `agbot.store.leadership`. The clock of the database is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from agbot.rules.leadership import Announced, Candidate, Leader, may_take
from agbot.store.contract import NotLeadingError, StoreUnavailableError
from agbot.store.memory import Content
from tests.support.faulty_store import FaultyStore

_FORGOTTEN = timedelta(days=1)


@dataclass(slots=True)
class _Row:
    """The row of the leader, with times of the database."""

    leader: Leader
    expires_at: datetime
    reserved_until: datetime


@dataclass(slots=True)
class SharedContent:
    """The content of the database."""

    now: Callable[[], datetime]
    """The clock of the database."""
    records: Content = field(default_factory=Content)
    row: _Row | None = None
    announced: dict[str, tuple[Candidate, datetime]] = field(default_factory=dict)

    def fence(self, epoch: int) -> None:
        """Refuse a write of another epoch than that of the row.

        Raises:
            NotLeadingError: another leads.
        """
        found = self.row.leader if self.row else None
        if found is None or found.epoch != epoch:
            by = f"{found.name} leads since epoch {found.epoch}" if found else "none leads"
            message = f"refused a write of epoch {epoch}: {by}"
            raise NotLeadingError(message)


class TermStore(FaultyStore):
    """The store of one term."""

    def __init__(self, content: Content, fence: Callable[[], None]) -> None:
        super().__init__(content, fence)
        self._is_open = True

    async def open(self) -> None:
        """Do nothing: the shared store is open."""

    async def close(self) -> None:
        """Do nothing: the shared store stays open."""


class SharedMemoryStore:
    """One coordinator's connection to the shared content."""

    def __init__(self, content: SharedContent) -> None:
        self._content = content
        self._terms: list[FaultyStore] = []
        self.is_cut = False
        """Whether the network between this coordinator and the database is cut."""

    async def open(self) -> None:
        """Do nothing: there is no lock."""
        self._check()

    async def close(self) -> None:
        """Let every term's store fail from now on."""
        for term in self._terms:
            term.crash()

    async def size_bytes(self) -> int:
        """Return nothing: it takes no room in a database."""
        self._check()
        return 0

    async def current(self) -> Leader | None:
        """Read the row of the leader."""
        return self.read()

    async def take(self, candidate: Candidate, ttl_seconds: float) -> Leader:
        """Take the leadership if it may be taken."""
        return self.taken(candidate, ttl_seconds)

    async def renew(self, epoch: int, ttl_seconds: float) -> bool:
        """Let the row expire later."""
        return self.renewed(epoch, ttl_seconds)

    async def give_up(self, epoch: int, *, reserved_for: str = "", reserved_seconds: float = 0.0) -> bool:
        """Let the row expire at once."""
        self._check()
        row, now = self._content.row, self._content.now()
        if row is None or row.leader.epoch != epoch:
            return False
        row.leader = replace(row.leader, reserved_for=reserved_for)
        row.expires_at, row.reserved_until = now, now + timedelta(seconds=reserved_seconds if reserved_for else 0)
        return True

    async def announce(self, candidate: Candidate) -> None:
        """Note that this coordinator lives."""
        self.noted(candidate)

    async def announced(self) -> Sequence[Announced]:
        """Read all coordinators."""
        return self.listed()

    async def withdraw(self, candidate: Candidate) -> None:
        """Forget this run of this coordinator."""
        self._check()
        found = self._content.announced.get(candidate.name)
        if found is not None and found[0].run == candidate.run:
            del self._content.announced[candidate.name]

    def read(self) -> Leader | None:
        """Read the row of the leader, in one step."""
        self._check()
        row, now = self._content.row, self._content.now()
        if row is None:
            return None
        left_seconds = (row.expires_at - now).total_seconds()
        reserved_seconds = (row.reserved_until - now).total_seconds()
        is_given_up = row.reserved_until >= row.expires_at
        return replace(
            row.leader, left_seconds=left_seconds, reserved_seconds=reserved_seconds, is_given_up=is_given_up
        )

    def taken(self, candidate: Candidate, ttl_seconds: float) -> Leader:
        """Take the leadership if it may be taken, in one step."""
        found = self.read()
        if not may_take(found, candidate) and found is not None:
            return found
        now = self._content.now()
        leader = Leader(
            name=candidate.name,
            run=candidate.run,
            epoch=found.epoch + 1 if found else 1,
            since=now,
            left_seconds=ttl_seconds,
            gateway_url=candidate.gateway_url,
            console_url=candidate.console_url,
        )
        self._content.row = _Row(leader, now + timedelta(seconds=ttl_seconds), now)
        return leader

    def renewed(self, epoch: int, ttl_seconds: float) -> bool:
        """Let the row expire later, in one step."""
        self._check()
        row = self._content.row
        if row is None or row.leader.epoch != epoch:
            return False
        row.expires_at = self._content.now() + timedelta(seconds=ttl_seconds)
        return True

    def noted(self, candidate: Candidate) -> None:
        """Note that this coordinator lives, in one step."""
        self._check()
        announced, now = self._content.announced, self._content.now()
        announced[candidate.name] = candidate, now
        for name in [name for name, (_, at) in announced.items() if now - at > _FORGOTTEN]:
            del announced[name]

    def listed(self) -> list[Announced]:
        """Read all coordinators, in one step."""
        self._check()
        now = self._content.now()
        return [
            Announced(candidate=candidate, silent_seconds=(now - at).total_seconds())
            for _, (candidate, at) in sorted(self._content.announced.items())
        ]

    def under(self, epoch: int) -> FaultyStore:
        """Return the store as the leader of this epoch uses it, open."""

        def fence() -> None:
            self._check()
            self._content.fence(epoch)

        term = TermStore(self._content.records, fence)
        self._terms.append(term)
        return term

    def _check(self) -> None:
        if self.is_cut:
            message = "the database cannot be reached: a test has cut the network"
            raise StoreUnavailableError(message)
