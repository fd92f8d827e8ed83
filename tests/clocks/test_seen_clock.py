"""The clock that stands still while no one can look: what it counts, what it remembers, and that nothing stops it forever."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from agbot.coordinator.clocks.dates import Dates
from agbot.coordinator.clocks.seen_clock import REACH
from agbot.exchange.timestamps import ExchangeClock
from agbot.fleet.picture import Picture
from agbot.rules import lease as leases
from agbot.rules.facts import Sight
from agbot.rules.limits import Limits
from agbot.rules.review import review
from agbot.rules.seen_time import SeenTime
from agbot.rules.verdict import Keep, Renew
from tests.support import values
from tests.support.clocks import NOON, HandClock

SECOND = timedelta(seconds=1)


class Seer:
    """A seen clock with the hands that move it."""

    def __init__(self) -> None:
        self.hands = HandClock()
        self.clock = Dates(self.hands, ExchangeClock(), Picture(), REACH)
        self.clock.resume(None, None)
        self.look()

    def look(self) -> timedelta:
        return self.clock.looked(self.hands.monotonic_seconds())

    def see(self, seconds: float) -> None:
        """Let this much time go by, looking often enough."""
        left = seconds
        while left > 0:
            passing = min(left, 10.0)
            self.hands.advance(passing)
            left -= passing
            self.look()

    def be_blind(self, seconds: float) -> None:
        self.hands.advance(seconds)
        self.look()


def test_seen_time_goes_on_with_the_wall_clock_while_we_look() -> None:
    seer = Seer()
    seer.see(3600)

    assert seer.clock.now().seen == SeenTime(NOON + timedelta(hours=1))
    assert seer.clock.now().is_settled()
    assert seer.clock.now().gaps == ()


@pytest.mark.parametrize("seconds", [21, 720, 86_400])
def test_a_look_that_does_not_come_stops_it_after_its_reach(seconds: float) -> None:
    seer = Seer()
    seer.hands.advance(seconds)

    assert seer.clock.now().seen == SeenTime(NOON) + REACH
    assert seer.look() == timedelta(seconds=seconds) - REACH
    assert seer.clock.now().seen == SeenTime(NOON) + REACH
    assert not seer.clock.now().is_settled()


def test_the_age_of_a_stamp_is_counted_without_the_gaps_and_shown_on_the_wall_clock() -> None:
    seer = Seer()
    seer.see(100)
    before = seer.clock.now()
    seer.be_blind(720)
    seer.see(30)

    now = seer.clock.now()
    assert now.age_of(before.wall) == 30 * SECOND + REACH
    assert now.seen_at(before.wall) == before.seen
    assert now.shown(before.seen) == before.wall
    assert now.shown(now.seen + SECOND) == now.wall + SECOND


def test_an_age_that_is_shown_does_not_stand_still_while_we_are_blind() -> None:
    seer = Seer()
    seer.see(100)
    before = seer.clock.now()
    seer.hands.advance(720)

    now = seer.clock.now()
    assert now.shown(before.seen) == before.wall
    assert now.wall - now.shown(before.seen) == 720 * SECOND
    assert now.shown(now.seen + SECOND) == now.wall + SECOND
    assert now.age_of(before.wall) > now.seen - before.seen, "no decision counts otherwise than before"


def test_after_a_restart_it_goes_on_from_where_it_was_written_down() -> None:
    seer = Seer()
    seer.see(100)
    mark = seer.clock.unsaved(at_once=True)
    assert mark is not None

    later = Dates(seer.hands, ExchangeClock(), Picture(), REACH)
    seer.hands.advance(7200)
    later.resume(mark, None)

    assert later.now().seen == mark.seen + REACH
    later.looked(seer.hands.monotonic_seconds())
    assert later.now().seen == mark.seen + REACH
    assert later.now().age_of(mark.wall) == REACH


def test_it_is_never_earlier_than_a_stored_moment_that_has_passed() -> None:
    seer = Seer()
    mark = seer.clock.unsaved(at_once=True)

    later = Dates(seer.hands, ExchangeClock(), Picture(), REACH)
    later.resume(mark, SeenTime(NOON) + timedelta(minutes=3))

    assert later.now().seen >= SeenTime(NOON) + timedelta(minutes=3)


def test_blindness_after_blindness_gives_no_time_to_settle_forever() -> None:
    seer, settled = Seer(), 0
    for _ in range(100):
        seer.be_blind(60)
        seer.see(30)
        settled += seer.clock.now().is_settled()

    assert settled > 20


def test_a_step_of_the_date_is_no_time() -> None:
    seer = Seer()
    seer.be_blind(720)
    seer.see(100)
    before = seer.clock.now()

    seer.hands.set(seer.hands.now() + timedelta(hours=5))

    now = seer.clock.now()
    assert now.seen == before.seen
    assert now.shown(before.seen - 300 * SECOND) == before.shown(before.seen - 300 * SECOND) + timedelta(hours=5)


@given(
    st.lists(st.tuples(st.floats(0, 500), st.floats(21, 90_000)), min_size=1, max_size=6),
    st.floats(0, 590),
)
def test_blindness_of_any_length_inserted_anywhere_makes_no_held_lease_suspect(
    story: list[tuple[float, float]], left: float
) -> None:
    """The holder was received just before each blindness, and is received again only with the next one."""
    seer, limits = Seer(), Limits()
    ttl = timedelta(seconds=limits.lease_seconds)
    granted = seer.clock.now()
    progress = values.under_way()
    lease = leases.grant(leases.Lease(group=values.GROUP), values.claim(), granted, ttl, progress)
    heartbeat_at = granted.wall
    for seeing, blindness in story:
        seer.see(min(seeing, left))
        lease = leases.renew(lease, seer.clock.now().seen, ttl)
        heartbeat_at = seer.clock.now().wall
        seer.be_blind(blindness)
        now = seer.clock.now()
        node = structs.replace(values.node(), heartbeat_at=heartbeat_at)
        sight = values.seen(node=node, status=Sight.UNREAD)

        assert isinstance(review(values.review_of(lease, sight, limits=limits, now=now)), Keep | Renew)
