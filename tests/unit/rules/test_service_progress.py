"""How far a service upgrade is, read from agreements and containers as the recorded upgrades show them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from agbot.rules import lease as leases
from agbot.rules.facts import Agreement, Sight
from agbot.rules.holder import Seen
from agbot.rules.lease import Kind, Lease
from agbot.rules.progress import Progress
from agbot.rules.review import review
from agbot.rules.verdict import Keep, Release, Renew, Verdict
from tests.support.values import (
    ANNA,
    NEW,
    NOW,
    TTL,
    agreement,
    begun,
    claim,
    deployment,
    held,
    limits,
    node,
    review_of,
    seen,
    seen_at,
    status,
)

BEFORE = agreement("old1", "1.0.0")
OTHER_SERVICE = Agreement(id="other", service="o1/else", finalized=True, version="9", containers=("running",))


def lease(*, ago: float = 60, **fields: object) -> Lease:
    progress = begun(ago, agreements_before=("old1", "other"), **fields)
    return held(claim(kind=Kind.SERVICE), ago=ago, ttl=TTL * 3, progress=progress)


def look(*agreements: Agreement, at_lease: Lease | None = None, **fields: object) -> Verdict:
    what = {"node": node(ago=500), "policy": deployment(), "agreements": agreements, **fields}
    return review(review_of(at_lease or lease(), seen(**what)))


def word(verdict: Verdict) -> str:
    return str(verdict.cause) if isinstance(verdict, Release) else type(verdict).__name__.lower()


TABLE = {
    "nothing has happened yet": ((BEFORE,), "renew"),
    "the old agreement is gone": ((), "renew"),
    "a new one is proposed": ((agreement("new1", "", "", finalized=False),), "renew"),
    "it is final, and nothing runs": (
        (Agreement(id="new1", service=BEFORE.service, finalized=True, version="2.0.0"),),
        "renew",
    ),
    "it is final, and one of two containers runs": ((agreement("new1", "2.0.0", "running", "created"),), "renew"),
    "it runs at the top version, and is not final": ((agreement("new1", "2.0.0", finalized=False),), "renew"),
    "it is final, and runs the top version": ((agreement("new1", "2.0.0"),), "succeeded"),
    "all its containers run the top version": ((agreement("new1", "2.0.0", "running", "Running"),), "succeeded"),
    "it runs while the old one has not gone yet": ((BEFORE, agreement("new1", "2.0.0")), "succeeded"),
    "it runs beside another service": ((OTHER_SERVICE, agreement("new1", "2.0.0")), "succeeded"),
    "it was rolled back to another version": ((agreement("new2", "1.0.0"),), "failed"),
    "it runs, nobody knows which version": ((agreement("new1", ""),), "renew"),
    "the old one runs the top version": ((agreement("old1", "2.0.0"),), "renew"),
    "only another service has a new agreement": (
        (Agreement(id="new1", service="o1/else", finalized=True, version="2.0.0", containers=("running",)),),
        "renew",
    ),
}


@pytest.mark.parametrize(("agreements", "expected"), TABLE.values(), ids=TABLE)
def test_the_end_is_a_new_agreement_that_is_final_and_runs(agreements: tuple[Agreement, ...], expected: str) -> None:
    assert word(look(*agreements)) == expected


def test_nothing_new_keeps_the_lease() -> None:
    first = look(BEFORE)
    assert isinstance(first, Renew)

    again = look(BEFORE, at_lease=leases.renew(lease(), NOW.seen, TTL, first.progress))

    assert isinstance(again, Keep)


@pytest.mark.parametrize(
    ("agreements", "confirmed"),
    [((BEFORE,), False), ((BEFORE, OTHER_SERVICE), False), ((), True), ((OTHER_SERVICE,), True)],
)
def test_the_upgrade_has_begun_when_the_old_agreement_is_gone(
    *, agreements: tuple[Agreement, ...], confirmed: bool
) -> None:
    verdict = look(*agreements)

    assert isinstance(verdict, Renew)
    assert verdict.progress.confirmed is confirmed
    assert verdict.progress.moved_at == NOW.seen


def test_a_container_that_comes_up_is_progress() -> None:
    first = look(agreement("new1", "2.0.0", "created"))
    assert isinstance(first, Renew)

    later = look(
        agreement("new1", "2.0.0", "restarting"), at_lease=leases.renew(lease(), NOW.seen, TTL, first.progress)
    )

    assert isinstance(later, Renew)
    assert later.progress.confirmed


@pytest.mark.parametrize("fields", [{"agreements": Sight.UNREAD}, {"policy": Sight.UNREAD}])
def test_what_has_not_been_read_keeps_the_lease(fields: dict[str, object]) -> None:
    old = leases.renew(lease(ago=1000), NOW.seen - timedelta(seconds=400), TTL)

    assert isinstance(look(agreement("new1", "2.0.0"), at_lease=old, **fields), Keep)


@pytest.mark.parametrize("running", ["", "1.0.0", "2.0.0"])
def test_without_a_top_version_nothing_reports_how_it_ended(running: str) -> None:
    verdict = look(agreement("new1", running), policy=deployment(""))

    assert isinstance(verdict, Renew)


@pytest.mark.parametrize(
    ("waited", "progress", "expected"),
    [
        (179, {"status": "old1 final 1.0.0 running"}, "keep"),
        (180, {"status": "old1 final 1.0.0 running"}, "unconfirmed"),
        (180, {"status": "old1 final 1.0.0 running", "confirmed": True}, "renew"),
    ],
)
def test_a_claim_after_which_the_old_agreement_goes_on_is_taken_back(
    waited: float, progress: dict[str, object], expected: str
) -> None:
    assert word(look(BEFORE, at_lease=lease(ago=waited, **progress), node=node(ago=5))) == expected


@pytest.mark.parametrize(("received_ago", "expected"), [(119, "unconfirmed"), (120, "keep"), (170, "keep")])
def test_a_claim_is_not_taken_back_from_a_node_that_fell_silent_within_a_minute(
    received_ago: float, expected: str
) -> None:
    old = lease(ago=180, status="old1 final 1.0.0 running")

    assert word(look(BEFORE, at_lease=old, node=node(ago=received_ago))) == expected


def test_a_service_upgrade_on_a_node_that_dies_becomes_suspect_and_then_expires() -> None:
    gone = leases.renew(lease(ago=1000, status="no agreement", confirmed=True), seen_at(700), TTL)
    assert word(look(at_lease=gone, node=node(ago=700))) == "suspect"

    assert word(look(at_lease=leases.suspect(gone), node=node(ago=1801))) == "expired"


def test_an_agent_version_proves_nothing_about_a_service() -> None:
    """The agent may have been upgraded meanwhile, by a management policy of the same name even."""
    suspect = leases.suspect(lease(ago=1000, status="no agreement", confirmed=True))

    verdict = look(at_lease=suspect, node=node(agent_version=NEW), status=status("initiated"))

    assert isinstance(verdict, Keep)


def test_an_unregistered_node_ends_a_service_upgrade_that_had_begun() -> None:
    old = lease(status="no agreement", confirmed=True)

    assert word(look(at_lease=old, node=node(registered=False))) == "unregistered"


def test_the_policys_end_is_the_upgrades_end() -> None:
    assert word(look(policy=Sight.ABSENT)) == "policy-deleted"


def test_the_limits_are_the_operators() -> None:
    quiet = lease(ago=400, status="old1 final 1.0.0 running")
    sighted = Seen(node=node(), policy=deployment(), agreements=(BEFORE,))

    assert word(review(review_of(quiet, sighted, limits=limits(confirm_seconds=401)))) == "keep"


def test_the_verdicts_report_what_runs() -> None:
    verdict = look(agreement("new1", "1.0.0"))

    assert isinstance(verdict, Release)
    assert verdict.why == f"{ANNA} runs o1/flow-meter 1.0.0, not 2.0.0"


def test_the_recorded_upgrade_is_read_as_it_went() -> None:
    """`service-upgrade-sequence.jsonl`: agreement gone, proposed, final without containers, not started, running."""
    steps = [
        ((), "renew"),
        ((agreement("new1", "", "", finalized=False),), "renew"),
        ((Agreement(id="new1", service=BEFORE.service, finalized=True),), "renew"),
        ((agreement("new1", "2.0.0", "not started"),), "renew"),
        ((agreement("new1", "2.0.0", "running"),), "succeeded"),
    ]
    current, words = lease(), []
    for agreements, _ in steps:
        verdict = look(*agreements, at_lease=current)
        words.append(word(verdict))
        if isinstance(verdict, Renew):
            current = leases.renew(current, NOW.seen + timedelta(seconds=5), TTL, verdict.progress)

    assert words == [expected for _, expected in steps]
    assert isinstance(current.tenure and current.tenure.progress, Progress)


SILENT = Agreement(id="new1", service=BEFORE.service, finalized=True)


def silent(ago: float, *, observed: bool = False) -> Lease:
    return lease(ago=ago, status="new1 final", observed=observed, confirmed=True)


@pytest.mark.parametrize(
    ("ago", "heartbeat_ago", "stated"),
    [(599, 0, "renew"), (650, 51, "renew"), (650, 50, "succeeded"), (600, 500, "suspect")],
)
def test_a_final_agreement_without_any_container_is_the_end_when_a_heartbeat_shows_that_it_has_stood_for_a_while(
    ago: float, heartbeat_ago: float, stated: str
) -> None:
    """A node that has died with its service down reports no containers either.

    That it is not silent yet is no sign of life.
    """
    verdict = look(SILENT, at_lease=silent(ago), node=node(ago=heartbeat_ago))

    assert word(verdict) == stated
    if isinstance(verdict, Release):
        assert (
            verdict.why
            == "its new agreement new1 has been final for 600 s and no container is reported: a weaker proof"
        )


def test_a_proposed_or_an_old_agreement_without_containers_is_no_end_at_all() -> None:
    old = Agreement(id="old1", service=BEFORE.service, finalized=True)

    assert word(look(old, at_lease=lease(ago=900, status="old1 final", confirmed=True))) != "succeeded"


def test_a_cancellation_alone_confirms_an_upgrade_that_was_asked_for_and_none_that_was_only_seen() -> None:
    asked, only_seen = look(at_lease=lease()), look(at_lease=lease(observed=True))

    assert isinstance(asked, Renew)
    assert isinstance(only_seen, Renew)
    assert (asked.progress.confirmed, only_seen.progress.confirmed) == (True, False)


def test_an_observed_upgrade_to_the_version_wanted_at_its_begin_has_succeeded() -> None:
    """W2: published again meanwhile."""
    verdict = look(agreement("new1", "1.5.0"), at_lease=lease(observed=True, target_version="1.5.0"))

    assert word(verdict) == "succeeded"


def test_an_agreement_from_before_the_grant_is_that_of_a_backup_and_ends_nothing() -> None:
    long_ago, since = agreement("older", "2.0.0", ago=3600), agreement("new1", "2.0.0", ago=30)

    assert word(look(long_ago)) == "renew"
    assert word(look(since)) == "succeeded"
    assert word(look(long_ago, at_lease=lease(observed=True))) == "succeeded"


def test_that_no_agreement_is_left_is_no_end_however_long_it_lasts() -> None:
    gone = lease(ago=650, status="no agreement", confirmed=True)

    assert word(look(at_lease=gone, node=node(ago=0))) != "succeeded"


@pytest.mark.parametrize(
    ("beside", "stated"),
    [(agreement("new2", "2.0.0", "created"), "renew"), (replace(SILENT, id="new2", finalized=False), "renew")],
    ids=["one whose containers start", "one that is proposed"],
)
def test_an_agreement_without_containers_is_the_end_only_if_each_new_one_is_like_it(
    beside: Agreement, stated: str
) -> None:
    both = (SILENT, beside)
    shown = look(*both, at_lease=lease(ago=650))
    assert isinstance(shown, Renew)

    stood = lease(ago=650, status=shown.progress.status, confirmed=True)

    assert word(look(*both, at_lease=stood, node=node(ago=0))) == stated


@pytest.mark.parametrize(
    ("observed", "is_listed", "finalized", "stated"),
    [
        (True, False, False, "succeeded"),
        (True, None, False, "renew"),
        (True, True, False, "renew"),
        (False, False, False, "renew"),
        (True, True, True, "renew"),
        (True, None, True, "succeeded"),
        (False, True, True, "succeeded"),
    ],
)
def test_what_the_agbot_lists_ends_with_its_row_and_then_needs_no_final_agreement(
    observed: bool, is_listed: bool | None, finalized: bool, stated: str
) -> None:
    new = agreement("new1", "2.0.0", finalized=finalized)

    assert word(look(new, at_lease=lease(observed=observed), is_listed=is_listed)) == stated


@pytest.mark.parametrize(("waited", "stated"), [(0, "keep"), (179, "keep"), (180, "succeeded")])
def test_a_holder_that_is_done_keeps_its_lease_until_the_agbots_row_is_gone_or_stuck(
    waited: float, stated: str
) -> None:
    done = agreement("new1", "2.0.0")
    first = look(done, at_lease=lease(observed=True), is_listed=True)
    assert isinstance(first, Renew)
    assert (first.progress.pending_since, first.progress.confirmed) == (NOW.seen, True)
    assert first.why.endswith("; the agbot still lists it")

    waiting = lease(observed=True, pending_since=seen_at(waited), confirmed=True)
    verdict = look(done, at_lease=waiting, is_listed=True, node=node(ago=500))

    assert word(verdict) == stated
    assert not isinstance(verdict, Keep) or verdict.note == f"{ANNA} is done; the agbot still lists it"


@pytest.mark.parametrize(("waited", "stated"), [(179, "keep"), (180, "succeeded")])
def test_so_does_the_holder_of_an_agents_upgrade(waited: float, stated: str) -> None:
    report = status("successful", stamp="s2")

    def held_by(**fields: object) -> Lease:
        return held(ago=60, ttl=TTL * 3, progress=begun(60, **fields))

    def seen_as(at_lease: Lease, *, is_listed: bool | None = True) -> Verdict:
        return review(review_of(at_lease, seen(node=node(ago=500), status=report, is_listed=is_listed)))

    first = seen_as(held_by(observed=True))
    assert isinstance(first, Renew)
    assert (first.progress.pending_since, first.progress.status, first.progress.stamp) == (
        NOW.seen,
        "successful",
        "s2",
    )
    waiting = held_by(observed=True, pending_since=seen_at(waited), status="successful", stamp="s2", confirmed=True)
    assert word(seen_as(waiting)) == stated
    assert word(seen_as(held_by(observed=True), is_listed=None)) == "succeeded"
    assert word(seen_as(held_by())) == "succeeded", "it was asked for here"


@pytest.mark.parametrize(
    ("agreements", "observed", "confirmed"),
    [
        ((agreement("new1", finalized=False),), True, True),
        ((BEFORE, agreement("new1", finalized=False)), True, False),
        ((), False, True),
    ],
)
def test_an_upgrade_that_was_only_seen_is_confirmed_by_a_new_agreement_in_the_old_ones_place(
    agreements: tuple[Agreement, ...], observed: bool, confirmed: bool
) -> None:
    verdict = look(*agreements, at_lease=lease(observed=observed))

    assert isinstance(verdict, Renew)
    assert verdict.progress.confirmed is confirmed
    again = look(BEFORE, at_lease=lease(observed=observed, confirmed=True))
    assert isinstance(again, Renew)
    assert again.progress.confirmed, "what was seen once stays seen"
