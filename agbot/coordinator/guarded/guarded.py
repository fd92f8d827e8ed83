"""The guard beside the cycle: what the triggers have decided, and what they may rely on.

If the guard fails, that is reported once, and everything else goes on: the triggers decide by the
leases alone then, as while no coordinator runs; or, if they are gone, nothing keeps the agbot
waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from agbot.coordinator.guarded.gates import Gates
from agbot.coordinator.guarded.port import Answering, Guard, GuardGoneError, GuardUnavailableError
from agbot.coordinator.guarded.taking_in import TakingIn
from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.memory.rows_seen import Source
from agbot.coordinator.permission import Answer, Refused
from agbot.coordinator.situation import Situation
from agbot.events.event import Event
from agbot.events.guard import GuardDeleted, GuardFailed, GuardRecovered
from agbot.events.outage import Outage
from agbot.rules.facts import Ask
from agbot.rules.ids import NodeId
from agbot.rules.leftover import why_deleted
from agbot.rules.rows import RowState
from agbot.store.contract import StoreUnavailableError
from agbot.transitions.change import Change


class Guarded:
    """Runs with each cycle. Only one may run at a time."""

    def __init__(
        self,
        situation: Situation,
        reader: Reader,
        guard: Guard,
        answer: Answering,
        excludes: Callable[[NodeId], Refused | None],
    ) -> None:
        self._situation = situation
        self._guard = guard
        self._ask = answer
        self._gates = Gates(situation, guard, excludes)
        self._taking_in = TakingIn(situation, reader, guard, self._answer)
        self._outage = Outage()
        self._has_failed = False
        """Since the beginning of this cycle."""
        self._has_worked = False

    @property
    def failing(self) -> str:
        """Why it does not work; empty while it does."""
        return self._outage.why

    @property
    def state(self) -> str:
        """See `agbot.coordinator.contract.Overview.guard`."""
        return "fails" if self._outage.is_on else "works" if self._has_worked else "unread"

    async def before_cycle(self) -> list[str]:
        """Take in what the triggers have decided; return what was done, one phrase each."""
        self._has_failed = False
        if not self._situation.ledger.is_trusted:
            return []
        try:
            return await self._taking_in.run()
        except GuardUnavailableError as error:
            await self._failed(error)
        except StoreUnavailableError:
            pass  # the ledger is no longer trusted, which the next cycle reports
        return []

    async def after_cycle(self) -> None:
        """Delete rows of the agbot that are over, and write the gates."""
        if not self._situation.ledger.is_trusted:
            return
        try:
            if not self._situation.doubts():
                with self._situation.troubles.guard("rows of the agbot"):
                    await self._delete_rows()
            await self._gates.write()
        except GuardUnavailableError as error:
            await self._failed(error)
        except StoreUnavailableError:
            pass
        else:
            await self._worked()

    async def _answer(self, ask: Ask) -> Answer | None:
        answer = await self._ask(ask)
        self._gates.note(ask, answer)
        return answer

    async def has_news(self) -> bool:
        """Return whether the triggers have decided anything; also if that is not known."""
        try:
            return await self._guard.has_news()
        except GuardUnavailableError as error:
            await self._failed(error)
            return False

    async def _delete_rows(self) -> None:
        rows = self._situation.rows
        if rows.source is not Source.LISTED:
            return  # an older list may show a row as over that stands for a later upgrade now
        for state in [state for group in rows.states for state in rows.of(group)]:
            why = self._why_deleted(state)
            if why is not None and await self._guard.delete(state.row):
                claim = rows.claim(state.row)
                event = GuardDeleted(
                    group=state.row.group, node=claim.holder, subject=claim.subject, kind=claim.kind, why=why
                )
                try:
                    await self._situation.commit(Change(events=[event]))
                except StoreUnavailableError:
                    self._situation.report_event(event)  # at least in the log: nothing shows it again
                    raise

    def _why_deleted(self, state: RowState) -> str | None:
        situation, row = self._situation, state.row
        if situation.picture.why_missing(row.group) is not None and not state.has_ended_here:
            return None  # a group that is not coordinated here, or is not known yet
        return why_deleted(
            state,
            situation.rows.claim(row),
            situation.picture.member(row.node),
            situation.ledger.lease(row.group),
            limits=situation.limits_of(row.group),
            now=situation.now(),
        )

    async def _failed(self, error: GuardUnavailableError) -> None:
        self._has_failed = True
        if self._outage.begins(str(error), kind=isinstance(error, GuardGoneError)):
            await self._journal(GuardFailed(error=str(error)))

    async def _worked(self) -> None:
        """Note that a cycle has gone through; what failed at its beginning may still fail."""
        if self._has_failed:
            return
        self._has_worked = True
        if self._outage.ends():
            await self._journal(GuardRecovered())

    async def _journal(self, event: Event) -> None:
        """Write it to the journal, or, while the store fails as well, at least to the log."""
        with suppress(StoreUnavailableError):  # the next cycle reports that
            if self._situation.ledger.is_trusted and await self._situation.commit(Change(events=[event])):
                return
        self._situation.report_event(event)
