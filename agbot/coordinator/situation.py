"""What is known now: picture, ledger, clock and limits, and whether they can be trusted (P4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain

from agbot.clock import Clock
from agbot.coordinator.clocks.seen_clock import latest_moment
from agbot.coordinator.committing import Committing
from agbot.coordinator.memory import group_facts
from agbot.coordinator.memory.group_facts import TrafficReport
from agbot.coordinator.memory.rows_seen import RowsSeen
from agbot.coordinator.troubles import Troubles
from agbot.fleet.changes import Read, What
from agbot.fleet.picture import Picture
from agbot.fleet.reads import Ages
from agbot.rules.facts import Ask
from agbot.rules.group import Group
from agbot.rules.holder import Review
from agbot.rules.ids import GroupId, org_of
from agbot.rules.lease import HOST, Lease, occupied
from agbot.rules.limits import LimitsOf
from agbot.rules.reasons import Code, Reason
from agbot.rules.rule import Case
from agbot.rules.seen_time import Now, SeenTime

_JUDGED_WITHIN = timedelta(seconds=5)
"""Leases are judged by the change feed as it was read at most so long ago."""
_RECENT_TURN = timedelta(hours=2)
"""A node that has upgraded this recently counts as a member after a restart, until it is known to
be none."""


@dataclass(slots=True, kw_only=True)
class Situation(Committing):
    """Shared by everything that decides."""

    picture: Picture
    clock: Clock
    limits_of: LimitsOf
    """The limits of each group; replaced as a whole when the settings are reloaded."""
    view_max_age: timedelta
    ages: Ages
    """How old facts may be. Older reports of what members run decide no grant, and are not
    shown."""
    why_not_leading: Callable[[], str] = lambda: ""
    """Why nothing may be granted because another coordinator may lead; empty if it may."""
    view_at: SeenTime | None = None
    """When the change feed was last read to its end."""
    view_seconds: float = 0.0
    """The same on the monotonic clock."""
    rows: RowsSeen = field(default_factory=RowsSeen)
    """The upgrades that the agbot lists."""
    notes: dict[GroupId, str] = field(default_factory=dict)
    """What is unusual about a lease, by its group, for operators."""
    is_stopping: bool = False
    report: TrafficReport = field(init=False)
    troubles: Troubles = field(init=False)

    def __post_init__(self) -> None:
        """Build the parts that depend on the others."""
        self.troubles = Troubles(self.publish, self.clock)
        self.report = TrafficReport(self.picture, self.ledger, lambda group: self.limits_of(group))  # noqa: PLW0108 - a reload replaces it

    def saw(self, begun_seconds: float) -> None:
        """Note that a read of the change feed that began at this monotonic time is complete."""
        if self.dates.looked(begun_seconds):
            self.picture.outdate_unannounced()
        self.view_at, self.view_seconds = self.now().seen, begun_seconds

    def view_age(self) -> timedelta | None:
        """Return how long ago the last read of the change feed began; None before the first."""
        age = timedelta(seconds=self.clock.monotonic_seconds() - self.view_seconds)
        return None if self.view_at is None else age

    def is_view_fresh(self) -> bool:
        """Whether the last read of the change feed is young enough to judge leases by it."""
        age = self.view_age()
        return age is not None and age <= _JUDGED_WITHIN

    def resume(self) -> None:
        """Resume the seen clock from the store, and remember the members that it names."""
        ledger = self.ledger
        if not self.dates.is_running:
            waiters = chain.from_iterable(each.values() for each in ledger.waiters.values())
            self.dates.resume(ledger.clock_mark, latest_moment(ledger.leases.values(), waiters))
            for node, group in ledger.known_members(self.now().seen - _RECENT_TURN):
                self.picture.remember_member(node, group)  # one list without it is no evidence

    def doubts(self, now: Now | None = None) -> tuple[Reason, ...]:
        """Return why nothing may be granted now, to any asker.

        A caller that has read the clock passes `now`.
        """
        found: list[Reason] = []
        if self.is_stopping:
            found.append(Reason(code=Code.STOPPING, text="the coordinator is shutting down"))
        not_leading = self.why_not_leading()
        if not_leading:
            found.append(Reason(code=Code.NO_LEADER, text=not_leading))
        if not self.ledger.is_trusted:
            found.append(Reason(code=Code.STORE_UNAVAILABLE, text=self.ledger.distrust))
        elif self.ledger.generation.doubt:
            text = f"the lease store is not the one that was used last: {self.ledger.generation.doubt}"
            found.append(Reason(code=Code.STORE_CHANGED, text=text))
        is_steady = now is not None and now.is_steady and not self.dates.unmoved
        untrusted = "" if is_steady else self.dates.why_untrusted()
        if untrusted and self.view_at is not None:
            found.append(Reason(code=Code.CLOCK_UNTRUSTED, text=untrusted))
        age_seconds = self.clock.monotonic_seconds() - self.view_seconds
        if self.view_at is None:
            found.append(Reason(code=Code.VIEW_STALE, text="the Exchange has not been read yet"))
        elif age_seconds > self.view_max_age.total_seconds():
            text = f"the change feed of the Exchange was last read {int(age_seconds)} s ago"
            found.append(Reason(code=Code.VIEW_STALE, text=text))
        still = self.why_feed_stands_still(now)
        if still:
            found.append(Reason(code=Code.VIEW_STALE, text=still))
        return tuple(found)

    def why_feed_stands_still(self, now: Now | None = None) -> str:
        """Return why the change feed seems to stand still although it answers.

        Empty if it does not.
        """
        age = self.view_age() if self.picture.standstill.is_suspected else None
        return "" if age is None else self.picture.standstill.why((now or self.now()).seen - age)

    def unread(self, ask: Ask) -> tuple[Read, ...]:
        """Return what has to be read before this question can be decided."""
        picture, claim = self.picture, ask.claim
        is_known = claim.kind is HOST or picture.policies.is_current(claim.kind, claim.subject)
        missing = () if is_known else (picture.policies.read_of(claim.kind, claim.subject),)
        limits = self.limits_of(ask.group)
        if limits.canary_percent and picture.org_read_at(org_of(ask.group)) is None:
            # of a part of the groups, fewer would be enough
            missing = (*missing, Read(what=What.ORG, id=org_of(ask.group)))
        return (*picture.unread(ask.group, by_property=bool(limits.order_property)), *missing)

    def group(
        self,
        group: GroupId,
        ask: Ask | None = None,
        *,
        unread: tuple[Read, ...] | None = None,
        now: Now | None = None,
    ) -> Group:
        """Collect the facts about a group, with every doubt.

        A caller that has `unread` or `now` already passes it, because refusals must be fast.
        """
        now = now or self.now()
        doubts = self.doubts(now)
        if ask is not None:
            unread = self.unread(ask) if unread is None else unread
            if unread:
                doubts = (*doubts, Reason(code=Code.VIEW_STALE, text=group_facts.why_unread(unread, self.picture)))
        return group_facts.gather(
            group,
            self.picture,
            self.ledger,
            self.limits_of(group),
            doubts=doubts,
            rows=self.rows,
            ask=ask,
            report=self.report,
            now=now,
            view_at=self.view_at,
        )

    def case(self, ask: Ask, *, unread: tuple[Read, ...] | None = None, now: Now | None = None) -> Case:
        """Collect the facts about a question, at this moment; see `group`."""
        now = now or self.now()
        return Case(at=now, ask=ask, group=self.group(ask.group, ask, unread=unread, now=now))

    def review(self, lease: Lease, now: Now, *, another_has_begun: bool = False) -> Review:
        """Collect the facts about an occupied lease and its holder.

        A heartbeat that was read long ago does not count. If the agbot has begun an upgrade of
        another member, it is done with this one, unless its lists show otherwise.
        """
        claim = occupied(lease).claim
        is_listed = self.rows.is_listed(lease.group, claim)
        seen = group_facts.seen_holder(
            lease,
            self.picture,
            not_before=now.seen - self.view_max_age - 2 * self.ages.heartbeat,
            is_listed=False if another_has_begun and is_listed is None else is_listed,
        )
        return Review(lease=lease, seen=seen, limits=self.limits_of(lease.group), now=now)
