"""A record that is there and cannot be read.

What one node, group or policy contains harms only itself: a list is read entry by entry, and an entry that cannot be read stands in it as
one of these. It is neither a value nor an absence: what was known before stays, and nothing is granted on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agbot.fleet.changes import Read
from agbot.rules.seen_time import SeenTime

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Garbled:
    """Why an entry cannot be read, in one bounded line."""

    why: str

    @classmethod
    def by(cls, error: BaseException) -> Garbled:
        """Say what the decoder said; it may quote what came, which may be long."""
        if isinstance(error, RecursionError):
            return cls("it is nested too deeply")
        said = " ".join("".join(letter if letter.isprintable() else " " for letter in str(error)[:1000]).split())
        return cls(said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """What was found unreadable, and when that was last tried."""

    why: str
    tried_at: SeenTime | None
    """None: it has changed since, and is to be tried at once."""


class Unreadables:
    """What cannot be read at present, by what was read."""

    def __init__(self) -> None:
        self._found: dict[Read, Unreadable] = {}

    def __contains__(self, read: object) -> bool:
        return read in self._found

    def note(self, read: Read, garbled: Garbled, now: SeenTime) -> None:
        """Take down that this could not be read."""
        self._found[read] = Unreadable(why=garbled.why, tried_at=now)

    def clear(self, read: Read) -> None:
        """Take down that it was read, or is not there."""
        self._found.pop(read, None)

    def retry(self, read: Read) -> None:
        """Take down that it has changed."""
        if read in self._found:
            self._found[read] = replace(self._found[read], tried_at=None)

    def why(self, read: Read) -> str:
        """Say why this cannot be read; empty when it can, or nobody has tried."""
        found = self._found.get(read)
        return found.why if found else ""

    def was_tried_since(self, read: Read, moment: SeenTime) -> bool:
        """Tell whether it was found unreadable after this time: reading it again at once brings the same."""
        found = self._found.get(read)
        return found is not None and found.tried_at is not None and found.tried_at > moment

    def all(self) -> Mapping[Read, str]:
        """Return everything that cannot be read, with the reason."""
        return {read: found.why for read, found in self._found.items()}
