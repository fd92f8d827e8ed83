"""What follows from a grant, an end and a brake, in the cases that a random history seldom meets."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from agbot.events.leases import Ending
from agbot.rules.facts import Ask, Policy, Sight
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.reasons import Cause
from agbot.rules.records import Allowance, Brake, Deferral, Hold
from agbot.rules.rule import Case
from agbot.rules.versions import Versions
from agbot.store.records import key_of, waiter_key
from agbot.transitions import begun, braking, ends, grants, operators, waiters
from agbot.transitions.braking import BrakeFacts, Upgraded
from agbot.transitions.change import NO_CHANGE, Change
from tests.support import values
from tests.support.values import ANNA, BERT, GROUP, NMP, NOW

HOUR = timedelta(hours=1)
FAILED = Versions(software="2.0.0")


def names(change: Change) -> list[str]:
    return [each.name for each in change.events]


def allowance(*, until: timedelta = HOUR) -> Allowance:
    now = NOW.wall
    return Allowance(node=BERT, subject=NMP, since=now, until=now + until, by="eva", why="urgent")


def test_an_allowance_is_spent_by_a_grant_that_needed_none_and_that_is_an_event() -> None:
    ask, spare = values.ask(), allowance()
    group = values.group(values.member(BERT), allowances={BERT: spare})

    needless = grants.grant(Case(ask=ask, group=group, at=NOW), asker=group.members[BERT])
    needed = grants.grant(Case(ask=ask, group=group, at=NOW), asker=group.members[BERT], allowed=spare)

    assert list(needless.drop) == list(needed.drop) == [key_of(spare)]
    assert names(needless) == ["lease.granted", "allowance.ended"]
    assert names(needed) == ["lease.granted"]


@pytest.mark.parametrize(
    ("kind", "ago", "renews"), [(Kind.SERVICE, 9000, False), (Kind.SERVICE, 10, True), (Kind.AGENT, 9000, True)]
)
def test_a_question_that_an_agbot_asks_for_a_silent_node_renews_nothing(kind: Kind, ago: float, renews: bool) -> None:
    """An agbot that is started again asks for a holder that has died, and would keep the others (P6)."""
    lease = values.held(values.claim(ANNA, kind), ago=500)
    group = values.group(values.member(ANNA, ago=ago), values.member(BERT), lease=lease)

    change = grants.repeat(Case(ask=values.ask(ANNA, kind), group=group, at=NOW))

    assert (change.after != lease) is renews


def test_a_grant_notes_the_version_revision_and_agreements_of_that_moment() -> None:
    ask = values.service_ask()
    member = replace(values.member(BERT), agreements=(values.agreement("b"), values.agreement("a")))
    group = values.group(member, policies={ask.subject: values.deployment("2.0.0")})

    after = grants.grant(Case(ask=ask, group=group, at=NOW), asker=member).after

    assert after is not None
    assert after.tenure is not None
    progress = after.tenure.progress
    assert progress.agreements_before == ("a", "b")
    assert (progress.top_version, progress.version_before) == ("2.0.0", member.node.agent_version)


def test_an_unasked_upgrade_beside_the_lease_is_noted_once() -> None:
    group = values.group(values.member(ANNA), values.member(BERT), lease=values.held())
    claim = values.claim(BERT)
    seen = begun.reported(
        GROUP, claim, values.member(BERT, statuses={NMP: values.status("downloaded")}), values.policy(), NOW
    )

    first = grants.overlap(seen, group, NOW, {ANNA: NMP})
    (deferral,) = first.put
    assert isinstance(deferral, Deferral)

    assert names(first) == ["lease.overlapped", "deferral.begun"]
    assert grants.overlap(seen, structs.replace(group, deferrals={BERT: deferral}), NOW, {ANNA: NMP}) is NO_CHANGE


def test_an_upgrade_that_the_agbot_has_finished_is_no_overlap() -> None:
    tenure = values.held().tenure
    assert tenure is not None
    observed = replace(tenure, progress=replace(tenure.progress, observed=True))
    group = values.group(values.member(BERT), lease=replace(values.held(), tenure=observed))

    assert grants.others_upgrading(BERT, group, []) == {ANNA: tenure.claim.what}
    assert grants.others_upgrading(BERT, group, [tenure.claim]) == {}


def test_a_success_names_the_version_that_the_node_reports_to_have_installed() -> None:
    upgraded = Upgraded(status=values.status("successful", target_version="2.31.0"))

    ended = ends.release(values.held(), upgraded, Ending(cause=Cause.SUCCEEDED, why="seen"), NOW).after
    failed = ends.release(values.held(), upgraded, Ending(cause=Cause.FAILED, why="seen"), NOW).after

    assert ended is not None
    assert failed is not None
    assert [each.last_end and each.last_end.version for each in (ended, failed)] == ["2.31.0", ""]


def test_the_success_of_a_service_names_no_agent_version() -> None:
    upgraded = Upgraded(status=values.status("successful", target_version="2.31.0"))
    lease = values.held(values.claim(kind=Kind.SERVICE), progress=values.begun(top_version="2.0.0"))

    end = ends.release(lease, upgraded, Ending(cause=Cause.SUCCEEDED, why="seen"), NOW).after

    assert end is not None
    assert end.last_end is not None
    assert (end.last_end.version, end.last_end.top_version) == ("", "2.0.0")


@pytest.mark.parametrize("by", ["", "IBM/agbot"])
def test_a_grant_notes_who_asked_for_it_on_the_nodes_behalf(by: str) -> None:
    ask = replace(values.service_ask(), by=by)

    after = grants.grant(Case(ask=ask, group=values.group(), at=NOW), asker=values.member(BERT)).after

    assert after is not None
    assert after.tenure is not None
    assert after.tenure.progress.asked_by == ((by,) if by else ())


def test_of_a_listed_service_upgrade_only_the_agreements_from_before_it_are_the_old_ones() -> None:
    """The new one may be there already, and would never count as the end."""
    agreements = tuple(values.agreement(name, ago=ago) for name, ago in (("old", 61), ("new", 60), ("undated", None)))
    member = values.member(ANNA, agreements=agreements)

    progress = begun.of_listed_service(values.begun(), member, values.deployment(), values.at(60))

    assert progress.agreements_before == ("old", "undated")


def test_an_operator_ends_a_rest_once() -> None:
    first = ends.end_rest(values.ended(), "seen by eva", NOW, "eva")
    assert first.after is not None

    assert names(first) == ["rest.ended"]
    assert ends.end_rest(first.after, "seen by eva", NOW, "eva") is NO_CHANGE
    assert ends.end_rest(Lease(group=GROUP), "seen by eva", NOW, "eva") is NO_CHANGE


def test_only_a_success_can_be_contradicted() -> None:
    outlook, failed = BrakeFacts(policy=values.policy()), values.ended(Cause.FAILED)

    assert ends.contradict(failed, Upgraded(), outlook, "it runs 1.0.0", NOW) is NO_CHANGE


def outlook(**fields: object) -> BrakeFacts:
    known: dict[str, object] = {"policy": values.policy(revision="r2"), "brought": (), **fields}
    return BrakeFacts(**known)  # type: ignore[arg-type]  # fields by name


def brake(**fields: object) -> Brake:
    known: dict[str, object] = {"revision": "r1", "failed": (FAILED,), **fields}
    return replace(values.brake(), **known)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (outlook(), "the policy has a new revision, and no member installs the failed version"),
        (outlook(brought=(FAILED,)), None),
        (outlook(brought=None), None),
        (outlook(policy=values.policy(revision="r1")), None),
        (outlook(policy=Sight.UNREAD), None),
        (outlook(policy=Sight.ABSENT), "the policy was deleted"),
        (outlook(policy=Sight.UNREAD, is_group_gone=True), "the group was deleted"),
    ],
)
def test_a_brake_stays_while_it_may_still_stop_something(seen: BrakeFacts, why: str | None) -> None:
    assert braking.why_over(brake(), seen) == why


def test_without_a_known_failure_a_new_revision_alone_lifts_a_brake() -> None:
    assert braking.why_over(brake(failed=()), outlook(brought=None)) == "the policy has a new revision"


@pytest.mark.parametrize(("top_version", "stays"), [("2.0.0", True), ("3.0.0", False)])
def test_a_service_is_stopped_until_its_policy_brings_another_version(top_version: str, stays: bool) -> None:
    policy = replace(values.deployment(top_version), revision="r2")

    assert (braking.why_over(brake(kind=Kind.SERVICE), outlook(policy=policy, brought=None)) is None) is stays


def test_a_crash_sets_no_second_brake_on_the_same_revision() -> None:
    end = values.ended().last_end
    assert end is not None
    known = brake(revision=end.revision)
    seen = BrakeFacts(policy=Policy(id=NMP, revision=end.revision))

    assert braking.after_crash(GROUP, end, Upgraded(brake=known), seen, NOW) is None
    assert braking.after_crash(GROUP, end, Upgraded(), seen, NOW) is not None


def test_a_service_whose_policy_is_not_known_is_never_stopped() -> None:
    end = values.ended(by=Claim(holder=ANNA, kind=Kind.SERVICE, subject=type(NMP)(""))).last_end
    assert end is not None

    assert braking.after_crash(GROUP, end, Upgraded(), outlook(), NOW) is None


def test_a_hold_ends_by_its_date_and_one_without_a_date_does_not() -> None:
    past = Hold(scope="o1", since=NOW.wall, by="eva", why="fair", until=NOW.wall)
    lasting = replace(past, scope="*", until=None)

    assert list(operators.expire_holds([past, lasting], NOW).drop) == [key_of(past)]
    assert not operators.expire_holds([lasting], NOW)


def test_an_allowance_that_a_grant_is_using_does_not_expire() -> None:
    old = allowance(until=-HOUR)

    assert names(operators.expire_allowances([old], (), NOW)) == ["allowance.ended"]
    assert not operators.expire_allowances([old], {key_of(old)}, NOW)


def test_a_waiter_that_left_its_group_leaves_and_one_that_is_granted_is_left_alone() -> None:
    waiter = values.waiter(BERT)
    group = values.group(values.member(BERT), waiters=(waiter,))
    gone = waiters.Asked(nodes={BERT: Sight.ABSENT}, policies=values.POLICIES)

    assert names(waiters.drop_gone(group, gone, (), NOW)) == ["wait.ended"]
    assert not waiters.drop_gone(group, gone, {waiter_key(waiter.ask)}, NOW)


@pytest.mark.parametrize(
    ("question", "changed", "why"),
    [
        (values.service_ask(), {"policy": Sight.ABSENT}, "o1/flow was deleted from the Exchange"),
        (values.service_ask(), {"policy": replace(values.deployment(), enabled=False)}, "o1/flow was disabled"),
        (values.service_ask(), {"node": values.node(BERT, registered=False)}, "the node has unregistered"),
        (values.ask(), {"node": values.node(BERT, registered=False)}, ""),
        (values.ask(), {"policy": Sight.UNREAD}, ""),
        (values.service_ask(), {}, ""),
    ],
    ids=["deleted", "disabled", "unregistered", "an agent asks itself", "unread", "valid"],
)
def test_a_waiter_leaves_when_nothing_can_come_of_its_question(
    question: Ask, changed: dict[str, Any], why: str
) -> None:
    group = values.group(values.member(BERT), waiters=(values.waiter(BERT, question=question),))
    policy = changed.get("policy", values.POLICIES[question.subject])
    asked = waiters.Asked(nodes={BERT: changed.get("node", values.node(BERT))}, policies={question.subject: policy})

    ended = waiters.drop_gone(group, asked, (), NOW).events

    assert [each.explanation() for each in ended] == ([why] if why else [])
