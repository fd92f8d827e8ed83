"""Announces this coordinator to the others on its store, and reads who else there is.

It is let in unless another one has its name or address. Two of one name would overwrite each
other's announcements, and questions for one would reach the other. A coordinator that was killed
leaves its announcement behind, which looks the same for some seconds. So the newcomer neither
announces itself nor leads while such an announcement is fresh. If the announcement is renewed
meanwhile, its coordinator runs, and the newcomer ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from agbot.clock import Clock
from agbot.console.answers import CoordinatorView
from agbot.rules import leadership
from agbot.rules.leadership import Announced, Candidate, Leader, Timing
from agbot.store.contract import StoreLockedError
from agbot.store.leadership import SharedStore


class Admission:
    """Whether one coordinator is let in. Seconds are of the monotonic clock."""

    def __init__(self, own: Candidate, timing: Timing) -> None:
        self._own = own
        self._timing = timing
        self._read_seconds: dict[str, float] = {}
        """By run: when its announcement was first read here."""
        self.is_given = False

    def take_in(self, announced: Sequence[Announced], asked_seconds: float, received_seconds: float) -> None:
        """Take in who was announced when this was asked.

        Raises:
            StoreLockedError: another coordinator has the name or an address of this one.
        """
        if self.is_given:
            other = next((each for each in announced if each.candidate.name == self._own.name), None)
            if other is not None and other.candidate.run != self._own.run:  # both have started at once
                raise StoreLockedError(leadership.same_name(self._own, other))
            return
        other = leadership.namesake(announced, self._own, self._timing)
        if other is None:
            self.is_given = True
            return
        first_read = self._read_seconds.setdefault(other.candidate.run, received_seconds)
        # by this clock, its last announcement came after the first read of it: it runs
        if asked_seconds - other.silent_seconds > first_read:
            raise StoreLockedError(leadership.same_name(self._own, other))


class Announcing:
    """The coordinators on one store, as one of them knows them."""

    def __init__(self, store: SharedStore, own: Candidate, timing: Timing, clock: Clock) -> None:
        self._store = store
        self._own = own
        self._timing = timing
        self._clock = clock
        self._admission = Admission(own, timing)
        self._announced: Sequence[Announced] = ()
        self._read_seconds: float | None = None

    @property
    def is_let_in(self) -> bool:
        """Whether no other coordinator has the name or an address of this one."""
        return self._admission.is_given

    async def run(self) -> None:
        """Announce this coordinator, and read the others, as often as a leader renews.

        Raises:
            StoreError: the store failed, or another coordinator has the name of this one.
        """
        now = self._clock.monotonic_seconds()
        # a leader comes here with each renewal, perhaps a moment early, which must not skip one
        if self._read_seconds is not None and now - self._read_seconds < self._timing.renew_seconds * 0.9:
            return
        self._admission.take_in(await self._store.announced(), now, self._clock.monotonic_seconds())
        if not self._admission.is_given:
            return
        await self._store.announce(self._own)
        self._announced = await self._store.announced()
        self._read_seconds = now

    async def read(self) -> Sequence[Announced]:
        """Read all coordinators now."""
        self._announced = await self._store.announced()
        self._read_seconds = self._clock.monotonic_seconds()
        return self._announced

    def coordinators(self, leader: Leader | None) -> Sequence[CoordinatorView]:
        """Show all coordinators, as they were last read.

        Of the time after that nothing is known: it makes none of them silent.
        """
        age_seconds = self._clock.monotonic_seconds() - (self._read_seconds or 0.0)
        return [self._view(each, leader, age_seconds) for each in self._announced]

    def _view(self, each: Announced, leader: Leader | None, age_seconds: float) -> CoordinatorView:
        leads = leader is not None and leader.name == each.candidate.name
        silent_seconds = each.silent_seconds + age_seconds
        return CoordinatorView(
            name=each.candidate.name,
            leads=leads,
            epoch=leader.epoch if leader and leads else None,
            since=leader.since if leader and leads else None,
            seen_seconds_ago=round(silent_seconds, 1),
            is_gone=each.silent_seconds > self._timing.silent_seconds + self._timing.renew_seconds,
            is_known=age_seconds <= self._timing.silent_seconds,
            gateway_url=each.candidate.gateway_url,
            console_url=each.candidate.console_url,
            version=each.candidate.version,
        )
