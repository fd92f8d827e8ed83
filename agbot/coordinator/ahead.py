"""Members that are about to ask: what their question will need is read before they do, so that it costs the answer nothing.

An agent reports `download started` or `ha node waiting` before it asks. The feed announces that a member has reported something, the cycle
reads what, and for a while treats the member's group as one in which somebody waits. Nothing is decided by it: what was not read
ahead in time is read with the question.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from agbot.coordinator.serving import Serving
from agbot.coordinator.situation import Situation
from agbot.fleet.changes import Read
from agbot.fleet.policies import policy_read
from agbot.rules.facts import Ask, Member, NodeType
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Claim, Kind
from agbot.rules.seen_time import SeenTime
from agbot.rules.statuses import Phase

_EXPECTED = timedelta(minutes=3)
"""Agents ask when they have downloaded, and every 60 s from then on. A long download ends with a new report."""


class Ahead:
    """Knows who is about to ask."""

    def __init__(self, situation: Situation, serving: Serving) -> None:
        self._situation = situation
        self._serving = serving
        self._until: dict[NodeId, SeenTime] = {}

    def note(self, nodes: Iterable[NodeId]) -> list[GroupId]:
        """Look at the reports of these nodes, which were read just now; return the groups in which somebody is expected newly."""
        now, found = self._situation.now().seen, list[GroupId]()
        for node in nodes:
            asks = list(self._asks(node))
            if not asks:
                self._until.pop(node, None)
                continue
            if node not in self._until:
                found += [ask.group for ask in asks]
            self._until[node] = now + _EXPECTED
        return list(dict.fromkeys(found))

    def groups(self) -> list[GroupId]:
        """Return the groups in which somebody is expected to ask."""
        now = self._situation.now().seen
        self._until = {node: until for node, until in self._until.items() if until > now}
        return list(dict.fromkeys(ask.group for node in self._until for ask in self._asks(node)))

    def reads(self, group: GroupId) -> list[Read]:
        """Return what the questions of this group will need beside what is out of date in it: policies, and what members run."""
        now, found, picture = self._situation.now(), list[Read](), self._situation.picture
        # by the group's members: in a rollout that reaches a thousand groups at once, somebody is expected in each of them
        expected = (node for node in picture.members(group) if node in self._until)
        for ask in (ask for node in expected for ask in self._asks(node)):
            policy = policy_read(ask.claim.kind, ask.claim.subject)
            if not picture.is_current(policy):
                found.append(policy)
            found += self._serving.for_question(ask, now)
        return list(dict.fromkeys(found))

    def _asks(self, node: NodeId) -> Iterator[Ask]:
        """Yield the questions that a node is going to ask, from what it reports."""
        member = self._situation.picture.member(node)
        if not isinstance(member, Member) or member.node.group is None or member.node.node_type is NodeType.CLUSTER:
            return
        for policy, status in member.statuses.items():
            if status.phase is Phase.ASKING:
                yield Ask(group=member.node.group, claim=Claim(holder=node, kind=Kind.AGENT, subject=policy))
