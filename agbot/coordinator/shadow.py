"""Compares what the real agbot decides with what the coordinator would decide, and journals it.

An upgrade that begins was let in by the agbot: it is decided again before it takes the lease. A
member that reports `ha node waiting` is kept waiting by the agbot: it is decided as if it had asked
here, so that it is a waiter with all its reasons. Members that wait for a service upgrade cannot be
seen in the Exchange; the agbot itself shows them. Nothing is granted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import msgspec

from agbot.agreementbot.client import Agbots
from agbot.coordinator import decision_record
from agbot.coordinator.contract import Explanation, Overview
from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.memory.rows_seen import Source
from agbot.coordinator.operators.explaining import note_refusal
from agbot.coordinator.review.waiters import Waiting
from agbot.coordinator.situation import Situation
from agbot.coordinator.unasked import listed
from agbot.coordinator.unasked.unasked import Unasked
from agbot.events.event import Event
from agbot.events.shadow import ShadowDiffers
from agbot.events.waits import ReasonGiven
from agbot.fleet import occasions, plan
from agbot.fleet.reads import Why
from agbot.rules.decide import Decision, Grant, Wait, decide
from agbot.rules.deferral import claim_of as claim_of_overlap
from agbot.rules.facts import Ask, Node, Row, Sight
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind
from agbot.rules.rows import STUCK_AFTER, Standing, claim_of
from agbot.rules.rule import Case
from agbot.rules.seen_time import SeenTime
from agbot.rules.words import clock
from agbot.store.contract import StoreUnavailableError
from agbot.transitions.begun import Begun
from agbot.transitions.change import Change

_MODE = "shadow"
_WAITS = "ha node waiting"
_SCAN_SECONDS = 10.0
"""How often the members that wait are looked for; agents ask every 60 s."""
_READS = 3
"""A group is read, then its members, then what they need."""


class Shadow:
    """Counts and journals the differences."""

    def __init__(self, situation: Situation, reader: Reader, waiting: Waiting, agbot: Agbots | None) -> None:
        self._situation = situation
        self._agbot = agbot
        self._waiting = waiting
        self._reader = reader
        self._began = situation.clock.now()
        self._scanned_seconds: float | None = None
        self._would_go: dict[Ask, SeenTime] = {}
        """The members that the agbot keeps waiting, and since when the coordinator would not."""
        self._reported: set[Ask] = set()
        self.compared = 0
        self.differs = 0

    async def began(self, begun: Begun) -> None:
        """Compare an upgrade that has begun, before it takes the lease.

        One that had begun before this process started is not compared: what was true then is not
        known.
        """
        rows, claim = self._situation.rows, begun.claim
        is_older = begun.since < self._began or any(rows.claim(row) == claim for row in rows.found_first)
        if not claim.subject or is_older:
            return
        ask = _ask(begun.group, claim)
        made = await self._consider(ask)
        if made is None:
            return
        self._would_go.pop(ask, None)
        case, decision = made
        await self._count(self._of_begin(begun, case, decision) if isinstance(decision, Wait) else None)

    def _of_begin(self, begun: Begun, case: Case, wait: Wait) -> ShadowDiffers:
        claim, group = begun.claim, begun.group
        is_listed = self._situation.rows.is_listed(group, claim)
        shown = f"its row has been listed since {clock(begun.since)}" if is_listed else f"it reports {begun.status!r}"
        because = "; ".join(each.text for each in wait.reasons)
        return ShadowDiffers(
            group=group,
            node=claim.holder,
            subject=claim.subject,
            kind=claim.kind,
            difference="began",
            did=f"the agbot let {claim.holder} begin the {claim.kind} upgrade {claim.subject} ({shown})",
            would=f"the coordinator would have kept it waiting: {because}",
            since=begun.since,
            reasons=tuple(ReasonGiven(code=str(each.code), text=each.text) for each in wait.reasons),
            decision_record=decision_record.write(case),
        )

    async def follow(self) -> None:
        """Decide for each member that waits, as if it had asked here; for the end of a cycle."""
        with self._situation.troubles.guard("shadow"), suppress(StoreUnavailableError):
            await self._follow_all()

    async def _follow_all(self) -> None:
        situation = self._situation
        now_seconds = situation.clock.monotonic_seconds()
        is_early = self._scanned_seconds is not None and now_seconds - self._scanned_seconds < _SCAN_SECONDS
        if is_early or situation.doubts():
            return
        self._scanned_seconds = now_seconds
        shown = [*self._of_agents(), *await self._of_services()]
        asks = [ask for ask in shown if not self._is_through(ask)]
        self._would_go = {ask: since for ask, since in self._would_go.items() if ask in asks}
        self._reported.intersection_update(asks)
        by_group: dict[GroupId, list[Ask]] = {}
        for ask in asks:
            by_group.setdefault(ask.group, []).append(ask)
        for group, mine in by_group.items():
            with situation.troubles.guard("shadow", group):
                await self._follow(mine)
        situation.troubles.keep("shadow", {GroupId(""), *by_group})

    def _is_through(self, ask: Ask) -> bool:
        """Whether this upgrade has begun: its node may still be shown as one that waits."""
        lease, overlaps = self._situation.ledger.lease(ask.group), self._situation.ledger.deferrals.get(ask.group, {})
        return (
            lease.is_held_for(ask.claim)
            or (ask.node in overlaps and claim_of_overlap(overlaps[ask.node]) == ask.claim)
            or self._situation.rows.is_listed(ask.group, ask.claim) is True
        )

    def _of_agents(self) -> Iterator[Ask]:
        """Yield the questions of the members that report to wait for permission."""
        picture = self._situation.picture
        for group in picture.groups():
            for node in picture.members(group):
                statuses = picture.statuses(node)
                for policy, status in {} if isinstance(statuses, Sight) else statuses.items():
                    if status.value == _WAITS:
                        yield _ask(group, Claim(holder=node, kind=Kind.AGENT, subject=policy))

    async def _of_services(self) -> list[Ask]:
        """Return the questions for the members that wait behind the row of another member.

        Without such a row none is kept waiting, and nothing is read.
        """
        rows, picture = self._situation.rows, self._situation.picture
        listed = [row for of_group in rows.states.values() for row in of_group if row.kind is Kind.SERVICE]
        if rows.source is not Source.LISTED or not listed or self._agbot is None:
            return []
        holders: dict[tuple[GroupId, PolicyId], set[NodeId]] = {}
        for row in listed:
            holders.setdefault((row.group, row.subject), set()).add(row.node)
        asks: list[Ask] = []
        for name, policy in sorted(await self._agbot.waiting()):
            node = picture.node(name)
            if not isinstance(node, Node) or node.group is None:
                continue
            if name not in holders.get((node.group, policy), {name}):
                row = Row(kind=Kind.SERVICE, group=node.group, node=name, subject=policy)
                asks.append(_ask(node.group, claim_of(row, node)))
        return asks

    async def _follow(self, asks: list[Ask]) -> None:
        """Decide the questions of one group. Of those that could go, only one would."""
        would_go: Ask | None = None
        for ask in sorted(asks, key=self._waits_since):
            made = await self._consider(ask)
            if made is None or self._is_through(ask):  # it may have begun while this was read
                continue
            case, decision = made
            if isinstance(decision, Wait):
                note_refusal(case, decision, self._waiting)
            elif decision.exempt is None and would_go is None:
                would_go = ask
                await self._kept_waiting(case)
        for ask in asks:
            if ask != would_go:
                self._would_go.pop(ask, None)

    async def _consider(self, ask: Ask) -> tuple[Case, Decision] | None:
        """Decide on current facts, as `agbot.coordinator.questions` does, but grant nothing.

        Return the decision with its facts; None if something could not be read, so that nothing can
        be compared.
        """
        situation, reader = self._situation, self._reader
        for _ in range(_READS):
            lease, limits = situation.ledger.lease(ask.group), situation.limits_of(ask.group)
            services = occasions.services_for(
                ask, lease, situation.picture, limits, ages=situation.ages, now=situation.now()
            )
            wanted = [*plan.at_once(situation.unread(ask), Why.ASKER), *services]
            if not wanted:
                break
            await reader.make_current(wanted)
        case, decision = self._decide(ask)
        if isinstance(decision, Grant):
            await reader.refresh(occasions.of_grant(ask, case.group, decision))
        else:
            blockers = occasions.of_wait(decision, case.group, situation.picture, situation.ages, case.at)
            await reader.refresh([*blockers, *occasions.proof_of_rest(decision, case.group, case.at)])
        case, decision = self._decide(ask)
        is_blind = bool(case.group.doubts) or case.group.agbot_doubt is not None
        return None if is_blind else (case, decision)

    def _decide(self, ask: Ask) -> tuple[Case, Decision]:
        """Decide on what is in memory.

        Rows of the agbot that have not taken a lease yet may have been written later than this
        upgrade began, so they count only once they have.
        """
        known = self._situation.case(ask)
        case = Case(at=known.at, ask=ask, group=msgspec.structs.replace(known.group, rows=()))
        return case, decide(case)

    def _waits_since(self, ask: Ask) -> tuple[bool, str]:
        since = self._would_go.get(ask)
        waiter = self._situation.ledger.waiter(ask)
        known = since or (waiter.since if waiter is not None else None)
        return known is None, "" if known is None else known.as_if_never_blind.isoformat()

    async def _kept_waiting(self, case: Case) -> None:
        ask, now = case.ask, case.at
        since = self._would_go.setdefault(ask, now.seen)
        if ask in self._reported or now.seen - since < STUCK_AFTER:
            return
        event = ShadowDiffers(
            group=ask.group,
            node=ask.node,
            subject=ask.claim.subject,
            kind=ask.claim.kind,
            difference="kept-waiting",
            did=f"the agbot keeps {ask.node} waiting to upgrade {ask.claim.subject}: {self._slot(ask)}",
            would="the coordinator would have let it go: no rule keeps it waiting",
            since=now.shown(since),
            decision_record=decision_record.write(case),
        )
        await self._count(event)
        self._reported.add(ask)

    def _slot(self, ask: Ask) -> str:
        """Say who has the agbot's slot for this upgrade, as far as it is listed."""
        rows = self._situation.rows
        if rows.source is Source.NONE:
            return "its rows are not known, because [agbot] api is not set"
        of_kind = [state for state in rows.of(ask.group) if state.row.kind is ask.claim.kind]
        taken = [state for state in of_kind if ask.is_agent or rows.claim(state.row).subject == ask.claim.subject]
        if not taken:
            return f"it lists no {ask.claim.kind} upgrade of the group"
        state = taken[0]
        held = f"{state.row.node} has the slot, for {rows.claim(state.row).subject}"
        if state.standing is not Standing.STUCK:
            return held
        shown = listed.view_stuck(state, self._situation)
        defect = f"{shown.defect}: " if shown.defect else ""
        return f"{held}, which is over ({defect}{shown.why}); cure: {shown.cure}"

    async def _count(self, event: Event | None) -> None:
        if event is not None:
            await self._situation.commit(Change(events=[event]))
            self.differs += 1
        # after the commit: one that fails is compared once more
        self.compared += 1

    def shown(self, overview: Overview) -> Overview:
        """Add the mode and the counts to the summary."""
        return replace(overview, mode=_MODE, compared=self.compared, differs=self.differs)

    def explained(self, found: Explanation) -> Explanation:
        """Say in an explanation that nothing is granted here."""
        answer = found.answer
        if found.rules and all(each.passes for each in found.rules):
            answer = f"The coordinator would let {found.node} go for {found.subject}: nothing here keeps it waiting."
        return replace(found, answer=f"{answer} (Shadow mode: the agbot decides, and nothing is granted here.)")


def _ask(group: GroupId, claim: Claim) -> Ask:
    return Ask(group=group, claim=claim, agreement_bound=claim.kind is Kind.SERVICE)


def beside(situation: Situation, reader: Reader, waiting: Waiting, unasked: Unasked, agbot: Agbots | None) -> Shadow:
    """Return a shadow that sees each unasked upgrade before it takes the lease.

    Agents ask the real agbot, which is no bypass then.
    """
    shadow = Shadow(situation, reader, waiting, agbot)
    unasked.taking.before = shadow.began
    unasked.contacts.expects_questions = False
    return shadow
