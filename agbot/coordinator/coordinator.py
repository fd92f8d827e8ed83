"""The coordinator: the one object that the gateway asks, the console shows, and the daemon runs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from agbot.agreementbot.client import AgreementBot
from agbot.clock import Clock
from agbot.coordinator.actions import Actions
from agbot.coordinator.asking import Asking, Freshness
from agbot.coordinator.contract import (
    Answer,
    Confirm,
    Done,
    Ended,
    Explanation,
    GroupView,
    NotDone,
    Overview,
    Refused,
)
from agbot.coordinator.cycle import Cycle, CycleReport
from agbot.coordinator.deferring import Deferring
from agbot.coordinator.entries import Ending
from agbot.coordinator.explaining import explain
from agbot.coordinator.intake import Intake, Pace
from agbot.coordinator.ledger import Ledger
from agbot.coordinator.reading import Reader
from agbot.coordinator.reviewing import Reviewing
from agbot.coordinator.seen_clock import REACH
from agbot.coordinator.serving import Serving
from agbot.coordinator.situation import Situation, Tell
from agbot.coordinator.stages import Look, Stage
from agbot.coordinator.unasked import Unasked
from agbot.coordinator.views import view_group, view_overview
from agbot.coordinator.waiting import Waiting
from agbot.exchange.client import ExchangeClient
from agbot.fleet.picture import Picture
from agbot.rules import lease as leases
from agbot.rules.facts import Allowance, Approval, Ask, Pause, Sight
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId, org_of
from agbot.rules.limits import LimitsOf
from agbot.rules.reasons import Cause
from agbot.settings.model import ExchangeSettings
from agbot.store.contract import Entry, JournalQuery, Store, StoreUnavailableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a coordinator works with."""

    exchange: ExchangeClient
    store: Store
    clock: Clock
    tell: Tell
    agbot_identity: str = ""
    """The real agbot, `org/name`, whose organisations are looked after; empty where it is not known."""
    agbot: AgreementBot | None = None
    """The real agbot's local API, if it is configured."""
    chance: random.Random | None = None
    journal_age: timedelta = timedelta(days=30)
    journal_bytes: int = 0
    """0: no limit."""


_SERVICES_PACE = 10
"""What a member runs takes two requests, a heartbeat a share of one, and mostly the feed tells when to look: an agreement ends."""
_POLLS_REACHED = 2
"""One look that fails is no blindness."""


class Coordinator:
    """Answers questions, runs cycles, shows itself."""

    def __init__(self, means: Means, settings: ExchangeSettings, limits_of: LimitsOf) -> None:
        self._clock = means.clock
        self._store = means.store
        self._settings = settings
        heartbeat = timedelta(seconds=settings.heartbeat_seconds)
        longest_poll = timedelta(seconds=max(settings.busy_poll_seconds, settings.poll_seconds))
        self._situation = Situation(
            picture=Picture(),
            ledger=Ledger(means.store),
            clock=means.clock,
            exchange_time=means.exchange.time,
            limits_of=limits_of,
            view_max_age=timedelta(seconds=settings.view_max_age_seconds),
            services_max_age=_SERVICES_PACE * heartbeat,
            tell=means.tell,
            reach=max(REACH, _POLLS_REACHED * longest_poll),
        )
        reader = Reader(
            means.exchange,
            self._situation.picture,
            means.clock,
            now=self._situation.now,
            max_open=settings.max_requests_open,
            chance=means.chance.random if means.chance else random.random,
        )
        pace = Pace(heartbeat=heartbeat, resync=timedelta(seconds=settings.resync_seconds))
        serving = Serving(self._situation, pace.heartbeat / 3)
        self._intake = Intake(
            self._situation,
            means.exchange,
            reader,
            serving,
            pace=pace,
            organisations=settings.organisations,
            served_by=means.agbot_identity,
            chance=means.chance,
        )
        self._waiting = Waiting(self._situation.ledger)
        self._deferring = Deferring(self._situation)
        self._reviewing = Reviewing(self._situation, self._situation.view_max_age + 2 * pace.heartbeat)
        self._unasked = Unasked(self._situation, reader, self._reviewing, self._deferring, means.agbot)
        self._asking = self._new_asking(reader, serving, pace)
        self._actions = Actions(self._situation, self._reviewing, reader)
        self._cycle = self._new_cycle(means)
        self._wake = asyncio.Event()
        self._progress = reader.progress
        self._is_idle = False
        self._cycled_at = 0.0
        self._cycle_failing = ""
        self.last_cycle: CycleReport | None = None

    def _new_cycle(self, means: Means) -> Cycle:
        return Cycle(
            self._situation,
            self._intake,
            self._reviewing,
            self._deferring,
            self._waiting,
            unasked=self._unasked,
            journal_age=means.journal_age,
            journal_bytes=means.journal_bytes,
        )

    def _new_asking(self, reader: Reader, serving: Serving, pace: Pace) -> Asking:
        freshness = Freshness(peers=pace.heartbeat, rest=timedelta(seconds=self._settings.busy_poll_seconds))
        looks = (Look(stage=Stage.FEED, fresh=self._intake.feed.fresh),)
        return Asking(
            self._situation,
            reader,
            self._waiting,
            self._deferring,
            serving=serving,
            unasked=self._unasked,
            freshness=freshness,
            looks=looks,
        )

    # The gateway's side

    def refuse_from_memory(self, ask: Ask) -> Refused | None:
        """Refuse without waiting for anything; see `agbot.coordinator.contract.Permission`."""
        refused = self._intake.excludes(ask.node) or self._asking.refuse_from_memory(ask)
        if refused is not None:
            self._answered(ask)
        return refused

    async def ask(self, ask: Ask, confirm: Confirm) -> Answer:
        """Answer a question; see `agbot.coordinator.contract.Permission`."""
        excluded = self._intake.excludes(ask.node)
        if excluded is not None:
            await confirm()  # a stranger is not told whom we look after
            return excluded
        answer = await self._asking.ask(ask, confirm)
        self._answered(ask)
        return answer

    def _answered(self, ask: Ask) -> None:
        """Look after the asker's organisation from now on, and begin the fast cycle."""
        self._intake.meet(org_of(ask.node))
        if self._is_idle:
            self._wake.set()

    async def report_end(self, ask: Ask, *, succeeded: bool, who: str, token: int | None = None) -> Ended:
        """Take down the end of a service upgrade. Frees only that node's own lease for that policy (P2).

        Raises:
            StoreUnavailableError: it may or may not have been taken down.
        """
        if not self._situation.ledger.is_trusted:
            raise StoreUnavailableError(self._situation.ledger.distrust)
        await self._situation.move_along()
        lease = self._situation.ledger.lease(ask.group)
        if not lease.is_held_for(ask.claim):
            return Ended(released=False)
        refused = leases.why_not_ended_by(lease, who, token)
        if refused:
            return Ended(released=False, refused=refused)
        cause = Cause.SUCCEEDED if succeeded else Cause.FAILED
        done = await self._reviewing.release(lease, Ending(cause=cause, why=f"reported by {who}", who=who))
        return Ended(released=bool(done), token=lease.token)

    # The scheduler's side

    @property
    def is_busy(self) -> bool:
        """Whether a lease is held, somebody waits, or a membership is deferred."""
        return bool(self._situation.ledger.groups_that_matter())

    async def cycle(self) -> CycleReport:
        """Run one cycle; not for two at a time."""
        try:
            self.last_cycle = await self._cycle.run()
        except Exception as error:
            self._cycle_failing = f"the last cycle failed: {type(error).__name__}: {error}"[:300]
            raise
        self._cycle_failing = ""
        self._cycled_at = asyncio.get_running_loop().time()
        return self.last_cycle

    async def pause_between_cycles(self) -> None:
        """Wait until the next cycle is due: soon while something goes on, and at once when it begins."""
        self._wake.clear()
        self._is_idle = not self.is_busy
        seconds = self._settings.poll_seconds if self._is_idle else self._settings.busy_poll_seconds
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._is_idle = False
            sleeping.cancel()
            waking.cancel()

    def stalled_seconds(self) -> float:
        """Return for how long nothing has moved in the scheduler: no cycle ended, and no read came back or failed."""
        return asyncio.get_running_loop().time() - max(self._progress.at, self._cycled_at)

    async def stop(self) -> None:
        """Grant nothing new, and wait for the writes under way. The leases stay: they belong to the nodes."""
        self._situation.is_stopping = True
        await self._cycle.stop()
        with suppress(
            StoreUnavailableError
        ):  # then the time until the next start counts as not seen from a little earlier on
            await self._situation.save_clock(at_once=True)
        await self._situation.ledger.settle()

    def set_limits(self, limits_of: LimitsOf) -> None:
        """Use these limits from now on."""
        self._situation.limits_of = limits_of

    # The operators' side

    def overview(self) -> Overview:
        """Summarise; see `agbot.coordinator.contract.Operations`."""
        orgs = {org: state.failing for org, state in self._intake.orgs.items()}
        failing = [*self._situation.troubles.sentences(), *([self._cycle_failing] if self._cycle_failing else [])]
        seen = view_overview(self._situation, self._unasked.contacts.silent(), orgs, failing, self._intake.failing)
        cycle = self.last_cycle
        return replace(seen, sentence=cycle.sentence, cycle_at=cycle.at) if cycle else seen

    def groups(self) -> Sequence[GroupView]:
        """List every group that exists or whose lease is occupied."""
        known = {*self._situation.picture.groups(), *self._situation.ledger.groups_that_matter()}
        return [self._view(group) for group in sorted(known)]

    def group(self, group: GroupId) -> GroupView | None:
        """Show one group; None when nobody knows it."""
        known = group in self._situation.picture.groups() or group in self._situation.ledger.leases
        return self._view(group) if known else None

    def busy_groups(self) -> Sequence[GroupId] | None:
        """List the groups where something goes on: a lease, a waiter, a deferral or a brake. None before everything was read once."""
        ledger = self._situation.ledger
        if self._situation.view_at is None or not ledger.was_read:
            return None
        return sorted({*ledger.groups_that_matter(), *(group for group, brakes in ledger.brakes.items() if brakes)})

    def lacks(self, group: GroupId) -> Sight | None:
        """Say why there is nothing to show of a group: it is not there (and nobody holds its lease), or was not read yet."""
        if not self._situation.ledger.was_read:
            return Sight.UNREAD
        is_held = self._situation.ledger.lease(group).hold is not None
        lacks = self._situation.picture.lacks(group)
        return None if lacks is Sight.ABSENT and is_held else lacks

    def why_excluded(self, org: OrgId) -> str:
        """Say why this organisation is not looked after; empty for one that is."""
        return self._intake.why_excluded(org)

    def explain(self, node: NodeId) -> Explanation | None:
        """Answer "why is this node waiting?"."""
        excluded = self._intake.excludes(node)
        if excluded is not None:
            return Explanation(node=node, group=None, answer=f"{node} is not answered for: {excluded.reasons[0].text}.")
        known = self._situation.picture.node(node)
        group = getattr(known, "group", None)
        return explain(node, self._situation, self._reviewing.notes.get(group, "") if group else "")

    async def release(self, group: GroupId, *, token: int | None, reason: str, who: str) -> Done | NotDone:
        """Free a lease by force."""
        return await self._actions.release(group, token=token, reason=reason, who=who)

    async def hold(self, pause: Pause) -> Done | NotDone:
        """Stop new grants for a scope."""
        return await self._actions.hold(pause)

    async def resume(self, scope: str, *, subject: PolicyId | None, reason: str, who: str) -> Done | NotDone:
        """End a pause or lift a brake."""
        return await self._actions.resume(scope, subject=subject, reason=reason, who=who)

    async def allow(self, allowance: Allowance) -> Done | NotDone:
        """Let one upgrade of a node past what would keep it, once."""
        return await self._actions.allow(allowance)

    async def approve(self, approval: Approval) -> Done | NotDone:
        """Let a release begin."""
        return await self._actions.approve(approval)

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        """Read the journal."""
        return await self._store.journal(query)

    def _view(self, group: GroupId) -> GroupView:
        return view_group(group, self._situation, self._reviewing.notes.get(group, ""))
