"""The change feed, and the last value of its sequence (`exchange-api.md` 4.4 and 4.5).

In `POST /orgs/{org}/changes` ids are inclusive, and rows are repeated by design: a client that
passes an id whose row still exists gets two more seconds of rows. A poll is the caller's heartbeat.
The order of `changes` has no meaning, so it is deliberately not the order of ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice
from zlib import crc32

from agbot.sim.exchange import body, stamp
from agbot.sim.exchange.access import Target, TargetKind, Verb, check, require
from agbot.sim.exchange.body import Kind, Shape
from agbot.sim.exchange.changelog import ChangeRow
from agbot.sim.exchange.identity import MULTITENANT_ORG, Identity, Role
from agbot.sim.exchange.message import EXCHANGE_VERSION, Answer, Doc, bad_input, found, not_found
from agbot.sim.exchange.router import Call, Route

OVERLAP = timedelta(seconds=2)
"""How far back rows are repeated (`contentionDuration`)."""

ROLLBACK = timedelta(seconds=10)
"""How far before `lastUpdated` rows are included."""

MAX_RECORDS = 10_000

_BODY = Shape(
    "organization.ResourceChangesRequest",
    {"orgList": Kind.TEXTS, "changeId": Kind.NUMBER, "lastUpdated": Kind.TEXT, "maxRecords": Kind.NUMBER},
)
_OF_THE_NODE = frozenset(
    {"node", "nodeagreements", "nodeerrors", "nodemgmtpolstatus", "nodemsgs", "nodepolicies", "nodestatus"}
    | {"services_configstate"}
)
_FOR_EVERY_NODE = frozenset(
    {"agentfileversion", "mgmtpolicy", "org", "service", "servicedockauths", "servicekeys", "servicepolicies"}
)
_HIDDEN_FROM_AGBOTS = frozenset({"nodemsgs", "nodestatus"})
_DELETIONS_ONLY_FOR_AGBOTS = frozenset({"nodeagreements", "agbotagreements"})

Seen = Callable[[ChangeRow], bool]


def _by_node(identity: Identity, path_org: str) -> Seen:
    def seen(row: ChangeRow) -> bool:
        if row.org != path_org and not row.public:
            return False
        return row.resource in _FOR_EVERY_NODE or (row.resource in _OF_THE_NODE and row.id == identity.id)

    return seen


def _is_for_agbots(row: ChangeRow) -> bool:
    if row.resource in _DELETIONS_ONLY_FOR_AGBOTS:
        return row.operation != "created/modified"
    return row.resource not in _HIDDEN_FROM_AGBOTS


def _by_multitenant_agbot(path_org: str, org_list: list[str]) -> Seen:
    orgs = {path_org, *org_list}
    everywhere = bool(orgs & {"*", ""})

    def seen(row: ChangeRow) -> bool:
        is_new_org = row.resource == "org" and row.operation == "created"
        return (everywhere or row.org in orgs or is_new_org) and _is_for_agbots(row)

    return seen


def _visible(identity: Identity, path_org: str, org_list: list[str]) -> Seen:
    """Return the test for the rows that a caller may see."""
    if identity.role is Role.ROOT:
        return lambda _: True
    if identity.role is Role.NODE:
        return _by_node(identity, path_org)
    if identity.role is Role.AGBOT and identity.org == MULTITENANT_ORG:
        return _by_multitenant_agbot(path_org, org_list)
    if identity.role is Role.AGBOT:
        return lambda row: (row.org == path_org or row.public) and _is_for_agbots(row)
    return lambda row: row.org == path_org or row.public


def _candidates(call: Call, given: Doc) -> Iterator[ChangeRow]:
    log = call.world.log
    if (change_id := given.get("changeId", 0)) > 0:
        return log.from_id(change_id, OVERLAP, last_id=call.feed_end, is_there=lambda row: not _is_late(call, row))
    if "lastUpdated" in given:
        return log.since(stamp.parse(given["lastUpdated"]) - ROLLBACK, last_id=call.feed_end)
    return log.from_id(0, OVERLAP, last_id=call.feed_end, is_there=lambda _row: True)


def _shown(call: Call, given: Doc) -> Iterator[ChangeRow]:
    seen = _visible(call.identity, call.org, given.get("orgList", []))
    return (row for row in _candidates(call, given) if seen(row) and not _is_late(call, row))


def _is_late(call: Call, row: ChangeRow) -> bool:
    """Return whether a row's transaction has not ended yet. A row's id determines if it is slow."""
    if call.at - row.at >= timedelta(seconds=call.conditions.late_seconds):
        return False
    return crc32(str(row.change_id).encode()) % 1000 < call.conditions.late_share * 1000


def _grouped(rows: list[ChangeRow]) -> list[Doc]:
    groups: dict[tuple[str, str, str], list[ChangeRow]] = {}
    for row in rows:
        groups.setdefault((row.org, row.id, row.resource), []).append(row)
    ordered = sorted(groups.items(), key=lambda item: crc32("\0".join(item[0]).encode()))
    return [
        {
            "orgId": org,
            "resource": resource,
            "id": name,
            "operation": group[-1].operation,
            "resourceChanges": [{"changeId": row.change_id, "lastUpdated": stamp.coarse(row.at)} for row in group],
        }
        for (org, name, resource), group in ordered
    ]


def _beat(call: Call) -> None:
    """Record the poll as the caller's heartbeat."""
    identity = call.identity
    if identity.is_person:
        return
    table = call.world.nodes if identity.role is Role.NODE else call.world.agbots
    entry = table.get(identity.key)
    if entry is None:
        raise not_found(f"Node or agbot '{identity.name}' not found")
    entry.doc["lastHeartbeat"] = call.stamp
    call.world.notify(call.at, identity.role.value, "heartbeat", identity.key)


def _changes(call: Call) -> Answer:
    check(call.identity, Target(kind=TargetKind.ORG, org=call.org, id=call.org), Verb.READ)
    given = body.read(call.request, _BODY)
    _check_time(given.get("lastUpdated"))
    limit = min(given.get("maxRecords", 0), MAX_RECORDS)
    call.world.log.purge(call.at)
    rows = list(islice(_shown(call, given), max(0, limit)))
    full = limit > 0 and len(rows) == limit
    _beat(call)
    return Answer(
        201,
        {
            "changes": _grouped(rows),
            "mostRecentChangeId": rows[-1].change_id if full else call.feed_end,
            "hitMaxRecords": full,
            "exchangeVersion": EXCHANGE_VERSION,
        },
    )


def _check_time(text: str | None) -> None:
    if text is None:
        return
    try:
        stamp.parse(text)
    except ValueError as error:
        message = (
            f"error parsing timestamp '{text}'. The proper format is uuuu-MM-dd'T'HH:mm:ss.SSS  "
            "(Ex: '2020-02-05T20:28:14.469Z[UTC]')"
        )
        raise bad_input(message) from error


def _max_change_id(call: Call) -> Answer:
    if call.identity.role in (Role.USER, Role.HUB_ADMIN):
        require(call.identity, "MAXCHANGEID")
    return found({"maxChangeId": call.feed_end})


ROUTES = (
    Route("POST", "/orgs/{org}/changes", _changes),
    Route("GET", "/changes/maxchangeid", _max_change_id),
)
