"""Unexpected failures of parts of the cycle.

A cycle handles many groups. The data of one group must not stop the work on the others, so each
part runs in a guard: a failure is reported once with the group's name, the part is tried again in
the next cycle, and the daemon is not ready meanwhile. Expected failures (an unreachable store, a
cancelled task) pass through.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Container
from contextlib import AbstractContextManager

from agbot.clock import Clock
from agbot.events.event import Event
from agbot.events.process import PartFailed, PartRecovered
from agbot.rules.ids import GroupId
from agbot.store.contract import Entry, StoreError

_FRAMES = 3
_LONGEST = 300


class Troubles:
    """Guards the parts of a cycle, and keeps which of them have failed."""

    def __init__(self, publish: Callable[[Entry], None], clock: Clock) -> None:
        self._publish = publish
        self._clock = clock
        self._failing: dict[tuple[str, str], str] = {}

    def guard(self, part: str, about: str = "") -> AbstractContextManager[None]:
        """Run one part, about one group (`org/name`) if it is about one."""
        return _Guard(self, (part, about))

    def keep(self, part: str, abouts: Container[GroupId]) -> None:
        """End the failures of this part in all other groups: there is nothing left to do there."""
        for key in [key for key in self._failing if key[0] == part and key[1] not in abouts]:
            self.recovered(key)

    def abouts(self, *parts: str) -> list[GroupId]:
        """Return the groups in which one of these parts fails."""
        return [GroupId(about) for part, about in self._failing if part in parts and about]

    def sentences(self) -> list[str]:
        """Return one sentence for each present failure."""
        return [
            f"a part of the cycle fails ({part}{f' of {about}' if about else ''}): {why}"
            for (part, about), why in sorted(self._failing.items())
        ]

    def failed(self, key: tuple[str, str], error: Exception) -> None:
        """Note that a part has failed, and report it if that is new."""
        part, about = key
        why = f"{type(error).__name__}: {error}"[:_LONGEST]
        if key not in self._failing:
            frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
            where = [f"{frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})" for frame in frames]
            self._report(PartFailed(group=_group(about), part=part, error=why, where=tuple(where)))
        self._failing[key] = why

    def recovered(self, key: tuple[str, str]) -> None:
        """Note that a part has not failed, and report it if it had failed before."""
        part, about = key
        if self._failing.pop(key, None) is not None:
            self._report(PartRecovered(group=_group(about), part=part))

    def _report(self, event: Event) -> None:
        self._publish(Entry.of(event, self._clock.now()))


class _Guard:
    """The guard of one part. A class, because a cycle enters thousands of them."""

    __slots__ = ("_key", "_troubles")

    def __init__(self, troubles: Troubles, key: tuple[str, str]) -> None:
        self._troubles, self._key = troubles, key

    def __enter__(self) -> None:
        """Begin the part."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """Note how the part has ended; only expected failures pass through."""
        if error is None:
            self._troubles.recovered(self._key)
            return False
        if isinstance(error, StoreError) or not isinstance(error, Exception):
            return False
        self._troubles.failed(self._key, error)  # it must not affect other groups
        return True


def _group(about: str) -> GroupId | None:
    return GroupId(about) if about else None
