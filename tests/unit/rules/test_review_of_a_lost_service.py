"""The lease of a member whose service is down, without a known policy; and from when a claim has to show something."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from agbot.rules import lease as leases
from agbot.rules.facts import Agreement, Sight
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.rules.review import review
from agbot.rules.verdict import Keep, Release, Renew, Verdict
from tests.support.values import (
    ANNA,
    NOW,
    SERVICE,
    TTL,
    agreement,
    begun,
    claim,
    deployment,
    held,
    node,
    review_of,
    seen,
    seen_at,
    status,
    under_way,
)

DOWN = replace(claim(ANNA, Kind.SERVICE), subject=PolicyId(""))
BACK = agreement("a2")


def look(*agreements: Agreement, ago: float = 60, unread: bool = False, is_listed: bool | None = None) -> Verdict:
    """Review a lease that was taken so long ago because the service of Anna's agreement `a1` is down."""
    progress = begun(ago, service=SERVICE, agreements_before=("a1",), observed=True)
    lease = held(DOWN, ago=ago, ttl=TTL * 9, progress=progress)
    known = Sight.UNREAD if unread else agreements
    return review(review_of(lease, seen(node=node(ago=0), policy=Sight.UNREAD, agreements=known, is_listed=is_listed)))


def test_a_service_that_is_down_holds_the_lease_until_it_runs_again() -> None:
    back = look(BACK)

    assert isinstance(back, Release)
    assert (back.cause, back.why) == (Cause.SUCCEEDED, "o1/anna: it runs o1/flow-meter 1.0.0 again")
    assert isinstance(look(), Keep)
    assert isinstance(look(agreement("a1")), Keep), "the lost one, of a feed that is late"
    assert isinstance(look(unread=True, ago=6000), Keep)


@pytest.mark.parametrize(("is_listed", "ends"), [(False, True), (None, False), (True, False)])
def test_an_agreement_that_is_not_final_is_enough_when_the_agbot_lists_the_upgrade_no_more(
    is_listed: bool | None, ends: bool
) -> None:
    verdict = look(replace(BACK, finalized=False), is_listed=is_listed)

    assert isinstance(verdict, Release) is ends


@pytest.mark.parametrize(("ago", "ends"), [(599, False), (600, True)])
def test_a_service_that_stays_down_holds_the_lease_no_longer_than_a_lease_lasts(ago: float, ends: bool) -> None:
    verdict = look(ago=ago)

    assert isinstance(verdict, Release) is ends
    assert not isinstance(verdict, Release) or verdict.cause is Cause.UNCONFIRMED


@pytest.mark.parametrize(("kind", "is_taken_back"), [(Kind.AGENT, True), (Kind.SERVICE, False)])
def test_who_asks_again_shows_nothing_by_it_and_an_agbot_that_asks_again_has_not_begun(
    kind: Kind, is_taken_back: bool
) -> None:
    """A8 against a lost answer."""
    old = agreement("a1")
    progress = begun(400, agreements_before=("a1",), status="a1 final 1.0.0 running")
    lease = leases.repeat(
        held(claim(ANNA, kind), ago=400, progress=progress),
        NOW - timedelta(seconds=100),
        TTL,
        timedelta(seconds=7200),
    )
    facts = seen(node=node(ago=0), policy=deployment(), status=Sight.ABSENT, agreements=(old,))

    assert isinstance(review(review_of(lease, facts)), Release) is is_taken_back


def test_a_failure_that_is_repeated_with_new_stamps_among_old_reports_begins_its_grace_with_each() -> None:
    """The same reports for longer than an upgrade may take: each is its own first sight."""
    failed = status("failed", ago=100, stamp="s9")
    progress = under_way("failed", ago=9000, stamp="s8", pending_since=seen_at(9000))
    for each in (failed, status("initiated"), status("initiated")):
        progress = progress.reported(f"{each.value} {each.versions}", seen_at(9000))
    lease = held(ago=9500, ttl=TTL * 99, progress=progress)

    news, same = (review(review_of(lease, seen(status=replace(failed, stamp=stamp)))) for stamp in ("s9", "s8"))

    assert not isinstance(news, Release), "it stands for 100 s of 120"
    assert isinstance(same, Release)
    assert not isinstance(news, Renew)
