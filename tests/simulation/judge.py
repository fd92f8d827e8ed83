"""Who holds the run to the promises of DESIGN, section 2, after every step: each commit, each answer, each thing a node does.

It believes the simulated Exchange and the simulated nodes, never the coordinator, and takes words
for what they meant when it was imported, before any planted fault. Where a promise leaves room (a
dead node, a release by force), the room is named here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from agbot.coordinator.operators import history
from agbot.coordinator.operators.replaying import replay
from agbot.coordinator.permission import Answer, Granted
from agbot.rules import ids
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId
from agbot.rules.lease import End, Kind, Lease, State
from agbot.rules.reasons import Cause
from agbot.rules.statuses import PHASES, Phase
from agbot.sim.agent_state import Word
from agbot.sim.deployment import Phase as AgbotPhase
from agbot.sim.episodes import Excuse
from agbot.sim.exchange import Write
from agbot.sim.fleet import Fleet
from agbot.sim.node import SimNode
from agbot.store.contract import Entry
from tests.simulation.basis_judge import BasisJudge
from tests.simulation.control_judge import ControlJudge
from tests.simulation.daemon import Daemon
from tests.simulation.disk import Disk
from tests.simulation.gone_judge import GoneJudge
from tests.simulation.offline_peers import OfflinePeers
from tests.simulation.overlap_judge import OverlapJudge
from tests.simulation.plan import Plan
from tests.simulation.silence_judge import SilenceJudge
from tests.simulation.story import HUB, Promise, Story
from tests.simulation.word_judge import WordJudge

_CLOCK_SECONDS = 60.0
"""The Exchange's clock may be moved in the middle of a run; what was stated just before a grant is
then taken for after it."""
_ABSENCES = frozenset({Cause.NODE_DELETED, Cause.LEFT_GROUP, Cause.POLICY_DELETED})
_ENDS = {
    Cause.SUCCEEDED: {Phase.ENDED_WELL},
    Cause.NOTHING_TO_DO: {Phase.NOTHING_TO_DO},
    Cause.FAILED: {Phase.ENDED_BADLY, Phase.FAILING},
}


class Judge:
    """See `tests.simulation.disk.Watcher`."""

    def __init__(self, plan: Plan, story: Story) -> None:
        self._plan = plan
        self._story = story
        self._seen = 0
        self._granted_at: dict[tuple[GroupId, int], float] = {}
        self._gone_at: dict[str, float] = {}
        """When a node or policy was last deleted, a policy disabled, a node taken out of its
        group."""
        self._groups: dict[str, object] = {}
        self._moved: dict[GroupId, tuple[object, float]] = {}
        self._stated: dict[tuple[str, str], list[tuple[float, str]]] = {}
        self.peers = OfflinePeers(plan, story)
        self.controls = ControlJudge(plan, story)
        self.basis = BasisJudge(plan, story)
        self.overlaps = OverlapJudge(plan)
        self.silence = SilenceJudge(plan, story)
        self.words = WordJudge(story)
        self.gone = GoneJudge(plan, story)
        self.fleet: Fleet | None = None
        self.disk: Disk | None = None
        self.daemon: Callable[[], Daemon | None] = lambda: None
        self.strange: set[str] = set()
        """Nodes that have stated what no agent says; their statuses prove nothing."""

    def committed(self, before: Mapping[GroupId, Lease], after: Mapping[GroupId, Lease], emitted: list[Entry]) -> None:
        """Look at what one transaction changed."""
        for group, lease in after.items():
            old = before.get(group, Lease(group=group))
            if old != lease:
                self._take_time(old, lease)
                self._changed(old, lease)
            if lease.token > old.token:
                self.words.granted(lease, self._disk.brakes(), emitted, self._fleet)
            if lease.token > old.token and self._plan.is_controlled:
                self.controls.granted(old, lease, after, emitted, self._fleet)
        self.controls.holds(self._disk.holds())
        self.words.stated(emitted, after, self._disk.brakes(), self._fleet)
        self._disk.replaced = self._disk.replaced and not any(entry.event == "store.settled" for entry in emitted)
        for entry in emitted:
            if entry.event not in {"lease.renewed", "wait.changed"}:
                stated = f"{entry.event} {entry.node or ''} {entry.token or ''} {entry.delivered_facts}"
                self._story.report(entry.group or HUB, stated)
        self.look()

    def _take_time(self, old: Lease, new: Lease) -> None:
        """Write down on the loop's clock what the coordinator's, which may step, says too."""
        now = asyncio.get_running_loop().time()
        if new.token > old.token:
            self._granted_at[new.group, new.token] = now
            self.overlaps.granted(new, self.daemon())
            if who := self.overlaps.installs_on(new, self._fleet):
                text = f"granted while {who} installs what its policy, which was deleted, has begun"
                self._story.broke(Promise.ONE_HOLDER, new.group, text)
        mark = (new.token, new.tenure.progress.moved_at) if new.tenure is not None else None
        if self._moved.get(new.group, (None, 0.0))[0] != mark:
            self._moved[new.group] = (mark, now)

    def _changed(self, old: Lease, new: Lease) -> None:
        group = new.group
        self.silence.changed(old, new)
        if new.token < old.token:
            self._story.broke(Promise.OWN_TOKEN, group, f"the token went back from {old.token} to {new.token}")
        if old.state is State.HELD and new.state is State.HELD and new.token != old.token:
            self._story.broke(Promise.ONE_HOLDER, group, f"granted over a held lease: {old.tenure} became {new.tenure}")
        if (
            new.tenure is not None
            and old.tenure is not None
            and new.token == old.token
            and new.tenure.claim != old.tenure.claim
        ):
            self._story.broke(Promise.OWN_TOKEN, group, f"another holder under the same token {new.token}")
        if old.tenure is not None and new.tenure is None and new.last_end is not None:
            self._released(old, new.last_end)
        if old.state is State.SUSPECT and old.tenure is not None and new.tenure is not None and new.token != old.token:
            self._taken_over(old.tenure.claim.holder, new.tenure.claim.holder)

    def _taken_over(self, before: str, after: str) -> None:
        """A holder that was offline when a running service took its lease over (P6) may be back before that service goes down."""
        observer = self._fleet.observer
        silent_seconds = observer.members.silent_seconds(before, self._fleet.clock.now())
        if before != after and silent_seconds >= observer.tolerance.offline_after_seconds:
            observer.excuse(before, Excuse.OFFLINE_HOLDER)

    def _released(self, old: Lease, end: End) -> None:
        """An end that rests on the holder's own report must have been in the Exchange."""
        if end.token != old.token or (old.tenure is not None and end.claim != old.tenure.claim):
            self._story.broke(Promise.OWN_TOKEN, old.group, f"the end of {end.token} ended {old.token}")
        self.words.ended(old.group, end, self._fleet)
        self.overlaps.ended(end, old.group, self._fleet)
        granted_at = self._granted_at.get((old.group, old.token), 0.0)
        if end.cause in _ABSENCES and "restore" not in self._plan.wild and not self._has_gone(end, granted_at):
            text = f"{end.cause} of {end.claim.holder} ({end.detail}), and nothing of it was deleted or moved"
            self._story.broke(Promise.UNKNOWN_IS_NOT_DONE, old.group, text)
        if end.claim.kind is Kind.AGENT and end.cause in _ENDS and not self._is_backed(end, granted_at):
            stated = self._stated.get((end.claim.holder, end.claim.subject), [])[-5:]
            text = f"{end.cause} of {end.claim.holder} ({end.detail}), but it has said {stated}"
            self._story.broke(Promise.UNKNOWN_IS_NOT_DONE, old.group, text)

    def _has_gone(self, end: End, granted_at: float) -> bool:
        """Whether the holder, its membership or its policy has really ended since shortly before the grant."""
        gone = (self._gone_at.get(name, -1.0) for name in (end.claim.holder, end.claim.subject))
        return max(gone) >= granted_at - _CLOCK_SECONDS

    def _take_absence(self, write: Write) -> None:
        name, now = f"{write.org}/{write.id}", asyncio.get_running_loop().time()
        is_disabled = write.resource == "mgmtpolicy" and not write.data.get("enabled")
        if is_disabled or (write.operation == "deleted" and write.resource in {"node", "policy"}):
            self._gone_at[name] = now
        group = write.data.get("ha_group") if write.resource == "node" and "ha_group" in write.data else None
        if "ha_group" in write.data and self._groups.setdefault(name, group) != group:
            self._gone_at[name], self._groups[name] = now, group

    def _is_backed(self, end: End, granted_at: float) -> bool:
        """Whether the node has really stated so since the grant, or really runs what was asked for."""
        stated = self._stated.get((end.claim.holder, end.claim.subject), [])
        if any(at >= granted_at - _CLOCK_SECONDS and PHASES.get(word) in _ENDS[end.cause] for at, word in stated):
            return True
        node = self._fleet.nodes.get(end.claim.holder)
        return end.cause is Cause.SUCCEEDED and node is not None and node.version in end.detail

    def wrote(self, write: Write) -> None:
        """Remember what nodes have stated, as the Exchange took it."""
        self.peers.wrote(write)
        self.overlaps.wrote(write)
        self.silence.wrote(write)
        self.words.wrote(write)
        self.gone.wrote(write)
        self._take_absence(write)
        if self._plan.is_controlled:
            self.controls.wrote(write, self._fleet)
        if write.resource == "nodemgmtpolstatus" and write.operation == "created/modified":
            key = (f"{write.org}/{write.id}", str(write.data["policy"]))
            self._stated.setdefault(key, []).append((asyncio.get_running_loop().time(), str(write.data["status"])))

    def looked(self, begun: float) -> None:
        """Take in a look at the feed."""
        self.silence.looked(begun)
        self.peers.sight.looked(begun)

    def wrote_time(self) -> None:
        """Take in that the store knows how far the seen clock has come."""
        self.peers.sight.wrote()

    def wants_swap(self, expected: Lease, new: Lease) -> None:
        """A grant must rest on a store that answers and a view that is young (P4)."""
        if new.token <= expected.token or new.tenure is None:
            return
        daemon = self.daemon()
        if daemon is not None:
            self.basis.granted(new, daemon, self.disk)

    def hear(self, ask: Ask, answer: Answer, begun: float) -> None:
        """Every refusal names its reasons (P7), which are never offline peers of a running service (P6)."""
        self.peers.hear(ask, answer, begun, self._fleet, self._disk.leases().get(ask.group))
        daemon = self.daemon()
        if isinstance(answer, Granted):
            if daemon is not None:
                self.basis.answered(ask, answer, daemon)
            if answer.exempt is None:
                self.overlaps.answered(ask, daemon, self._fleet)
            return
        self.gone.hear(ask, answer, self._fleet)
        if not answer.reasons or not all(reason.text for reason in answer.reasons):
            self._story.broke(Promise.REASONS, ask.group, f"{ask.node} was refused without a reason")

    def look(self, *_: object) -> None:
        """Ask the observer what the nodes have really done (P1)."""
        self.gone.look(self._fleet)
        violations = self._fleet.observer.violations
        for violation in violations[self._seen :]:
            is_excused = self.overlaps.could_not_help(violation) or self.controls.allowed_alone(violation)
            if all(self._is_registered(node) for node in violation.nodes) and not is_excused:
                self._story.broke(Promise.ONE_HOLDER, violation.group, str(violation))
        self._seen = len(violations)

    def _is_registered(self, name: str) -> bool:
        """A node that has unregistered serves no one and is given up at once (P5)."""
        node = self._fleet.nodes.get(name)
        return node is not None and node.registered

    def explains_all(self) -> None:
        """Every node and group can be asked about (P7)."""
        daemon = self.daemon()
        if daemon is None:
            return
        for name in self._fleet.nodes:
            daemon.coordinator.explain(name)  # type: ignore[arg-type]  # a node's id as the fleet has it
        for group in daemon.coordinator.groups():
            for waiter in group.waiting:
                if not waiter.reasons:
                    self._story.broke(Promise.REASONS, group.id, f"{waiter.node} waits without a reason")

    def is_idle(self) -> bool:
        """Whether no lease is occupied and no node is in the middle of anything: there is nothing left to wait for."""
        busy = any(lease.tenure is not None for lease in self._disk.leases().values())
        return not busy and all(node.down_for is None for node in self._fleet.nodes.values())

    def drained(self) -> None:
        """After a quiet time no lease is left without somebody alive behind it (P5)."""
        for group, lease in sorted(self._disk.leases().items()):
            tenure = lease.tenure
            if tenure is None:
                continue
            node = self._fleet.nodes.get(tenure.claim.holder)
            known = node is not None and (node.down_for is not None or tenure.claim.holder in self.strange)
            shown = self._shown_version(tenure.claim.holder)
            if node is not None and lease.state is State.SUSPECT and shown != tenure.progress.target_version:
                # alive, never reported an end, and seems not to run what was asked for: a person
                # looks
                known = True
            _, moved_at = self._moved.get(group, (None, 0.0))
            recent = asyncio.get_running_loop().time() - moved_at < self._plan.limits.max_upgrade_seconds
            if not known and not recent:
                self._story.broke(
                    Promise.NOTHING_FOR_EVER, group, f"{lease.state} by {tenure.claim.holder}: {tenure.progress}"
                )

    def _shown_version(self, node: str) -> str:
        """Return the version that the Exchange shows of a node: one that was restored may have lost what the node has reported since."""
        known = self._fleet.exchange.world.nodes.get((ids.org_of(node), ids.name_of(node)))
        return str(known.doc["softwareVersions"].get("horizon", "")) if known is not None else ""

    def waiting(self) -> list[str]:
        """Name whoever really waits: agents for their permission, and services that the agbot would upgrade."""
        fleet = self._fleet
        agents = [
            f"{name} for {entry.nmp}"
            for name, node in sorted(fleet.nodes.items())
            for entry in node.notebook.entries.values()
            if entry.word is Word.HA_WAITING and self._can_go(node)
        ]
        upgrades = fleet.agbot.ledger.upgrades.values() if self._plan.agbot_asks else ()
        waits = (each for each in upgrades if each.phase is AgbotPhase.WAITING and self._can_go(fleet.nodes[each.node]))
        return [*agents, *(f"{each.node} for {each.policy}" for each in waits)]

    def _can_go(self, node: SimNode) -> bool:
        exists = (node.spec.org, node.spec.id) in self._fleet.exchange.world.nodes
        return exists and node.alive and node.registered

    def served_all(self) -> None:
        """No one is left waiting, and no group is stuck, once everything was put right."""
        for text in self.waiting():
            group = self._fleet.observer.members.group_of(text.partition(" ")[0])
            self._story.broke(Promise.SERVED, group, f"{text} waits for ever")
        for group, lease in sorted(self._disk.leases().items()):
            if lease.tenure is not None:
                self._story.broke(
                    Promise.SERVED, group, f"{lease.state} by {lease.tenure.claim.holder}: {lease.tenure.progress}"
                )

    def derives_all(self) -> None:
        """What was decided, all through the run, is what the rules say of the facts that were written down (P7)."""
        found = replay(history.view(entry) for entry in self._disk.entries())
        for each in found.different:
            text = f"entry {each.id} of {each.node} said {each.then}, and its facts say {each.now}"
            self._story.broke(Promise.REASONS, each.group or HUB, text)
        for unread in found.unreadable:
            self._story.broke(Promise.REASONS, HUB, f"entry {unread.id}: {unread.problem}")

    @property
    def _fleet(self) -> Fleet:
        if self.fleet is None:
            raise RuntimeError("the run has no fleet yet")
        return self.fleet

    @property
    def _disk(self) -> Disk:
        if self.disk is None:
            raise RuntimeError("the run has no disk yet")
        return self.disk
