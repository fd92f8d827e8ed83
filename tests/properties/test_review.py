"""P3 and P5 for arbitrary facts: a lease is released on evidence that is there, and on nothing else."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agbot.rules import health
from agbot.rules import lease as leases
from agbot.rules.facts import Agreement, Node, Policy, Sight
from agbot.rules.holder import Seen
from agbot.rules.lease import Kind, Lease, State, Tenure
from agbot.rules.limits import Limits
from agbot.rules.progress import Progress
from agbot.rules.reasons import Cause
from agbot.rules.review import review
from agbot.rules.statuses import PHASES, Phase, Status
from agbot.rules.verdict import Keep, Release, Renew, Suspect, Verdict
from tests.properties import strategies as facts
from tests.support.examples import examples
from tests.support.values import GROUP, NOW, review_of

BAD_ENDS = {value for value, phase in PHASES.items() if phase is Phase.ENDED_BADLY}
MANY = settings(max_examples=examples(150))


def tenure_of(lease: Lease) -> Tenure:
    assert lease.tenure is not None
    return lease.tenure


def new_agreements(lease: Lease, seen: Seen) -> list[Agreement]:
    """Find the final agreements of the policy's service, not there at the grant, whose containers all run."""
    is_agent = tenure_of(lease).claim.kind is Kind.AGENT
    if is_agent or isinstance(seen.agreements, Sight) or not isinstance(seen.policy, Policy):
        return []
    before = tenure_of(lease).progress.agreements_before
    mine = [each for each in seen.agreements if each.service == seen.policy.service and each.id not in before]
    return [each for each in mine if each.finalized and each.containers and set(each.containers) == {"running"}]


def is_new(lease: Lease, status: Status) -> bool:
    """Whether a report is about this grant: a stamp was seen before it, or it is not older than the grant."""
    tenure = tenure_of(lease)
    return bool(tenure.progress.stamp) or status.updated_at >= tenure.granted_at - timedelta(seconds=2)


def version_proves(lease: Lease, seen: Seen, limits: Limits) -> bool:
    progress, node = tenure_of(lease).progress, seen.node
    asked_for = {progress.target_version, seen.status.target_version if isinstance(seen.status, Status) else ""}
    return (
        lease.state is State.SUSPECT
        and tenure_of(lease).claim.kind is Kind.AGENT
        and isinstance(node, Node)
        and node.agent_version in asked_for - {"", progress.version_before}
        and health.why_offline(node, limits, NOW) is None
        and node.heartbeat_at is not None
        and NOW.seen_at(node.heartbeat_at) > tenure_of(lease).expires_at
    )


def proved(lease: Lease, seen: Seen, limits: Limits) -> dict[Cause, bool]:
    """Say for each cause whether the facts hold its evidence.

    Written from the promises, not from the code.
    """
    tenure, node, policy, status = tenure_of(lease), seen.node, seen.policy, seen.status
    is_agent, confirmed = tenure.claim.kind is Kind.AGENT, tenure.progress.confirmed
    stated = status.value if isinstance(status, Status) and is_agent and is_new(lease, status) else None
    dropped = is_agent and status is Sight.ABSENT and confirmed
    agreements = () if isinstance(seen.agreements, Sight) else seen.agreements
    ended = not isinstance(seen.agreements, Sight) and all(
        each.service != tenure.progress.service for each in agreements
    )
    no_longer_there = dropped if is_agent else ended
    disabled = isinstance(policy, Policy) and not policy.enabled
    top = policy.top_version if isinstance(policy, Policy) else ""
    wanted = {top, tenure.progress.target_version} if top else set()
    versions = {each.version for each in new_agreements(lease, seen)} - {""}
    unreadable = isinstance(status, Status) and is_agent and status.phase is Phase.UNREADABLE
    claimed_at = NOW.seen_at(tenure.granted_at) if is_agent else tenure.renewed_at
    waited = NOW.seen - claimed_at >= timedelta(seconds=limits.confirm_seconds)
    is_read = (seen.status if is_agent else seen.agreements) is not Sight.UNREAD
    failed = stated in BAD_ENDS or (stated == "failed" and tenure.progress.pending_since is not None)
    dead = isinstance(node, Node) and health.is_dead(node, limits, NOW)
    return {
        Cause.NODE_DELETED: node is Sight.ABSENT or seen.recreated,
        Cause.LEFT_GROUP: isinstance(node, Node) and node.group != GROUP,
        Cause.POLICY_DELETED: policy is Sight.ABSENT or (disabled and dropped),
        Cause.UNREGISTERED: isinstance(node, Node) and not node.registered and no_longer_there,
        Cause.SUCCEEDED: stated == "successful" or version_proves(lease, seen, limits) or bool(wanted & versions),
        Cause.NOTHING_TO_DO: stated == "no action required",
        Cause.FAILED: failed or bool(top and versions - wanted),
        Cause.RESET: stated in {"waiting", "reset"} and tenure.progress.pending_since is not None,
        Cause.UNCONFIRMED: waited and not confirmed and is_read and not unreadable,
        Cause.EXPIRED: lease.state is State.SUSPECT and dead,
    }


@MANY
@given(facts.occupied, facts.seens, facts.limits)
def test_every_release_rests_on_its_evidence(lease: Lease, seen: Seen, limits: Limits) -> None:
    verdict = review(review_of(lease, seen, limits=limits))

    if isinstance(verdict, Release):
        assert proved(lease, seen, limits).get(verdict.cause), verdict
        assert verdict.why


@MANY
@given(facts.occupied, facts.seens, facts.limits)
def test_evidence_that_something_is_gone_always_releases(lease: Lease, seen: Seen, limits: Limits) -> None:
    gone = (Cause.NODE_DELETED, Cause.LEFT_GROUP, Cause.POLICY_DELETED, Cause.UNREGISTERED)
    verdict = review(review_of(lease, seen, limits=limits))

    assert isinstance(verdict, Release) or not any(proved(lease, seen, limits)[cause] for cause in gone)


@MANY
@given(facts.occupied, facts.limits, facts.policies | st.just(Sight.UNREAD), st.integers(0, 10**8))
def test_nothing_read_about_the_holder_never_ends_or_doubts_a_lease(
    lease: Lease, limits: Limits, policy: Policy | Sight, later: int
) -> None:
    verdict = review(review_of(lease, Seen(policy=policy), limits=limits, now=NOW + timedelta(seconds=later)))

    assert isinstance(verdict, Keep)


@MANY
@given(facts.occupied, facts.seens, facts.limits)
def test_a_review_answers_the_same_to_the_same_facts(lease: Lease, seen: Seen, limits: Limits) -> None:
    assert review(review_of(lease, seen, limits=limits)) == review(review_of(lease, seen, limits=limits))


@MANY
@given(facts.occupied, facts.seens, facts.limits)
def test_every_verdict_can_be_carried_out_and_keeps_the_token(lease: Lease, seen: Seen, limits: Limits) -> None:
    ttl, verdict = timedelta(seconds=limits.lease_seconds), review(review_of(lease, seen, limits=limits))
    after = lease
    match verdict:
        case Renew(progress=progress, evidence_at=evidence_at):
            after = leases.renew(lease, evidence_at or NOW.seen, ttl, progress)
        case Release(cause=cause, why=why):
            after = leases.release(lease, cause, NOW, why)
        case Suspect():
            after = leases.suspect(lease)
        case Keep(progress=progress):  # an unknown status is noted and proves nothing
            after = leases.with_progress(lease, progress)
            assert tenure_of(after).expires_at == tenure_of(lease).expires_at

    assert isinstance(verdict, Keep) or verdict.why
    assert after.token == lease.token


@MANY
@given(facts.occupied, facts.seens, facts.limits)
def test_a_heartbeat_never_shortens_a_lease(lease: Lease, seen: Seen, limits: Limits) -> None:
    verdict = review(review_of(lease, seen, limits=limits))

    if isinstance(verdict, Renew) and verdict.evidence_at is not None:
        assert verdict.evidence_at > tenure_of(lease).renewed_at
        assert tenure_of(lease).progress.confirmed
        assert lease.state is State.HELD


@MANY
@given(facts.occupied, facts.seens, facts.limits)
def test_what_was_seen_once_is_not_forgotten(lease: Lease, seen: Seen, limits: Limits) -> None:
    before, verdict = tenure_of(lease).progress, review(review_of(lease, seen, limits=limits))

    if isinstance(verdict, Renew):
        after = verdict.progress
        assert after.confirmed >= before.confirmed
        assert (after.version_before, after.revision) == (before.version_before, before.revision)
        assert after.agreements_before == before.agreements_before


@settings(max_examples=examples(100))
@given(facts.claims, st.booleans(), st.integers(0, 3600), st.lists(st.integers(1, 3600), max_size=40))
def test_no_lease_of_a_holder_that_can_be_read_stays_forever(
    claim: leases.Claim, silent: bool, first: int, gaps: list[int]
) -> None:
    """P5: whether the holder goes on beating without any news or falls silent, in the end the lease is free or suspect."""
    limits, now = Limits(), NOW
    ttl = timedelta(seconds=limits.lease_seconds)
    progress = Progress(moved_at=now.seen, confirmed=True, status="initiated", stamp="s1", agreements_before=("a1",))
    lease = leases.grant(Lease(group=GROUP), claim, now, ttl, progress)
    status = Status(value="initiated", stamp="s1", updated_at=now.wall)
    longest = limits.max_upgrade_seconds + 2 * limits.lease_seconds
    verdict: Verdict = Keep(progress=progress)

    for gap in (first, *gaps, longest):
        now += timedelta(seconds=gap)
        beat = (NOW if silent else now).wall
        node = Node(id=claim.holder, group=GROUP, heartbeat_at=beat, registered=True)
        verdict = review(review_of(lease, Seen(node=node, status=status, policy=Sight.UNREAD), limits=limits, now=now))
        if isinstance(verdict, Renew):
            lease = leases.renew(lease, verdict.evidence_at or now.seen, ttl, verdict.progress)
        elif not isinstance(verdict, Keep):
            break

    assert isinstance(verdict, Suspect | Release)
