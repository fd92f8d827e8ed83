"""The coordinator: the gateway puts questions to it, the console shows it, the daemon runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from agbot.coordinator import shadow
from agbot.coordinator.contract import Explanation, Overview
from agbot.coordinator.cycle import Cycle, CycleReport
from agbot.coordinator.dependencies import Dependencies, create_organisations, create_reader, create_situation
from agbot.coordinator.guarded.guarded import Guarded
from agbot.coordinator.guarded.taking_in import Untaken
from agbot.coordinator.intake.intake import Intake
from agbot.coordinator.operators.actions import Actions
from agbot.coordinator.operators.explaining import explain
from agbot.coordinator.operators.failed import Failures
from agbot.coordinator.operators.showing import Showing
from agbot.coordinator.operators.views import view_overview, why_not_ready
from agbot.coordinator.permission import Answer, Confirm, Ended, Refused
from agbot.coordinator.questions.asking import Asking
from agbot.coordinator.review.brakes import Brakes
from agbot.coordinator.review.housekeeping import Housekeeping
from agbot.coordinator.review.reviewing import Reviewing
from agbot.coordinator.review.scopes import UnmatchedScopes
from agbot.coordinator.review.waiters import Waiting
from agbot.coordinator.unasked.unasked import Unasked
from agbot.events.leases import Ending
from agbot.rules.busy import NotNow
from agbot.rules.facts import Ask, Node
from agbot.rules.ids import NodeId, org_of
from agbot.rules.limits import LimitsOf
from agbot.rules.reasons import Cause
from agbot.rules.reported_end import why_not_ended_by
from agbot.settings.model import ExchangeSettings, Scope
from agbot.single_flight import SingleFlight
from agbot.store.contract import Store, StoreUnavailableError

_SHORTEST_PAUSE_SECONDS = 0.2
_NEWS_SECONDS = 1.0
"""How often the guard is asked between two cycles whether it has decided anything."""
_MOST_OF_GUARD = 3
"""How many phrases about the guard are in the sentence of a cycle."""


class Coordinator(Showing, Actions):
    """Answers questions, runs cycles, shows operators its state, and carries out their requests."""

    def __init__(
        self,
        dependencies: Dependencies,
        settings: ExchangeSettings,
        limits_of: LimitsOf,
        scopes: Sequence[Scope] = (),
    ) -> None:
        """Coordinate by these limits, in which the `scopes` of the settings are contained."""
        self._scopes = scopes
        self.settings_refused: Sequence[str] = ()
        """The mistakes for which the settings were refused when they were last read again."""
        self._clock = dependencies.clock
        self._settings = settings
        self._dependencies = dependencies
        self._begin(limits_of)

    def begin_term(self, store: Store, why_not_leading: Callable[[], str]) -> None:
        """Forget everything, and use this store from now on: for each leadership, and after it.

        No cycle may be running. A question that is being answered goes on with what was known when
        it arrived, and with its store, which refuses its writes if another leads.
        """
        self._dependencies = replace(self._dependencies, store=store, why_not_leading=why_not_leading)
        self._begin(self._situation.limits_of)

    def _begin(self, limits_of: LimitsOf) -> None:
        """Create all parts, which know nothing yet."""
        dependencies, settings = self._dependencies, self._settings
        self._store = dependencies.store
        self._situation = situation = create_situation(dependencies, settings, limits_of)
        self._reader = reader = create_reader(dependencies, settings, situation)
        self._looks, self._failures = SingleFlight(), Failures(situation)
        self._reviewing, brakes = Reviewing(situation), Brakes(situation)
        self._organisations = organisations = create_organisations(dependencies, settings, situation, reader)
        self._intake = Intake(situation, dependencies.exchange, reader, organisations, self._reviewing.review_reported)
        self._unmatched = UnmatchedScopes(situation, organisations, self._scopes)
        self._housekeeping = Housekeeping(situation, dependencies.journal_age, dependencies.journal_bytes)
        guard = dependencies.guard(dependencies.store) if dependencies.guard and not dependencies.is_shadow else None
        self._unasked = unasked = Unasked(situation, reader, self._reviewing, brakes, dependencies.agbot or guard)
        waiting = Waiting(situation.ledger)
        self._asking = Asking(situation, reader, waiting, unasked=unasked, feed=self._intake.feed)
        self._cycle = Cycle(
            situation,
            self._intake,
            self._reviewing,
            waiting,
            brakes=brakes,
            unasked=unasked,
            housekeeping=self._housekeeping,
        )
        self._guarded = None
        if guard is not None:
            self._guarded = Guarded(situation, reader, guard, self._answer_guard, organisations.excludes)
        self._untaken = Untaken(situation, reader)
        self._shadow = (
            shadow.beside(situation, reader, waiting, unasked, dependencies.agbot) if dependencies.is_shadow else None
        )
        self._is_shadow = dependencies.is_shadow
        self._wake = asyncio.Event()
        self._is_idle = False
        self._cycled_at = 0.0
        self._cycle_began_at = 0.0
        self._cycle_failing = ""
        self.last_cycle: CycleReport | None = None

    def refuse_from_memory(self, ask: Ask) -> Refused | None:
        """Refuse without waiting for anything; see `agbot.coordinator.permission.Permission`."""
        refused = self._organisations.excludes(ask.node) or self._asking.refuse_from_memory(ask)
        if refused is not None:
            self._answered(ask)
        return refused

    async def ask(self, ask: Ask, confirm: Confirm) -> Answer:
        """Answer a question; see `agbot.coordinator.permission.Permission`."""
        excluded = self._organisations.excludes(ask.node)
        if excluded is not None:
            await confirm()  # only a confirmed asker learns which organisations are coordinated
            return excluded
        answer = await self._asking.ask(ask, confirm)
        self._answered(ask)
        return answer

    async def _answer_guard(self, ask: Ask) -> Answer | None:
        """Answer a question that the agbot put to its own database."""
        refused = self.refuse_from_memory(ask)
        if refused is not None:
            return refused
        # with our own credentials: the agbot's database does not have the node's
        node = await self._dependencies.exchange.node(ask.node)
        if node is None:
            return None

        async def confirm() -> Node:
            return node

        return await self.ask(ask, confirm)

    def _answered(self, ask: Ask) -> None:
        """Coordinate the asker's organisation from now on, and begin the fast cycle."""
        self._organisations.meet(org_of(ask.node))
        if self._is_idle:
            self._wake.set()

    async def report_end(self, ask: Ask, *, succeeded: bool, who: str, token: int | None = None) -> Ended:
        """Record the end of a service upgrade.

        Free only that node's own lease for that policy (P2).

        Raises:
            StoreUnavailableError: it is not known whether it was recorded.
        """
        await self._situation.move_along()
        self._require_the_store()
        lease = self._situation.ledger.lease(ask.group)
        if not lease.is_held_for(ask.claim):
            return Ended(released=False)
        refused = why_not_ended_by(lease, who, token)
        if refused:
            return Ended(released=False, refused=refused)
        cause = Cause.SUCCEEDED if succeeded else Cause.FAILED
        is_done = await self._reviewing.release(lease, Ending(cause=cause, why=f"reported by {who}", who=who))
        return Ended(released=is_done, token=lease.token)

    @property
    def is_busy(self) -> bool:
        """Whether a lease is occupied, a member waits, or a membership is deferred."""
        return bool(self._situation.ledger.tally.mattering)

    async def cycle(self) -> CycleReport:
        """Run one cycle. Only one may run at a time."""
        self._cycle_began_at = self._clock.monotonic_seconds()
        try:
            done = await (self._untaken.run() if self._guarded is None else self._guarded.before_cycle())
            report = await self._cycle.run()
            if self._guarded is not None:
                await self._guarded.after_cycle()
            self.last_cycle = replace(report, sentence="; ".join([*done[:_MOST_OF_GUARD], report.sentence]))
            if self._shadow is not None:
                await self._shadow.follow()
            with self._situation.troubles.guard("scopes"):
                await self._unmatched.look()
            with self._situation.troubles.guard("failed members"):
                await self._failures.look()
        except Exception as error:
            self._cycle_failing = f"the last cycle failed: {type(error).__name__}: {error}"[:300]
            raise
        self._cycle_failing = ""
        self._cycled_at = asyncio.get_running_loop().time()
        return self.last_cycle

    async def pause_between_cycles(self) -> None:
        """Wait for the next cycle: shortly while a group is busy, and not at all once one is.

        The interval is from one beginning to the next, so a long cycle is followed at once.
        """
        self._is_idle = not self.is_busy
        interval = self._settings.poll_seconds if self._is_idle else self._settings.busy_poll_seconds
        seconds = max(interval - (self._clock.monotonic_seconds() - self._cycle_began_at), _SHORTEST_PAUSE_SECONDS)
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._is_idle = False
            self._wake.clear()  # not earlier: an order in the middle of a cycle came too late for it
            sleeping.cancel()
            waking.cancel()

    async def _sleep(self, seconds: float) -> None:
        """Sleep for so long, or until the guard has decided something."""
        while self._guarded is not None and seconds > 0:
            step = min(seconds, _NEWS_SECONDS)
            await self._clock.sleep(step)
            seconds -= step
            if await self._guarded.has_news():
                return
        await self._clock.sleep(seconds)

    def stalled_seconds(self) -> float:
        """Return for how long the scheduler has made no progress: no cycle or read has ended."""
        return asyncio.get_running_loop().time() - max(self._reader.read_ended_at, self._cycled_at)

    async def stop(self) -> None:
        """Grant nothing new, and wait for the writes under way.

        The leases stay with their holders.
        """
        await self.end_term()
        # Without this write, time that was seen counts as not seen after the next start.
        with suppress(StoreUnavailableError):
            await self._situation.save_clock(at_once=True)
        await self._situation.ledger.settle()

    async def end_term(self) -> None:
        """Grant nothing new, and end what a cycle has left running."""
        self._situation.is_stopping = True
        await self._looks.stop()
        await self._cycle.stop()

    def note_busy(self, node: NodeId, word: NotNow | None) -> None:
        """Note a node's word that it is busy, None if it is not any more, for the next cycle."""
        self._housekeeping.note_busy(node, word)

    def set_limits(self, limits_of: LimitsOf, scopes: Sequence[Scope] = ()) -> None:
        """Use these limits from now on, and the scopes that are contained in them."""
        self._situation.limits_of, self._scopes, self.settings_refused = limits_of, scopes, ()
        self._unmatched.use(scopes)

    def overview(self) -> Overview:
        """Summarise; see `agbot.coordinator.operations.Operations`."""
        orgs = {org: state.failing for org, state in self._organisations.states.items()}
        silent = self._unasked.contacts.silent()
        seen = view_overview(self._situation, silent, orgs, self._failing(), self._intake.failing)
        seen = self._failures.shown(seen)
        seen = self._shadow.shown(seen) if self._shadow is not None else seen
        seen = replace(seen, unmatched_scopes=self._unmatched.sentences, settings_refused=self.settings_refused)
        if self._guarded is not None:
            seen = replace(seen, guard=self._guarded.state, guard_failing=self._guarded.failing)
        cycle = self.last_cycle
        return replace(seen, sentence=cycle.sentence, cycle_at=cycle.at) if cycle else seen

    def why_not_ready(self) -> Sequence[str]:
        """Return why nothing may be granted, and what else fails; empty if it is ready."""
        doubts, failing = self._situation.doubts(), self._failing()
        return why_not_ready(doubts, failing, self._intake.failing) if doubts or failing else ()

    def _failing(self) -> list[str]:
        return [*self._situation.troubles.sentences(), *([self._cycle_failing] if self._cycle_failing else [])]

    def explain(self, node: NodeId) -> Explanation | None:
        """Explain why a node is waiting."""
        excluded = self._organisations.excludes(node)
        if excluded is not None:
            return Explanation(
                node=node, group=None, answer=f"Questions of {node} are refused: {excluded.reasons[0].text}."
            )
        found = explain(node, self._situation)
        return self._shadow.explained(found) if self._shadow is not None and found is not None else found

    def _carried_out(self) -> None:
        """Let the guard know at once."""
        if self._guarded is not None:
            self._wake.set()
