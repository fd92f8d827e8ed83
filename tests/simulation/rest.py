"""P5, P7 and liveness: what still holds or waits, and whether there is a reason for it that is true.

Looked at every half minute (nothing raises, every waiter has its reasons), and in the end, when a hub without faults must come to rest:
whoever wants an upgrade has had it, and what stands still says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agbot.rules.lease import Hold, Lease, State
from agbot.rules.reasons import Code
from agbot.sim.agent_state import Word
from agbot.sim.deployment import Phase
from agbot.sim.node import SimNode
from tests.simulation.story import Promise

if TYPE_CHECKING:
    from tests.simulation.hub import Hub

_ENDS = frozenset(
    {
        Word.SUCCESSFUL,
        Word.NO_ACTION,
        Word.PRECHECK_FAILED,
        Word.ROLLBACK_FAILED,
        Word.ROLLBACK_SUCCESSFUL,
        Word.DOWNLOAD_FAILED,
    }
)
_PERSON_MUST_ACT = frozenset({Code.BRAKE, Code.PAUSED})


class Rest:
    """Looks at a hub from time to time."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._over: dict[tuple[str, int], float] = {}
        """(group, token) -> since when the Exchange holds the end of that grant."""

    def look(self) -> None:
        """Ask the coordinator everything that a person could ask; none of it may fail."""
        daemon = self._hub.daemon
        if daemon is None:
            return
        daemon.coordinator.overview()
        for view in daemon.coordinator.groups():
            for wait in view.waiting:
                if not wait.reasons:
                    self._broke(Promise.REASONS, view.id, f"{wait.node} waits without a reason")
                explained = daemon.coordinator.explain(wait.node)
                if explained is None or not explained.answer:
                    self._broke(Promise.REASONS, view.id, f"{wait.node} waits and nobody can explain it")
        for node in self._hub.fleet.nodes:
            daemon.coordinator.explain(node)
        if self._hub.plan.is_calm:
            self._judge_survival()

    def _judge_survival(self) -> None:
        """P5 in a hub without faults: evidence ends a lease within a few cycles."""
        hub, now = self._hub, asyncio.get_running_loop().time()
        bound = 2 * hub.plan.settings.poll_seconds + 10
        for lease in hub.disk.leases().values():
            if lease.hold is None or not self._is_over(lease, lease.hold):
                continue
            since = self._over.setdefault((lease.group, lease.token), now)
            if now - since > bound:
                text = f"{lease.hold.claim} is over since {since:.0f} and still holds the lease"
                self._broke(Promise.NOTHING_FOR_EVER, lease.group, text)

    def _is_over(self, lease: Lease, hold: Hold) -> bool:
        truth, claim = self._hub.truth, hold.claim
        if truth.was_out(claim.holder, lease.group, asyncio.get_running_loop().time()):
            return True
        words = truth.words[claim.holder, claim.subject]
        granted = self._hub.judge.granted_at(lease)
        return bool(words) and words[-1][1] in _ENDS and words[-1][0] > granted + 2.0

    # The end

    def unrest(self) -> list[tuple[Promise, str, str]]:
        """Return what still goes on or stands still without a good reason."""
        return [*self._leases(), *self._nodes(), *self._services()]

    def _leases(self) -> Iterator[tuple[Promise, str, str]]:
        for lease in self._hub.disk.leases().values():
            if lease.hold is None:
                continue
            if lease.state is State.HELD:
                yield Promise.NOTHING_FOR_EVER, lease.group, f"{lease.hold.claim} holds the lease"
            elif not self._is_open(lease.hold):
                yield Promise.NOTHING_FOR_EVER, lease.group, f"{lease.hold.claim} is suspect and is not under way"
            elif not self._is_stated(lease):
                yield Promise.REASONS, lease.group, f"{lease.hold.claim} is suspect and nobody says why"

    def _is_open(self, hold: Hold) -> bool:
        """Whether this upgrade of a live node has really not ended, so that only a person can know more."""
        claim, observer = hold.claim, self._hub.fleet.observer
        is_open = any(
            one.node == claim.holder and one.kind == claim.kind and one.subject == claim.subject
            for one in observer.under_way()
        )
        return is_open and self._hub.silent_seconds(claim.holder) < self._hub.plan.limits.dead_after_seconds

    def _is_stated(self, lease: Lease) -> bool:
        daemon = self._hub.daemon
        view = daemon.coordinator.group(lease.group) if daemon else None
        explained = daemon.coordinator.explain(lease.hold.claim.holder) if daemon and lease.hold else None
        return bool(view and view.lease.note and explained and explained.unblock)

    def _nodes(self) -> Iterator[tuple[Promise, str, str]]:
        hub = self._hub
        for node in hub.fleet.nodes.values():
            group = hub.group_of(node.name)
            if not (group and node.alive and node.registered):
                continue
            for entry in tuple(node.notebook.entries.values()):
                subject = f"{node.spec.org}/{entry.nmp}"
                wants = entry.word in {Word.HA_WAITING, Word.WAITING, Word.DOWNLOADING}
                if wants and hub.truth.policies.get(subject) and not self._may_wait(node, group, subject):
                    yield (
                        Promise.SERVED,
                        group,
                        f"{node.name} is {entry.word!r} for {subject}: {self._codes(node.name, subject)}",
                    )

    def _services(self) -> Iterator[tuple[Promise, str, str]]:
        hub = self._hub
        for upgrade in tuple(hub.fleet.agbot.ledger.upgrades.values()):
            node, group = hub.fleet.nodes[upgrade.node], hub.group_of(upgrade.node)
            if upgrade.phase is Phase.GOING and not (node.alive and node.registered):
                continue
            known = (node.spec.org, node.spec.id) in hub.exchange.world.nodes
            if known and group and not self._may_wait(node, group, upgrade.policy):
                codes = self._codes(node.name, upgrade.policy)
                yield (
                    Promise.SERVED,
                    group,
                    f"the service of {node.name} is {upgrade.phase} for {upgrade.policy}: {codes}",
                )

    def _codes(self, node: str, subject: str) -> set[str] | None:
        daemon = self._hub.daemon
        view = daemon.coordinator.group(self._hub.group_of(node)) if daemon else None  # type: ignore[arg-type]  # a plain str here
        waits = [wait for wait in view.waiting if (wait.node, wait.subject) == (node, subject)] if view else []
        return {str(reason.code) for reason in waits[0].reasons} if waits else None

    def _may_wait(self, node: SimNode, group: str, subject: str) -> bool:
        if self._hangs(node):
            return True
        codes = self._codes(node.name, subject) or set()
        if codes & _PERSON_MUST_ACT:
            return True
        if Code.LEASE_SUSPECT in codes:
            return any(
                lease.group == group and lease.hold and self._is_open(lease.hold)
                for lease in self._hub.disk.leases().values()
            )
        if Code.PEERS_UNAVAILABLE in codes:
            return not self._has_peer(node)
        return Code.DEFERRED in codes and node.down_for is not None

    def _hangs(self, node: SimNode) -> bool:
        """Whether this node is in the middle of something that never ends."""
        return node.down_for is not None and node.alive

    def _has_peer(self, node: SimNode) -> bool:
        """Whether another member is up and known to be."""
        hub = self._hub
        stale = hub.plan.limits.heartbeat_stale_seconds
        peers = (hub.fleet.nodes[name] for name in hub.fleet.observer.members.peers(node.name))
        return any(hub.silent_seconds(peer.name) < stale and peer.down_for is None for peer in peers)

    def _broke(self, promise: Promise, group: str, text: str) -> None:
        self._hub.story.broke(promise, group, text)
