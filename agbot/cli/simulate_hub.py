"""Where `agbot simulate` gets a hub from: the Exchange and the coordinator, or a file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agbot.cli import journal
from agbot.cli.client import Client
from agbot.cli.failure import Exit, Failure
from agbot.cli.simulate_shown import Progress
from agbot.clock import SystemClock
from agbot.console import api
from agbot.coordinator.contract import LeaseView
from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import ExchangeError, Refused
from agbot.exchange.transport import HttpTransport
from agbot.forecast import reading, snapshot
from agbot.forecast.reading import Wanted
from agbot.forecast.snapshot import Ended, Orders, Snapshot, SnapshotError, Tenure
from agbot.rules import ids
from agbot.rules.ids import GroupId, OrgId, PolicyId
from agbot.rules.lease import Kind, State
from agbot.rules.limits import LimitsOf
from agbot.rules.reasons import Cause
from agbot.settings.load import Loaded

_HISTORY: Final = 1000
"""So many of the latest releases are read."""
_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A hub, and what is wanted of it."""

    loaded: Loaded
    org: OrgId
    url: str
    """Of the coordinator."""
    limits: LimitsOf
    services: bool


def read_file(file: Path) -> Snapshot:
    """Read a snapshot.

    Raises:
        Failure: that is not possible.
    """
    tried = f"reading a snapshot from {file}"
    try:
        return snapshot.load(file)
    except OSError as error:
        step = "name a file that `agbot simulate --save` has written, or the URL of an Exchange (https://…/v1)"
        raise Failure(
            Exit.BAD_FILE, tried=tried, problem=f"{file} cannot be read: {error.strerror}", next_step=step
        ) from error
    except SnapshotError as error:
        step = "take it again: `agbot simulate --save`"
        raise Failure(Exit.BAD_JSON, tried=tried, problem=f"{file}: {error}", next_step=step) from error


def read_hub(source: Source) -> Snapshot:
    """Read a hub, and the coordinator if it can be reached.

    Raises:
        Failure: the hub cannot be read.
    """
    orders, lacks = _orders(source)
    found = asyncio.run(_take(source, orders))
    return replace(found, lacks=(*lacks, *found.lacks))


async def _take(source: Source, orders: Orders) -> Snapshot:
    settings, token = source.loaded.settings.exchange, source.loaded.secrets.exchange_token
    tried = f"reading organisation {source.org} from {settings.url} as {settings.identity}"
    if token is None:
        step = "name the file with the token: [exchange] token_file, or AGBOT_EXCHANGE_TOKEN_FILE"
        raise Failure(Exit.BAD_INPUT, tried=tried, problem=f"there is no token for {settings.identity}", next_step=step)
    clock = SystemClock()
    client = ExchangeClient(
        HttpTransport(settings.url, ca_file=settings.ca_file),
        Credentials(identity=settings.identity, secret=token.reveal()),
        clock,
        request_seconds=settings.request_seconds,
        max_requests_open=settings.max_requests_open,
    )
    rules = source.limits(GroupId(f"{source.org}/*"))
    wanted = Wanted(
        org=source.org,
        services=source.services or rules.services_must_run,
        properties=bool(rules.order_property),
    )
    try:
        with Progress("read", 0) as progress:
            return await reading.take(
                client, wanted, orders, url=settings.url, now=clock.now(), progress=progress.count
            )
    except ExchangeError as error:
        step = "check the identity and its token" if isinstance(error, Refused) else error.what_next
        raise Failure(
            Exit.UNREACHABLE,
            tried=f"{tried}: {error.method} {settings.url.rstrip('/')}{error.path}",
            problem=error.what_came_back,
            next_step=step,
        ) from error
    finally:
        await client.close()


def _orders(source: Source) -> tuple[Orders, tuple[str, ...]]:
    """Read what the coordinator knows: leases, brakes, holds, and how long upgrades took."""
    client = Client(url=source.url, seconds=_SECONDS)
    try:
        groups, ordered = client.read(api.GROUPS).groups, client.read(api.ORDERS)
        held = _held(client, source.org)
    except Failure as failure:
        # a forecast without them may still be wanted, before there is a coordinator; it says so
        text = f"the coordinator's leases, orders and history were not read: {failure.problem}"
        return Orders(), (text,)
    leases = [each.lease for each in groups if ids.org_of(each.id) == source.org]
    orders = Orders(
        tenures=_tenures(leases),
        ends=_ends(leases),
        holds=tuple(ordered.holds),
        brakes=tuple(ordered.brakes),
        approvals=tuple(ordered.approvals),
        allowances=tuple(ordered.allowances),
        held=held,
    )
    return orders, ()


def _held(client: Client, org: OrgId) -> tuple[tuple[PolicyId, float], ...]:
    """Return how many seconds each upgrade of the organisation took that has succeeded."""
    try:
        ends = list(journal.newest_first(client, {"event": ["lease.released"], "org": org}, _HISTORY))
    except Failure as failure:
        if failure.exit_code != Exit.NOT_FOUND:
            raise
        return ()  # the coordinator does not know the organisation, so its history has nothing of it
    return tuple(
        (PolicyId(entry.subject or ""), float(str(entry.facts.get("held_seconds", 0.0))))
        for entry, _ in ends
        if entry.facts.get("cause") == Cause.SUCCEEDED
    )


def _tenures(leases: Sequence[LeaseView]) -> tuple[Tenure, ...]:
    return tuple(
        Tenure(
            group=lease.group,
            node=lease.holder,
            kind=Kind(lease.kind),
            subject=lease.subject or PolicyId(""),
            since=lease.granted_at,
            is_suspect=lease.state == State.SUSPECT,
        )
        for lease in leases
        if lease.holder is not None and lease.kind is not None and lease.granted_at is not None
    )


def _ends(leases: Sequence[LeaseView]) -> tuple[Ended, ...]:
    return tuple(
        Ended(
            group=lease.group,
            node=lease.last_holder,
            kind=Kind(lease.last_kind),
            subject=lease.last_subject or PolicyId(""),
            at=lease.last_end_at,
            cause=Cause(lease.last_cause),
            is_rested=lease.last_rest_ended,
        )
        for lease in leases
        if lease.last_holder is not None and lease.last_kind is not None
        if lease.last_cause is not None and lease.last_end_at is not None
    )
