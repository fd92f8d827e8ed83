"""What a person does: free a lease by force, hold upgrades back, let them go on. Each is journalled with who and why.

An unreachable store is an error (`StoreUnavailableError`), as everywhere: nobody knows whether the action happened.
"""

from __future__ import annotations

from agbot.coordinator import entries
from agbot.coordinator.contract import Done, NotDone
from agbot.coordinator.entries import Ending
from agbot.coordinator.reviewing import Reviewing
from agbot.coordinator.situation import Situation
from agbot.coordinator.views import view_lease
from agbot.rules.facts import Pause
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.reasons import Cause
from agbot.store.contract import BrakeKey, PauseKey, Writes


class Actions:
    """Carries out what operators ask for."""

    def __init__(self, situation: Situation, reviewing: Reviewing) -> None:
        self._situation = situation
        self._reviewing = reviewing

    async def release(self, group: GroupId, *, token: int | None, reason: str, who: str) -> Done | NotDone:
        """Free a lease whatever its holder does; with a token only that grant."""
        lease = self._situation.ledger.lease(group)
        hold = lease.hold
        if hold is None:
            known = lease.token > 0 or group in self._situation.picture.groups()
            return NotDone(text=f"{group} holds no lease; nothing was changed", not_found=not known)
        if token is not None and token != lease.token:
            return NotDone(
                text=f"{group} is held under token {lease.token} now, not {token}: {hold.claim.holder} has it for "
                f"{hold.claim.subject}; nothing was changed"
            )
        done = await self._reviewing.release(lease, Ending(cause=Cause.FORCED, why=reason, who=who))
        after = view_lease(self._situation.ledger.lease(group))
        if not done:
            return NotDone(text=f"the lease of {group} has changed meanwhile; look at it again")
        return Done(text=f"released {group}, token {lease.token}, from {hold.claim.holder}", lease=after)

    async def hold(self, pause: Pause) -> Done | NotDone:
        """Stop new grants for a scope; running upgrades go on."""
        now = self._situation.clock.now()
        await self._situation.write(Writes(put=[pause], entries=[entries.pause_set(pause, now)]))
        return Done(text=f"no new upgrades in {_scope(pause.scope)}; upgrades that run go on")

    async def resume(self, scope: str, *, subject: PolicyId | None, reason: str, who: str) -> Done | NotDone:
        """End a pause, or lift the brake on a subject in a group."""
        if subject is None:
            return await self._end_pause(scope, reason, who)
        return await self._lift_brake(GroupId(scope), subject, reason, who)

    async def _end_pause(self, scope: str, reason: str, who: str) -> Done | NotDone:
        pause = self._situation.ledger.pauses.get(scope)
        if pause is None:
            return NotDone(text=f"{_scope(scope)} is not paused; nothing was changed", not_found=True)
        told = entries.pause_ended(pause, reason, self._situation.clock.now(), who)
        await self._situation.write(Writes(drop=[PauseKey(scope=scope)], entries=[told]))
        return Done(text=f"upgrades in {_scope(scope)} go on")

    async def _lift_brake(self, group: GroupId, subject: PolicyId, reason: str, who: str) -> Done | NotDone:
        brakes = [each for each in self._situation.ledger.brakes.get(group, {}).values() if each.subject == subject]
        if not brakes:
            return NotDone(text=f"{subject} is not stopped in {group}; nothing was changed", not_found=True)
        now = self._situation.clock.now()
        drop = [BrakeKey(group=group, kind=brake.kind, subject=subject) for brake in brakes]
        told = [entries.brake_lifted(brake, reason, now, who) for brake in brakes]
        await self._situation.write(Writes(drop=drop, entries=told))
        return Done(text=f"{subject} may go on in {group}")


def _scope(scope: str) -> str:
    return "the whole fleet" if scope == "*" else scope
