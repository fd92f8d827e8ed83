"""The organisations that are looked after: which those are, and when each is read as a whole.

`[exchange] organisations` and what the real agbot serves name them; with `*` whatever shows itself is met. A node of another one is refused
with a reason of its own: it must neither upgrade ungated by accident nor wait for something that never comes. One that is not there any
more disappears, and comes back when it shows itself again. What fails for one organisation is its own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from agbot.coordinator.contract import Refused
from agbot.coordinator.reading import Reader
from agbot.coordinator.situation import Situation
from agbot.exchange.client import ExchangeClient
from agbot.exchange.errors import ExchangeError
from agbot.exchange.feed import MULTITENANT_ORG
from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import DELETED, Change, Read, What
from agbot.rules.ids import NodeId, OrgId, org_of
from agbot.rules.reasons import Code, Reason
from agbot.rules.seen_time import SeenTime
from agbot.store.contract import Entry

EVERYTHING = "*"
_DISCOVERY_RECORDS = 10_000
"""One page of the feed as far back as it goes (the server's cap): it shows which organisations had any change in four hours."""
_ORG_TRY_AGAIN = timedelta(seconds=30)


@dataclass(slots=True)
class OrgState:
    """One organisation that is looked after."""

    sync_at: SeenTime | None = None
    """When it is read as a whole again; None: now."""
    failing: str = ""
    missed_at: SeenTime | None = None
    """When the Exchange first said that there is no such organisation."""
    may_be_gone: bool = False
    """The feed has told of its end."""


class Organisations:
    """Knows whom we coordinate, and keeps each in the picture as a whole."""

    def __init__(
        self,
        situation: Situation,
        exchange: ExchangeClient,
        reader: Reader,
        *,
        named: Sequence[str],
        served_by: str,
        resync: timedelta,
        chance: random.Random | None,
    ) -> None:
        """Look after those that are `named`, `*` for all, and those that the agbot `served_by` serves."""
        self._situation = situation
        self._exchange = exchange
        self._reader = reader
        self._served_by = served_by
        self._resync = resync
        self._chance = chance or random.Random()  # noqa: S311 - spreads resyncs over time, guards nothing
        self._discovers = EVERYTHING in named
        self._has_discovered = False
        self._ours = {OrgId(org) for org in named if org != EVERYTHING}
        self.states: dict[OrgId, OrgState] = {org: OrgState() for org in self._ours}

    def serves(self, org: OrgId) -> bool:
        """Tell whether this organisation is one of those that we coordinate."""
        return self._discovers or org in self._ours

    def excludes(self, node: NodeId) -> Refused | None:
        """Refuse a node of an organisation that is not looked after; None for one that is."""
        org = org_of(node)
        if self.serves(org):
            return None
        if self._served_by and not self._has_discovered:
            text = f"the organisations that {self._served_by} serves have not been read yet"
            return Refused(reasons=(Reason(code=Code.VIEW_STALE, text=text),))
        return Refused(reasons=(Reason(code=Code.ORG_EXCLUDED, text=self.why_excluded(org)),), is_final=True)

    def why_excluded(self, org: OrgId) -> str:
        """Say why this organisation is not looked after; empty for one that is, or may be."""
        if self.serves(org) or (self._served_by and not self._has_discovered):
            return ""
        return f"organisation {org} is not among those that this coordinator looks after ([exchange] organisations)"

    def meet(self, org: OrgId) -> None:
        """Look after an organisation from now on, if it is ours: a node of it has asked, or the feed has shown it."""
        if org not in self.states and self.serves(org):
            self.states[org] = OrgState()
            self._tell("org.discovered", {"org": org})

    def saw(self, change: Change) -> None:
        """Take in that the feed tells of an organisation."""
        is_end = change.resource == "org" and change.operation == DELETED
        if is_end and change.org in self.states:
            self.states[change.org].may_be_gone = True
            self._read_again(change.org)  # everything in it has gone, and no row tells that
        elif not is_end:
            self.meet(change.org)

    def read_anew(self) -> None:
        """Let every organisation be read as a whole in the next intake."""
        for org in self.states:
            self._read_again(org)

    async def discover(self) -> None:
        """Find the organisations: `GET /orgs` does not list them for an agbot (`exchange-api.md`, corrections, 3).

        Raises:
            ExchangeError: they could not be read; it is tried again.
        """
        if self._has_discovered:
            return
        own = org_of(self._exchange.identity)
        if self._served_by:
            served = await self._exchange.served_orgs(self._served_by)
            self._ours |= served
            for org in sorted(served):
                self.meet(org)
        if self._discovers and own == MULTITENANT_ORG:
            page = await self._exchange.changes(1, [EVERYTHING], _DISCOVERY_RECORDS)
            for org in sorted({change.org for change in page.changes}):
                self.meet(org)
        elif self._discovers:
            self.meet(own)
        self._has_discovered = True

    async def sync(self) -> list[OrgId]:
        """Read the organisations that are due as a whole; one that fails is tried again later and hinders no other."""
        now = self._situation.now().seen
        due = [org for org, state in self.states.items() if state.sync_at is None or state.sync_at <= now]
        for org in due:
            self._situation.picture.outdate_org(org)
        failures = await self._reader.refresh(Read(what=What.ORG, id=org) for org in due)
        for org in due:
            error = failures.get(Read(what=What.ORG, id=org)) or await self._look_for(org, now)
            self._note(org, now, str(error) if error else "")
        return [org for org in due if org in self.states and not self.states[org].failing]

    async def _look_for(self, org: OrgId, now: SeenTime) -> ExchangeError | None:
        """Ask for an organisation in which there is nothing: it may be empty, or gone. Gone is what is missing twice, a while apart."""
        state = self.states[org]
        if not state.may_be_gone and not self._situation.picture.is_empty(org):
            state.missed_at = None
            return None
        try:
            is_there = await self._exchange.org_exists(org)
        except ExchangeError as error:
            return error
        state.may_be_gone = not is_there
        if is_there:
            state.missed_at = None
        elif state.missed_at is None:
            state.missed_at = now
        elif now - state.missed_at >= CONFIRM_AFTER:
            del self.states[org]
            self._situation.picture.forget_org(org)
            self._tell("org.gone", {"org": org})
        return None

    def _note(self, org: OrgId, now: SeenTime, failing: str) -> None:
        state = self.states.get(org)
        if state is None:
            return
        is_doubtful = self._situation.picture.is_wary(org) or state.missed_at is not None
        if failing:
            state.sync_at = now + _ORG_TRY_AGAIN
        elif is_doubtful:
            state.sync_at = now + CONFIRM_AFTER
        else:
            state.sync_at = now + self._resync * self._chance.uniform(0.75, 1.25)
        if failing and not state.failing:
            self._tell("org.failed", {"org": org, "error": failing})
        elif state.failing and not failing:
            self._tell("org.recovered", {"org": org})
        state.failing = failing

    def _read_again(self, org: OrgId) -> None:
        self.states[org].sync_at = None
        self._situation.picture.outdate_org(
            org, may_differ=True
        )  # at once: a question may be decided before the cycle reads it

    def _tell(self, event: str, facts: dict[str, object]) -> None:
        self._situation.tell(Entry(at=self._situation.now().wall, event=event, facts=facts))
