"""The journal entries of the coordinator: one for every change, under the names of `agbot.events.names`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agbot.coordinator.contract import StuckView
from agbot.rules import ids
from agbot.rules.facts import Allowance, Approval, Ask, Brake, Deferral, Pause, Waiter
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Claim, End, Kind, Lease
from agbot.rules.reasons import Cause, Reason
from agbot.rules.seen_time import Now
from agbot.store.contract import Entry, Generation


def granted(
    lease: Lease, now: Now, kept: Mapping[str, object] | None = None, allowed: Allowance | None = None
) -> Entry:
    """A lease was given, perhaps only because a person allowed it. Call with the new lease, and with what is kept of the decision."""
    hold = lease.hold
    taken_from = _taken_from(lease, now)
    facts: dict[str, object] = (
        {"kind": str(hold.claim.kind), "expires_at": _time(now.shown(hold.expires_at))} if hold else {}
    )
    if allowed is not None:
        facts |= {"allowed_by": allowed.by, "allowed_why": allowed.why}
    facts |= {**taken_from, **(kept or {})}
    return _of_lease("lease.taken_over" if taken_from else "lease.granted", lease, now, facts)


def store_changed(generation: Generation, now: Now) -> Entry:
    """The store is not the one that was used last."""
    return Entry(
        at=now.wall, event="store.changed", facts={"why": generation.doubt, "tokens_above": generation.token_floor}
    )


def store_settled(generation: Generation, why: str, now: Now, who: str = "coordinator") -> Entry:
    """What the store before had granted was looked for, or a person has said that nothing is."""
    return Entry(at=now.wall, event="store.settled", who=who, facts={"why": why, "changed": generation.doubt})


def observed(lease: Lease, since: datetime, now: Now) -> Entry:
    """The lease was taken for an upgrade that nobody asked for. Call with the new lease."""
    kind = lease.hold.claim.kind if lease.hold is not None else Kind.SERVICE
    facts = {"kind": str(kind), "lost_at": _time(since), **_taken_from(lease, now)}
    return _of_lease("lease.observed", lease, now, facts)


def superseded(before: Lease, after: Lease, now: Now) -> list[Entry]:
    """The hold that a grant has taken over, if it did, has ended. Call with the lease before and after that grant."""
    end = after.last_end
    if before.hold is None or end is None:
        return []
    return [released(before, Ending(cause=end.cause, why=end.detail), now)]


def _taken_from(lease: Lease, now: Now) -> dict[str, object]:
    """Say whose hold the grant of this moment has taken over; nothing when it was free."""
    end = lease.last_end
    if end is None or end.cause is not Cause.SUPERSEDED or end.at != now.wall:
        return {}
    return {"taken_from": end.claim.holder, "taken_under": end.token}


def clock_stepped(step: timedelta, now: Now) -> Entry:
    """The date of this machine was set: forward, or back when negative."""
    return Entry(at=now.wall, event="clock.stepped", facts={"seconds": round(step.total_seconds(), 3)})


def rest_ended(lease: Lease, why: str, now: Now, who: str) -> Entry:
    """A person has ended the rest of a group."""
    end = lease.last_end
    return Entry(
        at=now.wall,
        event="rest.ended",
        group=lease.group,
        node=end.claim.holder if end else None,
        subject=end.claim.subject if end else None,
        token=lease.token,
        who=who,
        facts={"why": why},
    )


def overlapped(deferral: Deferral, others: Mapping[NodeId, str], now: Now) -> Entry:
    """An upgrade was begun unasked while others upgrade: node -> what."""
    facts = {"others": {str(node): str(subject) for node, subject in others.items()}, "lost_at": _time(deferral.since)}
    return Entry(
        at=now.wall,
        event="lease.overlapped",
        group=deferral.group,
        node=deferral.node,
        subject=deferral.subject or None,
        facts=facts,
    )


def stuck(group: GroupId, row: StuckView, now: Now) -> Entry:
    """The agbot's row of an upgrade that is over has not been deleted."""
    facts = {"kind": row.kind, "defect": row.defect, "why": row.why, "cure": row.cure}
    return Entry(at=now.wall, event="agbot.stuck", group=group, node=row.node, subject=row.subject, facts=facts)


def bypassed(group: GroupId, claim: Claim, now: Now) -> Entry:
    """A member upgrades its agent and has not asked here."""
    return Entry(at=now.wall, event="gateway.bypassed", group=group, node=claim.holder, subject=claim.subject)


def exempted(ask: Ask, reason: Reason, now: Now, kept: Mapping[str, object] | None = None) -> Entry:
    """A node may go without a lease."""
    return _of_ask("lease.exempted", ask, now, {"code": str(reason.code), "reason": reason.text, **(kept or {})})


def renewed(lease: Lease, why: str, now: Now) -> Entry:
    """The holder's upgrade has moved."""
    return _of_lease("lease.renewed", lease, now, {"why": why})


def suspected(lease: Lease, why: str, now: Now, kept: Mapping[str, object] | None = None) -> Entry:
    """A lease expired and nobody knows how the upgrade ended."""
    return _of_lease("lease.suspected", lease, now, {"why": why, **(kept or {})})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How and why a lease is released, and by whom."""

    cause: Cause
    why: str
    who: str = "coordinator"
    ended_at: datetime | None = None
    """When the upgrade itself ended, where the evidence says so."""
    kept: Mapping[str, object] = field(default_factory=dict)
    """What is kept of the review that found this end; empty where somebody told it."""


def released(lease: Lease, ending: Ending, now: Now) -> Entry:
    """A lease is free again. Call with the lease as it was while held."""
    held_seconds = (now.wall - lease.hold.granted_at).total_seconds() if lease.hold else 0.0
    facts: dict[str, object] = {"cause": str(ending.cause), "why": ending.why, "held_seconds": round(held_seconds, 3)}
    if ending.ended_at is not None:
        facts["handoff_seconds"] = round(max((now.wall - ending.ended_at).total_seconds(), 0.0), 3)
    return _of_lease("lease.released", lease, now, {**facts, **ending.kept}, ending.who)


def wait_changed(waiter: Waiter, now: Now) -> Entry:
    """Somebody waits, or waits for other reasons than before."""
    return _of_ask(
        "wait.changed", waiter.ask, now, {"reasons": _reasons(waiter.reasons), "since": _time(now.shown(waiter.since))}
    )


def wait_ended(waiter: Waiter, why: str, now: Now) -> Entry:
    """A waiter no longer asks."""
    return _of_ask("wait.ended", waiter.ask, now, {"why": why, "since": _time(now.shown(waiter.since))})


def deferral_begun(deferral: Deferral, now: Now) -> Entry:
    """A member is past the gate without the lease."""
    return Entry(
        at=now.wall,
        event="deferral.begun",
        group=deferral.group,
        node=deferral.node,
        subject=deferral.subject or None,
        facts={"kind": str(deferral.kind), "status": deferral.status},
    )


def deferral_ended(deferral: Deferral, why: str, now: Now) -> Entry:
    """A member's membership is enforced from now on."""
    return Entry(
        at=now.wall,
        event="deferral.ended",
        group=deferral.group,
        node=deferral.node,
        subject=deferral.subject or None,
        facts={"why": why},
    )


def contradicted(group: GroupId, end: End, runs: str, why: str, now: Now) -> Entry:
    """What a node reported as a success counts as a failure, for it runs another version."""
    facts = {"kind": str(end.claim.kind), "cause": str(Cause.FAILED), "why": why, "reported": end.version, "runs": runs}
    return Entry(
        at=now.wall,
        event="success.contradicted",
        group=group,
        node=end.claim.holder,
        subject=end.claim.subject,
        token=end.token,
        facts=facts,
    )


def brake_set(brake: Brake, now: Now, why: str = "") -> Entry:
    """An upgrade that failed is stopped in its group."""
    return Entry(
        at=now.wall,
        event="brake.set",
        group=brake.group,
        node=brake.node,
        subject=brake.subject,
        token=brake.token,
        facts={"cause": str(brake.cause), "revision": brake.revision}
        | ({"failed": [str(each) for each in brake.failed]} if brake.failed else {})
        | ({"why": why} if why else {}),
    )


def brake_lifted(brake: Brake, why: str, now: Now, who: str = "coordinator") -> Entry:
    """An upgrade may go on in its group."""
    return Entry(
        at=now.wall, event="brake.lifted", group=brake.group, subject=brake.subject, who=who, facts={"why": why}
    )


def pause_set(pause: Pause, now: Now) -> Entry:
    """A person has stopped new grants."""
    until = _time(pause.until) if pause.until else ""
    facts = {"scope": pause.scope, "why": pause.why, "until": until}
    return Entry(
        at=now.wall,
        event="pause.set",
        group=_group_of(pause),
        node=ids.node_of_scope(pause.scope),
        who=pause.by,
        facts=facts,
    )


def pause_ended(pause: Pause, why: str, now: Now, who: str = "coordinator") -> Entry:
    """Grants go on."""
    facts = {"scope": pause.scope, "why": why}
    return Entry(
        at=now.wall,
        event="pause.ended",
        group=_group_of(pause),
        node=ids.node_of_scope(pause.scope),
        who=who,
        facts=facts,
    )


def _group_of(pause: Pause) -> GroupId | None:
    is_group = "/" in pause.scope and ids.node_of_scope(pause.scope) is None
    return GroupId(pause.scope) if is_group else None


def allowance_given(allowance: Allowance, now: Now) -> Entry:
    """A person lets one upgrade of a node past what would keep it."""
    return Entry(
        at=now.wall,
        event="allowance.given",
        node=allowance.node,
        subject=allowance.subject or None,
        who=allowance.by,
        facts={"why": allowance.why, "until": _time(allowance.until)},
    )


def allowance_ended(allowance: Allowance, why: str, now: Now) -> Entry:
    """An allowance ended without having let anything past."""
    facts = {"why": why}
    return Entry(
        at=now.wall, event="allowance.ended", node=allowance.node, subject=allowance.subject or None, facts=facts
    )


def approval_given(approval: Approval, now: Now) -> Entry:
    """A person lets a release begin."""
    return Entry(
        at=now.wall,
        event="approval.given",
        subject=approval.subject,
        who=approval.by,
        facts={"scope": approval.scope, "kind": str(approval.kind), "why": approval.why},
    )


def _of_lease(event: str, lease: Lease, now: Now, facts: Mapping[str, object], who: str = "coordinator") -> Entry:
    claim = lease.hold.claim if lease.hold else None
    return Entry(
        at=now.wall,
        event=event,
        group=lease.group,
        node=claim.holder if claim else None,
        subject=(claim.subject or None) if claim else None,
        token=lease.token,
        who=who,
        facts=facts,
    )


def _of_ask(event: str, ask: Ask, now: Now, facts: Mapping[str, object]) -> Entry:
    return Entry(at=now.wall, event=event, group=ask.group, node=ask.node, subject=ask.claim.subject, facts=facts)


def _reasons(reasons: Iterable[Reason]) -> list[dict[str, str]]:
    return [{"code": str(reason.code), "text": reason.text} for reason in reasons]


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
