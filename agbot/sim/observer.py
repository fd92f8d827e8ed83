"""The independent observer: what really happened to the nodes, whatever anybody's lease table says.

It hears of deeds from the nodes and the agbot themselves, and sees every write in the simulated Exchange (membership,
statuses, heartbeats). From these alone it finds how many members of a group were ever down for an upgrade at once. It never asks
the coordinator anything; only `lease_free_at` is told by whoever reads the coordinator's interface, and measures, not judges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agbot.sim.agbot_rows import AgentRow, ServiceRow
from agbot.sim.agent_state import PAST_THE_GATE, Word
from agbot.sim.clock import Clock
from agbot.sim.deeds import Act, Deed
from agbot.sim.episodes import Episode, Excuse, Forgiven, Rule, Tolerance, Violation, excuse_for, excuse_together
from agbot.sim.exchange.world import World, Write
from agbot.sim.handoffs import HandOffs
from agbot.sim.links import Kind
from agbot.sim.membership import Membership
from agbot.sim.turns import Turns

_PAST_THE_GATE = frozenset(word.value for word in PAST_THE_GATE)
_SUCCESS = "successful"
_ENDS = frozenset(
    {
        Word.SUCCESSFUL.value,
        Word.FAILED.value,
        Word.PRECHECK_FAILED.value,
        Word.ROLLBACK_FAILED.value,
        Word.ROLLBACK_SUCCESSFUL.value,
    }
)


class Observer:
    """Watch one simulated hub: give `hear` to nodes and agbot, `see` to the Exchange's `subscribe`."""

    def __init__(self, clock: Clock, tolerance: Tolerance | None = None) -> None:
        """Start with an empty hub."""
        self._clock = clock
        self.tolerance = tolerance or Tolerance()
        self.members = Membership()
        self.turns = Turns(self.members, self.tolerance.offline_after_seconds)
        self.handoffs = HandOffs()
        self.episodes: list[Episode] = []
        self._open: dict[tuple[str, Kind], Episode] = {}
        self._latest: dict[tuple[str, Kind], Episode] = {}
        """The last one of each node, also when it has ended: an agent reports after that."""
        self._joined_at: dict[str, datetime] = {}
        """Of nodes that have not been told yes since."""
        self.violations: list[Violation] = []
        self.forgiven: list[Forgiven] = []
        self.max_concurrent = 0
        self.max_concurrent_by_group: Counter[str] = Counter()

    def hear(self, deed: Deed) -> None:
        """Take a deed in."""
        match deed.act:
            case Act.DOWN:
                self._begin(deed)
            case Act.UP:
                self._end(deed)
            case Act.ASKED:
                if deed.granted:
                    self._joined_at.pop(deed.node, None)
                self.turns.asked(deed, holder_is_live=self._holder_is_live(deed))
            case Act.DIED | Act.RETURNED:
                self._note(deed.node, deed.act.value)

    def see(self, write: Write) -> None:
        """Take a write in the Exchange in, after it took effect."""
        node = f"{write.org}/{write.id}"
        match write.resource, write.operation:
            case "node", "heartbeat":
                self._heartbeat(node)
            case "node", "deleted":
                self.members.delete(node)
                self._moved(node, "")
            case "node", _:
                self._seen_node(node, write.data)
            case "nodemgmtpolstatus", "created/modified":
                self._status(node, write.data)
            case "nodemgmtpolstatus", "deleted":
                self._note(node, f"status of {write.data['policy']} deleted")
            case "mgmtpolicy", operation if operation == "deleted" or write.data.get("enabled") is False:
                self._excuse_subject(node)
            case _:
                pass

    def lease_free_at(self, group: str, node: str, subject: str, at: datetime | None = None) -> None:
        """Be told that the lease that a member had for a policy is free; measures the hand-off, judges nothing. All names with `org/`."""
        self.handoffs.lease_free(group, node, subject, at or self._clock.now())

    def row_gone(self, row: AgentRow | ServiceRow) -> None:
        """See that the agbot has deleted a row of its tables."""
        self.handoffs.row_gone(row, self._clock.now())

    def excuse(self, node: str, excuse: Excuse = Excuse.FORGIVEN) -> None:
        """Take what a node is in the middle of out of the judgement, because the test did it on purpose."""
        for episode in self._of(node):
            episode.excuse = episode.excuse or excuse

    def look_again(self, world: World) -> None:
        """Take in every node as the Exchange has it now: it was restored from a backup."""
        for (org, name), node in world.nodes.items():
            self._seen_node(f"{org}/{name}", node.doc)

    def under_way(self, group: str = "") -> list[Episode]:
        """Return the episodes that have not ended, of one group or of all."""
        return [one for one in self._open.values() if group in ("", one.group)]

    def ended(self, group: str, how: str = "") -> list[Episode]:
        """Return the episodes of a group that have ended, one way or any way."""
        return [one for one in self.episodes if one.group == group and one.ended_at and how in ("", one.how)]

    def report(self) -> Mapping[str, Any]:
        """Return the figures as JSON."""
        return {
            "max_concurrent_in_any_group": self.max_concurrent,
            "violations": [str(one) for one in self.violations],
            "forgiven": dict(Counter(one.excuse.value for one in self.forgiven)),
            "upgrades": dict(Counter(f"{one.kind}: {one.how or 'under way'}" for one in self.episodes)),
            **self.turns.report(),
            "handoff_seconds": self.handoffs.report(),
        }

    def _of(self, node: str) -> list[Episode]:
        return [self._open[key] for key in ((node, Kind.AGENT), (node, Kind.SERVICE)) if key in self._open]

    def _begin(self, deed: Deed) -> None:
        group = self.members.group_of(deed.node)
        episode = Episode(
            node=deed.node,
            kind=deed.kind,
            subject=deed.subject,
            group=group,
            began_at=deed.at,
            is_unasked=deed.is_unasked,
            is_listed=deed.is_listed,
        )
        if self.members.is_cluster(deed.node):
            episode.excuse = Excuse.CLUSTER
        elif not group:
            episode.excuse = Excuse.NO_GROUP
        elif self._is_unaware(deed):
            episode.excuse = Excuse.UNAWARE
        self._open[deed.node, deed.kind] = self._latest[deed.node, deed.kind] = episode
        self.episodes.append(episode)
        self.handoffs.begun(episode)
        if episode.counts:
            self._judge(episode)
            self._judge_peers(episode)

    def _is_unaware(self, deed: Deed) -> bool:
        joined_at = self._joined_at.get(deed.node)
        return joined_at is not None and (deed.at - joined_at).total_seconds() <= self.tolerance.unaware_seconds

    def _judge(self, newer: Episode) -> None:
        now = self._clock.now()
        others = [one for one in self._open.values() if one.group == newer.group and one.node != newer.node]
        for older in others:
            if older.counts:
                silent = self.members.silent_seconds(older.node, now)
                older.excuse = excuse_for(older, newer, silent_seconds=silent, now=now, tolerance=self.tolerance)
            if older.excuse is not None:
                self.forgiven.append(Forgiven(at=now, group=newer.group, node=older.node, excuse=older.excuse))
        together = [one for one in others if one.counts]
        count = len({newer.node, *(one.node for one in together)})
        self.max_concurrent = max(self.max_concurrent, count)
        self.max_concurrent_by_group[newer.group] = max(self.max_concurrent_by_group[newer.group], count)
        guilty = [one for one in together if not self._could_not_be_helped(one, newer)]
        if guilty:
            self._violated(Rule.ONE_AT_A_TIME, newer, [*guilty, newer])

    def _could_not_be_helped(self, older: Episode, newer: Episode) -> bool:
        now = self._clock.now()
        excuse = excuse_together(older, newer, now=now, tolerance=self.tolerance)
        if excuse is not None:
            self.forgiven.append(Forgiven(at=now, group=newer.group, node=older.node, excuse=excuse))
        return excuse is not None

    def _judge_peers(self, newer: Episode) -> None:
        """An agent upgrade needs somebody else to stay; one that begins long after the last other fell silent is wrong."""
        peers = self.members.peers(newer.node)
        if newer.kind is not Kind.AGENT or newer.is_unasked or not peers:
            return
        now = self._clock.now()
        limit = self.tolerance.offline_after_seconds + self.tolerance.peers_margin_seconds
        if all(self.members.silent_seconds(peer, now) >= limit for peer in peers):
            self._violated(Rule.NOBODY_LEFT, newer, [newer])

    def _violated(self, rule: Rule, newer: Episode, together: list[Episode]) -> None:
        self.violations.append(
            Violation(
                rule=rule,
                at=self._clock.now(),
                group=newer.group,
                nodes=tuple(one.node for one in together),
                story="\n".join(f"  {one.tell()}" for one in together),
                together=tuple(together),
            )
        )

    def _end(self, deed: Deed) -> None:
        episode = self._open.pop((deed.node, deed.kind), None)
        if episode is not None:
            episode.ended_at, episode.how = deed.at, deed.detail
            if episode.kind is Kind.SERVICE and episode.group:
                self.turns.ended(episode.group, deed.node, deed.at)
                self.handoffs.ended_well(episode, deed.at)

    def _status(self, node: str, status: Mapping[str, Any]) -> None:
        word = status["status"]
        episode = self._open.get((node, Kind.AGENT))
        if episode is not None and episode.subject == status["policy"]:
            episode.reported = episode.reported or word in _PAST_THE_GATE
        self._note(node, word)
        if word in _ENDS and (group := self.members.group_of(node)):
            self.turns.ended(group, node, self._clock.now())
            latest = self._latest.get((node, Kind.AGENT))
            if word == _SUCCESS and latest is not None and latest.subject == status["policy"]:
                self.handoffs.ended_well(latest, self._clock.now())

    def _seen_node(self, node: str, doc: Mapping[str, Any]) -> None:
        now = self._clock.now()
        before = self.members.group_of(node)
        self.members.update(node, doc, now)
        after = self.members.group_of(node)
        if before != after:
            self._moved(node, after)

    def _moved(self, node: str, group: str) -> None:
        """A node has left its group, or joined one: what it is in the middle of is judged as deferred from then on."""
        self._joined_at[node] = self._clock.now()
        for episode in self._of(node):
            if group:
                episode.group, episode.excuse = group, Excuse.DEFERRED
            else:
                episode.excuse = episode.excuse or Excuse.LEFT
        self._note(node, f"joined {group}" if group else "left its group")

    def _heartbeat(self, node: str) -> None:
        now = self._clock.now()
        if self.members.silent_seconds(node, now) >= self.tolerance.dead_after_seconds:
            for episode in self._of(node):
                episode.excuse = episode.excuse or Excuse.DEAD
        self.members.heard_of(node, now)

    def _excuse_subject(self, policy: str) -> None:
        for episode in self._open.values():
            if episode.subject == policy:
                episode.excuse = episode.excuse or Excuse.POLICY_GONE

    def _holder_is_live(self, deed: Deed) -> bool:
        now = self._clock.now()
        limit = self.tolerance.offline_after_seconds
        group = self.members.group_of(deed.node)
        return any(
            one.counts and one.group == group and self.members.silent_seconds(one.node, now) < limit
            for one in self._open.values()
            if one.node != deed.node
        )

    def _note(self, node: str, what: str) -> None:
        for episode in self._of(node):
            episode.story.append(f"{self._clock.now():%H:%M:%S} {what}")
