"""The organisations that are coordinated: which these are, and when each is read as a whole.

They are named in `[exchange] organisations`, or are those that the real agbot serves; with `*`,
every organisation is added when it is first seen. A failure of one organisation does not affect
the others.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.permission import Refused
from agbot.coordinator.situation import Situation
from agbot.events.exchange import OrgDiscovered, OrgFailed, OrgGone, OrgRecovered
from agbot.events.outage import Outage
from agbot.exchange import resources
from agbot.exchange.client import ExchangeClient
from agbot.exchange.errors import ExchangeError
from agbot.exchange.feed import MULTITENANT_ORG
from agbot.fleet import plan
from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import DELETED, Change, Read, What
from agbot.fleet.reads import Why
from agbot.rules.ids import NodeId, OrgId, org_of
from agbot.rules.reasons import Code, Reason
from agbot.rules.seen_time import SeenTime

_EVERYTHING = "*"
_DISCOVERY_RECORDS = 10_000
"""The server's cap for one page of the feed: it shows all organisations with a change in four
hours."""
_TRY_AGAIN = timedelta(seconds=30)
_ROWS_OF_SERVED = frozenset({"agbotbusinesspols", "agbotpatterns"})


@dataclass(slots=True)
class OrgState:
    """One organisation that is coordinated."""

    sync_at: SeenTime | None = None
    """When it is next read as a whole; None: now."""
    outage: Outage = field(default_factory=Outage)
    missed_at: SeenTime | None = None
    """When the Exchange first reported that the organisation does not exist."""
    may_be_gone: bool = False
    """The feed has announced its deletion."""

    @property
    def failing(self) -> str:
        """The error of the last read of it, while it fails."""
        return self.outage.why


class Organisations:
    """Keeps the organisations that we coordinate, and reads each into the picture as a whole."""

    def __init__(
        self,
        situation: Situation,
        exchange: ExchangeClient,
        reader: Reader,
        *,
        named: Sequence[str],
        agbot_identity: str,
        resync: timedelta,
        chance: random.Random,
    ) -> None:
        """Coordinate those in `named` (`*`: all), and those that this agbot serves."""
        self._situation = situation
        self._exchange = exchange
        self._reader = reader
        self._served = _Served(exchange, agbot_identity, resync)
        self._resync = resync
        self._chance = chance
        self._discovers = _EVERYTHING in named
        self._has_discovered = False
        self._ours = {OrgId(org) for org in named if org != _EVERYTHING}
        self.states: dict[OrgId, OrgState] = {org: OrgState() for org in self._ours}

    def serves(self, org: OrgId) -> bool:
        """Whether this organisation is one of those that we coordinate."""
        return self._discovers or org in self._ours

    def excludes(self, node: NodeId) -> Refused | None:
        """Refuse a node of an organisation that is not coordinated; None for one that is."""
        org = org_of(node)
        if self.serves(org):
            return None
        if self._served.why_unknown:
            return Refused(reasons=(Reason(code=Code.VIEW_STALE, text=self._served.why_unknown),))
        # a reason of its own: it must neither upgrade without a lease by accident nor wait for a
        # grant that can never come
        return Refused(reasons=(Reason(code=Code.ORG_EXCLUDED, text=self.why_excluded(org)),), is_final=True)

    def why_excluded(self, org: OrgId) -> str:
        """Return why this organisation is not coordinated; empty for one that is, or may be."""
        if self.serves(org) or self._served.why_unknown:
            return ""
        return f"organisation {org} is not among those that this coordinator looks after ([exchange] organisations)"

    def meet(self, org: OrgId) -> None:
        """Add an organisation if it is ours: a node of it has asked, or the feed has shown it."""
        if org not in self.states and self.serves(org):
            self.states[org] = OrgState()
            self._situation.report_event(OrgDiscovered(org=org))

    def saw(self, change: Change) -> None:
        """Note that the feed has a change in an organisation."""
        self._served.saw(change)
        is_end = change.resource == "org" and change.operation == DELETED
        if is_end and change.org in self.states:
            self.states[change.org].may_be_gone = True
            self._read_again(change.org)  # no row announces that everything in it has gone
        elif not is_end:
            self.meet(change.org)

    def read_all_again(self) -> None:
        """Make the next intake read every organisation as a whole, and which are served."""
        self._served.outdate()
        for org in self.states:
            self._read_again(org)

    async def discover(self) -> None:
        """Find the organisations at the start.

        `GET /orgs` does not list them for an agbot (`exchange-api.md`, corrections, 3).

        Raises:
            ExchangeError: they could not be read; the next cycle tries again.
        """
        if self._has_discovered:
            return
        own = org_of(self._exchange.identity)
        await self._meet_served()
        if self._discovers and own == MULTITENANT_ORG:
            page = await self._exchange.changes(1, [_EVERYTHING], _DISCOVERY_RECORDS)
            for org in sorted({change.org for change in page.changes}):
                self.meet(org)
        elif self._discovers:
            self.meet(own)
        self._has_discovered = True

    async def _meet_served(self) -> None:
        served = await self._served.read(self._situation.now().seen)
        self._ours |= served
        for org in sorted(served):
            self.meet(org)

    async def sync(self) -> list[OrgId]:
        """Read the organisations that are due as a whole; return those that were read.

        One that fails is tried again later and does not delay the others.
        """
        with suppress(ExchangeError):
            await self._meet_served()  # tried again later; until then it is not known which are not ours
        now = self._situation.now().seen
        due = [org for org, state in self.states.items() if state.sync_at is None or state.sync_at <= now]
        for org in due:
            self.states[org].sync_at = now + _TRY_AGAIN
            self._situation.picture.outdate_org(org)
        failures = await self._reader.refresh(plan.at_once([Read(what=What.ORG, id=org) for org in due], Why.RESYNC))
        for org in due:
            error = failures.get(Read(what=What.ORG, id=org)) or await self._check_existence(org, now)
            self._note(org, now, str(error) if error else "")
        return [org for org in due if org in self.states and not self.states[org].failing]

    async def _check_existence(self, org: OrgId, now: SeenTime) -> ExchangeError | None:
        """Check whether an empty organisation still exists, and drop it if not.

        It is gone if two reads, a while apart, have not found it.
        """
        state = self.states[org]
        if not state.may_be_gone and not self._situation.picture.is_empty(org):
            state.missed_at = None
            return None
        try:
            is_there = await self._exchange.get(resources.ORG, org)
        except ExchangeError as error:
            return error
        # a row of its deletion that came during this read is later than the answer
        state.may_be_gone = not is_there or (state.may_be_gone and state.sync_at is None)
        if is_there:
            state.missed_at = None
        elif state.missed_at is None:
            state.missed_at = now
        elif now - state.missed_at >= CONFIRM_AFTER:
            # it is added again when it is seen again
            del self.states[org]
            self._situation.picture.forget_org(org)
            self._situation.report_event(OrgGone(org=org))
        return None

    def _note(self, org: OrgId, now: SeenTime, failing: str) -> None:
        state = self.states.get(org)
        if state is None:
            return
        is_doubtful = self._situation.picture.is_wary(org) or state.missed_at is not None
        if state.sync_at is None:
            pass  # another read was asked for while this one was under way, which began too early for it
        elif failing:
            state.sync_at = now + _TRY_AGAIN
        elif is_doubtful:
            state.sync_at = now + CONFIRM_AFTER
        else:
            state.sync_at = now + self._resync * self._chance.uniform(0.75, 1.25)
        if failing and state.outage.begins(failing):
            self._situation.report_event(OrgFailed(org=org, error=failing))
        elif not failing and state.outage.ends():
            self._situation.report_event(OrgRecovered(org=org))

    def _read_again(self, org: OrgId) -> None:
        self.states[org].sync_at = None
        # at once: a question may be decided before the cycle reads it
        self._situation.picture.outdate_org(org, may_differ=True)


class _Served:
    """The organisations that the real agbot serves, as far as they were read.

    An organisation that is missing in one answer may be served all the same: only a second read, a
    while later, shows that it is not. What was served once stays coordinated until a restart. The
    lists are read again when the feed announces a change of them, and as rarely as whole
    organisations are: no row announces what was deleted with its owner, or is of another
    organisation than ours. Without an identity, an agbot serves nothing.
    """

    def __init__(self, exchange: ExchangeClient, identity: str, resync: timedelta) -> None:
        self._exchange = exchange
        self._identity = identity
        self._resync = resync
        self._first_read_at: SeenTime | None = None
        """Since the last announcement of a change."""
        self._due_at: SeenTime | None = None
        """None: now."""
        self._is_confirmed = not identity

    @property
    def why_unknown(self) -> str:
        """State why an organisation that is not in the lists may be served; empty if it is not."""
        if self._is_confirmed:
            return ""
        if self._first_read_at is None:
            return f"the organisations that {self._identity} serves have not been read yet"
        return f"the organisations that {self._identity} serves have been read once: only a second read shows which it does not serve"

    def saw(self, change: Change) -> None:
        """Note that the feed has a change of these lists."""
        if change.resource in _ROWS_OF_SERVED and f"{change.org}/{change.id}" == self._identity:
            self.outdate()

    def outdate(self) -> None:
        """Make the next intake read them again."""
        self._is_confirmed = not self._identity
        self._first_read_at = self._due_at = None

    async def read(self, now: SeenTime) -> frozenset[OrgId]:
        """Read what is served, if that is due.

        Raises:
            ExchangeError: it could not be read; it is tried again later.
        """
        if not self._identity or (self._due_at is not None and now < self._due_at):
            return frozenset()
        again_at = self._due_at = now + _TRY_AGAIN
        served = await self._exchange.served_orgs(self._identity)
        if self._due_at is not again_at:
            return served  # a change was announced meanwhile: this read is none of those after it
        if self._first_read_at is None:
            self._first_read_at, self._due_at = now, now + CONFIRM_AFTER
        else:
            self._is_confirmed, self._due_at = True, now + self._resync
        return served
