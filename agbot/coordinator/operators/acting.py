"""The orders of operators, as a part of the coordinator (`coordinator.operations`)."""

from __future__ import annotations

from agbot.coordinator.contract import Done, NotDone
from agbot.coordinator.operators.actions import Actions
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.records import Allowance, Approval, Hold


class Acting:
    """Carries them out."""

    _actions: Actions

    def carried_out(self) -> None:
        """Is called after each order."""

    async def release(self, group: GroupId, *, token: int | None, reason: str, who: str) -> Done | NotDone:
        """Free a lease by force."""
        return self._after(await self._actions.release(group, token=token, reason=reason, who=who))

    async def hold(self, hold: Hold) -> Done | NotDone:
        """Stop new grants for a scope."""
        return self._after(await self._actions.hold(hold))

    async def resume(self, scope: str, *, subject: PolicyId | None, reason: str, who: str) -> Done | NotDone:
        """End a hold or lift a brake."""
        return self._after(await self._actions.resume(scope, subject=subject, reason=reason, who=who))

    async def allow(self, allowance: Allowance) -> Done | NotDone:
        """Let one upgrade of a node past most rules, once."""
        return self._after(await self._actions.allow(allowance))

    async def approve(self, approval: Approval) -> Done | NotDone:
        """Let an upgrade begin where it needs an approval."""
        return self._after(await self._actions.approve(approval))

    async def withdraw_allowance(self, node: NodeId, *, reason: str, who: str) -> Done | NotDone:
        """Take the allowance of a node back."""
        return self._after(await self._actions.withdraw_allowance(node, reason=reason, who=who))

    async def withdraw_approval(
        self, scope: str, kind: Kind, subject: PolicyId, *, reason: str, who: str
    ) -> Done | NotDone:
        """Take an approval back."""
        return self._after(await self._actions.withdraw_approval(scope, kind, subject, reason=reason, who=who))

    def _after(self, done: Done | NotDone) -> Done | NotDone:
        self.carried_out()
        return done
