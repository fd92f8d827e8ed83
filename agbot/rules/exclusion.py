"""One upgrade in a group at a time, of any member and of either kind (P1)."""

from __future__ import annotations

from agbot.rules import brakes, health
from agbot.rules.ids import NodeId
from agbot.rules.lease import State
from agbot.rules.reasons import Code, Reason
from agbot.rules.rule import Case, Evidence, Rule
from agbot.rules.words import clock

_HELD, _SUSPECT = State.HELD, State.SUSPECT
_LEASE_HELD = Code.LEASE_HELD


def _lease_held(case: Case) -> Reason | None:
    """Refuse while another upgrade holds the lease."""
    lease = case.group.lease
    tenure = lease.tenure
    if tenure is None or lease.state is not _HELD or lease.is_held_for(case.ask.claim):
        return None
    claim, since = tenure.claim, clock(tenure.granted_at)
    return Reason(
        code=_LEASE_HELD,
        text=f"{claim.holder} has been upgrading {claim.subject} since {since}"
        if claim.subject
        else f"a service of {claim.holder} has been down since {since}",
        facts={
            "holder": claim.holder,
            "kind": claim.kind,
            "subject": claim.subject,
            "token": lease.token,
            "status": tenure.progress.status,
        },
    )


def _lease(case: Case) -> Evidence:
    return Evidence(facts={"token": case.group.lease.token, "state": str(case.group.lease.state)})


def lease_suspect(case: Case) -> Reason | None:
    """Refuse while the lease is suspect, unless the asker may take it over."""
    ask, lease = case.ask, case.group.lease
    tenure = lease.tenure
    if tenure is None or lease.state is not _SUSPECT or lease.is_held_for(ask.claim):
        return None
    # No third member begins a release in which two have fallen silent, one after the other; another
    # release may still take the lease over.
    is_deadly = brakes.is_second_to_fall(lease) and ask.subject == (tenure.claim.kind, tenure.claim.subject)
    if not is_deadly and _may_take_over(case, tenure.claim.holder):
        return None
    more = f", as with {lease.last_end.claim.holder} before it" if is_deadly and lease.last_end else ""
    return Reason(
        code=Code.LEASE_SUSPECT,
        text=f"{tenure.claim.holder} took the lease for {tenure.claim.what}, and it is not known how that upgrade ended{more}",
        facts={"holder": tenure.claim.holder, "subject": tenure.claim.subject, "token": lease.token},
    )


def _may_take_over(case: Case, holder: NodeId) -> bool:
    """Whether a service with a current agreement takes over the lease of an offline peer (P6)."""
    member = case.group.members.get(holder)
    # Not its own node's lease: a node that has died in the middle of its agent's upgrade may
    # continue with it when it returns.
    if not case.ask.is_bound_service or holder == case.ask.node or member is None:
        return False
    # silent and not only offline: what follows is a second upgrade beside one that may go on
    return health.why_silent(member.node, case.group.limits, case.at) is not None


def _suspect(case: Case) -> Evidence:
    """Return the lease with its holder's heartbeat, because an offline holder can lose it."""
    lease = case.group.lease
    if lease.tenure is None or lease.state is not State.SUSPECT:
        return _lease(case)
    holder = lease.tenure.claim.holder
    member = case.group.members.get(holder)
    facts: dict[str, object] = {"token": lease.token, "state": str(lease.state), "holder": holder}
    if member is None:
        return Evidence(facts=facts)
    return Evidence(facts={**facts, "heartbeat_at": member.node.heartbeat_at}, read_at=member.read_at)


LEASE_FREE = Rule(
    name="lease-free",
    passes="no other upgrade holds the lease of the group",
    unblocks={
        Code.LEASE_HELD: "wait until the other upgrade has ended, or run `agbot release {group} --token {token} --reason …` "
        "if you know that it is over"
    },
    check=_lease_held,
    evidence=_lease,
)

LEASE_CERTAIN = Rule(
    name="lease-certain",
    passes="it is known how the last upgrade ended",
    unblocks={
        Code.LEASE_SUSPECT: "find out how that upgrade ended, then run `agbot release {group} --token {token} --reason …`"
    },
    check=lease_suspect,
    evidence=_suspect,
)
