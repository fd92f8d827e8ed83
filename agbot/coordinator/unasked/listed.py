"""The upgrades in the agbot's lists: each takes the lease or is an overlap. Reports stuck rows.

The reads are bounded by the rows: the node of a row, its statuses or agreements, and the policy.
Rows of groups that are not coordinated here are ignored. A row that stays although its upgrade is
over is stuck, and is shown with the defect of the agbot and its cure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agbot.agreementbot import cures
from agbot.coordinator.contract import StuckView
from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.memory.rows_seen import Source
from agbot.coordinator.situation import Situation
from agbot.coordinator.unasked.taking import Taking
from agbot.events import agreementbot
from agbot.exchange.errors import Unreadable
from agbot.fleet import occasions
from agbot.fleet.reads import Wanted
from agbot.rules import rows
from agbot.rules.facts import Member, Row, Sight
from agbot.rules.ids import GroupId
from agbot.rules.lease import Claim, Kind
from agbot.rules.rows import RowFacts, RowState, Standing
from agbot.store.contract import StoreUnavailableError
from agbot.transitions import begun
from agbot.transitions.change import Change


class ListedUpgrades:
    """Follows the agbot's rows."""

    def __init__(self, situation: Situation, reader: Reader, taking: Taking) -> None:
        self._situation = situation
        self._reader = reader
        self._taking = taking
        self._reported: set[Row] = set()

    async def follow(self, only: GroupId | None = None) -> list[str]:
        """Follow every row, or those of one group; return what was done, one phrase each."""
        situation = self._situation
        if situation.rows.source is Source.NONE or not situation.ledger.is_trusted:
            return []
        groups = [group for group in situation.rows.states if only in {None, group} and self._is_ours(group)]
        states = [state for group in groups for state in situation.rows.of(group)]
        await self._read_ended(only)
        await self._reader.refresh(self._of_rows(states))
        policies = [wanted for state in states for wanted in occasions.policy_of_row(state.row, situation.picture)]
        await self._reader.make_current(policies)
        done: list[str] = []
        for state in states:
            with situation.troubles.guard("upgrades that the agbot lists", state.row.group):
                done += await self._follow(state)
        situation.troubles.keep("upgrades that the agbot lists", situation.rows.states)
        self._reported &= {row for each in situation.rows.states.values() for row in each}
        return done

    def _is_ours(self, group: GroupId) -> bool:
        """Whether the group exists as far as is known. A row may outlive it."""
        return self._situation.picture.why_missing(group) is None

    async def _read_ended(self, only: GroupId | None) -> None:
        """Read the proofs that the upgrades of rows that have gone are over."""
        rows, ledger = self._situation.rows, self._situation.ledger
        rows.gone = {row for row in rows.gone if ledger.lease(row.group).holder == row.node}
        ended = {row: occasions.of_ended_row(row) for row in rows.gone if only in {None, row.group}}
        failures = await self._reader.refresh(wanted for each in ended.values() for wanted in each)
        # what the Exchange could not show is read again by the next cycle
        failed = {read for read, error in failures.items() if not isinstance(error, Unreadable)}
        rows.gone -= {row for row, proof in ended.items() if failed.isdisjoint(wanted.read for wanted in proof)}

    def _of_rows(self, states: Iterable[RowState]) -> list[Wanted]:
        """Return the reads of the nodes of rows."""
        found: list[Wanted] = []
        for state in states:
            is_new = state.standing is Standing.UNDER_WAY and state.row not in self._situation.rows.claims
            found += occasions.of_row(state, is_new=is_new)
        return found

    async def _follow(self, state: RowState) -> list[str]:
        situation, row, now = self._situation, state.row, self._situation.now()
        if row not in situation.rows.states.get(row.group, {}):
            return []  # a later read no longer found it
        picture = situation.picture
        claim = rows.claim_of(row, picture.node(row.node))
        facts = _facts_of(row, claim, situation)
        after = situation.rows.follow(row, facts, claim, now)
        if after.standing is Standing.UNDER_WAY and isinstance(facts.member, Member) and not after.has_ended_here:
            return await self._taking.take(begun.listed(after, claim, facts.member, facts.policy, now))
        if after.standing is Standing.STUCK and situation.rows.source is Source.LISTED and row not in self._reported:
            # to its end, as a question may stop waiting: a write that fails is tried again
            await situation.ledger.finish(self._report_stuck(after))
            return [f"the agbot's row of {row.node} for {claim.subject} is stuck"]
        return []

    async def _report_stuck(self, state: RowState) -> None:
        situation = self._situation
        row, shown = state.row, view_stuck(state, situation)
        claim = situation.rows.claim(row)
        event = agreementbot.stuck(row.group, claim, defect=shown.defect, why=shown.why, cure=shown.cure)
        # before the write: the cycle and a question may find it at the same time
        self._reported.add(state.row)
        try:
            await situation.commit(Change(events=[event]))
        except StoreUnavailableError:
            self._reported.discard(state.row)
            raise


def _facts_of(row: Row, claim: Claim, situation: Situation) -> RowFacts:
    """Return what is known of a row's node."""
    overlap = situation.ledger.deferrals.get(row.group, {}).get(row.node)
    member, policy = situation.picture.member(row.node), situation.picture.policies.get(claim.kind, claim.subject)
    if (
        isinstance(member, Member)
        and row.kind is Kind.AGENT
        and isinstance(situation.picture.statuses(row.node), Sight)
    ):
        member = Sight.UNREAD  # without its statuses nothing is known of its upgrade
    return RowFacts(
        member=member,
        policy=policy,
        lease=situation.ledger.lease(row.group),
        overlaps=overlap is not None and overlap.is_overlap and overlap.subject == claim.subject,
        limits=situation.limits_of(row.group),
    )


def view_stuck(state: RowState, situation: Situation) -> StuckView:
    """Show a row that is stuck."""
    row, claim = state.row, situation.rows.claim(state.row)
    defect, why = rows.defect(state, claim, _facts_of(row, claim, situation), situation.now())
    of_group = [each.row for each in situation.rows.of(row.group)]
    return StuckView(
        node=row.node,
        kind=str(row.kind),
        subject=claim.subject,
        defect=defect,
        why=why,
        cure=cures.cure(row, of_group, situation.rows.url).command,
    )


def stuck_of(group: GroupId, situation: Situation) -> Iterator[StuckView]:
    """Yield the rows of a group that are stuck."""
    states = (state for state in situation.rows.of(group) if state.standing is Standing.STUCK)
    return (view_stuck(state, situation) for state in states)


def stuck_in_words(group: GroupId, situation: Situation) -> str:
    """Return sentences about what is stuck in a group, to append to another one.

    Empty if nothing is.
    """
    return "".join(
        f" The agbot keeps its row for {each.subject} on {each.node}, which is over ({each.why}), and begins no other upgrade there;"
        f" cure: {each.cure}"
        for each in stuck_of(group, situation)
    )
