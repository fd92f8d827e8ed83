"""The number of files and sockets that the process may open: raised, divided and watched.

Each connection uses one, and each request that is passed through another. If the limit is too low
for the settings, the gateway gets less, so that the store, the log and `/livez` always have enough;
one event reports this and names the settings. If the process runs out of descriptors all the same,
the outage is reported when it begins and when it ends. One descriptor is kept in reserve for
`/livez`.
"""

from __future__ import annotations

import os
import re
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agbot import log
from agbot.events.listeners import DescriptorsExhausted, DescriptorsRecovered, DescriptorsScarce
from agbot.events.outage import Outage

RESERVED: Final = 192
"""Kept for everything except the gateway: 64 connections to the Exchange, 64 of the console, the
store, the log, the broker and the webhooks."""
_MIN_CONNECTIONS: Final = 4
_PROC_LIMITS = Path("/proc/self/limits")
_OPEN_FILES = re.compile(r"^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)", re.MULTILINE)
_UNLIMITED = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the gateway may open."""

    connections: int
    passed_on: int


def raise_limit() -> int:
    """Raise the limit as far as the process may without privileges, and return it."""
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    except (OSError, ValueError):
        # Under our unit the kernel refuses both calls (`SystemCallFilter=~@resources`). The limit
        # is then the unit's `LimitNOFILE`.
        soft = _limit_in_proc()
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


def _limit_in_proc() -> int:
    """Return the limit that `/proc` shows."""
    try:
        found = _OPEN_FILES.search(_PROC_LIMITS.read_text(encoding="ascii"))
    except OSError:
        found = None
    return int(found[1]) if found and found[1] != "unlimited" else _UNLIMITED


class Descriptors:
    """The descriptors of this process."""

    def __init__(self, limit: int = _UNLIMITED) -> None:
        self._limit = limit
        self._outage = Outage()
        self._keeps_spare = False
        self._spare: int | None = None

    def room(self, max_open: int) -> Room:
        """Return what the gateway may open with this `max_open`; log it if that is too little."""
        wanted = Room(connections=2 * max_open, passed_on=max(1, max_open // 2))
        total = wanted.connections + wanted.passed_on
        # with very few descriptors the gateway gets half: neither side can do without
        left = self._limit - RESERVED if self._limit >= 2 * RESERVED else self._limit // 2
        if left >= total:
            return wanted
        given = Room(
            connections=max(_MIN_CONNECTIONS, left * wanted.connections // total),
            passed_on=max(1, left * wanted.passed_on // total),
        )
        next_step = f"raise LimitNOFILE in the unit (or ulimit -n) to {total + RESERVED}, or lower [gateway] max_open"
        log.write(
            DescriptorsScarce(
                limit=self._limit, needed=total + RESERVED, connections=given.connections, next_step=next_step
            )
        )
        return given

    def keep_spare(self) -> bool:
        """Keep a descriptor open in reserve from now on; return whether there is one."""
        self._keeps_spare = True
        if self._spare is None:
            try:
                self._spare = os.open(os.devnull, os.O_RDONLY)
            except OSError:
                return False
        return True

    def free_spare(self) -> bool:
        """Close the descriptor in reserve, if there is one, so that another can be opened."""
        spare, self._spare = self._spare, None
        if spare is not None:
            os.close(spare)
        return spare is not None

    def may_accept(self) -> bool:
        """Whether a listener that must not use the spare may accept connections."""
        # while the spare is in use, the next free descriptor becomes the spare again
        return not self._keeps_spare or self.keep_spare()

    def ran_out(self, error: OSError) -> None:
        """Record that a connection could not be accepted, because no descriptor was left."""
        if self._outage.begins(str(error)):
            next_step = "raise LimitNOFILE in the unit (or ulimit -n), or lower [gateway] max_open"
            log.write(DescriptorsExhausted(error=error.strerror, limit=self._limit, next_step=next_step))

    def recovered(self) -> None:
        """Record that there have been enough descriptors for a while."""
        if self._outage.ends():
            log.write(DescriptorsRecovered(limit=self._limit))
