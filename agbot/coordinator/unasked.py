"""Upgrades that were begun without asking here, from every source that tells of them.

The agbot's own lists are looked at in each cycle and before every grant. What they tell takes the lease or is an overlap
(`agbot.coordinator.taking`), so that the rules see it like any other upgrade.
"""

from __future__ import annotations

from agbot.agreementbot.client import AgreementBot
from agbot.coordinator.agbot_rows import AgbotRows
from agbot.coordinator.contacts import Contacts
from agbot.coordinator.deferring import Deferring
from agbot.coordinator.down import Down
from agbot.coordinator.entries import Ending
from agbot.coordinator.listed import ListedUpgrades
from agbot.coordinator.reading import Reader
from agbot.coordinator.reviewing import Reviewing
from agbot.coordinator.situation import Situation
from agbot.coordinator.taking import Begun, Taking
from agbot.fleet.policies import policy_read
from agbot.rules import unasked
from agbot.rules.deferral import claim_of
from agbot.rules.facts import Ask, Member, Policy
from agbot.rules.ids import GroupId
from agbot.rules.lease import Claim, Kind, Progress
from agbot.rules.reasons import Cause


class Unasked:
    """Sees what nobody asked for."""

    def __init__(
        self,
        situation: Situation,
        reader: Reader,
        reviewing: Reviewing,
        deferring: Deferring,
        agbot: AgreementBot | None,
    ) -> None:
        self._taking = taking = Taking(situation, reader, reviewing, deferring)
        self._situation = situation
        self._reader = reader
        self._reviewing = reviewing
        self._rows = AgbotRows(situation, agbot, situation.clock)
        self._listed = ListedUpgrades(situation, reader, taking)
        self._down = Down(situation, reader, taking)
        self.contacts = Contacts(situation)

    async def look(self) -> None:
        """Look at the agbot's lists, whatever the Exchange does: before the cycle decides anything."""
        await self._rows.again()

    async def follow(self) -> list[str]:
        """Take leases for what was begun unasked; return what was done, one phrase each.

        Raises:
            StoreUnavailableError: nobody knows what was written.
        """
        if self._situation.doubts():
            return []
        return [*await self._listed.follow(), *await self._down.look()]

    async def reported(self, group: GroupId) -> list[str]:
        """Take leases for agent upgrades that members of a group report without having asked; return what was done.

        Raises:
            StoreUnavailableError: nobody knows what was written.
        """
        situation, now = self._situation, self._situation.now()
        if situation.doubts():
            return []
        done: list[str] = []
        for node, member in situation.picture.read_members(group).items():
            lease, limits = situation.ledger.lease(group), situation.limits_of(group)
            subject = unasked.past_the_gate(member, lease, limits, now)
            if subject is None or node in situation.ledger.deferrals.get(group, {}):
                continue
            if situation.picture.may_have_left(node):
                continue  # until the second look nothing is granted here, and then it is known whose upgrade this is
            claim = Claim(holder=node, kind=Kind.AGENT, subject=subject)
            policy = policy_read(claim.kind, claim.subject)
            if not situation.picture.is_current(
                policy
            ):  # a brake is about what failed, so its revision has to be known
                await self._reader.make_current([policy])
            done += await self._taking.take(self._begun(group, claim, member))
        for claim in self._agents_unasked(group):
            await self.contacts.bypassed(group, claim)
        return done

    def _agents_unasked(self, group: GroupId) -> list[Claim]:
        """Return the agent upgrades in a group that were seen and not asked for here: the one that holds the lease, and those beside it."""
        ledger = self._situation.ledger
        hold = ledger.lease(group).hold
        held = [hold.claim] if hold is not None and hold.progress.observed else []
        deferrals = ledger.deferrals.get(group, {}).values()
        beside = [claim_of(each) for each in deferrals if each.overlaps and not each.cut_off]
        return [claim for claim in (*held, *beside) if claim.kind is Kind.AGENT]

    def _begun(self, group: GroupId, claim: Claim, member: Member) -> Begun:
        now, status = self._situation.now(), member.statuses[claim.subject]
        policy = self._situation.picture.policies.get(claim.kind, claim.subject)
        progress = Progress(
            moved_at=now.seen,
            status=status.value,
            stamp=status.stamp,
            confirmed=True,
            target_version=status.target_version,
            version_before=member.node.agent_version,
            revision=policy.revision if isinstance(policy, Policy) else "",
            observed=True,
        )
        return Begun(group=group, claim=claim, since=status.updated_at, progress=progress, status=status.value)

    def is_own_gap(self, ask: Ask) -> bool:
        """Tell whether the lease is held for no more than that a service of the very node is down that is asked for."""
        hold = self._situation.ledger.lease(ask.group).hold
        return not ask.is_agent and hold is not None and hold.claim.holder == ask.node and not hold.claim.subject

    async def give_way(self, ask: Ask) -> None:
        """End the lease of a service that is down when its agbot asks for it: from now on it is known which policy it is.

        Raises:
            StoreUnavailableError: nobody knows what was written.
        """
        if self.is_own_gap(ask):
            ending = Ending(cause=Cause.UNCONFIRMED, why=f"its agbot asks for {ask.claim.subject}")
            await self._reviewing.release(self._situation.ledger.lease(ask.group), ending)

    async def before_grant(self, ask: Ask) -> None:
        """Look again before a grant, unless somebody has in the same moment.

        An agbot that hangs keeps agents waiting. About a service it is the agbot that asks, so that question does not wait for it again.

        Raises:
            StoreUnavailableError: nobody knows what was written.
        """
        if ask.is_agent or self._situation.rows.doubt is None:
            await self._rows.fresh()
            await self._listed.follow(ask.group)
        await self.reported(ask.group)
