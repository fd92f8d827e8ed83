"""P6: no refusal of a service that runs under a current agreement rests on peers that are offline.

Which agreement is current and who is offline is taken from the simulated Exchange and nodes; of the
coordinator only its answer counts. The room left: an agreement counts when it was final before the
question was put, and a holder counts as offline from `MARGIN_SECONDS` after the heartbeat limit on,
by our clock and by the Exchange's, which may have been moved, and without the time in which nothing
could be seen (`sight`). After such a move, and after a restore, its last heartbeat is one of the
past, and a living node needs its minute to send the next one.
"""

from __future__ import annotations

import asyncio

from agbot.coordinator.permission import Answer, Granted, Refused
from agbot.rules.facts import Ask
from agbot.rules.ids import name_of, org_of
from agbot.rules.lease import Kind, Lease, State
from agbot.rules.reasons import Cause, Code
from agbot.rules.seen_time import SETTLING
from agbot.sim.actions import Act, Action
from agbot.sim.exchange import Write
from agbot.sim.exchange.stamp import parse
from agbot.sim.fleet import Fleet
from tests.simulation.plan import Plan
from tests.simulation.sight import Sight
from tests.simulation.story import Promise, Story

MARGIN_SECONDS = 15.0
"""Between the look at a heartbeat and the answer that rests on it, and until a moved clock of the
Exchange is known."""
_FINAL = "Finalized Agreement"


class OfflinePeers:
    """One run's agreements and deaths, and what was answered in view of them."""

    def __init__(self, plan: Plan, story: Story) -> None:
        # no simulated node asks for a heartbeat interval of its own, so one limit holds for all
        self._limit_seconds = plan.limits.heartbeat_stale_seconds + MARGIN_SECONDS
        self._story = story
        self._final_since: dict[tuple[str, str], float] = {}
        self._down_since: dict[str, float] = {}
        self._past_shown_at = -1e9
        self.sight = Sight()
        self._exchange_ahead: float | None = None
        self.asked_alone = 0
        """How often this was put to the test: questions for a service under a current agreement
        while every peer was offline."""

    def wrote(self, write: Write) -> None:
        """Remember since when an agreement is final, as the Exchange took it."""
        if write.resource != "nodeagreements" or "agreement" not in write.data:
            return
        key = (f"{write.org}/{write.id}", str(write.data["agreement"]))
        if write.data.get("state") == _FINAL:
            self._final_since.setdefault(key, _now())
        else:
            self._final_since.pop(key, None)

    def saw(self, action: Action) -> None:
        """Remember since when a node is down."""
        if action.act is Act.DIED:
            self._down_since[action.node] = _now()
        elif action.act is Act.RETURNED:
            self._down_since.pop(action.node, None)

    def shows_the_past(self) -> None:
        """Remember when heartbeats were last shown as they had been: for a minute no one can report who is silent (P4)."""
        self._past_shown_at = _now()

    def hear(self, ask: Ask, answer: Answer, begun: float, fleet: Fleet, lease: Lease | None) -> None:
        """Look at one answer; `lease` is the group's as it is stored."""
        ahead = round((fleet.exchange.now() - fleet.clock.now()).total_seconds())
        if self._exchange_ahead is not None and ahead != self._exchange_ahead:
            self.shows_the_past()
        self._exchange_ahead = ahead
        if ask.claim.kind is not Kind.SERVICE or not self._is_current(ask, begun, fleet):
            return
        self.asked_alone += self._is_alone(ask, fleet)
        if not isinstance(answer, Granted):
            self._refused(ask, answer, fleet, lease)

    def _refused(self, ask: Ask, answer: Refused, fleet: Fleet, lease: Lease | None) -> None:
        stated = "; ".join(str(reason) for reason in answer.reasons)
        codes = {reason.code for reason in answer.reasons}
        if Code.PEERS_UNAVAILABLE in codes:
            self._story.broke(Promise.OFFLINE_PEERS, ask.group, f"{ask.node} has an agreement and heard: {stated}")
        # before the holder has been read, a coordinator that has just started cannot know (P4)
        if Code.LEASE_SUSPECT not in codes or Code.VIEW_STALE in codes:
            return
        tenure = lease.tenure if lease is not None and lease.state is State.SUSPECT else None
        if (
            lease is not None
            and tenure is not None
            and _fell_before(lease)
            and ask.claim.subject == tenure.claim.subject
        ):
            return  # two in a row: it is the release that waits for a person
        if tenure is not None and self._is_offline_peer(tenure.claim.holder, ask, fleet):
            down = int(_now() - self._down_since[tenure.claim.holder])
            text = (
                f"{ask.node} has an agreement, {tenure.claim.holder} is down for {down} s, and the answer was: {stated}"
            )
            self._story.broke(Promise.OFFLINE_PEERS, ask.group, text)

    def _is_current(self, ask: Ask, begun: float, fleet: Fleet) -> bool:
        world, subject = fleet.exchange.world, ask.claim.subject
        policy = world.business_policies.get((org_of(subject), name_of(subject)))
        if policy is None:
            return False
        service = "{org}/{name}".format_map(policy.doc["service"])
        agreements = world.node_agreements.get((org_of(ask.node), name_of(ask.node)), {})
        return any(
            doc["agrService"]["url"] == service and self._final_since.get((ask.node, key), begun) < begun
            for key, doc in agreements.items()
        )

    def _is_alone(self, ask: Ask, fleet: Fleet) -> bool:
        members, now = fleet.observer.members, fleet.clock.now()
        peers = members.peers(ask.node)
        silent = [members.silent_seconds(peer, now) > self._limit_seconds for peer in peers]
        return bool(silent) and all(silent) and members.group_of(ask.node) == ask.group

    def _is_offline_peer(self, holder: str, ask: Ask, fleet: Fleet) -> bool:
        since, node = self._down_since.get(holder), fleet.exchange.world.nodes.get((org_of(holder), name_of(holder)))
        if _now() - self._past_shown_at < SETTLING.total_seconds() + MARGIN_SECONDS or not self.sight.is_settled():
            return False
        if since is None or node is None or holder not in fleet.observer.members.peers(ask.node):
            return False
        silent_seconds = (fleet.exchange.now() - parse(node.doc["lastHeartbeat"])).total_seconds()
        return min(silent_seconds, _now() - since) - self.sight.unseen_seconds(since) > self._limit_seconds


def _fell_before(lease: Lease) -> bool:
    """Whether the holder before the present one fell silent in the middle of the same release."""
    tenure, end = lease.tenure, lease.last_end
    if tenure is None or end is None or end.cause not in {Cause.SUPERSEDED, Cause.EXPIRED}:
        return False
    if end.was_offline or tenure.progress.was_offline:
        return False
    return (end.claim.subject, end.revision) == (tenure.claim.subject, tenure.progress.revision)


def _now() -> float:
    return asyncio.get_running_loop().time()
