"""How many files and sockets the process may have open at once: asked for at the start, shared out, and watched.

Each connection is one, each request that is passed on another. Where the limit does not reach for what the settings allow, the listeners
are bounded by the limit instead, so that store, log and `/livez` never go without; it is told once, with the settings' names. Should the
process run out all the same, that is told when it begins and when it is over.
"""

from __future__ import annotations

import re
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

KEPT: Final = 192
"""For everything but the gateway: 64 connections to the Exchange, 64 of the operators' listener, store, log, broker, webhooks."""
_LEAST: Final = 4
_LIMITS = Path("/proc/self/limits")
_NUMBERS = re.compile(r"^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)", re.MULTILINE)
_UNLIMITED = 1 << 30

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the gateway may have open."""

    connections: int
    passed_on: int


def claim() -> int:
    """Raise the limit as far as the process may without further rights, and return it.

    Under our unit the kernel refuses both questions (`SystemCallFilter=~@resources`): its `LimitNOFILE` stands, and is read from `/proc`.
    """
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    except (OSError, ValueError):
        soft = _written()
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


def _written() -> int:
    """Return the limit as the kernel writes it."""
    try:
        found = _NUMBERS.search(_LIMITS.read_text(encoding="ascii"))
    except OSError:
        found = None
    return int(found[1]) if found and found[1] != "unlimited" else _UNLIMITED


class Descriptors:
    """The descriptors of this process."""

    def __init__(self, limit: int = _UNLIMITED) -> None:
        self._limit = limit
        self._is_exhausted = False

    def room(self, max_open: int) -> Room:
        """Return what the gateway may have open when `[gateway] max_open` is this, and say so where that is less than it should be."""
        wanted = Room(connections=2 * max_open, passed_on=max(1, max_open // 2))
        total = wanted.connections + wanted.passed_on
        left = self._limit - KEPT if self._limit >= 2 * KEPT else self._limit // 2
        if left >= total:
            return wanted
        given = Room(
            connections=max(_LEAST, left * wanted.connections // total),
            passed_on=max(1, left * wanted.passed_on // total),
        )
        _log.warning(
            "descriptors.scarce",
            limit=self._limit,
            needed=total + KEPT,
            connections=given.connections,
            next_step=f"raise LimitNOFILE in the unit (or ulimit -n) to {total + KEPT}, or lower [gateway] max_open",
        )
        return given

    def ran_out(self, error: OSError) -> None:
        """Take note that a connection could not be accepted for want of one."""
        if not self._is_exhausted:
            self._is_exhausted = True
            _log.warning(
                "descriptors.exhausted",
                error=error.strerror,
                limit=self._limit,
                next_step="raise LimitNOFILE in the unit (or ulimit -n), or lower [gateway] max_open",
            )

    def sufficed(self) -> None:
        """Take note that none has been wanting for a while."""
        if self._is_exhausted:
            self._is_exhausted = False
            _log.info("descriptors.recovered", limit=self._limit)
