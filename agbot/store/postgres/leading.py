"""The statements about the row of the leader and about the coordinators, by the database's clock.

What may be taken is `agbot.rules.leadership.may_take`, decided in the statement that takes it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from agbot.rules.leadership import Announced, Candidate, Leader
from agbot.store.postgres.quoting import filled, originals

CURRENT: Final = """SELECT name, run, epoch, gateway_url, console_url, reserved_for,
 extract(epoch FROM since)::float8 AS since, extract(epoch FROM expires_at - clock_timestamp())::float8 AS left_seconds,
 extract(epoch FROM reserved_until - clock_timestamp())::float8 AS reserved_seconds,
 reserved_until >= expires_at AS is_given_up FROM leader WHERE epoch > 0"""
"""A row that is taken or renewed expires later than it is reserved; one given up does not."""

_TAKE: Final = """UPDATE leader SET epoch = epoch + 1, name = :name, run = :run, gateway_url = :gateway_url, console_url = :console_url,
 writer = '', since = clock_timestamp(), expires_at = clock_timestamp() + make_interval(secs => :ttl),
 reserved_for = '', reserved_until = clock_timestamp(), seen_at = greatest(seen_at, clock_timestamp())
 WHERE epoch = 0 OR run = :run
 OR expires_at <= clock_timestamp() AND (reserved_until <= clock_timestamp() OR reserved_for = :name)"""

_RENEW: Final = """UPDATE leader SET expires_at = clock_timestamp() + make_interval(secs => :ttl),
 seen_at = greatest(seen_at, clock_timestamp()) WHERE epoch = :epoch RETURNING epoch"""

_GIVE_UP: Final = """UPDATE leader SET expires_at = here.now, reserved_for = :reserved_for,
 reserved_until = here.now + make_interval(secs => :reserved)
 FROM (SELECT clock_timestamp() AS now) here WHERE epoch = :epoch RETURNING epoch"""

_ANNOUNCE: Final = """INSERT INTO coordinator (name, run, gateway_url, console_url, version, seen_at)
 VALUES (:name, :run, :gateway_url, :console_url, :version, clock_timestamp()) ON CONFLICT (name) DO UPDATE SET run = excluded.run,
 gateway_url = excluded.gateway_url, console_url = excluded.console_url, version = excluded.version, seen_at = excluded.seen_at"""

_WITHDRAW: Final = "DELETE FROM coordinator WHERE name = :name AND run = :run"

FORGET: Final = "DELETE FROM coordinator WHERE seen_at < clock_timestamp() - interval '1 day'"

ANNOUNCED: Final = """SELECT name, run, gateway_url, console_url, version,
 extract(epoch FROM clock_timestamp() - seen_at)::float8 AS silent_seconds FROM coordinator ORDER BY name"""


def take(candidate: Candidate, ttl_seconds: float) -> str:
    """Take the row if it may be taken; it waits for the writes under way of the last leader."""
    return filled(_TAKE, _of(candidate) | {"ttl": str(ttl_seconds)})


def renew(epoch: int, ttl_seconds: float) -> str:
    """Let the row expire later; it does not wait for writes."""
    return filled(_RENEW, {"epoch": epoch, "ttl": str(ttl_seconds)})


def give_up(epoch: int, reserved_for: str, reserved_seconds: float) -> str:
    """Let the row expire now."""
    reserved = str(reserved_seconds if reserved_for else 0.0)
    return filled(_GIVE_UP, {"epoch": epoch, "reserved_for": reserved_for, "reserved": reserved})


def announce(candidate: Candidate) -> str:
    """Note that a coordinator lives."""
    return filled(_ANNOUNCE, _of(candidate))


def withdraw(candidate: Candidate) -> str:
    """Note that a coordinator ends."""
    return filled(_WITHDRAW, {"name": candidate.name, "run": candidate.run})


def leader(row: dict[str, Any]) -> Leader:
    """Read a row of `CURRENT`."""
    return Leader(**{**originals(row), "since": datetime.fromtimestamp(row["since"], UTC)})


def announced(row: dict[str, Any]) -> Announced:
    """Read a row of `ANNOUNCED`."""
    texts = originals(row)
    silent_seconds = texts.pop("silent_seconds")
    return Announced(candidate=Candidate(**texts), silent_seconds=silent_seconds)


def _of(candidate: Candidate) -> dict[str, str | int | None]:
    return {
        "name": candidate.name,
        "run": candidate.run,
        "gateway_url": candidate.gateway_url,
        "console_url": candidate.console_url,
        "version": candidate.version,
    }
