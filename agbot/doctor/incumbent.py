"""Checks the real agbot: its local API, its version, its database's heartbeat, and its identity."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from agbot.agreementbot.client import Unreadable
from agbot.agreementbot.transport import HttpTransport, NoAnswerError, NotListeningError
from agbot.clock import Clock
from agbot.doctor.clocks import against_ours
from agbot.doctor.finding import Finding, ok, warning, wrong
from agbot.settings.model import Settings

_CHECK: Final = "agbot"
_SECONDS: Final = 5.0
_STALE_SECONDS: Final = 120.0
"""It writes a heartbeat to its database every 20 s (`PartitionStale`, `agbot-ha.md` 3.4)."""
_GOOD: Final = 200
_SHOWN: Final = 40
_DATABASE: Final = "agbot database"


async def check(settings: Settings, clock: Clock) -> tuple[Finding, ...]:
    """Check each address of `[agbot] api`."""
    if not settings.agbot.api and settings.agbot.database:
        return ()  # `database` checks it
    if not settings.agbot.api:
        step = 'set [agbot] api, for example ["http://127.0.0.1:8080"]: the address of its APIListen'
        return (warning(_CHECK, "its local API is not set, so its own upgrades are not known", next_step=step),)
    transport, found = HttpTransport(), list[Finding]()
    try:
        for url in settings.agbot.api:
            found += await _address(url.rstrip("/"), settings, clock, transport)
    finally:
        await transport.close()
    return tuple(found)


async def database(source: object, clock: Clock) -> tuple[Finding, ...]:
    """Check the agbot's database, if the settings name it: version, clock and permissions."""
    state = getattr(source, "state", None)
    if state is None:
        return ()
    sent_at = clock.now()
    found = await state()
    if isinstance(found, Unreadable):
        step = "check [agbot] database, its password (PGPASSFILE), and that the agbot has created its tables"
        return (wrong(_DATABASE, found.why, next_step=step),)
    more = "" if found.may_delete else "; the role may not delete, so --cure needs another one"
    if not found.shows_waiting:
        more += "; the role may not read workload_usages, so shadow mode does not see who waits for a service"
    answers = ok(_DATABASE, f"answers, PostgreSQL {found.version}{more}")
    return (answers, against_ours("the database's clock", found.now, sent_at, clock.now()))


async def _address(url: str, settings: Settings, clock: Clock, transport: HttpTransport) -> list[Finding]:
    tried = f"GET {url}/health"
    try:
        health, own = await _get(url + "/health", transport), await _get(url + "/node", transport)
    except NotListeningError:
        step = "start the agbot, or correct [agbot] api: it is the APIListen of its configuration"
        return [wrong(_CHECK, f"connections are refused at {url}", tried=tried, next_step=step)]
    except NoAnswerError as error:
        step = "check that [agbot] api is the agbot's local API (APIListen), not its secure API"
        return [wrong(_CHECK, str(error), tried=tried, next_step=step)]
    version = _within(health, "configuration").get("horizon_version") or "unknown"
    name = f"{own.get('organization')}/{own.get('agbot_id')}"
    found = [ok(_CHECK, f"{url} answers, version {version}, identity {name}"), *_identity(name, settings)]
    return [*found, _heartbeat(_within(health, "liveHealth").get("lastDBHeartbeat"), clock.now())]


def _identity(name: str, settings: Settings) -> list[Finding]:
    if name == settings.exchange.identity:
        text = f"[exchange] identity is the agbot's own, {name}: our reads would count as its heartbeat"
        return [wrong(_CHECK, text, next_step="give the coordinator an agbot identity of its own")]
    if settings.agbot.identity and name != settings.agbot.identity:
        text = f"[agbot] identity is {settings.agbot.identity}, and the agbot identifies itself as {name}"
        return [warning(_CHECK, text, next_step="correct [agbot] identity")]
    return []


def _heartbeat(stamp: object, now: datetime) -> Finding:
    """Check the last heartbeat in the agbot's database, which has the agbot's clock."""
    if not isinstance(stamp, int | float) or isinstance(stamp, bool) or not stamp:
        text = "it has written no heartbeat to its database; with a file database (bolt) it never does"
        step = "HA groups need PostgreSQL: with bolt the lock of agent upgrades has no effect (A16)"
        return warning(_CHECK, text, next_step=step)
    try:
        age = (now - datetime.fromtimestamp(stamp, UTC)).total_seconds()
    except (ValueError, OverflowError, OSError):  # Python reads NaN as a number, and any size
        text = f"it shows no time as its last heartbeat in the database: {str(stamp)[:_SHOWN]}"
        return warning(_CHECK, text, next_step="is [agbot] api its local API, and is its version known here?")
    if abs(age) <= _STALE_SECONDS:
        return ok(_CHECK, f"its database works: last heartbeat {max(age, 0.0):.0f} s ago")
    text = f"its last heartbeat in the database is {age:.0f} s old" if age > 0 else f"its clock is {-age:.0f} s ahead"
    return warning(_CHECK, text, next_step="check its database, its log, and the clocks of both machines")


async def _get(url: str, transport: HttpTransport) -> Mapping[str, Any]:
    reply = await transport.get(url, timeout_seconds=_SECONDS)
    if reply.status != _GOOD:
        raise NoAnswerError(f"the answer to GET {url} is {reply.status}")
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError) as error:  # the latter for thousands of brackets
        raise NoAnswerError(f"the answer to GET {url} is not JSON") from error
    return found if isinstance(found, dict) else {}


def _within(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = found.get(name)
    return part if isinstance(part, dict) else {}
