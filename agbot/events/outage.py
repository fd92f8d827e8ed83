"""An outage: a failure that lasts, reported once when it begins and once when it ends."""

from __future__ import annotations

from collections.abc import Hashable


class Outage:
    """Whether something is failing, why, and whether that has been reported.

    A failure of another `kind` is reported again, because an operator has to act differently.
    """

    __slots__ = ("_kind", "is_on", "why")

    def __init__(self) -> None:
        self.is_on = False
        self.why = ""
        """The last error; empty while nothing fails."""
        self._kind: Hashable = None

    def begins(self, why: str, kind: Hashable = None) -> bool:
        """Note a failure. Return whether it is to be reported."""
        is_news = not self.is_on or kind != self._kind
        self.is_on, self.why, self._kind = True, why, kind
        return is_news

    def ends(self) -> bool:
        """Note a success. Return whether the recovery is to be reported."""
        # its kind stays, and does not matter: the next failure is news whatever it is
        was_on, self.is_on, self.why = self.is_on, False, ""
        return was_on
