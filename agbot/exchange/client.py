"""The client of the Exchange: reads of `resources`, and the change feed, as values of the domain.

Each method is one request (`agreements` and `served_orgs` are two) without retries; `retry.Retry`
adds them for background reads. What does not exist is `None` or an empty mapping. Reads with the
coordinator's identity are limited in number, so that they do not flood the Exchange. Reads with a
node's own credentials do not wait, because an answer is due in seconds. All methods raise
`ExchangeError`. Times in the values are on the coordinator's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

import msgspec

from agbot.clock import Clock
from agbot.exchange import feed_page, mapping, resources, routes, wire
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import Forbidden, StoodStill, Unreadable
from agbot.exchange.feed_page import FeedPage
from agbot.exchange.replies import Answered
from agbot.exchange.resources import Reply, Resource, Value
from agbot.exchange.timestamps import ExchangeClock
from agbot.exchange.transport import Transport
from agbot.fleet.changes import Read, What
from agbot.rules.facts import Agreement, Node
from agbot.rules.ids import NodeId, OrgId

_STAMPED_WITHIN_SECONDS = 30.0
"""An older stamp is not explained by a replica that has not received the last request yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnEntry:
    """Our own agbot record in the Exchange."""

    stamp: str | None
    """The last heartbeat in the record; None if it is not shown."""
    asked: tuple[datetime, datetime]
    """The interval in which the Exchange received the request that left the stamp."""


class ExchangeClient:
    """The Exchange, for one identity."""

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        clock: Clock,
        *,
        request_seconds: float = 10.0,
        max_requests_open: int = 8,
    ) -> None:
        """Send requests as `credentials`; each may take `request_seconds` of `clock`."""
        self._transport = transport
        self._credentials = credentials
        self._clock = clock
        self._request_seconds = request_seconds
        self._turns = asyncio.Semaphore(max_requests_open)
        self._exchange_clock = ExchangeClock()
        self._pages = feed_page.Pages()
        self._asked: tuple[datetime, datetime] | None = None
        """The interval in which the Exchange received our last request for changes."""
        self._stamped: tuple[str, float] | None = None
        """The stamp of our own record, and when (on the monotonic clock) the request that left it
        was sent."""

    @property
    def identity(self) -> str:
        """The identity, `org/name`."""
        return self._credentials.identity

    @property
    def time(self) -> ExchangeClock:
        """The Exchange's clock, as far as it is known."""
        return self._exchange_clock

    def use(self, credentials: Credentials) -> None:
        """Use these credentials from now on."""
        self._credentials = credentials

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def version(self) -> str:
        """Return the Exchange's version (`GET admin/version`, which needs no credentials)."""
        return (await self._ask("GET", resources.VERSION, credentials=None)).text()

    async def get(self, resource: Resource[Reply, Value], key: str, credentials: Credentials | None = None) -> Value:
        """Return one resource by its id (`org/name`, or an organisation), or its value for absence.

        With `credentials` it is read with them, which also verifies them.

        Raises:
            Refused: the Exchange does not accept the credentials.
            Forbidden: the caller may not read this.
            Unreadable: the reply is about something else.
        """
        answered = await self._ask("GET", resource.at(key), credentials=credentials or self._credentials)
        clock = self._exchange_clock
        found = answered.read_or_none(resource.reply, lambda reply: resource.meaning(key, reply, clock))
        return resource.absent if found is None else found

    async def read(self, read: Read) -> object:
        """Return the value that fills this part of the picture."""
        if read.what is What.AGREEMENTS:
            return await self.agreements(NodeId(read.id))
        found: object = await self.get(resources.BY_WHAT[read.what], read.id)
        return found

    async def max_change_id(self) -> int:
        """Return the last change id assigned in any organisation."""
        answered = await self._ask("GET", resources.MAX_CHANGE_ID, credentials=self._credentials)
        return answered.read(wire.MaxChangeId, lambda reply: reply.max_change_id)

    async def changes(self, since: int, orgs: Sequence[str] | None, max_records: int = 1000) -> FeedPage:
        """Return the changes from `since` on, and those of the 2 s before (`exchange-api.md` 4.4).

        `orgs` has an effect for an agbot of org IBM only; `["*"]` is all. The request counts as a
        heartbeat of the caller.
        """
        path = routes.path(resources.CHANGES, [self._credentials.org])
        question = feed_page.ChangesRequest(
            change_id=since,
            max_records=max_records,
            org_list=None if orgs is None else list(orgs),
        )
        sent_at = self._clock.now()
        answered = await self._ask("POST", path, credentials=self._credentials, body=msgspec.json.encode(question))
        self._asked = (sent_at, self._clock.now())
        return answered.read(feed_page.ChangesPage, lambda reply: self._pages.page(reply, self._exchange_clock))

    async def node(self, node_id: NodeId, credentials: Credentials | None = None) -> Node | None:
        """Return one node, None if it does not exist; see `get`."""
        return await self.get(resources.NODE, node_id, credentials)

    async def agreements(self, node_id: NodeId) -> tuple[Agreement, ...]:
        """Return a node's agreements with the state of their containers.

        Without agreements the second request is omitted.
        """
        found = await self.get(resources.AGREEMENTS, node_id)
        if not found.agreements:
            return ()
        containers = await self.get(resources.CONTAINERS, node_id)
        return mapping.agreements(found, containers, self._exchange_clock)

    async def agbot_exists(self, agbot_id: str, credentials: Credentials) -> bool:
        """Whether these credentials can read this agbot.

        Other identities of its organisation can too: compare the identity first.

        Raises:
            Refused: the Exchange does not accept the credentials.
        """
        return await self.get(resources.AGBOT, agbot_id, credentials)

    async def served_orgs(self, agbot_id: str) -> frozenset[OrgId]:
        """Return the organisations whose nodes or policies an agbot serves."""
        policies = await self.get(resources.SERVED_POLICIES, agbot_id)
        return mapping.served_orgs(policies, await self.get(resources.SERVED_PATTERNS, agbot_id))

    async def own_entry(self) -> OwnEntry | None:
        """Return the stamp of our last request for changes on our own record.

        None before the first.

        Raises:
            StoodStill: the stamp is that of a much earlier request.
        """
        asked, identity = self._asked, self._credentials.identity
        if asked is None:
            return None
        path, asked_seconds = resources.AGBOT.at(identity), self._clock.monotonic_seconds()
        try:
            answered = await self._ask("GET", path, credentials=self._credentials)
            stamp = answered.read_or_none(wire.Agbots, lambda reply: mapping.own_heartbeat(identity, reply))
        except (Forbidden, Unreadable):
            # an identity that may not see itself: the clock is then compared by the `Date` headers
            stamp = None
        if stamp is not None and self._stamped is not None and stamp == self._stamped[0]:
            seconds = asked_seconds - self._stamped[1]
            if seconds >= _STAMPED_WITHIN_SECONDS:
                what = f"our own record is as it was {seconds:.0f} s ago, although every request for changes stamps it"
                raise StoodStill("GET", path, what, "check whether the Exchange or a proxy answers from an old copy")
        elif stamp is not None:
            self._stamped = (stamp, asked_seconds)
        return OwnEntry(stamp=stamp, asked=asked)

    def compare_clocks(self, entry: OwnEntry) -> bool:
        """Compare the Exchange's clock with ours by our own record.

        Return whether that was possible.
        """
        if entry.stamp is None:
            self._exchange_clock.rely_on_dates()
            return True
        return self._exchange_clock.learn(entry.stamp, *entry.asked)

    async def _ask(
        self, method: str, path: str, *, credentials: Credentials | None, body: bytes | None = None
    ) -> Answered:
        # a node's own credentials: a question waits for it, and has seconds
        is_own = credentials is None or credentials is self._credentials
        async with self._turns if is_own else nullcontext():
            sent_at = self._clock.now()
            reply = await self._transport.request(
                method,
                path,
                credentials=credentials,
                body=body,
                timeout_seconds=self._clock.real_seconds(self._request_seconds),
            )
        self._exchange_clock.note(reply.header("Date"), sent_at, self._clock.now())
        return Answered(method, path, credentials, reply)
