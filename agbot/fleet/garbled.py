"""Records that exist and are unreadable.

An unreadable node, group or policy affects only itself: a list is decoded entry by entry, and an
invalid entry becomes `Garbled`. This is neither a value nor an absence: what was known stays, and
nothing is granted on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agbot.fleet.changes import Read
from agbot.rules.seen_time import SeenTime

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Garbled:
    """Why an entry is unreadable, in one line of limited length."""

    why: str

    @classmethod
    def by(cls, error: BaseException) -> Garbled:
        """Return the decoder's message, which may quote the reply and so be long."""
        if isinstance(error, RecursionError):
            return cls("it is nested too deeply")
        message = " ".join("".join(letter if letter.isprintable() else " " for letter in str(error)[:1000]).split())
        return cls(message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Why something is unreadable, and when it was last tried."""

    why: str
    tried_at: SeenTime | None
    """None: it has changed since, and is due at once."""


class Unreadables:
    """What is unreadable at present."""

    def __init__(self) -> None:
        self._found: dict[Read, Unreadable] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def __contains__(self, read: object) -> bool:
        return read in self._found

    def note(self, read: Read, garbled: Garbled, now: SeenTime) -> None:
        """Note that this is unreadable."""
        self._found[read] = Unreadable(why=garbled.why, tried_at=now)

    def clear(self, read: Read) -> None:
        """Note that this was read, or does not exist."""
        self._found.pop(read, None)

    def retry(self, read: Read) -> None:
        """Note that this has changed."""
        if read in self._found:
            self._found[read] = replace(self._found[read], tried_at=None)

    def why(self, read: Read) -> str:
        """Return why this is unreadable, empty if it is not known to be."""
        found = self._found.get(read)
        return found.why if found else ""

    def was_tried_since(self, read: Read, moment: SeenTime) -> bool:
        """Whether it was unreadable after this time: another read would give the same result."""
        found = self._found.get(read)
        return found is not None and found.tried_at is not None and found.tried_at > moment

    def all(self) -> Mapping[Read, str]:
        """Return everything that is unreadable, with the reason."""
        return {read: found.why for read, found in self._found.items()}
