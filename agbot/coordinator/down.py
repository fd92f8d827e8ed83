"""Members of which an agreement has ended: a crash sets the brake, and without the agbot's API the group's lease is held for them.

What a member ran is remembered when the feed tells of the loss, from what was read of it before (`agbot.fleet`). Where nothing was,
what its peers run tells, read once at that moment. Nothing is guessed: the lease is held for "a service of that node", without a
policy, until that service runs again or `lease_seconds` are over, and never for a service that nobody of the group was known to run.
"""

from __future__ import annotations

from datetime import timedelta

from agbot.coordinator import entries, stopping
from agbot.coordinator.reading import Reader
from agbot.coordinator.rows_seen import Source
from agbot.coordinator.situation import Situation
from agbot.coordinator.taking import Begun, Taking
from agbot.fleet.changes import Read, What
from agbot.fleet.policies import policy_read
from agbot.rules import health, loss
from agbot.rules.facts import Agreement, Member, Node, NodeType, Sight
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, End, Kind, Lease, Progress
from agbot.rules.loss import Loss
from agbot.rules.reasons import Cause
from agbot.store.contract import Writes

_GIVEN_UP = timedelta(minutes=10)
"""So long what could not be read is tried again."""


class Down:
    """Looks at members of which an agreement has ended."""

    def __init__(self, situation: Situation, reader: Reader, taking: Taking) -> None:
        self._situation = situation
        self._reader = reader
        self._taking = taking
        self._losses: dict[NodeId, Loss] = {}
        self._stopped: dict[GroupId, int] = {}

    async def look(self) -> list[str]:
        """Judge every loss; return what was done, one phrase each.

        Raises:
            StoreUnavailableError: nobody knows what was written.
        """
        self._take_losses()
        if not self._losses:
            return []
        about = [Read(what=what, id=node) for node in self._losses for what in (What.NODE, What.AGREEMENTS)]
        about += [
            read for node, found in self._losses.items() if found.before is Sight.UNREAD for read in self._peers(node)
        ]
        unread = {read.id for read in await self._reader.refresh(dict.fromkeys(about))}
        done: list[str] = []
        picture = self._situation.picture
        for node in [node for node in self._losses if node not in unread and not picture.may_have_left(node)]:
            with self._situation.troubles.guard("services that are down", node):
                done += await self._judge(node, self._losses[node])
            del self._losses[node]  # not where the store has failed: what could not be written is judged again
        return done

    def _take_losses(self) -> None:
        situation, now = self._situation, self._situation.now()
        picture = situation.picture
        self._losses = {node: each for node, each in self._losses.items() if now.age_of(each.at) <= _GIVEN_UP}
        for node, found in picture.take_losses().items():
            known = picture.node(node)
            if not isinstance(known, Node) or known.group is None or known.node_type is NodeType.CLUSTER:
                continue
            matters = situation.rows.source is Source.NONE or self._suspects(situation.ledger.lease(known.group), node)
            if matters and not picture.came_down(node):  # who joined with its service down is deferred
                self._losses[node] = found

    def _peers(self, node: NodeId) -> list[Read]:
        """Return the reads of peers that were never read: what they run tells what this one ran."""
        picture = self._situation.picture
        known = picture.node(node)
        peers = picture.members(known.group) if isinstance(known, Node) and known.group is not None else {}
        return [Read(what=What.AGREEMENTS, id=each) for each in peers if picture.agreements_read_at(each) is None]

    async def _judge(self, node: NodeId, found: Loss) -> list[str]:
        situation = self._situation
        member = situation.picture.member(node)
        if isinstance(member, Sight) or isinstance(member.agreements, Sight) or member.node.group is None:
            return []
        group = member.node.group
        stopped = await self._stop(group, node, found, member.agreements)
        if stopped:
            return [stopped]
        hold = situation.ledger.lease(group).hold
        is_silent = health.why_silent(member.node, situation.limits_of(group), situation.now()) is not None
        is_busy = hold is not None and hold.claim.holder == node
        if situation.rows.source is not Source.NONE or is_busy or is_silent or not member.node.registered:
            return []
        services = loss.services_down(found, member.agreements, self._common(group, node))
        return await self._taking.take(self._begun(group, member, found, services[0])) if services else []

    def _common(self, group: GroupId, node: NodeId) -> set[str]:
        members = self._situation.picture.read_members(group)
        known = [each.agreements for name, each in members.items() if name != node]
        return {each.service for agreements in known if not isinstance(agreements, Sight) for each in agreements}

    def _begun(self, group: GroupId, member: Member, found: Loss, service: str) -> Begun:
        before = () if isinstance(found.before, Sight) else found.before
        present = () if isinstance(member.agreements, Sight) else member.agreements
        old = {*(each.id for each in before), *(each.id for each in present if not health.is_since(each, found.at))}
        progress = Progress(
            moved_at=self._situation.now().seen,
            version_before=member.node.agent_version,
            service=service,
            agreements_before=tuple(sorted(old)),
            observed=True,
        )
        claim = Claim(holder=member.node.id, kind=Kind.SERVICE, subject=PolicyId(""))
        status = "an agreement has ended"
        return Begun(group=group, claim=claim, since=found.at, progress=progress, status=status, service=service)

    async def _stop(self, group: GroupId, node: NodeId, found: Loss, agreements: tuple[Agreement, ...]) -> str:
        """Set the brake on a release that has crashed; return what was done, empty if it has not."""
        situation, now = self._situation, self._situation.now()
        lease = situation.ledger.lease(group)
        for end in self._suspects(lease, node):
            policy = policy_read(Kind.SERVICE, end.claim.subject)
            if not situation.picture.is_current(
                policy
            ):  # a new version takes the old one away, and has crashed nothing
                await self._reader.make_current([policy])
            known = situation.picture.policies.get(Kind.SERVICE, end.claim.subject)
            gone = loss.crashed(found, agreements, known)
            if gone is None or situation.rows.is_listed(group, end.claim):
                continue
            brake = stopping.of_crash(situation, lease, end, now)
            if brake is not None and self._stopped.get(group) != end.token:
                why = f"{gone.service} {gone.version} on {node} has lost its agreement"
                await situation.write(Writes(put=[brake], entries=[entries.brake_set(brake, now, why)]))
                self._stopped[group] = end.token
                return f"stopped {brake.subject} in {group} ({why})"
            return f"{gone.service} {gone.version} on {node} has crashed"
        return ""

    def _suspects(self, lease: Lease, node: NodeId) -> list[End]:
        """Return the upgrades of which this node may be the crashed one: its own that has just ended, and the one of a peer."""
        limits, now, found = self._situation.limits_of(lease.group), self._situation.now(), list[End]()
        end, hold = lease.last_end, lease.hold
        proof = timedelta(seconds=limits.service_soak_seconds + limits.rest_proof_seconds)
        if (
            end is not None
            and end.claim.holder == node
            and end.cause is Cause.SUCCEEDED
            and now.seen - end.since <= proof
        ):
            found.append(end)
        if hold is not None and hold.claim.holder != node:
            claim = Claim(holder=node, kind=hold.claim.kind, subject=hold.claim.subject)
            progress = hold.progress
            found.append(
                End(
                    claim=claim,
                    token=lease.token,
                    cause=Cause.SUCCEEDED,
                    at=now.wall,
                    revision=progress.revision,
                    service=progress.service,
                    top_version=progress.versions.software,
                )
            )
        return [each for each in found if each.claim.kind is Kind.SERVICE and each.claim.subject]
