"""P1 and P2 for any change of a lease, and what follows from each: nothing is forgotten, and nothing comes twice."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agbot.events.leases import Ending, LeaseReleased
from agbot.rules import brakes
from agbot.rules.facts import Ask, Member, Sight
from agbot.rules.group import Group
from agbot.rules.holder import Seen
from agbot.rules.ids import GroupId
from agbot.rules.lease import Claim, End, IllegalTransitionError, Lease, State
from agbot.rules.limits import Limits
from agbot.rules.reasons import BRAKING, Cause
from agbot.rules.records import Brake, Deferral, Turn
from agbot.rules.reported_end import why_not_ended_by
from agbot.rules.review import review
from agbot.rules.rule import Case
from agbot.rules.seen_time import Now
from agbot.rules.verdict import Keep, Release, Suspect
from agbot.rules.versions import Versions
from agbot.store.swaps import is_as_expected
from agbot.transitions import ends, grants, reviews
from agbot.transitions.begun import Begun
from agbot.transitions.braking import BrakeFacts, Upgraded
from agbot.transitions.change import Change
from tests.properties import strategies as facts
from tests.support.examples import examples
from tests.support.values import GROUP, LIMITS, NOW, review_of

MANY = settings(max_examples=examples(80))
GRANTS = {"lease.granted", "lease.taken_over", "lease.observed"}

upgrades = st.builds(
    Upgraded,
    node=facts.sights | facts.nodes,
    status=facts.sights | facts.statuses,
    brake=st.none() | facts.brakes,
)
outlooks = st.builds(
    BrakeFacts,
    policy=facts.sights | facts.policies,
    is_group_gone=st.booleans(),
    brought=st.none() | st.lists(st.builds(Versions, software=facts.versions), max_size=2).map(tuple),
)
successes = st.builds(
    Lease,
    group=st.just(GROUP),
    token=st.just(7),
    last_end=st.builds(
        End,
        claim=facts.claims,
        token=st.just(7),
        cause=st.just(Cause.SUCCEEDED),
        at=facts.moments,
        version=facts.versions,
    ),
)
endings = st.builds(Ending, cause=facts.causes, why=st.just("seen to be over"))
begun = st.builds(
    Begun,
    group=st.just(GROUP),
    claim=facts.claims,
    since=facts.moments,
    progress=facts.progresses,
    status=facts.status_values,
)


def emitted(change: Change) -> list[str]:
    return [each.name for each in change.events]


def put(change: Change, of: type) -> list[object]:
    return [each for each in change.put if isinstance(each, of)]


def leases_of(change: Change) -> tuple[Lease, Lease]:
    assert change.before is not None
    assert change.after is not None
    return change.before, change.after


def group_with(lease: Lease) -> Group:
    return Group(id=GROUP, members={}, lease=lease, limits=LIMITS)


def steps_from(lease: Lease, now: Now) -> st.SearchStrategy[Change]:
    """Return every change that the state of this lease allows."""
    group = group_with(lease)
    to_grant = [
        st.builds(lambda ask: grants.grant(Case(ask=ask, group=group, at=now), asker=Sight.UNREAD), facts.asks),
        st.builds(lambda each: grants.observe(each, group, now, {}), begun),
    ]
    if lease.state is State.FREE:
        contradicted = st.builds(
            lambda upgraded, outlook: ends.contradict(lease, upgraded, outlook, "it runs 1", now), upgrades, outlooks
        )
        return st.one_of(*to_grant, contradicted, st.just(ends.end_rest(lease, "seen", now, "eva")))
    return st.one_of(
        *(to_grant if lease.state is State.SUSPECT else ()),
        st.builds(lambda ask: grants.repeat(Case(ask=ask, group=group, at=now)), facts.asks),
        st.just(reviews.suspect(lease, "it has expired", now)),
        st.builds(lambda upgraded, ending: ends.release(lease, upgraded, ending, now), upgrades, endings),
        st.builds(
            lambda made, upgraded: reviews.carry_out(made, review(made), upgraded=upgraded),
            facts.seens.map(lambda seen: review_of(lease, seen, now=now)),
            upgrades,
        ),
    )


@MANY
@given(st.data())
def test_in_any_history_the_token_rises_by_one_with_each_grant_and_with_nothing_else(data: st.DataObject) -> None:
    lease, granted = Lease(group=GROUP), 0
    for number in range(data.draw(st.integers(1, 12))):
        change = data.draw(steps_from(lease, NOW + timedelta(seconds=number)))
        granted += len(GRANTS.intersection(emitted(change)))
        lease = change.after or lease

        assert lease.token == granted


@MANY
@given(st.data(), facts.occupied | facts.free)
def test_a_change_that_leaves_the_lease_as_it_is_writes_and_reports_nothing(data: st.DataObject, lease: Lease) -> None:
    change = data.draw(steps_from(lease, NOW))

    if change.before == change.after:
        assert [*change.put, *change.drop, *change.events] == []
    else:
        assert change


@MANY
@given(st.data(), facts.occupied | facts.free, st.integers(1, 3))
def test_a_change_that_rests_on_an_earlier_grant_is_refused_by_the_comparison(
    data: st.DataObject, lease: Lease, later: int
) -> None:
    change = data.draw(steps_from(lease, NOW))
    assume(change)
    before, _ = leases_of(change)
    state = data.draw(st.sampled_from(State))
    tenure = data.draw(facts.tenures) if state is not State.FREE else None

    assert not is_as_expected(Lease(group=GROUP, token=lease.token + later, state=state, tenure=tenure), before)


@MANY
@given(facts.occupied, st.integers(0, 20))
def test_an_end_that_is_reported_under_another_token_is_refused(lease: Lease, token: int) -> None:
    assume(token != lease.token)

    assert why_not_ended_by(lease, "o1/agbot", token)


@MANY
@given(facts.occupied, upgrades, endings)
def test_an_end_always_marks_who_was_served_and_is_reported_once(
    lease: Lease, upgraded: Upgraded, ending: Ending
) -> None:
    change = ends.release(lease, upgraded, ending, NOW)
    before, after = leases_of(change)
    assert before.tenure is not None

    assert after.state is State.FREE
    assert after.token == before.token
    assert after.last_end is not None
    assert (after.last_end.claim, after.last_end.cause) == (before.tenure.claim, ending.cause)
    turn = Turn(group=GROUP, node=before.tenure.claim.holder, until=NOW.seen, cause=ending.cause)
    assert put(change, Turn) == [turn]
    (released,) = [each for each in change.events if isinstance(each, LeaseReleased)]
    assert (released.token, released.node) == (before.token, before.tenure.claim.holder)


@MANY
@given(facts.occupied, upgrades, endings)
def test_an_end_sets_the_brake_exactly_where_it_proves_something_about_the_release(
    lease: Lease, upgraded: Upgraded, ending: Ending
) -> None:
    change = ends.release(lease, upgraded, ending, NOW)

    found = put(change, Brake)
    assert bool(found) is brakes.stops(lease, ending.cause)
    assert bool(found) is ("brake.set" in emitted(change))
    assert not found or ending.cause in BRAKING
    for brake in found:
        assert isinstance(brake, Brake)
        assert lease.tenure is not None
        assert (brake.kind, brake.subject) == (lease.tenure.claim.kind, lease.tenure.claim.subject)
        assert (brake.token, brake.revision) == (lease.token, lease.tenure.progress.revision)


@MANY
@given(facts.occupied, upgrades, endings)
def test_what_goes_on_without_the_lease_is_kept_and_reported_with_its_end(
    lease: Lease, upgraded: Upgraded, ending: Ending
) -> None:
    change = ends.release(lease, upgraded, ending, NOW)

    left = put(change, Deferral)
    assert len(left) == emitted(change).count("deferral.begun")
    assert all(isinstance(each, Deferral) and each.is_overlap for each in left)


@MANY
@given(successes, upgrades, outlooks)
def test_a_success_is_contradicted_once(lease: Lease, upgraded: Upgraded, outlook: BrakeFacts) -> None:
    first = ends.contradict(lease, upgraded, outlook, "it runs another version", NOW)
    _, after = leases_of(first)

    assert after.last_end is not None
    assert after.last_end.cause is Cause.FAILED
    assert Counter(emitted(first))["success.contradicted"] == 1
    assert len(put(first, Turn)) == 1
    assert not ends.contradict(after, upgraded, outlook, "it runs another version", NOW)


@MANY
@given(facts.occupied, facts.seens, upgrades, facts.limits)
def test_a_review_ends_a_lease_only_by_its_verdict(
    lease: Lease, seen: Seen, upgraded: Upgraded, limits: Limits
) -> None:
    made = review_of(lease, seen, limits=limits)
    verdict = review(made)
    change = reviews.carry_out(made, verdict, upgraded=upgraded)

    after = change.after or lease
    stays_suspect = isinstance(verdict, Keep) and lease.state is State.SUSPECT
    assert (after.tenure is None) is isinstance(verdict, Release)
    assert (after.state is State.SUSPECT) is (isinstance(verdict, Suspect) or stays_suspect)


@MANY
@given(facts.asks, facts.groups)
def test_a_grant_takes_its_waiter_with_it_and_ends_whom_it_takes_over(ask: Ask, group: Group) -> None:
    assume(group.lease.state is not State.HELD)
    member: Member | Sight = group.members.get(ask.node, Sight.UNREAD)
    change = grants.grant(Case(ask=ask, group=group, at=NOW), asker=member)
    _, after = leases_of(change)

    assert after.is_held_for(ask.claim)
    names = {each.ask.claim for each in group.waiters}
    assert bool(change.drop) is (ask.claim in names)
    assert ("lease.released" in emitted(change)) is (group.lease.state is State.SUSPECT)


@MANY
@given(facts.occupied, facts.claims)
def test_no_one_is_granted_a_lease_that_is_held(lease: Lease, claim: Claim) -> None:
    assume(lease.state is State.HELD)

    with pytest.raises(IllegalTransitionError):
        grants.grant(Case(ask=Ask(group=GROUP, claim=claim), group=group_with(lease), at=NOW), asker=Sight.UNREAD)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Lease(group=GROUP), None),
        (None, Lease(group=GROUP)),
        (Lease(group=GROUP, token=2), Lease(group=GROUP, token=1)),
        (Lease(group=GROUP), Lease(group=GroupId("o1/fans"))),
    ],
)
def test_there_is_no_change_to_another_group_or_an_earlier_token(before: Lease | None, after: Lease | None) -> None:
    with pytest.raises(IllegalTransitionError):
        Change(before=before, after=after)
