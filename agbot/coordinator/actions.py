"""What a person does: free a lease by force, hold upgrades back, let them go on. Each is journalled with who and why.

An unreachable store is an error (`StoreUnavailableError`), as everywhere: nobody knows whether the action happened.
"""

from __future__ import annotations

from dataclasses import replace

from agbot.coordinator import entries
from agbot.coordinator.contract import Done, NotDone
from agbot.coordinator.entries import Ending
from agbot.coordinator.reading import Reader
from agbot.coordinator.reviewing import Reviewing
from agbot.coordinator.situation import Situation
from agbot.coordinator.views import view_lease
from agbot.fleet.policies import policy_read
from agbot.rules import ids, words
from agbot.rules.facts import Allowance, Approval, Brake, Pause, Sight
from agbot.rules.ids import GroupId, PolicyId, org_of
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.rules.rest import rest_after
from agbot.rules.words import clock
from agbot.store.contract import Lost, Writes
from agbot.store.records import key_of


class Actions:
    """Carries out what operators ask for."""

    def __init__(self, situation: Situation, reviewing: Reviewing, reader: Reader) -> None:
        self._situation = situation
        self._reviewing = reviewing
        self._reader = reader

    async def release(self, group: GroupId, *, token: int | None, reason: str, who: str) -> Done | NotDone:
        """Free a lease whatever its holder does; with a token only that grant."""
        await self._situation.move_along()
        lease = self._situation.ledger.lease(group)
        hold = lease.hold
        if hold is None:
            known = lease.token > 0 or group in self._situation.picture.groups()
            text = f"nobody holds the lease of {group}" if known else f"{group} is not known"
            return NotDone(text=f"{text}; nothing was changed", not_found=not known)
        if token is not None and token != lease.token:
            return NotDone(
                text=f"{group} is held under token {lease.token} now, not {token}: {hold.claim.holder} has it for "
                f"{hold.claim.what}; nothing was changed"
            )
        done = await self._reviewing.release(lease, Ending(cause=Cause.FORCED, why=reason, who=who))
        after = view_lease(self._situation.ledger.lease(group), self._situation.now(), self._situation.limits_of(group))
        if not done:
            return NotDone(text=f"the lease of {group} has changed meanwhile; look at it again")
        return Done(text=f"released {group}, token {lease.token}, from {hold.claim.holder}", lease=after)

    async def hold(self, pause: Pause) -> Done | NotDone:
        """Stop new grants for a scope; running upgrades go on. A scope that nobody knows is a mistake in it."""
        if not self._is_known(pause.scope):
            known = ", ".join(self._situation.picture.orgs()) or "none yet"
            text = f"{words.scope(pause.scope)} is not known (organisations: {known}); nothing was changed"
            return NotDone(text=text, not_found=True)
        before = self._situation.ledger.pauses.get(pause.scope)
        now = self._situation.now()
        await self._situation.write_due(lambda: Writes(put=[pause], entries=[entries.pause_set(pause, now)]))
        until = f" until {clock(pause.until)}" if pause.until else ""
        text = f"{words.scope(pause.scope)} is held{until}: no new upgrades begin, those that run go on"
        return Done(text=f"{text}{f'. This replaces the hold: {_said(before)}' if before else ''}")

    def _is_known(self, scope: str) -> bool:
        picture = self._situation.picture
        node = ids.node_of_scope(scope)
        if node is not None:
            return not isinstance(picture.node(node), Sight)
        return scope == "*" or scope in (*picture.orgs(), *picture.groups())

    async def resume(self, scope: str, *, subject: PolicyId | None, reason: str, who: str) -> Done | NotDone:
        """End a pause, or lift the brakes on a subject in a group, an organisation or everywhere."""
        if scope == ids.STORE_SCOPE:
            return await self._settle_store(reason, who)
        if scope.startswith(ids.REST_SCOPE):
            return await self._end_rests(scope.removeprefix(ids.REST_SCOPE), reason, who)
        if subject is None:
            return await self._end_pause(scope, reason, who)
        return await self._lift_brakes(scope, subject, reason, who)

    async def allow(self, allowance: Allowance) -> Done | NotDone:
        """Let one upgrade of a node past what `consent.ALLOWABLE` names, once."""
        node = self._situation.picture.node(allowance.node)
        if isinstance(node, Sight):
            return NotDone(text=f"{allowance.node} is not known; nothing was changed", not_found=True)
        # policies that a pattern makes are not in the Exchange under their own names
        if allowance.subject and not node.pattern and await self._is_missing(allowance.subject, *Kind):
            return NotDone(text=f"{allowance.subject} does not exist; nothing was changed", not_found=True)
        now, before = self._situation.now(), self._situation.ledger.allowances.get(allowance.node)
        await self._situation.write(Writes(put=[allowance], entries=[entries.allowance_given(allowance, now)]))
        what = allowance.subject or "its next upgrade"
        text = f"{allowance.node} may begin {what} once, until {clock(allowance.until)}; a lease, a rest or a hold still stops it"
        instead = (
            f". This replaces the allowance by {before.by}, until {clock(before.until)}: {before.why}" if before else ""
        )
        return Done(text=f"{text}{instead}")

    async def approve(self, approval: Approval) -> Done | NotDone:
        """Let a release begin where it needs a person's word. A scope that nobody knows is a mistake in it."""
        if not self._is_known(approval.scope):
            return NotDone(text=f"{words.scope(approval.scope)} is not known; nothing was changed", not_found=True)
        is_absent = self._situation.picture.policies.get(approval.kind, approval.subject) is Sight.ABSENT
        if is_absent or (approval.kind is Kind.AGENT and await self._is_missing(approval.subject, approval.kind)):
            return NotDone(text=f"{approval.subject} does not exist; nothing was changed", not_found=True)
        now = self._situation.now()
        await self._situation.write(Writes(put=[approval], entries=[entries.approval_given(approval, now)]))
        return Done(text=f"{approval.subject}, as it is published now, may begin in {words.scope(approval.scope)}")

    async def _is_missing(self, subject: PolicyId, *kinds: Kind) -> bool:
        """Tell whether there is no such policy: a mistyped name would be answered with "done". What cannot be read may be there."""
        picture, reads = self._situation.picture, [policy_read(kind, subject) for kind in kinds]
        await self._reader.make_current(read for read in reads if not picture.is_current(read))
        is_missing = all(picture.policies.get(kind, subject) is Sight.ABSENT for kind in kinds)
        for read in reads:
            picture.forget_absent(read)
        return is_missing

    async def _settle_store(self, reason: str, who: str) -> Done | NotDone:
        generation, now = self._situation.ledger.generation, self._situation.now()
        if not generation.doubt:
            return NotDone(text="the lease store is not in doubt; nothing was changed", not_found=True)
        await self._situation.settle_store(entries.store_settled(generation, reason, now, who))
        return Done(text=f"grants go on; the lease store was in doubt: {generation.doubt}")

    async def _end_rests(self, scope: str, reason: str, who: str) -> Done | NotDone:
        now, situation = self._situation.now(), self._situation
        found = [
            lease
            for lease in situation.ledger.ended()
            if scope in {"*", org_of(lease.group), lease.group}
            and (rest := rest_after(lease.last_end, situation.limits_of(lease.group))) is not None
            and now.seen < rest.proof_until
        ]
        ended: list[str] = []
        for lease in found:
            after = replace(lease, last_end=lease.last_end and replace(lease.last_end, is_rested=True))
            told = entries.rest_ended(lease, reason, now, who)
            if not isinstance(await situation.swap(lease, after, Writes(entries=[told])), Lost):
                ended.append(lease.group)
        if not ended:
            return NotDone(text=f"no group rests in {words.scope(scope)}; nothing was changed", not_found=True)
        return Done(text=f"the rest is over in {', '.join(sorted(ended))}; everything else is asked as ever")

    async def _end_pause(self, scope: str, reason: str, who: str) -> Done | NotDone:
        ended: list[Pause] = []

        def due() -> Writes:
            now, pause = self._situation.now(), self._situation.ledger.pauses.get(scope)
            if pause is None:
                return Writes()
            ended.append(pause)
            return Writes(drop=[key_of(pause)], entries=[entries.pause_ended(pause, reason, now, who)])

        await self._situation.write_due(due)
        if not ended:
            text = f"{words.scope(scope)} is not held; nothing was changed{self._stopped_in(scope)}"
            return NotDone(text=text, not_found=True)
        (pause,) = ended
        return Done(
            text=f"{words.scope(scope)} is no longer held; the hold was: {_said(pause)}{self._still_held(scope)}"
        )

    def _still_held(self, scope: str) -> str:
        """Name the holds that cover the same nodes and stay."""
        wider = {"*", org_of(scope), scope}
        pauses = self._situation.ledger.pauses.values()
        staying = [each for each in pauses if each.scope in wider or org_of(each.scope) == scope or scope == "*"]
        named = "; ".join(f"{words.scope(each.scope)} ({_said(each)})" for each in staying)
        return f". Still held: {named}" if named else ""

    def _stopped_in(self, scope: str) -> str:
        """Name the upgrades that are stopped there: perhaps one of them was meant."""
        found = sorted({brake.subject for brake in self._brakes_in(scope)})
        return f". Brakes there are lifted with {', '.join(f'--subject {each}' for each in found)}" if found else ""

    def _brakes_in(self, scope: str) -> list[Brake]:
        return [
            brake
            for group, of_group in sorted(self._situation.ledger.brakes.items())
            for brake in of_group.values()
            if scope in {"*", org_of(group), group}
        ]

    async def _lift_brakes(self, scope: str, subject: PolicyId, reason: str, who: str) -> Done | NotDone:
        brakes: list[Brake] = []

        def due() -> Writes:
            now = self._situation.now()
            brakes.extend(brake for brake in self._brakes_in(scope) if brake.subject == subject)
            drop = [key_of(brake) for brake in brakes]
            return Writes(drop=drop, entries=[entries.brake_lifted(brake, reason, now, who) for brake in brakes])

        await self._situation.write_due(due)
        if not brakes:
            text = f"{subject} is not stopped in {words.scope(scope)}; nothing was changed{self._stopped_in(scope)}"
            return NotDone(text=text, not_found=True)
        named = "; ".join(
            f"{brake.group}, where it {brake.cause} on {brake.node} at {clock(brake.since)}" for brake in brakes
        )
        return Done(text=f"{subject} may go on in {named}")


def _said(pause: Pause) -> str:
    until = f", until {clock(pause.until)}" if pause.until else ""
    return f"{pause.why}, by {pause.by} at {clock(pause.since)}{until}"
