"""What becomes of an occupied lease: every status string, in every situation, and whatever else bears on it.

The table is whole: each status that real agents report (`statuses.PHASES`), an unknown one, and
both ways of seeing none, against what was known of the upgrade before. A new status string must be
given its row here.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from msgspec import structs

from agbot.rules import lease as leases
from agbot.rules.facts import Sight
from agbot.rules.holder import Seen
from agbot.rules.lease import Lease
from agbot.rules.progress import Progress
from agbot.rules.reasons import Cause
from agbot.rules.review import review
from agbot.rules.statuses import PHASES, Status
from agbot.rules.verdict import Keep, Release, Renew, Suspect, Verdict
from agbot.rules.words import clock
from tests.support.values import (
    ANNA,
    BERT,
    GROUP,
    NEW,
    NMP,
    NOW,
    OLD,
    OTHER_NMP,
    TTL,
    begun,
    claim,
    held,
    limits,
    node,
    policy,
    review_of,
    seen,
    seen_at,
    status,
    suspected,
    under_way,
)

LONG = 400
"""Seconds since the grant in the situations where every grace period but that of a reset is
over."""

SITUATIONS: dict[str, Progress] = {
    "nothing seen": begun(LONG),
    "confirmed": under_way("downloaded", ago=LONG),
    "installing": under_way("initiated", ago=LONG),
    "failed pending": under_way("failed", ago=LONG, pending_since=seen_at(LONG + 120)),
    "reset pending": under_way("reset", ago=LONG, pending_since=seen_at(300)),
}
"""What had been seen of the upgrade before this look. The grant is `LONG` ago in each."""

# A new report, written after the grant: one row per status string, one column per situation, in the
# order above.
AFTER_THE_GRANT: dict[str, tuple[str, str, str, str, str]] = {
    "waiting": ("renew", "renew", "renew", "renew", "renew"),
    "reset": ("renew", "renew", "renew", "renew", "keep"),
    "download started": ("renew", "renew", "renew", "renew", "renew"),
    "ha node waiting": ("renew", "renew", "renew", "renew", "renew"),
    "downloaded": ("renew", "renew", "renew", "renew", "renew"),
    "initiated": ("renew", "renew", "renew", "renew", "renew"),
    "rollback started": ("renew", "renew", "renew", "renew", "renew"),
    "failed": ("renew", "renew", "renew", "failed", "renew"),
    "successful": ("succeeded",) * 5,
    "no action required": ("nothing-to-do",) * 5,
    "download failed": ("failed",) * 5,
    "precheck failed": ("failed",) * 5,
    "rollback failed": ("failed",) * 5,
    "rollback successful": ("failed",) * 5,
    "unknown": ("keep",) * 5,
    "": ("keep",) * 5,
    "Successful": ("keep",) * 5,
    "a word from 2031": ("keep",) * 5,
    "(absent)": ("unconfirmed", "keep", "keep", "keep", "keep"),
    "(unread)": ("keep",) * 5,
}

# The only report is from before the grant: it is about an earlier upgrade, and ends nothing.
BEFORE_THE_GRANT = dict.fromkeys(PHASES, "unconfirmed") | {
    "download started": "renew",
    "ha node waiting": "renew",
    "downloaded": "renew",
    "initiated": "renew",
    "rollback started": "renew",
    "unknown": "keep",
    "a word from 2031": "keep",
}


def word(verdict: Verdict) -> str:
    """Say a verdict in one word: the cause of a release, or what else it is."""
    return str(verdict.cause) if isinstance(verdict, Release) else type(verdict).__name__.lower()


def sight(value: str, ago: float) -> Status | Sight:
    if value.startswith("("):
        return Sight(value.strip("()"))
    return status(value, ago=ago)


def lease_in(situation: str) -> Lease:
    """Build a lease in that situation which is not about to expire."""
    return held(ago=LONG, ttl=TTL * 6, progress=SITUATIONS[situation])


def fixed(**fields: object) -> Seen:
    """See a holder that was alive after the grant, by a heartbeat too old to renew anything and too young to matter."""
    return seen(node=node(ago=LONG - 61), **fields)


def test_every_status_that_agents_report_has_its_row() -> None:
    assert set(PHASES) <= set(AFTER_THE_GRANT)
    assert set(PHASES) <= set(BEFORE_THE_GRANT)


@pytest.mark.parametrize(
    ("value", "situation", "expected"),
    [
        pytest.param(value, situation, expected, id=f"{value or 'empty'}-{situation}")
        for value, row in AFTER_THE_GRANT.items()
        for situation, expected in zip(SITUATIONS, row, strict=True)
    ],
)
def test_a_report_from_after_the_grant_means_what_the_table_says(value: str, situation: str, expected: str) -> None:
    verdict = review(review_of(lease_in(situation), fixed(status=sight(value, ago=5))))

    assert word(verdict) == expected


@pytest.mark.parametrize(("value", "expected"), BEFORE_THE_GRANT.items())
def test_a_report_from_before_the_grant_ends_nothing(value: str, expected: str) -> None:
    verdict = review(review_of(lease_in("nothing seen"), fixed(status=status(value, ago=LONG + 60))))

    assert word(verdict) == expected


@pytest.mark.parametrize("value", [*PHASES, "unknown"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_report_means_the_same_when_nothing_but_the_node_itself_has_been_read(value: str, situation: str) -> None:
    report = status(value, ago=5)
    known = review(review_of(lease_in(situation), fixed(status=report)))
    alone = Seen(node=node(ago=LONG - 61), status=report, status_read_at=NOW.seen)
    blind = review(review_of(lease_in(situation), alone))

    assert word(blind) == word(known)


NEWS = [Sight.UNREAD, Sight.ABSENT, *(status(value, ago=5) for value in PHASES), status("unknown", ago=5)]


@pytest.mark.parametrize(
    ("gone", "cause"),
    [
        ({"node": Sight.ABSENT}, Cause.NODE_DELETED),
        ({"recreated": True}, Cause.NODE_DELETED),
        ({"node": node(group=None)}, Cause.LEFT_GROUP),
        ({"node": node(group="o1/fans")}, Cause.LEFT_GROUP),
        ({"policy": Sight.ABSENT}, Cause.POLICY_DELETED),
        ({"node": Sight.UNREAD, "policy": Sight.ABSENT}, Cause.POLICY_DELETED),
        ({"node": Sight.ABSENT, "policy": Sight.UNREAD}, Cause.NODE_DELETED),
        ({"node": Sight.ABSENT, "policy": Sight.ABSENT}, Cause.NODE_DELETED),
    ],
)
def test_what_is_gone_releases_whatever_is_reported(gone: dict[str, object], cause: Cause) -> None:
    for situation, report in product(SITUATIONS, NEWS):
        verdict = review(review_of(lease_in(situation), seen(**{"status": report, **gone})))

        assert isinstance(verdict, Release), (situation, report)
        assert verdict.cause is cause, (situation, report)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("state", ["held", "suspect"])
def test_a_holder_of_whom_nothing_is_known_keeps_the_lease_forever(situation: str, state: str) -> None:
    lease = lease_in(situation) if state == "held" else leases.suspect(lease_in(situation))

    assert isinstance(review(review_of(lease, Seen(), now=NOW + timedelta(days=400))), Keep)


@pytest.mark.parametrize(
    ("missing", "cause"),
    [
        ({"policy": policy(enabled=False)}, Cause.POLICY_DELETED),
        ({"node": node(registered=False)}, Cause.UNREGISTERED),
        ({"policy": policy(enabled=False), "node": node(registered=False)}, Cause.POLICY_DELETED),
    ],
)
def test_a_status_that_disappeared_ends_the_lease_together_with_a_second_fact(
    missing: dict[str, object], cause: Cause
) -> None:
    confirmed = lease_in("confirmed")

    verdict = review(review_of(confirmed, seen(status=Sight.ABSENT, **missing)))
    unread = review(review_of(confirmed, seen(status=Sight.UNREAD, **missing)))
    still_there = review(review_of(confirmed, seen(status=status("downloaded", stamp="s1"), **missing)))

    assert isinstance(verdict, Release)
    assert verdict.cause is cause
    assert not isinstance(unread, Release)
    assert not isinstance(still_there, Release)


def test_a_status_that_disappeared_alone_keeps_the_lease() -> None:
    assert isinstance(review(review_of(lease_in("confirmed"), fixed(status=Sight.ABSENT))), Keep)


@pytest.mark.parametrize(
    ("waited", "expected"), [(0, "keep"), (179, "keep"), (180, "unconfirmed"), (500, "unconfirmed")]
)
def test_a_claim_is_taken_back_when_its_time_to_be_confirmed_is_over(waited: float, expected: str) -> None:
    assert word(review(review_of(held(ago=waited), seen(status=Sight.ABSENT)))) == expected


def test_a_report_written_within_the_tolerance_of_the_clocks_counts_as_after_the_grant() -> None:
    lease = held(ago=60)

    just = review(review_of(lease, seen(status=status("successful", ago=62))))
    too_old = review(review_of(lease, seen(status=status("successful", ago=62.1))))

    assert word(just) == "succeeded"
    assert word(too_old) == "keep"


def test_once_a_report_has_been_seen_any_new_stamp_is_news_whatever_the_clocks_say() -> None:
    lease = held(ago=60, progress=under_way("ha node waiting", stamp="s1"))

    verdict = review(review_of(lease, seen(status=status("successful", ago=3600, stamp="s2"))))

    assert word(verdict) == "succeeded"


def test_an_earlier_stamp_from_before_the_grant_is_that_of_a_backup() -> None:
    lease = held(ago=60, progress=under_way("ha node waiting", stamp="s2"))

    old = review(review_of(lease, seen(status=status("successful", ago=3600, stamp="s1"))))
    of_a_clock_set_back = review(review_of(lease, seen(status=status("successful", ago=10, stamp="s1"))))

    assert word(old) == "keep"
    assert word(of_a_clock_set_back) == "succeeded"


def test_the_same_report_again_is_no_progress_and_the_same_value_with_a_new_stamp_is() -> None:
    lease = held(ago=60, progress=under_way("initiated", stamp="s1"))

    again = review(review_of(lease, fixed(status=status("initiated", stamp="s1"))))
    anew = review(review_of(lease, fixed(status=status("initiated", stamp="s2"))))

    assert isinstance(again, Keep)
    assert isinstance(anew, Renew)
    assert (anew.progress.stamp, anew.progress.moved_at, anew.evidence_at) == ("s2", NOW.seen, None)


def test_a_renewal_writes_down_what_it_has_learnt() -> None:
    verdict = review(review_of(held(), seen(status=status("initiated", ago=2, stamp="s9"))))

    assert isinstance(verdict, Renew)
    learnt = begun(0, status="initiated", stamp="s9", confirmed=True, target_version=NEW, advanced_at=NOW.seen)
    assert verdict.progress == replace(learnt, marks=verdict.progress.marks)
    assert len(verdict.progress.marks) == 1


def test_a_report_without_a_version_does_not_erase_the_one_that_was_reported() -> None:
    lease = held(progress=under_way(target_version=NEW))

    verdict = review(review_of(lease, seen(status=status("initiated", target_version=""))))

    assert isinstance(verdict, Renew)
    assert verdict.progress.target_version == NEW


@pytest.mark.parametrize(
    ("value", "grace_seconds", "cause"),
    [("failed", 120, "failed"), ("reset", 600, "reset"), ("waiting", 600, "reset")],
)
def test_a_status_in_its_grace_period_must_stand_through_it(value: str, grace_seconds: float, cause: str) -> None:
    lease = held(ago=3000, ttl=TTL * 9, progress=under_way("initiated", ago=2500))
    report = fixed(status=status(value, ago=2000, stamp="s2"))
    first = review(review_of(lease, report))
    assert isinstance(first, Renew)
    assert first.progress.pending_since == NOW.seen

    waiting = leases.renew(lease, NOW.seen, TTL * 9, first.progress)
    over = NOW + timedelta(seconds=grace_seconds)
    seen_then = replace(report, node=node(ago=-grace_seconds), status_read_at=over.seen)
    read_before = replace(seen_then, status_read_at=over.seen - timedelta(seconds=1))
    before = review(review_of(waiting, read_before, now=over))
    after = review(review_of(waiting, seen_then, now=over))

    assert word(before) in {"keep", "renew"}
    assert word(after) == cause


@pytest.mark.parametrize("value", ["failed", "waiting", "reset"])
def test_a_status_that_was_last_read_before_its_grace_was_over_ends_nothing(value: str) -> None:
    """While the Exchange cannot be read the time goes on, and the node as well."""
    waiting = held(ago=3000, ttl=TTL * 9, progress=under_way(value, ago=LONG, stamp="s2", pending_since=seen_at(2000)))
    blind = seen(status=status(value, ago=2000, stamp="s2"), status_read_at=seen_at(1990))

    assert word(review(review_of(waiting, blind))) in {"keep", "renew"}


@pytest.mark.parametrize(("read_ago", "expected"), [(0, "unconfirmed"), (120, "unconfirmed"), (121, "keep")])
def test_a_claim_is_taken_back_on_a_look_after_its_time_alone(read_ago: float, expected: str) -> None:
    sighted = seen(node=node(ago=200), status_read_at=seen_at(read_ago))

    assert word(review(review_of(held(ago=300), sighted))) == expected


@pytest.mark.parametrize(("ago", "expected"), [(59, "keep"), (60, "unconfirmed")])
def test_after_blindness_a_node_is_given_the_time_to_report_before_its_claim_is_taken_back(
    ago: float, expected: str
) -> None:
    now, holder = structs.replace(NOW, clear_since=seen_at(ago)), seen(node=node(ago=200))
    assert word(review(review_of(held(ago=300), holder, now=now))) == expected


@pytest.mark.parametrize("value", ["downloaded", "initiated", "rollback started", "download started"])
def test_a_grace_period_starts_again_when_the_upgrade_has_gone_on_meanwhile(value: str) -> None:
    pending = held(ago=LONG, progress=SITUATIONS["failed pending"])

    went_on = review(review_of(pending, seen(status=status(value))))
    assert isinstance(went_on, Renew)
    assert went_on.progress.pending_since is None
    failed_again = review(
        review_of(leases.renew(pending, NOW.seen, TTL, went_on.progress), seen(status=status("failed")))
    )

    assert isinstance(failed_again, Renew)
    assert failed_again.progress.pending_since == NOW.seen


def test_an_unknown_status_is_named_for_people() -> None:
    verdict = review(review_of(lease_in("confirmed"), fixed(status=status("exploded"))))

    assert isinstance(verdict, Keep)
    assert "'exploded'" in verdict.note


@pytest.mark.parametrize(
    ("confirmed", "heartbeat_ago", "moved_ago", "renews"),
    [
        (True, 10, 400, True),
        (True, 10, 7199, True),
        (True, 10, 7200, False),
        (False, 10, 400, False),
        (True, 400, 400, False),
        (True, -2, 400, True),
        (True, -3, 400, False),
        (True, None, 400, False),
    ],
)
def test_a_heartbeat_renews_a_confirmed_lease_for_a_while_after_the_last_change(
    *, confirmed: bool, heartbeat_ago: float | None, moved_ago: float, renews: bool
) -> None:
    progress = under_way("initiated", ago=moved_ago, confirmed=confirmed)
    lease = leases.renew(held(ago=moved_ago, progress=progress), seen_at(400), TTL)
    sighted = seen(node=node(ago=heartbeat_ago), status=status("initiated", ago=moved_ago, stamp="s1"))

    verdict = review(review_of(lease, sighted))

    assert isinstance(verdict, Renew) is renews
    if isinstance(verdict, Renew):
        assert verdict.evidence_at == NOW.seen_at(sighted.node.heartbeat_at)  # type: ignore[union-attr,arg-type] # it was built with a node
        assert verdict.progress == lease.tenure.progress  # type: ignore[union-attr] # it is held


def test_a_heartbeat_that_would_gain_little_is_not_worth_a_commit() -> None:
    lease = leases.renew(held(ago=900, progress=under_way()), seen_at(200), TTL)
    report = status("downloaded", stamp="s1")

    assert isinstance(review(review_of(lease, seen(node=node(ago=50), status=report))), Keep)
    assert isinstance(review(review_of(lease, seen(node=node(ago=49), status=report))), Renew)


@pytest.mark.parametrize(("ago", "expected"), [(599, "keep"), (600, "suspect"), (9000, "suspect")])
def test_a_lease_without_evidence_becomes_suspect_when_it_expires(ago: float, expected: str) -> None:
    lease = held(ago=ago, progress=under_way(ago=ago))
    silent = seen(node=node(ago=ago + 1), status=status("downloaded", stamp="s1", ago=ago))

    verdict = review(review_of(lease, silent))

    assert word(verdict) == expected
    if isinstance(verdict, Suspect):
        assert ANNA in verdict.why
        assert f"last heartbeat at {clock(NOW.wall - timedelta(seconds=ago + 1))}" in verdict.why, (
            "no age, which would grow old"
        )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"node": node(agent_version=NEW)}, "succeeded"),
        ({"node": node(agent_version=NEW), "status": Sight.UNREAD}, "succeeded"),
        ({"node": node(agent_version=NEW), "status": Sight.ABSENT}, "succeeded"),
        ({"node": node(agent_version=NEW, ago=301)}, "keep"),
        ({"node": node(agent_version=OLD)}, "keep"),
        ({"node": node(agent_version="2.99.0")}, "keep"),
        ({"node": node(agent_version="")}, "keep"),
        ({"node": node(ago=1800)}, "keep"),
        ({"node": node(ago=1801)}, "expired"),
        ({"node": node(ago=None)}, "expired"),
        ({"node": Sight.UNREAD}, "keep"),
    ],
)
def test_a_suspect_lease_ends_by_proof_or_stays(fields: dict[str, object], expected: str) -> None:
    standing = {"status": status("initiated", stamp="s1"), **fields}

    verdict = review(review_of(suspected(progress=under_way("initiated", ago=900)), seen(**standing)))

    assert word(verdict) == expected


@pytest.mark.parametrize(("ago", "expected"), [(99, "succeeded"), (100, "keep"), (200, "keep")])
def test_the_version_proves_only_of_a_node_that_was_received_of_since_the_lease_expired(
    ago: float, expected: str
) -> None:
    """A new agent reports its version before it has settled, and may die right then, with a heartbeat that stays fresh for minutes."""
    lease = suspected(ago=700, progress=under_way("initiated", ago=700))
    sighted = seen(node=node(agent_version=NEW, ago=ago), status=status("initiated", stamp="s1"))

    assert word(review(review_of(lease, sighted))) == expected


@pytest.mark.parametrize(
    ("before", "target"),
    [(NEW, NEW), (OLD, ""), ("", "")],
    ids=["already there at the grant", "nothing asked for", "nothing known"],
)
def test_a_version_proves_nothing_unless_it_was_asked_for_and_is_new(before: str, target: str) -> None:
    progress = under_way("initiated", ago=900, target_version=target, version_before=before)
    sighted = seen(node=node(agent_version=NEW), status=status("initiated", stamp="s1", target_version=target))

    assert isinstance(review(review_of(suspected(progress=progress), sighted)), Keep)


@pytest.mark.parametrize("report", [status("rollback started", stamp="s1"), Sight.UNREAD])
def test_the_new_version_proves_nothing_while_it_is_being_rolled_back(report: Status | Sight) -> None:
    lease = suspected(progress=under_way("rollback started", ago=900))

    verdict = review(review_of(lease, seen(node=node(agent_version=NEW), status=report)))

    assert isinstance(verdict, Keep)


def test_news_from_the_holder_of_a_suspect_lease_renews_it() -> None:
    lease = suspected(progress=under_way("downloaded", ago=900))

    verdict = review(review_of(lease, seen(status=status("initiated", stamp="s2"))))

    assert isinstance(verdict, Renew)
    assert leases.renew(lease, NOW.seen, TTL, verdict.progress).state is leases.State.HELD


def test_a_heartbeat_alone_does_not_lift_a_suspicion() -> None:
    report = status("downloaded", stamp="s1")

    assert isinstance(review(review_of(suspected(), seen(node=node(ago=1), status=report))), Keep)


def test_a_free_lease_cannot_be_reviewed() -> None:
    with pytest.raises(ValueError, match="is free"):
        review(review_of(Lease(group=GROUP), seen()))


def test_the_limits_of_the_operator_are_the_ones_that_count() -> None:
    impatient = limits(confirm_seconds=5.0)

    assert word(review(review_of(held(ago=6), seen(), limits=impatient))) == "unconfirmed"


def test_a_release_says_who_and_why() -> None:
    verdict = review(review_of(held(claim(BERT, subject=OTHER_NMP)), seen(node=Sight.ABSENT)))
    unconfirmed = review(review_of(replace(held(ago=999)), seen()))

    assert isinstance(verdict, Release)
    assert BERT in verdict.why
    assert isinstance(unconfirmed, Release)
    assert NMP in unconfirmed.why
