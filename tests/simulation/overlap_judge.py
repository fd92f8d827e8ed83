"""P1 where somebody upgrades without a question: which two members no one could keep apart, and which the coordinator had to.

What was begun unasked cannot be prevented; but from the moment on at which it can be read, no one
else may be let go. It can be read as soon as the agbot's lists have it, or a status past the gate
is in the Exchange, or, without the lists, a while after its agreement has ended. Who was granted
before that may be under way beside it. A node that is offline does not hear of its agbot's
cancellation: its agreement stands in the Exchange, and its service runs, until it is back.
"""

from __future__ import annotations

import asyncio

from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId
from agbot.rules.lease import End, Lease
from agbot.rules.lease import Kind as LeaseKind
from agbot.rules.reasons import Cause
from agbot.rules.statuses import PHASES, Phase
from agbot.sim.episodes import Episode, Excuse, Rule, Violation
from agbot.sim.exchange import Write
from agbot.sim.faults import Fault, FaultKind
from agbot.sim.fleet import Fleet
from agbot.sim.links import Kind
from tests.simulation.daemon import Daemon
from tests.simulation.plan import Plan
from tests.support.clocks import NOON

_SAME_SECONDS = 1.0
"""A yes may rest on a look that is so old."""
_COMMIT_SECONDS = 2.0
"""Between that look and its commit."""
_NOTICE_SECONDS = 45.0
"""Without the agbot's lists: from the end of a service's agreement until the feed has been read at
its slow pace (10 s), and the node after it. A node reads that its agreement is cancelled within
10.5 s."""
_FROZEN_SECONDS = 330.0
"""What a frozen feed hides is found by the reads that matter in this time."""


class OverlapJudge:
    """One run's grants, and what could be known of the others when each was made."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._granted: dict[tuple[GroupId, str], tuple[float, float]] = {}
        """(group, node) -> when it was last granted or reported to the asker, and when the agbot's
        lists had been read before that."""
        self._past_gate: dict[str, float] = {}
        self._agreements: dict[str, dict[str, tuple[float, float | None]]] = {}
        """Node -> its agreements, each with when it was made and when the node has ended it."""
        self._hidden: list[tuple[float, float, float]] = []
        """Faults of the feed: from when, until when, and for how long a row is hidden."""
        self._started = 0.0
        self._cut_off: dict[GroupId, tuple[str, float, str]] = {}
        """Whose lease has ended with its policy, when, and which version that node ran then."""

    def started(self) -> None:
        """Take in that the coordinator has just started: of what ended before, it knows nothing."""
        self._started = _now()

    def granted(self, lease: Lease, daemon: Daemon | None) -> None:
        """Take in a grant for which somebody has asked."""
        if lease.tenure is not None and not lease.tenure.progress.observed and daemon is not None:
            looked = daemon.sightings.listed() if daemon.agbots else -1.0
            self._granted[lease.group, lease.tenure.claim.holder] = (_now(), looked)

    def answered(self, ask: Ask, daemon: Daemon | None, fleet: Fleet) -> None:
        """Take in a yes under a lease: the last one before its upgrade begins is the one that counts, as the others were lost."""
        is_under_way = any(one.node == ask.node for one in fleet.observer.under_way(ask.group))
        if daemon is not None and not is_under_way:
            looked = daemon.sightings.listed() if daemon.agbots else -1.0
            self._granted[ask.group, ask.node] = (_now(), looked)

    def ended(self, end: End, group: GroupId, fleet: Fleet) -> None:
        """Take in that a policy has gone in the middle of an installation, which goes on."""
        node = fleet.nodes.get(end.claim.holder)
        if end.cause is Cause.POLICY_DELETED and end.claim.kind is LeaseKind.AGENT and node is not None:
            self._cut_off[group] = (node.name, _now(), node.version)

    def installs_on(self, lease: Lease, fleet: Fleet) -> str:
        """Name who still installs what a deleted policy has begun, though this agent's upgrade was let go; empty for no one."""
        name, since, version = self._cut_off.get(lease.group, ("", 0.0, ""))
        tenure, node = lease.tenure, fleet.nodes.get(name)
        if tenure is None or node is None or tenure.claim.kind is not LeaseKind.AGENT or tenure.claim.holder == name:
            return ""
        is_over = node.version != version or _now() - since > self._plan.limits.lease_seconds - _NOTICE_SECONDS
        busy = [one for one in fleet.observer.under_way(lease.group) if one.node == name and one.kind is Kind.AGENT]
        goes_on = any(one.excuse is Excuse.POLICY_GONE and one.reported for one in busy)
        return name if goes_on and not is_over and not tenure.progress.observed else ""

    def wrote(self, write: Write) -> None:
        """Remember since when a node has reported that it is past the gate, and which agreements it has had."""
        if write.resource == "nodeagreements" or (write.resource, write.operation) == ("node", "deleted"):
            self._take_agreement(write)
        if write.resource == "nodemgmtpolstatus" and write.operation == "created/modified":
            name = f"{write.org}/{write.id}"
            if PHASES.get(str(write.data["status"])) is Phase.UNDER_WAY:
                self._past_gate.setdefault(name, _now())
            else:
                self._past_gate.pop(name, None)

    def _take_agreement(self, write: Write) -> None:
        known = self._agreements.setdefault(f"{write.org}/{write.id}", {})
        named = str(write.data["agreement"]) if "agreement" in write.data else ""
        if write.operation != "deleted":
            known.setdefault(named, (_now(), None))
            return
        for each in [named] if named else list(known):
            made, ended = known.get(each, (_now(), None))
            known[each] = (made, _now() if ended is None else ended)

    def faulted(self, fault: Fault, seconds: float) -> None:
        """Take in a fault of the Exchange that hides rows of the feed."""
        if fault.kind is FaultKind.FREEZE:
            self._hidden.append((_now(), _now() + seconds, _FROZEN_SECONDS))
        elif fault.kind is FaultKind.LATE:
            self._hidden.append((_now(), _now() + seconds, fault.seconds))

    def could_not_help(self, violation: Violation) -> bool:
        """Whether no one could keep the newest of these from the others."""
        *others, newer = violation.together
        return violation.rule is Rule.ONE_AT_A_TIME and all(self._is_hidden(each, newer) for each in others)

    def _is_hidden(self, older: Episode, newer: Episode) -> bool:
        if not older.is_unasked:
            return False
        granted, looked = self._granted.get((GroupId(newer.group), newer.node), (None, -1.0))
        if granted is None:
            return False
        begun = (older.began_at - NOON).total_seconds()
        if granted <= begun + _SAME_SECONDS + _COMMIT_SECONDS or self._is_outlived(older, granted):
            return True
        if self._has_row(older) and self._plan.shows_rows:
            # every agbot had refused since: no one is there, as far as anybody can report
            return looked < begun
        if older.kind is Kind.AGENT:
            return self._is_unreported(older, begun, granted)
        return self._is_unnoticed(older, begun, granted)

    def _has_row(self, older: Episode) -> bool:
        return older.kind is Kind.SERVICE or older.is_listed

    def _is_unreported(self, older: Episode, begun: float, granted: float) -> bool:
        reported = self._past_gate.get(older.node)
        if reported is None or reported < begun - _NOTICE_SECONDS:
            return True
        return granted <= reported + _SAME_SECONDS + _COMMIT_SECONDS + self._hidden_seconds(reported, granted)

    def _is_outlived(self, older: Episode, granted: float) -> bool:
        """A report of an agent that hangs beside a lease is believed for as long as the longest upgrade (decision 4)."""
        reported = self._past_gate.get(older.node) if older.kind is Kind.AGENT else None
        return reported is not None and granted > reported + self._plan.limits.max_upgrade_seconds

    def _is_unnoticed(self, older: Episode, begun: float, granted: float) -> bool:
        """Without the lists a service that is down is held for as long as a lease lasts, and never guessed at."""
        since = self._taken_away_at(older.node, begun)
        if since is None or granted > since + self._plan.limits.lease_seconds:
            return True
        if self._started > since - _NOTICE_SECONDS:
            return True
        return granted <= since + _NOTICE_SECONDS + self._hidden_seconds(since, granted)

    def _taken_away_at(self, node: str, begun: float) -> float | None:
        """Return when the node has ended the agreement that its upgrade was to replace: at once if it had none, None if it stands."""
        before = [
            ended
            for made, ended in self._agreements.get(node, {}).values()
            if made < begun and (ended is None or ended >= begun)
        ]
        return min((ended for ended in before if ended is not None), default=None if before else begun)

    def _hidden_seconds(self, since: float, until: float) -> float:
        return max((most for begin, end, most in self._hidden if begin <= until and end >= since), default=0.0)


def _now() -> float:
    return asyncio.get_running_loop().time()
