"""When an absence is believed: reported by the feed, or at a second look a while after the first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agbot.fleet.absence import CONFIRM_AFTER, Absences
from agbot.fleet.changes import Read, What
from agbot.rules.facts import Sight
from agbot.rules.ids import OrgId
from tests.support.values import ANNA, NOW

IT = Read(what=What.NODE, id=ANNA)
O1 = OrgId("o1")
SOON, LATER = NOW.seen + CONFIRM_AFTER / 2, NOW.seen + CONFIRM_AFTER


def test_the_first_look_is_not_believed_and_one_a_while_later_is() -> None:
    known = Absences()

    assert not known.confirms(IT, begun=1, now=NOW.seen)
    assert not known.confirms(IT, begun=2, now=SOON)
    assert known.is_unconfirmed(IT)
    assert known.confirms(IT, begun=3, now=LATER)
    assert not known.is_unconfirmed(IT)


def test_the_second_look_is_due_when_it_would_be_believed() -> None:
    known = Absences()
    known.confirms(IT, begun=1, now=NOW.seen)

    assert known.due(SOON) == []
    assert known.due(LATER) == [IT]


def test_what_was_seen_in_between_begins_again() -> None:
    known = Absences()
    known.confirms(IT, begun=1, now=NOW.seen)
    known.seen(IT, begun=2)

    assert not known.confirms(IT, begun=3, now=LATER)


@pytest.mark.parametrize(("begun", "is_believed"), [(4, False), (5, True), (6, True)])
def test_a_row_of_the_feed_is_believed_at_the_next_look_that_began_after_it(begun: int, *, is_believed: bool) -> None:
    known = Absences()
    known.announce(IT, sequence=5)

    assert known.confirms(IT, begun=begun, now=NOW.seen) is is_believed


def test_a_row_is_believed_once_and_not_again_after_it_was_seen_to_be_there() -> None:
    """A node that was modified is there: the row must not make a later 404 believed."""
    known = Absences()
    known.announce(IT, sequence=5)
    known.seen(IT, begun=6)

    assert not known.confirms(IT, begun=7, now=NOW.seen)


def test_after_a_restored_exchange_the_whole_must_have_been_seen_twice() -> None:
    known = Absences()
    known.announce(IT, sequence=1)
    known.distrust(O1)

    assert not known.confirms(IT, begun=2, now=NOW.seen)
    known.read_completely(O1, NOW.seen)
    assert not known.confirms(IT, begun=3, now=LATER)
    known.read_completely(O1, SOON)  # too soon after the first to count
    assert known.is_wary(O1)
    known.read_completely(O1, LATER)
    assert known.confirms(IT, begun=4, now=LATER + timedelta(seconds=1))


def test_another_organisation_is_believed_all_the_while() -> None:
    known = Absences()
    known.distrust(OrgId("o2"))
    known.announce(IT, sequence=1)

    assert known.confirms(IT, begun=2, now=NOW.seen)


def test_a_look_from_before_the_restore_is_no_first_one_of_two() -> None:
    known = Absences()
    known.confirms(IT, begun=1, now=NOW.seen)
    known.distrust(O1)
    known.read_completely(O1, SOON)
    known.read_completely(O1, SOON + CONFIRM_AFTER)

    assert not known.confirms(IT, begun=2, now=SOON + CONFIRM_AFTER)


def test_the_restore_of_an_organisation_leaves_the_first_looks_at_another_as_they_were() -> None:
    known = Absences()
    known.confirms(IT, begun=1, now=NOW.seen)
    known.distrust(OrgId("o2"))

    assert known.confirms(IT, begun=2, now=LATER)


def test_what_was_forgotten_is_missing_for_the_first_time() -> None:
    known = Absences()
    known.announce(IT, sequence=1)
    known.confirms(IT, begun=0, now=NOW.seen)
    known.forget(IT)

    assert known.due(LATER) == []
    assert not known.confirms(IT, begun=2, now=LATER)


def test_what_is_known_to_be_absent_is_not_doubted_when_it_is_missing_once_more() -> None:
    known = Absences()

    assert not known.doubts(IT, Sight.ABSENT, begun=1, now=NOW.seen)
    assert not known.is_unconfirmed(IT)
