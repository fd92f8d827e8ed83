"""Members that have lost an agreement: a crash sets the brake, or the member takes the lease.

The member takes the lease only without the agbot's API. When the feed shows a loss, the services
that the member ran are known from the picture (`agbot.fleet`). If they are not, they are taken from
its peers, which are read once at that moment. Nothing is guessed: the lease is held for "a service
of that node", without a policy, until that service runs again or `lease_seconds` have passed, and
never for a service that no member of the group was known to run.
"""

from __future__ import annotations

from datetime import timedelta

from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.memory.rows_seen import Source
from agbot.coordinator.review.brakes import Brakes
from agbot.coordinator.situation import Situation
from agbot.coordinator.unasked.taking import Taking
from agbot.exchange.errors import Unreadable
from agbot.fleet import occasions
from agbot.fleet.policies import policy_read
from agbot.fleet.reads import Wanted, Why
from agbot.rules import health, loss
from agbot.rules.facts import Agreement, Member, Node, NodeType, Sight
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import End, Kind
from agbot.rules.limits import Limits
from agbot.rules.loss import Loss
from agbot.rules.seen_time import Now
from agbot.transitions import begun

_GIVEN_UP = timedelta(minutes=10)
"""For how long a read that fails is tried again."""


class Down:
    """Judges the losses of agreements."""

    def __init__(self, situation: Situation, reader: Reader, taking: Taking, brakes: Brakes) -> None:
        self._situation = situation
        self._reader = reader
        self._taking = taking
        self._brakes = brakes
        self._losses: dict[NodeId, Loss] = {}

    async def follow(self) -> list[str]:
        """Judge every loss; return what was done, one phrase each."""
        self._take_losses()
        if not self._losses:
            self._situation.troubles.keep("services that are down", ())
            return []
        picture = self._situation.picture
        about = [wanted for node, found in self._losses.items() for wanted in occasions.of_loss(node, found, picture)]
        unread = {read.id for read in await self._reader.refresh(about)}
        done: list[str] = []
        for node in [node for node in self._losses if node not in unread and not picture.may_have_left(node)]:
            with self._situation.troubles.guard("services that are down", node):
                done += await self._judge(node, self._losses[node])
                del self._losses[node]  # not after a failure: it is judged again then
        self._situation.troubles.keep("services that are down", {GroupId(node) for node in self._losses})
        return done

    def _take_losses(self) -> None:
        situation, now = self._situation, self._situation.now()
        picture = situation.picture
        self._losses = {node: each for node, each in self._losses.items() if now.age_of(each.at) <= _GIVEN_UP}
        for node, found in picture.take_losses().items():
            known = picture.node(node)
            if not isinstance(known, Node) or known.group is None or known.node_type is NodeType.CLUSTER:
                continue
            matters = situation.rows.source is Source.NONE or self._may_have_crashed(known.group, node)
            # a member that joined with its service down is deferred
            if matters and not picture.joined_without_service(node):
                self._losses[node] = found

    async def _judge(self, node: NodeId, found: Loss) -> list[str]:
        situation = self._situation
        member = situation.picture.member(node)
        if isinstance(member, Sight) or isinstance(member.agreements, Sight) or member.node.group is None:
            return []
        group = member.node.group
        stopped = await self._stop(group, node, found, member.agreements)
        if stopped:
            return stopped
        is_silent = health.why_silent(member.node, situation.limits_of(group), situation.now()) is not None
        is_busy = situation.ledger.lease(group).holder == node
        if situation.rows.source is not Source.NONE or is_busy or is_silent or not member.node.registered:
            return []
        services = loss.services_down(found, member.agreements, self._common(group, node))
        if not services:
            return []
        return await self._taking.take(begun.lost(group, member, found, services[0], situation.now()))

    async def look(self, group: GroupId, asker: NodeId) -> None:
        """Look for other members' upgrades that a store which was replaced may have granted.

        Before the first grant since then, in as long as an upgrade may take: the lists of an agbot
        on the same database have lost what the leases have lost.

        Raises:
            ExchangeError: the services of a member could not be read.
        """
        situation, now, limits = self._situation, self._situation.now(), self._situation.limits_of(group)
        generation, lease = situation.ledger.generation, situation.ledger.lease(group)
        longest = timedelta(seconds=limits.max_upgrade_seconds)
        replaced_at = generation.replaced_at
        if replaced_at is None or lease.token > generation.token_floor or now.wall - replaced_at > longest:
            return
        since = replaced_at - timedelta(seconds=limits.lease_seconds)
        members = situation.picture.read_members(group).items()
        alive = [node for node, each in members if self._is_there(each, limits, now)]
        for error in (await self._reader.refresh(occasions.of_replaced_store(alive))).values():
            if not isinstance(error, Unreadable):
                raise error
        for node in (each for each in alive if each != asker):
            member, common = situation.picture.member(node), self._common(group, node)
            found = loss.under_way(member, common, since, now) if isinstance(member, Member) else None
            if found is not None and isinstance(member, Member):
                service, lost = found
                await self._taking.take(begun.lost(group, member, lost, service, situation.now()))

    @staticmethod
    def _is_there(member: Member, limits: Limits, now: Now) -> bool:
        node = member.node
        is_device = node.node_type is not NodeType.CLUSTER and node.registered
        return is_device and health.why_silent(node, limits, now) is None

    def _common(self, group: GroupId, node: NodeId) -> set[str]:
        members = self._situation.picture.read_members(group)
        known = [each.agreements for name, each in members.items() if name != node]
        return {each.service for agreements in known if not isinstance(agreements, Sight) for each in agreements}

    async def _stop(self, group: GroupId, node: NodeId, found: Loss, agreements: tuple[Agreement, ...]) -> list[str]:
        """Set the brake on a version that has crashed; return what was done, one phrase each."""
        situation = self._situation
        for end in self._may_have_crashed(group, node):
            policy = policy_read(Kind.SERVICE, end.claim.subject)
            # a new version replaces the old one, which is no crash
            await self._reader.make_current([Wanted(read=policy, why=Why.LOST_AGREEMENT)])
            known = situation.picture.policies.get(Kind.SERVICE, end.claim.subject)
            gone = loss.crashed(found, agreements, known)
            if gone is None or situation.rows.is_listed(group, end.claim):
                continue
            what = f"{gone.service} {gone.version} on {node}"
            stopped = await self._brakes.stop(group, end, f"{what} has lost its agreement")
            return stopped or [f"{what} has crashed"]
        return []

    def _may_have_crashed(self, group: GroupId, node: NodeId) -> list[End]:
        situation = self._situation
        return loss.may_have_crashed(situation.ledger.lease(group), node, situation.limits_of(group), situation.now())
