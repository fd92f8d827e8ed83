"""The upgrades that the agbot lists as its own: each takes the lease or is an overlap, and is told when its row is stuck.

What is read of them is bounded by the rows: of a row's node itself, its statuses or agreements, and the policy. Rows of groups that
nobody here looks after are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from agbot.coordinator import entries, stuck
from agbot.coordinator.reading import Reader
from agbot.coordinator.rows_seen import Source
from agbot.coordinator.situation import Situation, is_older
from agbot.coordinator.taking import Begun, Taking
from agbot.fleet.changes import Read, What
from agbot.fleet.policies import policy_read
from agbot.rules import rows
from agbot.rules.facts import Member, Node, Policy, Row, Sight
from agbot.rules.health import is_since
from agbot.rules.ids import GroupId
from agbot.rules.lease import Claim, Kind, Progress
from agbot.rules.rows import RowState, Standing
from agbot.store.contract import StoreUnavailableError, Writes

_AGAIN = timedelta(seconds=10)
"""The feed shows an agbot neither a new agreement nor a container: how often a node with a row is looked at."""


class ListedUpgrades:
    """Follows the agbot's rows."""

    def __init__(self, situation: Situation, reader: Reader, taking: Taking) -> None:
        self._situation = situation
        self._reader = reader
        self._taking = taking
        self._told: set[Row] = set()

    async def follow(self, only: GroupId | None = None) -> list[str]:
        """Follow every row, or those of one group; return what was done, one phrase each.

        Raises:
            StoreUnavailableError: nobody knows what was written.
        """
        situation = self._situation
        if situation.rows.source is Source.NONE or not situation.ledger.is_trusted:
            return []
        groups = [group for group in situation.rows.states if only in {None, group} and self._is_ours(group)]
        states = [state for group in groups for state in situation.rows.of(group)]
        await self._reader.refresh([*self._due(states), *self._proofs()])
        await self._reader.make_current(self._policies(states))
        done: list[str] = []
        for state in states:
            with situation.troubles.guard("upgrades that the agbot lists", state.row.group):
                done += await self._follow(state)
        self._told &= {row for each in situation.rows.states.values() for row in each}
        return done

    def _is_ours(self, group: GroupId) -> bool:
        """Tell whether the group exists as far as is known; a row may outlive it."""
        return self._situation.picture.lacks(group) is None

    def _due(self, states: Iterable[RowState]) -> list[Read]:
        picture, old = self._situation.picture, self._situation.now().seen - _AGAIN
        found: list[Read] = []
        for state in states:
            row = state.row
            report = Read(what=What.AGREEMENTS if row.kind is Kind.SERVICE else What.STATUSES, id=row.node)
            node = Read(what=What.NODE, id=row.node)
            is_new = state.standing is Standing.UNDER_WAY and row not in self._situation.rows.claims
            for read in (node, report):
                aged = state.standing is not Standing.FOREIGN and is_older(picture.read_at(read), old)
                if is_new or aged or not picture.is_current(read):
                    found.append(read)
        return found

    def _proofs(self) -> list[Read]:
        """Return how to look at the holders whose rows have just gone.

        The agbot deletes the row of a service when it has seen its containers run, and the lease waits for nothing but the same sight. No
        change record tells of a container, and the one that hints at it comes before the report. The end of an agent is told by the feed.
        """
        situation = self._situation
        gone, situation.rows.gone = situation.rows.gone, set()
        holds = [(row, situation.ledger.lease(row.group).hold) for row in gone if row.kind is Kind.SERVICE]
        nodes = [row.node for row, hold in holds if hold is not None and hold.claim.holder == row.node]
        return [Read(what=What.AGREEMENTS, id=node) for node in nodes]

    def _policies(self, states: Iterable[RowState]) -> list[Read]:
        picture = self._situation.picture
        found: list[Read] = []
        for state in states:
            node = picture.node(state.row.node)
            claim = rows.claim_of(state.row, node)
            is_patterned = "/" not in state.row.subject
            pattern = node.pattern if is_patterned and isinstance(node, Node) else ""
            if not is_patterned or pattern:
                found.append(policy_read(claim.kind, claim.subject, pattern))
        return [read for read in found if not picture.is_current(read)]

    async def _follow(self, state: RowState) -> list[str]:
        situation, row, now = self._situation, state.row, self._situation.now()
        if row not in situation.rows.states.get(row.group, {}):
            return []  # a later look did not find it any more
        picture = situation.picture
        claim = rows.claim_of(row, picture.node(row.node))
        facts = stuck.facts_of(row, claim, situation)
        after = situation.rows.follow(row, facts, claim, now)
        if after.standing is Standing.UNDER_WAY and isinstance(facts.member, Member) and not after.has_ended_here:
            return await self._taking.take(self._begun(after, claim, facts.member))
        if after.standing is Standing.STUCK and situation.rows.source is Source.LISTED and row not in self._told:
            await self._tell_stuck(after)
            return [f"the agbot's row of {row.node} for {claim.subject} is stuck"]
        return []

    def _begun(self, state: RowState, claim: Claim, member: Member) -> Begun:
        situation, now = self._situation, self._situation.now()
        policy = situation.picture.policies.get(claim.kind, claim.subject)
        progress = Progress(
            moved_at=now.seen,
            version_before=member.node.agent_version,
            revision=policy.revision if isinstance(policy, Policy) else "",
            observed=True,
        )
        if claim.kind is Kind.AGENT:
            status = member.statuses.get(claim.subject)
            said = status.value if status is not None else "listed by the agbot"
            return Begun(group=state.row.group, claim=claim, since=state.not_before, progress=progress, status=said)
        known = () if isinstance(member.agreements, Sight) else member.agreements
        service = policy.service if isinstance(policy, Policy) else ""
        progress = replace(
            progress,
            service=service,
            target_version=policy.top_version if isinstance(policy, Policy) else "",
            top_version=policy.top_version if isinstance(policy, Policy) else "",
            agreements_before=tuple(sorted(each.id for each in known if not is_since(each, state.not_before))),
            pattern=policy.pattern if isinstance(policy, Policy) else "",
        )
        return Begun(
            group=state.row.group,
            claim=claim,
            since=state.not_before,
            progress=progress,
            status="listed by the agbot",
            service=service,
        )

    async def _tell_stuck(self, state: RowState) -> None:
        situation = self._situation
        told = entries.stuck(state.row.group, stuck.view(state, situation), situation.now())
        self._told.add(state.row)  # before it is written: the cycle and a question may see it in the same moment
        try:
            await situation.write(Writes(entries=[told]))
        except StoreUnavailableError:
            self._told.discard(state.row)
            raise
