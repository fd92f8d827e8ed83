"""The questions we ask the Exchange, answered with values of the domain.

Each method is one request (`agreements` and `served_orgs` are two) and retries nothing; `retry.Retry` does that for background reads.
What is not there is `None` or an empty mapping. Reads with the coordinator's own identity take their turn, so that no burst of them
floods the Exchange; reads with a node's own credentials stand before an answer that is due in seconds and do not wait.
All methods raise `ExchangeError`s. Times in the values are on the coordinator's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

import msgspec

from agbot.clock import Clock
from agbot.exchange import mapping, policy_mapping, routes, wire
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import Forbidden, StoodStill, Unreadable
from agbot.exchange.mapping import FeedPage
from agbot.exchange.replies import Answered
from agbot.exchange.timestamps import ExchangeClock
from agbot.exchange.transport import Transport
from agbot.fleet.garbled import Garbled
from agbot.rules.facts import Agreement, Node, Policy
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId
from agbot.rules.statuses import Status

_STAMPED_WITHIN_SECONDS = 30.0
"""A stamp that is older is no longer one that was read before the last question's had reached every copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnEntry:
    """What the Exchange says of ourselves."""

    stamp: str | None
    """When it last heard of us; None where it does not show that."""
    asked: tuple[datetime, datetime]
    """Between which moments it took the question that left the stamp."""


class ExchangeClient:
    """The Exchange, seen by one identity."""

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        clock: Clock,
        *,
        request_seconds: float = 10.0,
        max_requests_open: int = 8,
    ) -> None:
        """Ask as `credentials`; a request may take `request_seconds` of `clock`."""
        self._transport = transport
        self._credentials = credentials
        self._clock = clock
        self._request_seconds = request_seconds
        self._turns = asyncio.Semaphore(max_requests_open)
        self._exchange_clock = ExchangeClock()
        self._asked: tuple[datetime, datetime] | None = None
        """Between which moments the Exchange took our last question for changes."""
        self._stamped: tuple[str, float] | None = None
        """What our own entry was stamped with, and when (on the monotonic clock) the question was put that had left it."""

    @property
    def identity(self) -> str:
        """Who asks, `org/name`."""
        return self._credentials.identity

    @property
    def time(self) -> ExchangeClock:
        """The Exchange's clock, as far as it is known."""
        return self._exchange_clock

    def use(self, credentials: Credentials) -> None:
        """Ask as somebody else, or with another secret, from now on."""
        self._credentials = credentials

    async def close(self) -> None:
        """Give the connections back."""
        await self._transport.close()

    async def version(self) -> str:
        """Return the Exchange's version (`GET admin/version`, which needs no credentials)."""
        return (await self._ask("GET", routes.VERSION, credentials=None)).text()

    async def max_change_id(self) -> int:
        """Return the last change id that was given out in any organisation."""
        answered = await self._get(routes.MAX_CHANGE_ID)
        return answered.read(wire.MaxChangeId, lambda reply: reply.max_change_id)

    async def changes(
        self, since: int, orgs: Sequence[str] | None, max_records: int = 1000, last_updated: str | None = None
    ) -> FeedPage:
        """Return the changes from `since` on, inclusive, with those of the 2 s before it (`exchange-api.md` 4.4).

        `orgs` is honoured for an agbot of org IBM only; `["*"]` is all. With `since` 0 `last_updated` says from when. Asking counts as
        a heartbeat of the caller.
        """
        path = routes.in_org(self._credentials.org, "changes")
        question = wire.ChangesRequest(
            change_id=since,
            max_records=max_records,
            org_list=None if orgs is None else list(orgs),
            last_updated=last_updated,
        )
        sent_at = self._clock.now()
        answered = await self._ask("POST", path, credentials=self._credentials, body=msgspec.json.encode(question))
        self._asked = (sent_at, self._clock.now())
        return answered.read(wire.ChangesPage, lambda reply: mapping.page(reply, self._exchange_clock))

    async def groups(self, org: OrgId) -> Mapping[GroupId, tuple[NodeId, ...] | Garbled]:
        """Return all HA groups of an organisation with their members."""
        answered = await self._get(routes.in_org(org, "hagroups"))
        return answered.read_or_none(wire.NodeGroups, lambda reply: mapping.groups(org, reply)) or {}

    async def group(self, group_id: GroupId) -> tuple[NodeId, ...] | None:
        """Return the members of one HA group, None if it does not exist."""
        answered = await self._get(routes.of("hagroups", group_id))
        return answered.read_or_none(wire.NodeGroups, lambda reply: mapping.one_group(group_id, reply))

    async def nodes(self, org: OrgId) -> Mapping[NodeId, Node | Garbled]:
        """Return all nodes of an organisation; one request brings every heartbeat."""
        answered = await self._get(routes.in_org(org, "nodes"))
        return answered.read_or_none(wire.Nodes, lambda reply: mapping.nodes(org, reply, self._exchange_clock)) or {}

    async def node(self, node_id: NodeId, credentials: Credentials | None = None) -> Node | None:
        """Return one node, None if it does not exist. With `credentials` it is read with them, which proves whose they are.

        Raises:
            Refused: the Exchange does not accept the credentials.
            Forbidden: they are somebody's who may not read this node.
            Unreadable: the reply is about another node.
        """
        answered = await self._get(routes.of("nodes", node_id), credentials)
        return answered.read_or_none(wire.Nodes, lambda reply: mapping.one_node(node_id, reply, self._exchange_clock))

    async def statuses(self, node_id: NodeId) -> Mapping[PolicyId, Status]:
        """Return how far the node's agent upgrades are, by policy.

        An agbot gets the same empty collection for a node without any and for a node that does not exist: only `node` tells which.
        """
        answered = await self._get(routes.of("nodes", node_id, "managementStatus"))
        return (
            answered.read_or_none(wire.ManagementStatuses, lambda reply: mapping.statuses(reply, self._exchange_clock))
            or {}
        )

    async def management_policy(self, policy_id: PolicyId) -> Policy | None:
        """Return one management policy, None if it does not exist."""
        answered = await self._get(routes.of("managementpolicies", policy_id))
        return answered.read_or_none(
            wire.ManagementPolicies,
            lambda reply: policy_mapping.one_management_policy(policy_id, reply, self._exchange_clock),
        )

    async def deployment_policy(self, policy_id: PolicyId) -> Policy | None:
        """Return one deployment policy with its service and the version of highest priority, None if it does not exist."""
        answered = await self._get(routes.of("business/policies", policy_id))
        return answered.read_or_none(
            wire.DeploymentPolicies,
            lambda reply: policy_mapping.one_deployment_policy(policy_id, reply, self._exchange_clock),
        )

    async def pattern(self, pattern_id: str) -> tuple[Policy, ...] | None:
        """Return a pattern as one policy for each of its services, None if it does not exist."""
        answered = await self._get(routes.of("patterns", pattern_id))
        return answered.read_or_none(
            wire.Patterns, lambda reply: policy_mapping.one_pattern(pattern_id, reply, self._exchange_clock)
        )

    async def agreements(self, node_id: NodeId) -> tuple[Agreement, ...]:
        """Return a node's agreements with the state of their containers; the second request is left out when there are none."""
        answered = await self._get(routes.of("nodes", node_id, "agreements"))
        found = answered.read_or_none(wire.Agreements, lambda reply: reply)
        if found is None or not found.agreements:
            return ()
        reported = await self._get(routes.of("nodes", node_id, "status"))
        status = reported.read_or_none(wire.NodeStatus, lambda reply: reply)
        return mapping.agreements(found, status, self._exchange_clock)

    async def properties(self, node_id: NodeId) -> Mapping[str, str]:
        """Return the properties of a node's policy; none when it has no policy.

        The route is `route/node/Policy.scala` of the Exchange: whoever may read the node may read it, and a node without one is a 404.
        """
        answered = await self._get(routes.of("nodes", node_id, "policy"))
        return answered.read_or_none(wire.NodePolicy, mapping.properties) or {}

    async def agbot_exists(self, agbot_id: str, credentials: Credentials) -> bool:
        """Tell whether these credentials can read this agbot. Other identities of its organisation can as well: compare the identity first.

        Raises:
            Refused: the Exchange does not accept the credentials.
        """
        answered = await self._get(routes.of("agbots", agbot_id), credentials)
        return bool(answered.read_or_none(wire.Agbots, lambda reply: mapping.has_agbot(agbot_id, reply)))

    async def org_exists(self, org: OrgId) -> bool:
        """Tell whether there is such an organisation: its lists are empty, or 404, in either case."""
        answered = await self._get(routes.in_org(org))
        return bool(answered.read_or_none(wire.Orgs, lambda reply: org in reply.orgs))

    async def served_orgs(self, agbot_id: str) -> frozenset[OrgId]:
        """Return the organisations whose nodes or policies an agbot serves."""
        policies = await self._get(routes.of("agbots", agbot_id, "businesspols"))
        patterns = await self._get(routes.of("agbots", agbot_id, "patterns"))
        return mapping.served_orgs(
            policies.read_or_none(wire.ServedPolicies, lambda reply: reply) or wire.ServedPolicies(business_pols={}),
            patterns.read_or_none(wire.ServedPatterns, lambda reply: reply) or wire.ServedPatterns(patterns={}),
        )

    async def own_entry(self) -> OwnEntry | None:
        """Read the stamp that our last question for changes has left on our own entry; None before the first question.

        Raises:
            StoodStill: the stamp is that of a question long before.
        """
        asked, identity = self._asked, self._credentials.identity
        if asked is None:
            return None
        path, asked_seconds = routes.of("agbots", identity), self._clock.monotonic_seconds()
        try:
            answered = await self._get(path)
            stamp = answered.read_or_none(wire.Agbots, lambda reply: mapping.own_heartbeat(identity, reply))
        except (Forbidden, Unreadable):
            stamp = None
        if stamp is not None and self._stamped is not None and stamp == self._stamped[0]:
            seconds = asked_seconds - self._stamped[1]
            if seconds >= _STAMPED_WITHIN_SECONDS:
                what = f"our own entry is as it was {seconds:.0f} s ago, although every question for changes stamps it anew"
                raise StoodStill(
                    "GET", path, what, "see whether the Exchange, or what is between, answers from an old copy"
                )
        elif stamp is not None:
            self._stamped = (stamp, asked_seconds)
        return OwnEntry(stamp=stamp, asked=asked)

    def compare_clocks(self, entry: OwnEntry) -> bool:
        """Learn from our own entry how far the Exchange's clock is from ours; say whether it told that."""
        if entry.stamp is None:
            self._exchange_clock.rely_on_dates()
            return True
        return self._exchange_clock.learn(entry.stamp, *entry.asked)

    async def _get(self, path: str, credentials: Credentials | None = None) -> Answered:
        return await self._ask("GET", path, credentials=credentials or self._credentials)

    async def _ask(
        self, method: str, path: str, *, credentials: Credentials | None, body: bytes | None = None
    ) -> Answered:
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
