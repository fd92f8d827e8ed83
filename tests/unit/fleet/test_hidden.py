"""Until when a node was hidden from us, and that only its silence from before and after that counts."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from agbot.fleet.changes import Read, What
from agbot.fleet.hidden import HiddenNodes
from agbot.rules.facts import Node, Sight
from agbot.rules.ids import OrgId
from tests.support.values import ANNA, BERT, NOW

ORG = OrgId("o1")
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
SENT = NOW.wall - MINUTE
"""Its last heartbeat, a minute before it was last read."""


def beat(sent: datetime = SENT) -> Node:
    return Node(id=ANNA, heartbeat_at=sent)


def read(hidden: HiddenNodes, found: Node, *, after: timedelta) -> None:
    """Read the node so long after its last read."""
    hidden.note_read(ANNA, beat(), found, NOW.seen, NOW + after)


@pytest.mark.parametrize(
    "failed", [Read(what=What.NODE, id=ANNA), Read(what=What.ORG, id=ORG)], ids=["its read", "that of its organisation"]
)
def test_a_node_whose_reads_have_failed_was_hidden_until_the_next_one(failed: Read) -> None:
    hidden = HiddenNodes()
    hidden.note_failed(failed, NOW + MINUTE)
    read(hidden, beat(), after=5 * MINUTE)

    assert hidden.unseen_until(ANNA) == NOW.wall + 5 * MINUTE
    assert hidden.silent_before(ANNA) == MINUTE


def test_a_node_that_has_sent_another_heartbeat_meanwhile_was_not_silent_before() -> None:
    hidden = HiddenNodes()
    hidden.note_failed(Read(what=What.NODE, id=ANNA), NOW + MINUTE)
    read(hidden, beat(NOW.wall + 4 * MINUTE), after=5 * MINUTE)

    assert hidden.unseen_until(ANNA) == NOW.wall + 5 * MINUTE
    assert hidden.silent_before(ANNA) == timedelta()


@pytest.mark.parametrize(
    ("failed", "failed_after", "read_after"),
    [
        (Read(what=What.STATUSES, id=ANNA), MINUTE, 5 * MINUTE),
        (Read(what=What.NODE, id=BERT), MINUTE, 5 * MINUTE),
        (Read(what=What.ORG, id="o2"), MINUTE, 5 * MINUTE),
        (Read(what=What.NODE, id=ANNA), timedelta(), 5 * MINUTE),
        (Read(what=What.NODE, id=ANNA), MINUTE, MINUTE),
    ],
    ids=["another kind", "another node", "another organisation", "before the last read", "read a moment ago"],
)
def test_a_failure_that_hid_no_heartbeat_of_it_counts_for_nothing(
    failed: Read, failed_after: timedelta, read_after: timedelta
) -> None:
    hidden = HiddenNodes()
    hidden.note_failed(failed, NOW + failed_after)
    read(hidden, beat(), after=read_after)

    assert hidden.unseen_until(ANNA) is None


def test_a_node_that_was_never_read_before_was_not_hidden() -> None:
    hidden = HiddenNodes()
    hidden.note_failed(Read(what=What.NODE, id=ANNA), NOW)
    hidden.note_read(ANNA, Sight.UNREAD, beat(), None, NOW + HOUR)

    assert hidden.unseen_until(ANNA) is None


def test_a_node_that_is_hidden_twice_has_been_silent_for_both_times_together() -> None:
    hidden = HiddenNodes()
    hidden.hide(ANNA, SENT, NOW.seen, NOW + HOUR)
    hidden.hide(ANNA, SENT, (NOW + HOUR + 2 * MINUTE).seen, NOW + 2 * HOUR)

    assert hidden.silent_before(ANNA) == 3 * MINUTE
    assert hidden.unseen_until(ANNA) == NOW.wall + 2 * HOUR


def test_a_heartbeat_after_the_first_time_ends_the_silence_of_before() -> None:
    hidden = HiddenNodes()
    hidden.hide(ANNA, SENT, NOW.seen, NOW + HOUR)
    hidden.hide(ANNA, NOW.wall + HOUR + MINUTE, (NOW + HOUR + 3 * MINUTE).seen, NOW + 2 * HOUR)

    assert hidden.silent_before(ANNA) == 2 * MINUTE


def test_a_reset_of_the_organisation_hides_its_nodes_and_takes_back_what_was_known_of_their_silence() -> None:
    hidden = HiddenNodes()
    hidden.hide(ANNA, SENT, NOW.seen, NOW + MINUTE)
    hidden.note_reset(OrgId("o2"), NOW + HOUR)
    assert (hidden.unseen_until(ANNA), hidden.silent_before(ANNA)) == (NOW.wall + MINUTE, MINUTE)

    hidden.note_reset(ORG, NOW + HOUR)
    assert (hidden.unseen_until(ANNA), hidden.silent_before(ANNA)) == (NOW.wall + HOUR, timedelta())
    assert hidden.unseen_until(BERT) == NOW.wall + HOUR

    hidden.hide(ANNA, SENT, (NOW + HOUR + 2 * MINUTE).seen, NOW + 2 * HOUR)
    assert (hidden.unseen_until(ANNA), hidden.silent_before(ANNA)) == (NOW.wall + 2 * HOUR, 2 * MINUTE)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_the_times_until_which_nodes_were_hidden_move_along_when_our_date_is_set(step: timedelta) -> None:
    hidden = HiddenNodes()
    hidden.note_reset(ORG, NOW)
    hidden.hide(ANNA, SENT, NOW.seen, NOW + MINUTE)
    hidden.date_stepped(step)

    assert hidden.unseen_until(ANNA) == NOW.wall + MINUTE + step
    assert hidden.unseen_until(BERT) == NOW.wall + step
