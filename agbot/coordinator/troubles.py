"""What fails in a way that was not foreseen, by the part that it happened in.

A cycle looks at many groups. What one of them contains must not keep the others from being looked at, so each part is done in a guard: a
failure is told once with the group's name, the part is tried again in the next cycle, and the daemon is not ready meanwhile. Failures that
are foreseen (an unreachable store, a cancelled task) pass through.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from agbot.clock import Clock
from agbot.rules.ids import GroupId
from agbot.store.contract import Entry, StoreError

_FRAMES = 3
_LONGEST = 300


class Troubles:
    """Guards the parts of a cycle, and knows which of them failed."""

    def __init__(self, tell: Callable[[Entry], None], clock: Clock) -> None:
        self._tell = tell
        self._clock = clock
        self._failing: dict[tuple[str, str], str] = {}

    @contextmanager
    def guard(self, part: str, about: str = "") -> Iterator[None]:
        """Do one part, about one group (`org/name`) where it is about one."""
        key = (part, about)
        try:
            yield
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach the other groups; it is told with its place
            self._failed(key, error)
        else:
            self._recovered(key)

    def keep(self, part: str, abouts: Collection[str]) -> None:
        """Take failures of this part for over that are about other groups: nothing is left to do there."""
        for key in [key for key in self._failing if key[0] == part and key[1] not in abouts]:
            self._recovered(key)

    def sentences(self) -> list[str]:
        """Say what fails at present."""
        return [
            f"{part} of {about} fails: {why}" if about else f"{part} fails: {why}"
            for (part, about), why in sorted(self._failing.items())
        ]

    def _failed(self, key: tuple[str, str], error: Exception) -> None:
        part, about = key
        why = f"{type(error).__name__}: {error}"[:_LONGEST]
        if key not in self._failing:
            frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
            where = [f"{frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})" for frame in frames]
            facts = {"part": part, "error": why, "where": where}
            self._tell(
                Entry(at=self._clock.now(), event="part.failed", group=GroupId(about) if about else None, facts=facts)
            )
        self._failing[key] = why

    def _recovered(self, key: tuple[str, str]) -> None:
        part, about = key
        if self._failing.pop(key, None) is not None:
            facts = {"part": part}
            self._tell(
                Entry(
                    at=self._clock.now(), event="part.recovered", group=GroupId(about) if about else None, facts=facts
                )
            )
