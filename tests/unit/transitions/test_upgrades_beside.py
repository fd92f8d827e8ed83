"""Upgrades beside the lease: who may take it, what is known of the others, and what an end leaves behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from agbot.events.leases import Ending
from agbot.rules import lease as leases
from agbot.rules.group import Group
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.reasons import Cause
from agbot.rules.records import Allowance, Brake, Deferral, Turn
from agbot.store.records import key_of, waiter_key
from agbot.transitions import ends, grants
from agbot.transitions.begun import Begun, reported
from agbot.transitions.braking import BrakeFacts, Upgraded
from agbot.transitions.change import NO_CHANGE, Change
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    GROUP,
    NMP,
    NOW,
    OTHER_NMP,
    ask,
    at,
    begun,
    case,
    claim,
    deferral,
    ended,
    group,
    held,
    member,
    policy,
    status,
    suspected,
    under_way,
    waiter,
)


def names(change: Change) -> list[str]:
    return [each.name for each in change.events]


def unasked(kind: Kind = Kind.AGENT) -> Begun:
    """Let Bert be in an upgrade without a grant."""
    return Begun(
        group=GROUP, claim=claim(BERT, kind), since=NOW.wall, progress=begun(0, observed=True), status="downloaded"
    )


@pytest.mark.parametrize(
    ("facts", "kind", "can"),
    [
        (group(), Kind.AGENT, True),
        (group(lease=held()), Kind.AGENT, False),
        (group(lease=suspected()), Kind.SERVICE, False),
        (group(member(ANNA, ago=9000), member(BERT), lease=suspected()), Kind.SERVICE, True),
        (group(member(ANNA, ago=9000), member(BERT), lease=suspected()), Kind.AGENT, False),
    ],
    ids=["free", "held", "its holder lives", "its holder is silent", "no agent upgrade takes a lease over"],
)
def test_an_unasked_upgrade_gets_a_free_lease_or_that_of_a_silent_holder(facts: Group, kind: Kind, can: bool) -> None:
    assert grants.can_observe(unasked(kind), facts, NOW) is can


def test_an_unasked_upgrade_that_takes_the_lease_ends_its_own_wait_and_no_other() -> None:
    mine, another = waiter(BERT), waiter(CARL)

    change = grants.observe(unasked(), group(waiters=(mine, another)), NOW, {})

    assert names(change) == ["lease.observed", "wait.ended"]
    assert list(change.drop) == [waiter_key(mine.ask)]
    assert change.after is not None
    assert (change.after.holder, change.after.token) == (BERT, 1)


def test_an_unasked_upgrade_that_takes_the_lease_beside_another_is_an_overlap() -> None:
    assert names(grants.observe(unasked(), group(), NOW, {CARL: NMP})) == ["lease.observed", "lease.overlapped"]


def test_a_report_of_an_unasked_upgrade_confirms_it_at_once() -> None:
    found = reported(GROUP, claim(BERT), member(BERT, {NMP: status("initiated", stamp="s1")}), policy(), NOW)

    assert found.progress.confirmed
    assert found.progress.observed
    assert (found.progress.status, found.progress.stamp, found.progress.revision) == ("initiated", "s1", "r1")
    assert found.as_overlap().is_overlap


def test_the_holders_own_upgrade_is_noted_beside_nothing() -> None:
    assert grants.overlap(unasked(), group(lease=held(claim(BERT))), NOW, {}) is NO_CHANGE


@pytest.mark.parametrize("floor", [0, 7])
def test_an_upgrade_beside_a_grant_that_was_upheld_takes_that_back(floor: int) -> None:
    """The store before may have ended that grant, and granted this upgrade."""
    lease = leases.uphold(held(), floor) if floor else held()

    change = grants.overlap(unasked(), group(lease=lease), NOW, {})

    assert names(change) == ["deferral.begun"]
    assert (change.after is not None) is bool(floor)
    if change.after is not None:
        assert leases.occupied(change.after).progress.upheld_above == 0


CUT_OFF = replace(deferral(CARL), overlaps=True, cut_off="2.31.0")


@pytest.mark.parametrize(
    ("deferred", "reports", "is_known"),
    [
        (replace(deferral(CARL), overlaps=True), {}, True),
        (deferral(CARL), {}, False),
        (CUT_OFF, {}, False),
        (CUT_OFF, {NMP: status("initiated")}, True),
        (CUT_OFF, {NMP: status("failed")}, False),
        (CUT_OFF, {OTHER_NMP: status("initiated")}, False),
    ],
    ids=["an overlap", "it joined with it", "its report is gone", "a new report", "it has failed", "of another policy"],
)
def test_another_member_upgrades_as_far_as_is_known(
    deferred: Deferral, reports: dict[str, object], is_known: bool
) -> None:
    facts = group(
        member(BERT),
        member(CARL, reports),  # type: ignore[arg-type]  # the keys are policy ids
        deferrals={CARL: deferred},
    )

    assert grants.others_upgrading(BERT, facts, []) == ({CARL: deferred.what} if is_known else {})
    assert grants.others_upgrading(CARL, facts, []) == {}, "it is not another one"


def test_what_the_agbot_has_finished_does_not_go_on() -> None:
    overlapping = group(deferrals={CARL: replace(deferral(CARL), overlaps=True)})

    assert grants.others_upgrading(BERT, overlapping, [claim(CARL)]) == {}
    assert grants.others_upgrading(BERT, overlapping, [claim(CARL, subject=OTHER_NMP)]) != {}


def test_a_granted_upgrade_goes_on_whatever_the_agbot_has_finished() -> None:
    assert grants.others_upgrading(BERT, group(lease=held()), [claim(ANNA)]) == {ANNA: NMP}
    assert grants.others_upgrading(ANNA, group(lease=held()), []) == {}


def released(lease: Lease, cause: Cause, upgraded: Upgraded | None = None) -> Change:
    return ends.release(lease, upgraded or Upgraded(), Ending(cause=cause, why="seen"), NOW)


def test_a_failure_stops_its_version_and_a_success_does_not() -> None:
    failed, well = (released(held(progress=under_way()), cause) for cause in (Cause.FAILED, Cause.SUCCEEDED))

    assert names(failed) == ["lease.released", "brake.set"]
    assert [type(each) for each in failed.put] == [Turn, Brake]
    assert names(well) == ["lease.released"]
    assert [type(each) for each in well.put] == [Turn]


@pytest.mark.parametrize(
    ("by", "value", "cause", "goes_on"),
    [
        (claim(), "initiated", Cause.POLICY_DELETED, True),
        (claim(), "initiated", Cause.UNREGISTERED, True),
        (claim(), "", Cause.POLICY_DELETED, True),
        (claim(), "download started", Cause.POLICY_DELETED, False),
        (claim(), "initiated", Cause.NODE_DELETED, False),
        (claim(kind=Kind.SERVICE), "no agreement", Cause.POLICY_DELETED, True),
        (claim(kind=Kind.SERVICE), "no agreement", Cause.UNREGISTERED, False),
    ],
)
def test_an_upgrade_that_can_no_longer_be_reported_may_go_on(
    by: Claim, value: str, cause: Cause, goes_on: bool
) -> None:
    change = released(held(by, progress=under_way(value)), cause)

    assert ("deferral.begun" in names(change)) is goes_on
    left = [each for each in change.put if isinstance(each, Deferral)]
    assert [(each.kind, each.is_overlap, each.cut_off != "") for each in left] == (
        [(by.kind, True, by.kind is Kind.AGENT)] if goes_on else []
    )


def test_a_success_that_is_contradicted_stops_the_version_that_was_reported() -> None:
    free = ended()
    success = replace(free, last_end=free.last_end and replace(free.last_end, version="2.32.0"))

    change = ends.contradict(success, Upgraded(), BrakeFacts(policy=policy()), "it runs 2.31.0", NOW)

    assert names(change) == ["success.contradicted", "brake.set"]
    (failed,) = [each for each in change.put if isinstance(each, Brake)]
    assert [each.software for each in failed.failed] == ["2.32.0"]


@pytest.mark.parametrize("floor", [6, 7, 8])
def test_a_grant_from_before_the_stores_generation_is_upheld_when_it_is_repeated(floor: int) -> None:
    facts = structs.replace(group(lease=held(claim(BERT))), token_floor=floor)

    after = grants.repeat(case(ask(BERT), facts)).after

    assert after is not None
    assert leases.occupied(after).progress.upheld_above == (floor if floor >= 7 else 0)


def untaken(token: int = 7) -> Lease:
    return held(claim(BERT, Kind.SERVICE), token=token, progress=begun(60, is_untaken=True))


def test_what_the_guard_has_granted_is_untaken_under_its_token_until_something_is_added() -> None:
    assert grants.is_untaken(untaken(), 7)
    assert not grants.is_untaken(untaken(), 6)
    assert not grants.is_untaken(held(claim(BERT, Kind.SERVICE)), 7)
    assert not grants.is_untaken(ended(), 7)


@pytest.mark.parametrize("kind", [Kind.AGENT, Kind.SERVICE])
def test_a_grant_of_the_guard_gets_its_beginning_and_spends_an_allowance(kind: Kind) -> None:
    question = ask(BERT, kind)
    spare = Allowance(node=BERT, subject=question.claim.subject, since=at(60), until=at(-60), by="eva", why="urgent")
    lease = replace(untaken(), tenure=replace(leases.occupied(untaken()), claim=question.claim))
    facts = group(lease=lease, allowances={BERT: spare}, waiters=(waiter(BERT, question=question),))

    change = grants.take_in(question, facts, NOW, member=member(BERT), begun_at=at(30), why="its row")

    assert names(change) == ["guard.granted", "allowance.ended"]
    assert list(change.drop) == [waiter_key(question), key_of(spare)]
    assert change.after is not None
    tenure = leases.occupied(change.after)
    assert (change.after.token, tenure.granted_at, tenure.progress.is_untaken) == (7, at(30), False)
    assert tenure.progress.observed is (kind is Kind.SERVICE)
    unspent = grants.take_in(question, group(lease=lease), NOW, member=member(BERT), begun_at=at(30), why="its row")
    assert names(unspent) == ["guard.granted"]
