"""Service upgrades that nobody asked for: seen through the Exchange, and given the group's lease (`agbot.rules.observed`).

What is read stays bounded: of an organisation all its deployment policies, or of a member's pattern its services, once after they have
changed; of a member its agreements, when one of them has ended while a policy that is for it changes. Members that go on under their
agreements cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from agbot.coordinator import entries
from agbot.coordinator.deferring import Deferring
from agbot.coordinator.reading import Reader
from agbot.coordinator.reviewing import Reviewing
from agbot.coordinator.rows_seen import Source
from agbot.coordinator.situation import Situation
from agbot.fleet.changes import Read, What
from agbot.rules import decide, ids, observed
from agbot.rules import lease as leases
from agbot.rules.facts import Ask, Deferral, Group, Member, Node, NodeType, Policy, Sight
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind, State
from agbot.rules.observed import Loss
from agbot.store.contract import Lost, Writes

_EXPECTED = timedelta(minutes=10)
"""How long after a policy has changed the feed is followed closely: an agbot begins within seconds, and then there is a lease."""
_GIVEN_UP = timedelta(minutes=10)
"""So long what could not be read is tried again."""


class Observing:
    """Looks at members of which an agreement has ended."""

    def __init__(self, situation: Situation, reader: Reader, reviewing: Reviewing, deferring: Deferring) -> None:
        self._situation = situation
        self._reader = reader
        self._reviewing = reviewing
        self._deferring = deferring
        self._losses: dict[NodeId, Loss] = {}

    def expects(self) -> bool:
        """Tell whether an agbot may be about to begin service upgrades."""
        changed_at = self._situation.picture.policies_changed_at
        return changed_at is not None and self._situation.now().age_of(changed_at) < _EXPECTED

    async def look(self) -> list[str]:
        """Take the lease for every service upgrade that has begun; return what was done, one phrase each.

        Raises:
            StoreUnavailableError: nobody knows what was written.
        """
        self._take_losses()
        if self._situation.rows.source is not Source.NONE:
            self._losses.clear()  # the agbot itself tells what it has begun
        if not self._losses or self._situation.doubts():
            return []
        unknown = await self._know_policies()
        known = [node for node in self._losses if not {Read(what=What.NODE, id=node), self._source(node)} & unknown]
        changing = {node: self._changing(node) for node in known}
        about = [Read(what=what, id=node) for node in known if changing[node] for what in (What.NODE, What.AGREEMENTS)]
        about += [read for node in known if changing[node] for read in self._peers(node)]
        unread = {read.id for read in await self._reader.refresh(about)}
        done: list[str] = []
        for node in [node for node in known if node not in unread]:
            done += await self._judge(node, self._losses[node], changing[node])
            del self._losses[node]
        return done

    def _take_losses(self) -> None:
        situation, now = self._situation, self._situation.now()
        picture = situation.picture
        self._losses = {node: loss for node, loss in self._losses.items() if now.age_of(loss.at) <= _GIVEN_UP}
        for node, at in picture.take_losses().items():
            known, read_at = picture.node(node), picture.agreements_read_at(node)
            if not isinstance(known, Node) or known.group is None or known.node_type is NodeType.CLUSTER:
                continue
            if picture.came_down(node):
                continue  # it joined with its service down: that is a deferral
            is_from_before = read_at is not None and read_at < now.seen_at(at)
            self._losses[node] = Loss(at=at, before=picture.agreements(node) if is_from_before else Sight.UNREAD)

    def _source(self, node: NodeId) -> Read:
        """Return the read that brings what deploys to this node: its pattern, or the policies of its organisation."""
        known = self._situation.picture.node(node)
        if isinstance(known, Node) and known.pattern:
            return Read(what=What.PATTERN, id=known.pattern)
        return Read(what=What.DEPLOYMENT_POLICIES, id=ids.org_of(node))

    async def _know_policies(self) -> set[Read]:
        """Read the policies and patterns in question, where they have changed since; return those that could not be read."""
        picture = self._situation.picture
        # a node tells its pattern once it is registered
        nodes = [Read(what=What.NODE, id=node) for node in self._losses]
        unread = await self._reader.refresh(read for read in nodes if not picture.is_current(read))
        sources = dict.fromkeys(self._source(node) for node in self._losses)
        return {*unread, *await self._reader.refresh(read for read in sources if not picture.is_current(read))}

    def _changing(self, node: NodeId) -> list[Policy]:
        situation, now = self._situation, self._situation.now()
        known = situation.picture.node(node)
        if not isinstance(known, Node) or known.group is None:
            return []
        lease, limits = situation.ledger.lease(known.group), situation.limits_of(known.group)
        policies = situation.picture.policies
        mine = policies.for_pattern(known.pattern) if known.pattern else policies.for_deployment(ids.org_of(node))
        return [
            policy
            for policy in mine
            if observed.is_for(policy, known) and observed.is_changing(policy, lease, limits, now)
        ]

    def _peers(self, node: NodeId) -> list[Read]:
        """Return the reads of peers that were never read: what they serve tells what this one served, and they may be next."""
        picture = self._situation.picture
        known = picture.node(node)
        peers = picture.members(known.group) if isinstance(known, Node) and known.group is not None else {}
        return [Read(what=What.AGREEMENTS, id=each) for each in peers if picture.agreements_read_at(each) is None]

    async def _judge(self, node: NodeId, loss: Loss, changing: list[Policy]) -> list[str]:
        situation = self._situation
        member = situation.picture.member(node)
        if isinstance(member, Sight) or member.node.group is None:
            return []
        group = member.node.group
        peers = (each.agreements for name, each in situation.picture.read_members(group).items() if name != node)
        common = {each.service for agreements in peers if not isinstance(agreements, Sight) for each in agreements}
        policy = observed.upgrade_of(loss, member, changing, common)
        lease = situation.ledger.lease(group)
        if policy is None or lease.is_held_for(_claim(node, policy)):
            return []
        done = await self._end_what_is_over(node, group)
        if self._is_free_for(node, policy, group):
            return [*done, *await self._take(node, loss, policy, member)]
        return [*done, *await self._overlap(node, loss, policy, group)]

    async def _end_what_is_over(self, node: NodeId, group: GroupId) -> list[str]:
        """See anew how far the others are: an agbot goes on at the first `running`, which is read here some seconds later."""
        situation = self._situation
        lease, deferrals = situation.ledger.lease(group), situation.ledger.deferrals.get(group, {})
        holder = lease.hold.claim.holder if lease.hold is not None else None
        busy = {*(each.node for each in deferrals.values() if each.is_overlap), *((holder,) if holder else ())} - {node}
        if not busy:
            return []
        whats = (What.NODE, What.STATUSES, What.AGREEMENTS)
        await self._reader.refresh(Read(what=what, id=each) for each in sorted(busy) for what in whats)
        await self._deferring.refresh(group)
        done = await self._reviewing.review(lease) if holder in busy else ""
        return [done] if done else []

    def _is_free_for(self, node: NodeId, policy: Policy, group: GroupId) -> bool:
        """Tell whether the lease can be taken: free, or suspect with a holder that was offline when it was read just now."""
        lease = self._situation.ledger.lease(group)
        if lease.state is not State.SUSPECT:
            return lease.state is State.FREE
        ask = Ask(group=group, claim=_claim(node, policy), agreement_bound=True)
        return decide.lease_suspect(ask, self._situation.group(group), self._situation.now()) is None

    async def _take(self, node: NodeId, loss: Loss, policy: Policy, member: Member) -> list[str]:
        situation, now = self._situation, self._situation.now()
        group = situation.group(member.node.group or GroupId(""))
        before, ttl = group.lease, timedelta(seconds=group.limits.lease_seconds)
        progress = observed.progress_of(loss, policy, member, now)
        after = leases.grant(before, _claim(node, policy), now, ttl, progress, token_floor=group.token_floor)
        told = [*entries.superseded(before, after, now), entries.observed(after, loss.at, now)]
        others = _others(node, group)
        if others:
            told.append(entries.overlapped(_deferral(node, loss, policy, group.id), others, now))
        outcome = await situation.swap(before, after, Writes(entries=told))
        if isinstance(outcome, Lost):
            return await self._overlap(node, loss, policy, before.group)
        return [f"saw {node} upgrade {policy.id} (token {after.token})"]

    async def _overlap(self, node: NodeId, loss: Loss, policy: Policy, name: GroupId) -> list[str]:
        situation, now = self._situation, self._situation.now()
        group = situation.group(name)
        if node in group.deferrals:
            return []
        deferral, others = _deferral(node, loss, policy, name), _others(node, group)
        told = [entries.deferral_begun(deferral, now)]
        if others:
            told.insert(0, entries.overlapped(deferral, others, now))
        await situation.write(Writes(put=[deferral], entries=told))
        return [f"saw {node} upgrade {policy.id} while {', '.join(others) or 'it'} upgrades"]


def _claim(node: NodeId, policy: Policy) -> Claim:
    return Claim(holder=node, kind=Kind.SERVICE, subject=policy.id)


def _deferral(node: NodeId, loss: Loss, policy: Policy, group: GroupId) -> Deferral:
    return Deferral(
        group=group,
        node=node,
        subject=policy.id,
        since=loss.at,
        status="no agreement",
        kind=Kind.SERVICE,
        service=policy.service,
    )


def _others(node: NodeId, group: Group) -> Mapping[NodeId, PolicyId]:
    """Return who else upgrades in the group, and what."""
    found = {each.node: each.subject for each in group.deferrals.values() if each.is_overlap}
    if group.lease.hold is not None:
        found[group.lease.hold.claim.holder] = group.lease.hold.claim.subject
    found.pop(node, None)
    return found
