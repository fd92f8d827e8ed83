"""Faults of the coordinator that were once real, each as a small change of what it does.

`test_wild` plants them where a seed is known to show them, `test_courses` in the course of events
that shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from msgspec import structs

from agbot.coordinator.clocks import dates, seen_clock
from agbot.coordinator.cycle import Cycle
from agbot.coordinator.intake.intake import IntakeReport
from agbot.coordinator.situation import Situation
from agbot.coordinator.unasked.down import Down
from agbot.coordinator.unasked.taking import Taking
from agbot.coordinator.unasked.unasked import Unasked
from agbot.exchange.feed import ChangeFeed
from agbot.fleet import occasions, plan
from agbot.fleet.absence import Absences
from agbot.fleet.changes import Read
from agbot.fleet.reads import Wanted
from agbot.rules import brakes, rollout, unasked
from agbot.rules.decide import Grant
from agbot.rules.facts import Ask
from agbot.rules.group import Group
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Brake
from agbot.rules.seen_time import Now, SeenTime
from agbot.transitions import ends
from agbot.transitions.begun import Begun

Defect = Callable[[], AbstractContextManager[None]]
_FOR_EVER = timedelta(days=9999)


@contextmanager
def patched(where: object, name: str, value: object) -> Iterator[None]:
    """Let something be otherwise for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, value)
        yield


def one_absence_is_believed() -> AbstractContextManager[None]:
    def confirms(self: Absences, read: Read, *, begun: int, now: SeenTime) -> bool:
        return True

    return patched(Absences, "confirms", confirms)


@contextmanager
def blindness_counts_as_silence() -> Iterator[None]:
    """Seen time goes by although nothing can be read."""

    def init(self: seen_clock.SeenClock, _reach: timedelta) -> None:
        right(self, _FOR_EVER)

    right = seen_clock.SeenClock.__init__
    with patched(seen_clock.SeenClock, "__init__", init):
        yield


@contextmanager
def a_step_of_the_date_is_believed() -> Iterator[None]:
    """What the wall clock has gone on by counts as time in which something should have been received."""

    def now(self: seen_clock.SeenClock, wall: datetime, seconds: float, *, is_steady: bool) -> Now:
        present, mark = right(self, wall, seconds, is_steady=is_steady), self._mark
        return (
            present
            if mark is None
            else structs.replace(present, seen=mark.seen + max(present.wall - mark.wall, timedelta()))
        )

    right = seen_clock.SeenClock.now
    with patched(seen_clock.SeenClock, "now", now), patched(dates, "_STEP_SECONDS", _FOR_EVER.total_seconds()):
        yield


@contextmanager
def the_agbots_lists_are_read_by_the_cycle_alone() -> Iterator[None]:
    async def before_grant(self: Unasked, ask: Ask) -> None:
        await self.reported(ask.group)

    with patched(Unasked, "before_grant", before_grant):
        yield


@contextmanager
def a_policy_is_guessed_from_the_feed() -> Iterator[None]:
    """Of several policies for a service the first by name is taken, whether the node matches it or not."""

    async def take(self: Taking, begun: Begun) -> list[str]:
        if begun.claim.kind is Kind.SERVICE and not begun.claim.subject:
            group = begun.group.partition("/")[2]
            begun = replace(begun, claim=replace(begun.claim, subject=PolicyId(f"o1/a-svc-{group}")))
        return await right(self, begun)

    right = Taking.take
    with patched(Taking, "take", take):
        yield


def what_is_down_is_not_held() -> AbstractContextManager[None]:
    """Without the agbot's lists no one waits for a member whose agreement has ended."""

    async def follow(self: Down) -> list[str]:
        return []

    return patched(Down, "follow", follow)


def who_asks_no_one_is_not_seen() -> AbstractContextManager[None]:
    return patched(unasked, "past_the_gate", lambda *_: None)


def a_new_revision_alone_lifts_a_brake() -> AbstractContextManager[None]:
    def holds(set_brake: Brake, ask: Ask, group: Group) -> bool:
        return not brakes.is_other_revision(set_brake, brakes.revision_of(ask, group))

    return patched(brakes, "_holds", holds)


def a_policy_that_is_deleted_ends_the_installation() -> AbstractContextManager[None]:
    return patched(ends, "left_behind", lambda *_: None)


def an_end_that_proves_nothing_opens_the_canary() -> AbstractContextManager[None]:
    return patched(rollout, "_proves_nothing", lambda *_: False)


def the_feed_is_read_from_the_newest_number() -> AbstractContextManager[None]:
    def from_id(self: ChangeFeed) -> int:
        return self.last_id + 1

    return patched(ChangeFeed, "_from_id", from_id)


@contextmanager
def an_exempt_yes_rests_on_an_old_report() -> Iterator[None]:
    def of_grant(ask: Ask, group: Group, grant: Grant) -> list[Wanted]:
        return [] if grant.exempt is not None else right(ask, group, grant)

    right = occasions.of_grant
    with patched(occasions, "of_grant", of_grant):
        yield


def what_no_row_reports_of_is_not_looked_for() -> AbstractContextManager[None]:
    return patched(plan, "_upgrading_reports", lambda *_: iter(()))


@contextmanager
def no_one_looks_while_the_store_fails() -> Iterator[None]:
    async def read(self: Cycle) -> IntakeReport:
        return await right(self) if self._situation.ledger.is_trusted else IntakeReport()

    right = Cycle._read  # noqa: SLF001 - the defect is inside
    with patched(Cycle, "_read", read):
        yield


def a_replaced_store_goes_on_granting() -> AbstractContextManager[None]:
    right = Situation.doubts

    def doubts(self: Situation, now: Now | None = None) -> tuple[Reason, ...]:
        return tuple(each for each in right(self, now) if each.code is not Code.STORE_CHANGED)

    return patched(Situation, "doubts", doubts)
