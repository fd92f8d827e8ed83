"""All checks in order, and the slots of the real agbot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agbot.agreementbot import source
from agbot.agreementbot.client import Listed, Listing, NotRunning
from agbot.agreementbot.source import Source
from agbot.clock import Clock
from agbot.coordinator.contract import GroupView
from agbot.doctor import (
    agents,
    certificates,
    configuration,
    exchange,
    guard,
    incumbent,
    listeners,
    secure_api,
    store,
)
from agbot.doctor import slots as finding_slots
from agbot.doctor.curing import Outcome, cure
from agbot.doctor.exchange import Hub
from agbot.doctor.finding import Finding, Report, Slot, Verdict, warning, worst, wrong
from agbot.doctor.listeners import Daemon
from agbot.doctor.reading import RowReader
from agbot.exchange import credentials
from agbot.exchange.client import ExchangeClient
from agbot.exchange.transport import HttpTransport
from agbot.rules.ids import org_of
from agbot.settings.load import Loaded
from agbot.settings.load import Reading as SettingsRead
from agbot.settings.scopes import limits_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What is examined."""

    file: str
    """The settings file, for people; empty if there is none."""
    settings_read: SettingsRead
    daemon: Daemon
    groups: Sequence[GroupView] = ()
    """What the running daemon shows."""
    groups_now: Callable[[], Sequence[GroupView]] = tuple
    """Asks it again; nothing if it does not answer."""


class Doctor:
    """Examines, and cures one slot at a time. Use it in `opened`."""

    def __init__(self, loaded: Loaded, patient: Patient, clock: Clock) -> None:
        self._loaded, settings = loaded, loaded.settings
        transport = HttpTransport(settings.exchange.url, ca_file=settings.exchange.ca_file)
        own = credentials.own(loaded)
        client = ExchangeClient(transport, own, clock, request_seconds=settings.exchange.request_seconds)
        self._patient = patient
        self._settings = settings
        self._clock = clock
        self._hub = Hub(settings=settings, transport=transport, client=client, credentials=own, clock=clock)
        self._source: Source | None = source.for_deleting(settings.agbot, clock)
        self._reader = RowReader(client, limits_of(settings), clock)

    async def examine(self) -> Report:
        """Run all checks."""
        settings, daemon = self._settings, self._patient.daemon
        found = [*configuration.check(self._patient.file, self._patient.settings_read)]
        reached = await exchange.reach(self._hub)
        can_log_in = worst(reached) is not Verdict.WRONG
        own = await exchange.identity(self._hub) if can_log_in else ()
        found += [*reached, *own]
        listing = await self._source.list_rows() if self._source is not None else None
        # with a login that fails, each further check would report that again
        may_read = can_log_in and bool(self._hub.credentials.secret) and worst(own) is not Verdict.WRONG
        if may_read:
            orgs = await self._organisations(listing)
            found += await exchange.permissions(self._hub, orgs)
            groups = await exchange.groups_of(self._hub, orgs) if settings.scopes else None
            found += configuration.unmatched_scopes(settings, orgs, groups) if groups is not None else ()
        found += await store.check(self._loaded, self._clock, coordinator_answers=daemon.overview is not None)
        found += await guard.check(self._loaded, coordinator_answers=daemon.overview is not None)
        found += await incumbent.check(settings, self._clock)
        found += await incumbent.database(self._source, self._clock)
        found += await listeners.check(settings, daemon)
        found += (finding for _, finding in certificates.own(settings, self._clock.now()))
        if can_log_in:
            found += await self._of_server("the Exchange", settings.exchange.url)
        answers = await secure_api.check(settings.agbot.secure_api, settings.agbot.secure_api_ca_file)
        found += answers
        if worst(answers) is not Verdict.WRONG:
            found += await self._of_server("the agbot's secure API", settings.agbot.secure_api)
        found += agents.check(daemon.overview)
        found += _of_listing(listing, may_read=may_read)
        slots = await self._slots(listing) if may_read else ()
        return Report(findings=tuple(found), slots=slots)

    async def cure(self, slot: Slot) -> Outcome:
        """Delete one stuck row, if the evidence still holds."""
        if self._source is None:
            return Outcome(slot=slot, is_cured=False, text="neither the local API nor the database of the agbot is set")
        # A person may have thought about the question for minutes, in which the same node may have
        # begun the same upgrade again: the daemon's word of before would delete that row.
        known = finding_slots.known_by_daemon(await asyncio.to_thread(self._patient.groups_now))
        return await cure(slot, self._source, self._reader, known, self._clock.sleep)

    async def close(self) -> None:
        """Close the connections."""
        await self._hub.client.close()
        if self._source is not None:
            await self._source.close()

    async def _organisations(self, listing: Listing | None) -> set[str]:
        listed = listing.rows if isinstance(listing, Listed) else ()
        overview = self._patient.daemon.overview
        seen = [each.org for each in overview.orgs] if overview is not None else []
        return {*await exchange.organisations(self._hub), *(str(org_of(row.group)) for row in listed), *seen}

    async def _of_server(self, what: str, url: str) -> tuple[Finding, ...]:
        settings = self._settings
        ca_file = settings.exchange.ca_file if url == settings.exchange.url else settings.agbot.secure_api_ca_file
        return await certificates.of_server(what, url, ca_file, self._clock) if url else ()

    async def _slots(self, listing: Listing | None) -> tuple[Slot, ...]:
        if not isinstance(listing, Listed):
            return ()
        known = finding_slots.known_by_daemon(self._patient.groups)
        return await finding_slots.slots(listing, self._reader, known, self._clock.sleep)


def _of_listing(listing: Listing | None, *, may_read: bool) -> list[Finding]:
    """Say why the slots are not known, if they are not."""
    check = "slots"
    if listing is None:
        return []
    if isinstance(listing, NotRunning):
        step = "start the agbot: its rows stay as they are until then"
        return [warning(check, f"not known: {listing.why}", next_step=step)]
    if not isinstance(listing, Listed):
        return [wrong(check, f"not known: {listing.why}", next_step="see the log of the agbot")]
    if not may_read:
        return [warning(check, f"{len(listing.rows)} listed, and not judged: the Exchange cannot be read")]
    return []


@asynccontextmanager
async def opened(loaded: Loaded, patient: Patient, clock: Clock) -> AsyncIterator[Doctor]:
    """Open a doctor, and close its connections afterwards."""
    doctor = Doctor(loaded, patient, clock)
    try:
        yield doctor
    finally:
        await doctor.close()
