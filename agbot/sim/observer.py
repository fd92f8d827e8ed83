"""The independent observer: what actually happened to the nodes, whatever a lease table has.

The nodes and the agbot report their actions to it, and it sees every write in the simulated
Exchange (membership, statuses, heartbeats). From these alone it derives how many members of a group
were ever down for an upgrade at once. It asks the coordinator nothing. Only `on_lease_released` is
called by a reader of the coordinator's interface; it measures and does not judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agbot.sim.actions import Act, Action
from agbot.sim.agbot_rows import AgentRow, ServiceRow
from agbot.sim.agent_state import PAST_THE_GATE, Word
from agbot.sim.clock import Clock
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
    """The observer of one simulated hub.

    Nodes and agbot call `on_action`; the Exchange calls `on_write`.
    """

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
        """When each node has joined its group, until its first grant."""
        self._left_at: dict[str, datetime] = {}
        """When a member last left a group."""
        self.violations: list[Violation] = []
        self.forgiven: list[Forgiven] = []
        self.max_concurrent = 0
        self.max_concurrent_by_group: Counter[str] = Counter()

    def on_action(self, action: Action) -> None:
        """Record an action."""
        match action.act:
            case Act.DOWN:
                self._begin(action)
            case Act.UP:
                self._end(action)
            case Act.ASKED:
                if action.granted:
                    self._joined_at.pop(action.node, None)
                self.turns.asked(action, holder_is_live=self._holder_is_live(action))
            case Act.DIED | Act.RETURNED:
                self._note(action.node, action.act.value)

    def on_write(self, write: Write) -> None:
        """Record a write in the Exchange, after it took effect."""
        node = f"{write.org}/{write.id}"
        match write.resource, write.operation:
            case "node", "heartbeat":
                self._heartbeat(node)
            case "node", "deleted":
                self.members.delete(node)
                self._moved(node, "")
            case "node", _:
                self._seen_node(node, write.data, self._clock.now())
            case "nodemgmtpolstatus", "created/modified":
                self._status(node, write.data)
            case "nodemgmtpolstatus", "deleted":
                self._note(node, f"status of {write.data['policy']} deleted")
            case "mgmtpolicy", operation if operation == "deleted" or write.data.get("enabled") is False:
                self._excuse_subject(node)
            case _:
                pass

    def on_lease_released(self, group: str, node: str, subject: str, at: datetime | None = None) -> None:
        """Record that a member's lease for a policy is free; all names with `org/`.

        It measures the hand-off and judges nothing.
        """
        self.handoffs.lease_released(group, node, subject, at or self._clock.now())

    def on_row_deleted(self, row: AgentRow | ServiceRow) -> None:
        """Record that the agbot has deleted a row of its tables."""
        self.handoffs.row_deleted(row, self._clock.now())

    def excuse(self, node: str, excuse: Excuse = Excuse.FORGIVEN) -> None:
        """Excuse the upgrades that a node is in, because the test caused them on purpose."""
        for episode in self._of(node):
            episode.excuse = episode.excuse or excuse

    def reread(self, world: World) -> None:
        """Record every node as the Exchange has it now, after it was restored from a backup.

        No node was seen by that: a dead one stays as silent as it was.
        """
        for (org, name), node in world.nodes.items():
            self._seen_node(f"{org}/{name}", node.doc, seen_at=None)

    def under_way(self, group: str = "") -> list[Episode]:
        """Return the episodes that have not ended, of one group or of all."""
        return [one for one in self._open.values() if group in ("", one.group)]

    def ended(self, group: str, how: str = "") -> list[Episode]:
        """Return the episodes of a group that have ended, with `how` only those that ended so."""
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

    def _begin(self, action: Action) -> None:
        group = self.members.group_of(action.node)
        episode = Episode(
            node=action.node,
            kind=action.kind,
            subject=action.subject,
            group=group,
            began_at=action.at,
            is_unasked=action.is_unasked and not self.tolerance.is_guarded,
            is_listed=action.is_listed,
        )
        if self.members.is_cluster(action.node):
            episode.excuse = Excuse.CLUSTER
        elif not group:
            episode.excuse = Excuse.NO_GROUP
        elif self._is_unaware(action):
            episode.excuse = Excuse.UNAWARE
        self._open[action.node, action.kind] = self._latest[action.node, action.kind] = episode
        self.episodes.append(episode)
        self.handoffs.begun(episode)
        if episode.counts:
            self._judge(episode)
            self._judge_peers(episode)

    def _is_unaware(self, action: Action) -> bool:
        joined_at = self._joined_at.get(action.node)
        return joined_at is not None and (action.at - joined_at).total_seconds() <= self.tolerance.unaware_seconds

    def _judge(self, newer: Episode) -> None:
        now = self._clock.now()
        others = [one for one in self._open.values() if one.group == newer.group and one.node != newer.node]
        for older in others:
            if older.counts:
                lately = self.tolerance.acting_seconds
                silent = self.members.silent_seconds(older.node, now, lately_seconds=lately)
                older.excuse = excuse_for(older, newer, silent_seconds=silent, now=now, tolerance=self.tolerance)
            if older.excuse is not None:
                self.forgiven.append(Forgiven(at=now, group=newer.group, node=older.node, excuse=older.excuse))
        together = [one for one in others if one.counts]
        count = len({newer.node, *(one.node for one in together)})
        self.max_concurrent = max(self.max_concurrent, count)
        self.max_concurrent_by_group[newer.group] = max(self.max_concurrent_by_group[newer.group], count)
        guilty = [one for one in together if not self._is_unavoidable(one, newer)]
        if guilty:
            self._violated(Rule.ONE_AT_A_TIME, newer, [*guilty, newer])

    def _is_unavoidable(self, older: Episode, newer: Episode) -> bool:
        now = self._clock.now()
        excuse = excuse_together(older, newer, now=now, tolerance=self.tolerance)
        if excuse is not None:
            self.forgiven.append(Forgiven(at=now, group=newer.group, node=older.node, excuse=excuse))
        return excuse is not None

    def _judge_peers(self, newer: Episode) -> None:
        """Check that the group has another live member when an agent upgrade begins.

        An upgrade that begins long after the last other member has fallen silent is a violation.
        One that has just left was a member when the permission was given.
        """
        peers = self.members.peers(newer.node)
        if newer.kind is not Kind.AGENT or newer.is_unasked or not peers:
            return
        now = self._clock.now()
        limit = self.tolerance.offline_after_seconds + self.tolerance.peers_margin_seconds
        left_at = self._left_at.get(newer.group)
        if left_at is not None and (now - left_at).total_seconds() < self.tolerance.peers_margin_seconds:
            return
        if all(self.members.silent_seconds(peer, now) >= limit for peer in peers):
            self._violated(Rule.NO_MEMBER_LEFT, newer, [newer])

    def _violated(self, rule: Rule, newer: Episode, together: list[Episode]) -> None:
        self.violations.append(
            Violation(
                rule=rule,
                at=self._clock.now(),
                group=newer.group,
                nodes=tuple(one.node for one in together),
                story="\n".join(f"  {one.describe()}" for one in together),
                together=tuple(together),
            )
        )

    def _end(self, action: Action) -> None:
        episode = self._open.pop((action.node, action.kind), None)
        if episode is not None:
            episode.ended_at, episode.how = action.at, action.detail
            if episode.kind is Kind.SERVICE and episode.group:
                self.turns.ended(episode.group, action.node, action.at)
                self.handoffs.ended_well(episode, action.at)

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

    def _seen_node(self, node: str, doc: Mapping[str, Any], seen_at: datetime | None) -> None:
        before = self.members.group_of(node)
        self.members.update(node, doc, seen_at)
        after = self.members.group_of(node)
        if before != after:
            self._left_at[before] = self._clock.now()
            self._moved(node, after)

    def _moved(self, node: str, group: str) -> None:
        """Record that a node has left its group or joined one.

        The upgrades that it is in are judged as deferred from then on.
        """
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
        self.members.heartbeat(node, now)

    def _excuse_subject(self, policy: str) -> None:
        for episode in self._open.values():
            if episode.subject == policy:
                episode.excuse = episode.excuse or Excuse.POLICY_GONE

    def _holder_is_live(self, action: Action) -> bool:
        now = self._clock.now()
        limit = self.tolerance.offline_after_seconds
        group = self.members.group_of(action.node)
        return any(
            one.counts and one.group == group and self.members.silent_seconds(one.node, now) < limit
            for one in self._open.values()
            if one.node != action.node
        )

    def _note(self, node: str, what: str) -> None:
        for episode in self._of(node):
            episode.story.append(f"{self._clock.now():%H:%M:%S} {what}")
