"""The facts of the forecast at its own time, and the coordinator's decisions on them.

Questions are decided by `rules.decide`, leases end by `rules.review`, and both change the ledger by
`transitions`: what the daemon does, over a store in memory. Only the nodes are made up: they live
on as they were, and report their upgrade as agents do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from msgspec import structs

from agbot.coordinator.memory import group_facts
from agbot.coordinator.memory.group_facts import TrafficReport
from agbot.coordinator.memory.ledger import Ledger
from agbot.coordinator.memory.rows_seen import RowsSeen
from agbot.coordinator.review.waiters import Waiting
from agbot.fleet.changes import Read, What
from agbot.forecast.living import LivingPicture
from agbot.forecast.snapshot import Snapshot
from agbot.rules import health, lease
from agbot.rules.decide import Grant, Wait, decide
from agbot.rules.facts import Agreement, Ask, Node, Policy, Sight
from agbot.rules.group import Rollout
from agbot.rules.holder import Review
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, End, Kind
from agbot.rules.limits import Limits, LimitsOf
from agbot.rules.reasons import Reason
from agbot.rules.review import review
from agbot.rules.rollout import Subject
from agbot.rules.rule import Case
from agbot.rules.seen_time import Now, SeenTime
from agbot.rules.statuses import Status
from agbot.rules.verdict import Release
from agbot.store.contract import Writes
from agbot.store.memory import MemoryStore
from agbot.store.records import Record
from agbot.transitions import grants, reviews
from agbot.transitions.change import Change

_OF_BEGIN = "initiated"
_OF_END = "successful"


class _Report(TrafficReport):
    """Looks at every group of the organisation only for the canary: `Facts` knows who has begun."""

    def rollouts(
        self, group: GroupId, limits: Limits, subjects: Iterable[Subject], now: Now
    ) -> Mapping[Subject, Rollout]:
        """Return the rollouts in a group's organisation."""
        return super().rollouts(group, limits, subjects, now) if limits.canary_percent else {}


class Facts:
    """The hub at one moment."""

    def __init__(self, snapshot: Snapshot, limits_of: LimitsOf) -> None:
        self._snapshot = snapshot
        self._limits_of = limits_of
        self._picture = LivingPicture(snapshot.taken_at)
        self._store = MemoryStore()
        self._ledger = Ledger(self._store)
        self._waiting = Waiting(self._ledger)
        self._report = _Report(self._picture, self._ledger, limits_of)
        self._rows = RowsSeen()
        self._past_canaries: set[PolicyId] = set()
        self._begun: set[tuple[GroupId, PolicyId]] = set()

    async def begin(self) -> None:
        """Take everything in, as it was at the time of the snapshot."""
        await self._store.open()
        await self._ledger.load()
        snapshot, picture, now = self._snapshot, self._picture, at(self._snapshot.taken_at)
        mark = picture.begin()
        picture.learn_org(snapshot.org, snapshot.groups, snapshot.nodes, begun=mark, now=now)
        policies = {
            **{(What.MANAGEMENT_POLICY, name): aim.policy for name, aim in snapshot.aims.items()},
            **{(What.DEPLOYMENT_POLICY, name): policy for name, policy in snapshot.services.items()},
        }
        for (what, name), policy in policies.items():
            picture.policies.learn(Read(what=what, id=name), policy, begun=mark, now=now)
        for node, statuses in snapshot.statuses.items():
            picture.learn_statuses(node, statuses, begun=mark, now=now)
        for node, properties in snapshot.properties.items():
            picture.learn_properties(node, properties, begun=mark, now=now)
        for node, agreements in snapshot.agreements.items():
            picture.learn_agreements(node, agreements, begun=mark, now=now)
        limits = {each: self._limits_of(group) for group, members in snapshot.groups.items() for each in members}
        picture.revive({each for each, of in limits.items() if not health.why_offline(snapshot.nodes[each], of, now)})
        orders = snapshot.orders
        ordered: list[Record] = [*orders.holds, *orders.brakes, *orders.approvals, *orders.allowances]
        await self._ledger.write(Writes(put=ordered))

    def move_to(self, moment: datetime) -> Now:
        """Let it be this time."""
        self._picture.now = moment
        return at(moment)

    def available(self, group: GroupId, now: Now) -> Mapping[NodeId, bool]:
        """Return which members of a group are available."""
        limits, members = self._limits_of(group), self._picture.read_members(group)
        return {name: health.why_unavailable(each, limits, now) is None for name, each in members.items()}

    async def ask(self, ask: Ask, now: Now, beside: Mapping[Ask, tuple[Reason, ...]]) -> tuple[Reason, ...]:
        """Answer a question, and commit a grant; return the reasons of a refusal.

        `beside` are the other members of the group that are refused, and keep asking meanwhile.
        """
        for other, reasons in beside.items():
            self._waiting.note(other, reasons, now)
        case = self._case(ask, now)
        decision = decide(case)
        if isinstance(decision, Wait):
            self._waiting.note(ask, decision.reasons, now)
            return decision.reasons
        await self._grant(case, decision)
        return ()

    async def remember(self, group: GroupId, end: End) -> None:
        """Let the last upgrade in a group have ended so."""
        before = self._ledger.lease(group)
        await self._commit(Change(before=before, after=replace(before, last_end=end)))

    async def seize(self, ask: Ask, now: Now, *, is_suspect: bool) -> None:
        """Give the lease to an upgrade that was under way at the time of the snapshot."""
        await self._grant(self._case(ask, now), Grant())
        if is_suspect:
            before = self._ledger.lease(ask.group)
            await self._commit(Change(before=before, after=lease.suspect(before)))

    async def _grant(self, case: Case, decision: Grant) -> None:
        ask, now = case.ask, case.at
        # an exempt upgrade takes no lease, and a repeated grant has it already
        if decision.exempt is not None or case.group.lease.tenure is not None:
            return
        change = grants.grant(case, asker=self._picture.member(ask.node), allowed=decision.allowed)
        await self._commit(change)
        self._begun.add((ask.group, ask.claim.subject))
        if ask.is_agent:
            self._report_status(ask.claim, _OF_BEGIN, now)

    async def end(self, claim: Claim, group: GroupId, now: Now) -> bool:
        """Let an upgrade succeed; return whether that has freed the lease."""
        if claim.kind is Kind.AGENT:
            self._report_status(claim, _OF_END, now)
        else:
            self._run_service(claim, now)
        held, limits = self._ledger.lease(group), self._limits_of(group)
        seen = group_facts.seen_holder(held, self._picture, not_before=SeenTime(self._snapshot.taken_at))
        made = Review(lease=held, seen=seen, limits=limits, now=now)
        verdict = review(made)
        upgraded = group_facts.upgraded(claim, group, self._picture, self._ledger)
        await self._commit(reviews.carry_out(made, verdict, upgraded=upgraded))
        return isinstance(verdict, Release)

    async def _commit(self, change: Change) -> None:
        writes = Writes(put=change.put, drop=change.drop)
        if change.before is not None and change.after is not None:
            await self._ledger.swap(change.before, change.after, writes)
        elif change:
            await self._ledger.write(writes)

    def canaries_are_done(self, subject: PolicyId) -> None:
        """Ask no more whether the groups that go first have finished."""
        # in a forecast that stays so, because nothing fails, and the answer would look at every
        # group of the organisation each time
        self._past_canaries.add(subject)

    def _case(self, ask: Ask, now: Now) -> Case:
        limits = self._limits_of(ask.group)
        if ask.claim.subject in self._past_canaries:
            limits = replace(limits, canary_percent=0.0)
        if limits.approval and (ask.group, ask.claim.subject) in self._begun:
            limits = replace(limits, approval=False)  # it is about the first member of a group
        group = group_facts.gather(
            ask.group,
            self._picture,
            self._ledger,
            limits,
            rows=self._rows,
            ask=ask,
            report=self._report,
            now=now,
            view_at=now.seen,
        )
        return Case(at=now, ask=ask, group=group)

    def _report_status(self, claim: Claim, value: str, now: Now) -> None:
        picture = self._picture
        known, node = picture.statuses(claim.holder), picture.node(claim.holder)
        statuses = {} if isinstance(known, Sight) else dict(known)
        before = statuses.get(claim.subject)
        # Its name stands in for an unknown version: another one than the node runs, and without one
        # the rest would not wait for what the node reports as installed (decision 28).
        version = (before.target_version if before else "") or str(claim.subject)
        statuses[claim.subject] = Status(
            value=value, stamp=now.wall.isoformat(), updated_at=now.wall, target_version=version
        )
        picture.learn_statuses(claim.holder, statuses, begun=picture.begin(), now=now)
        if value == _OF_END and isinstance(node, Node):
            # the version follows the report, or the success would be contradicted
            picture.learn_node(
                claim.holder, structs.replace(node, agent_version=version), begun=picture.begin(), now=now
            )

    def _run_service(self, claim: Claim, now: Now) -> None:
        """Let the node run the version of highest priority under a new agreement."""
        picture = self._picture
        policy, known = picture.policies.get(claim.kind, claim.subject), picture.agreements(claim.holder)
        if not isinstance(policy, Policy):
            return
        others = () if isinstance(known, Sight) else tuple(each for each in known if each.service != policy.service)
        made = Agreement(
            id=f"forecast {now.wall.isoformat()}",
            service=policy.service,
            finalized=True,
            version=policy.top_version,
            containers=("running",),
            updated_at=now.wall,
        )
        picture.learn_agreements(claim.holder, (*others, made), begun=picture.begin(), now=now)


def at(moment: datetime) -> Now:
    """Return a moment at which everything is seen."""
    return Now(wall=moment, seen=SeenTime(moment))
