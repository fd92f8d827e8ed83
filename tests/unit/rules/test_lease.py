"""The transitions of a lease: what each one changes, what it leaves alone, and which are illegal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from agbot.rules import lease as leases
from agbot.rules.lease import Claim, End, IllegalTransitionError, Lease, State
from agbot.rules.reasons import Cause
from tests.support.values import ANNA, BERT, GROUP, NOW, OTHER_NMP, TTL, begun, claim, ended, held, suspected

HOUR = timedelta(hours=1)


def test_a_group_that_never_had_a_lease_has_a_free_one_with_token_zero() -> None:
    assert (Lease(group=GROUP).state, Lease(group=GROUP).token) == (State.FREE, 0)


def test_a_grant_raises_the_token_by_one_and_says_until_when() -> None:
    granted = leases.grant(ended(), claim(BERT), NOW, TTL)

    assert (granted.state, granted.token) == (State.HELD, 8)
    assert granted.tenure is not None
    assert (granted.tenure.granted_at, granted.tenure.renewed_at, granted.tenure.expires_at) == (
        NOW.wall,
        NOW.seen,
        NOW.seen + TTL,
    )
    assert granted.tenure.progress.moved_at == NOW.seen
    assert granted.is_held_for(claim(BERT))
    assert not granted.is_held_for(claim(ANNA))


def test_a_grant_remembers_how_the_lease_ended_before() -> None:
    assert leases.grant(ended(), claim(BERT), NOW, TTL).last_end == ended().last_end


def test_a_suspect_lease_can_be_taken_over_and_says_from_whom() -> None:
    taken = leases.grant(suspected(), claim(BERT), NOW, TTL)

    assert (taken.state, taken.token) == (State.HELD, 8)
    assert taken.last_end == End(
        claim=claim(ANNA),
        token=7,
        cause=Cause.SUPERSEDED,
        at=NOW.wall,
        seen_at=NOW.seen,
        detail=f"taken over by {BERT}",
        revision="r1",
    )


def test_a_release_keeps_the_token_and_writes_down_the_end() -> None:
    free = leases.release(held(), Cause.SUCCEEDED, NOW, "seen")

    assert (free.state, free.tenure, free.token) == (State.FREE, None, 7)
    assert free.last_end == End(
        claim=claim(), token=7, cause=Cause.SUCCEEDED, at=NOW.wall, seen_at=NOW.seen, detail="seen", revision="r1"
    )


def test_a_renewal_moves_the_expiry_and_nothing_else() -> None:
    before = held(ago=500)
    after = leases.renew(before, NOW.seen, TTL)

    assert before.tenure is not None
    assert after == replace(before, tenure=replace(before.tenure, renewed_at=NOW.seen, expires_at=NOW.seen + TTL))


def test_a_renewal_lifts_a_suspicion_under_the_same_token() -> None:
    after = leases.renew(suspected(), NOW.seen, TTL)

    assert (after.state, after.token) == (State.HELD, 7)


def test_a_suspicion_keeps_holder_and_token() -> None:
    assert leases.suspect(held()) == replace(held(), state=State.SUSPECT)
    assert leases.suspect(suspected()) == suspected()


def test_a_repeated_question_renews_under_the_same_token() -> None:
    after = leases.repeat(held(ago=400), NOW, TTL, HOUR)

    assert after == leases.renew(held(ago=400), NOW.seen, TTL)


def test_repeated_questions_keep_nothing_alive_forever() -> None:
    stuck = held(ago=3601)
    just = held(ago=3600)

    assert leases.repeat(stuck, NOW, TTL, HOUR) == stuck
    assert leases.repeat(just, NOW, TTL, HOUR) != just


TRANSITIONS: dict[str, Callable[[Lease], Lease]] = {
    "grant": lambda lease: leases.grant(lease, claim(BERT), NOW, TTL),
    "renew": lambda lease: leases.renew(lease, NOW.seen, TTL),
    "suspect": leases.suspect,
    "release": lambda lease: leases.release(lease, Cause.FORCED, NOW),
    "repeat": lambda lease: leases.repeat(lease, NOW, TTL, HOUR),
}
STATES = {State.FREE: ended(), State.HELD: held(), State.SUSPECT: suspected()}
LEADS_TO: dict[tuple[State, str], State | None] = {
    (State.FREE, "grant"): State.HELD,
    (State.FREE, "renew"): None,
    (State.FREE, "observe"): None,
    (State.FREE, "suspect"): None,
    (State.FREE, "release"): None,
    (State.FREE, "repeat"): None,
    (State.HELD, "grant"): None,
    (State.HELD, "renew"): State.HELD,
    (State.HELD, "observe"): State.HELD,
    (State.HELD, "suspect"): State.SUSPECT,
    (State.HELD, "release"): State.FREE,
    (State.HELD, "repeat"): State.HELD,
    (State.SUSPECT, "grant"): State.HELD,
    (State.SUSPECT, "renew"): State.HELD,
    (State.SUSPECT, "observe"): State.SUSPECT,
    (State.SUSPECT, "suspect"): State.SUSPECT,
    (State.SUSPECT, "release"): State.FREE,
    (State.SUSPECT, "repeat"): State.HELD,
}


@pytest.mark.parametrize(("state", "transition"), [(state, name) for state in State for name in TRANSITIONS])
def test_each_transition_leads_where_the_table_says_or_is_illegal(state: State, transition: str) -> None:
    expected = LEADS_TO[state, transition]

    if expected is None:
        with pytest.raises(IllegalTransitionError, match=GROUP):
            TRANSITIONS[transition](STATES[state])
    else:
        assert TRANSITIONS[transition](STATES[state]).state is expected


def test_a_lease_is_occupied_exactly_while_it_is_not_free() -> None:
    with pytest.raises(IllegalTransitionError, match="cannot have tenure"):
        Lease(group=GROUP, state=State.HELD)
    with pytest.raises(IllegalTransitionError, match="cannot have tenure"):
        replace(held(), state=State.FREE)


def test_a_grant_may_bring_what_is_known_already() -> None:
    granted = leases.grant(Lease(group=GROUP), claim(), NOW - timedelta(seconds=9), TTL, begun(version_before="1"))

    assert granted.tenure is not None
    assert granted.tenure.progress.version_before == "1"


def test_an_end_says_which_revision_and_which_service_it_was() -> None:
    free = leases.release(held(progress=begun(revision="r9", service="o1/flow-meter")), Cause.SUCCEEDED, NOW)

    assert free.last_end is not None
    assert (free.last_end.revision, free.last_end.service) == ("r9", "o1/flow-meter")


@pytest.mark.parametrize(
    ("before", "cause", "is_taken_back"),
    [
        (claim(), Cause.FORCED, True),
        (claim(), Cause.SUCCEEDED, False),
        (claim(BERT), Cause.FORCED, False),
        (claim(subject=OTHER_NMP), Cause.FORCED, False),
    ],
    ids=["the same claim", "it had ended by itself", "another member's", "another upgrade"],
)
def test_a_lease_says_when_a_person_released_it_under_the_same_claim(
    before: Claim, cause: Cause, is_taken_back: bool
) -> None:
    freed = leases.release(held(before), cause, NOW)
    again = leases.grant(freed, claim(), NOW + timedelta(seconds=9), TTL)

    assert again.taken_back_at == (NOW.wall if is_taken_back else None)
    assert freed.taken_back_at is None, "no one holds it"
    assert held().taken_back_at is None, "no one held it before"


def test_when_the_date_is_set_the_dates_of_a_lease_move_and_its_seen_times_stay() -> None:
    step = timedelta(hours=2)
    lease = leases.grant(leases.release(held(ago=90), Cause.FAILED, NOW), claim(BERT), NOW, TTL)

    moved = lease.moved(step)

    assert lease.tenure is not None
    assert lease.last_end is not None
    assert moved.tenure == replace(lease.tenure, granted_at=NOW.wall + step)
    assert moved.last_end == replace(lease.last_end, at=NOW.wall + step)
    unused = Lease(group=GROUP)
    assert unused.moved(step) == unused
    old = replace(lease, last_end=replace(lease.last_end, seen_at=None)).moved(step)
    assert old.last_end is not None
    assert old.last_end.since == NOW.seen, "a record from before there was seen time keeps its moment"
