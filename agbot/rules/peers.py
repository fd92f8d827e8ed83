"""While the asker is down, enough other members of the group must be available.

The rule does not apply to a service with a current agreement (P6). A peer whose service is down
counts as missing only if the asker runs that service: its upgrade stops nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from agbot.rules import health
from agbot.rules.facts import Member
from agbot.rules.ids import NodeId
from agbot.rules.reasons import Code, Reason
from agbot.rules.rule import Case, Evidence, Rule, oldest


class Peers:
    """The other members of the group. Each is checked once, and only when the answer needs it.

    A refusal is answered thousands of times a second, and most of them need one available member
    and no list of all. The case keeps this and this does not keep the case: so no refusal is left
    to the garbage collector.
    """

    __slots__ = ("_at", "_available", "_group", "_missing", "_unchecked", "at_stake", "others", "required")

    def __init__(self, case: Case) -> None:
        group, asker = case.group, case.ask.node
        self._group, self._at = group, case.at
        self._available = 0
        self._missing: dict[NodeId, str] = {}
        self.others = [member for node, member in group.members.items() if node != asker]
        self.required = health.required_of_others(group.limits, len(group.members))
        self.at_stake = health.services_at_stake(group.members.get(asker))
        """The services that stop when the asker goes down; None if they are unknown."""
        tenure = group.lease.tenure
        holder = group.members.get(tenure.claim.holder) if tenure is not None else None
        self._unchecked = [member for member in self.others if member is not holder]
        if len(self._unchecked) < len(self.others) and holder is not None:
            # The list is used from its end: the holder, which is in the middle of its upgrade, is
            # checked last.
            self._unchecked.insert(0, holder)

    def suffice(self) -> bool:
        """Return whether enough of them are available."""
        while self._available < self.required and self._unchecked:
            self._check_next()
        return self._available >= self.required

    def available(self) -> int:
        """Return how many of them are available."""
        return len(self.others) - len(self.missing())

    def missing(self) -> Mapping[NodeId, str]:
        """Return those that are not available, each with the reason."""
        while self._unchecked:
            self._check_next()
        return self._missing

    def _check_next(self) -> None:
        member, group = self._unchecked.pop(), self._group
        deferral = group.deferrals.get(member.node.id)
        why = health.why_unavailable(member, group.limits, self._at, deferral, self.at_stake)
        if why is None:
            self._available += 1
        else:
            self._missing[member.node.id] = why


def peers_unavailable(case: Case) -> Reason | None:
    """Refuse if too few other members would be available."""
    if case.ask.is_bound_service:
        return None  # no offline peer blocks it (P6)
    peers = case.once(Peers)
    # a group of one is not gated
    if not peers.others or peers.suffice():
        return None
    limits, missing = case.group.limits, peers.missing()
    why = "; ".join(f"{node} ({reason})" for node, reason in sorted(missing.items()))
    must_be = f"{peers.required} must be ({health.required_by(limits, len(case.group.members))})"
    return Reason(
        code=Code.PEERS_UNAVAILABLE,
        text=f"{_how_many(peers.available(), len(peers.others))}, {must_be}: {why}",
        facts=_counts(peers.available(), peers.required, len(peers.others)),
    )


@lru_cache(maxsize=256)
def _counts(available: int, required: int, others: int) -> Mapping[str, int]:
    """Return facts that thousands of groups share."""
    return {"available": available, "required": required, "others": others}


def _how_many(available: int, others: int) -> str:
    if others == 1:
        return "the only other member is not available"
    return f"{available} of {others} other members {'is' if available == 1 else 'are'} available"


def _evidence(case: Case) -> Evidence:
    peers = case.once(Peers)
    if case.ask.is_bound_service or not peers.others:
        return Evidence(facts={"others": len(peers.others), "required": 0})
    silent = min(peers.others, key=_last_heartbeat)
    facts: dict[str, object] = {
        "available": peers.available(),
        "others": len(peers.others),
        "required": peers.required,
        "oldest_heartbeat_of": silent.node.id,
        "heartbeat_at": silent.node.heartbeat_at,
    }
    reads = [each.read_at for each in peers.others]
    if case.group.limits.services_must_run:
        facts["services"] = sorted(peers.at_stake or ())
        reads += [each.agreements_read_at for each in peers.others]
    return Evidence(facts=facts, read_at=oldest(reads))


def _last_heartbeat(member: Member) -> tuple[bool, float]:
    at = member.node.heartbeat_at
    return (False, 0.0) if at is None else (True, at.timestamp())


PEERS = Rule(
    name="peers",
    passes="enough other members are available",
    unblocks={Code.PEERS_UNAVAILABLE: "wait until other members are available again"},
    is_allowable=True,
    check=peers_unavailable,
    evidence=_evidence,
)
