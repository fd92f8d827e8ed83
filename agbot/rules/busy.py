"""A node's own word that its agent is not to be upgraded now.

Only its workload knows when a restart would interrupt something. The word counts for agent upgrades
only, and within a bound: a node that is always busy would never be upgraded, and any program that
the broker lets publish may send it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec

from agbot.rules.ids import NodeId
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Busy, BusyState
from agbot.rules.rule import NO_EVIDENCE, Case, Evidence, Rule
from agbot.rules.seen_time import Now
from agbot.rules.words import clock

_LONGEST: Final = timedelta(days=7)
"""No word counts for longer, as no bound is larger."""
PAUSE: Final = timedelta(hours=1)
"""After so long without a word the bound is counted from the beginning: the agent has asked sixty
times meanwhile."""


class NotNow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a node says: it is busy until a time, or for some seconds from now on."""

    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    for_seconds: Annotated[float, msgspec.Meta(gt=0, le=_LONGEST.total_seconds())] | None = None
    reason: str = ""

    def end(self, now: datetime) -> datetime:
        """Return when it stops being busy."""
        if self.until is not None:
            return min(self.until, now + _LONGEST)
        return now + timedelta(seconds=self.for_seconds or 0.0)


def noted(node: NodeId, word: NotNow | None, before: Busy | None, now: datetime) -> Busy | None:
    """Return the record after this word; None if there is none to keep.

    Without a word (`word` is None) the node is not busy any more.
    """
    if before is not None and now >= before.until + PAUSE:
        before = None
    if word is None or word.end(now) <= now:
        # The record stays, with its `since`: otherwise a word taken back for a minute would begin
        # the bound again, and the node could be busy without limit.
        return before and replace(before, until=min(before.until, now), state=BusyState.OVER)
    until, why = word.end(now), word.reason
    if before is None:
        return Busy(node=node, since=now, until=until, why=why)
    # an ignored node stays ignored: it was reported once, and another word does not extend the
    # bound
    state = BusyState.BUSY if before.state is BusyState.OVER else before.state
    return replace(before, until=until, why=why, state=state)


def is_over(busy: Busy, now: Now) -> bool:
    """Whether the node has stopped being busy."""
    # both times are dates: after a step of the clock they decide nothing until it is steady again
    return now.is_steady and now.wall >= busy.until


def is_past_bound(busy: Busy, limits: Limits, now: Now) -> bool:
    """Whether the node has been busy for longer than it may."""
    return now.is_steady and now.wall >= _bound(busy, limits)


def is_forgotten(busy: Busy, now: Now) -> bool:
    """Whether nothing of the record matters any more."""
    return now.is_steady and now.wall >= busy.until + PAUSE


def _node_busy(case: Case) -> Reason | None:
    """Refuse an agent upgrade while the node says that it is busy, within the bound."""
    busy, limits, now = case.group.busy.get(case.ask.node), case.group.limits, case.at
    if busy is None or case.ask.claim.kind is not Kind.AGENT or is_over(busy, now):
        return None
    if is_past_bound(busy, limits, now):
        return None
    until = min(busy.until, _bound(busy, limits))
    text = f"{busy.node} has asked for its agent not to be upgraded until {clock(until)}{f': {busy.why}' if busy.why else ''}"
    return Reason(code=Code.NODE_BUSY, text=text, until=until)


def _bound(busy: Busy, limits: Limits) -> datetime:
    return busy.since + timedelta(seconds=limits.max_busy_seconds)


def _word(case: Case) -> Evidence:
    busy = case.group.busy.get(case.ask.node)
    if busy is None or case.ask.claim.kind is not Kind.AGENT or is_over(busy, case.at):
        return NO_EVIDENCE
    facts: dict[str, object] = {"busy_since": busy.since, "busy_until": busy.until, "says": busy.why}
    if is_past_bound(busy, case.group.limits, case.at):
        facts["ignored_since"] = _bound(busy, case.group.limits)
    return Evidence(facts=facts)


NOT_BUSY = Rule(
    name="not-busy",
    passes="no workload of the node asks for more time, or it has asked for too long",
    unblocks={
        Code.NODE_BUSY: "wait until the workload of the node is ready, or let this upgrade past it (`agbot allow`)"
    },
    is_allowable=True,
    check=_node_busy,
    evidence=_word,
)
