"""Lets a coordinator in among the others on its store, unless one of them has its name or address.

Two of one name would overwrite each other's announcements, and questions for one would reach the
other. A coordinator that was killed leaves its announcement behind, which looks the same for some
seconds. So the newcomer neither announces itself nor leads while such an announcement is fresh. If
the announcement is renewed meanwhile, its coordinator runs, and the newcomer ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from agbot.rules import leadership
from agbot.rules.leadership import Announced, Candidate, Timing
from agbot.store.contract import StoreLockedError


class Admission:
    """Whether one coordinator is let in. Seconds are of the monotonic clock."""

    def __init__(self, own: Candidate, timing: Timing) -> None:
        self._own = own
        self._timing = timing
        self._read_seconds: dict[str, float] = {}
        """By run: when its announcement was first read here."""
        self.is_given = False

    def take_in(self, announced: Sequence[Announced], asked_seconds: float, received_seconds: float) -> None:
        """Take in who was announced when this was asked.

        Raises:
            StoreLockedError: another coordinator has the name or an address of this one.
        """
        if self.is_given:
            other = next((each for each in announced if each.candidate.name == self._own.name), None)
            if other is not None and other.candidate.run != self._own.run:  # both have started at once
                raise StoreLockedError(leadership.same_name(self._own, other))
            return
        other = leadership.namesake(announced, self._own, self._timing)
        if other is None:
            self.is_given = True
            return
        first_read = self._read_seconds.setdefault(other.candidate.run, received_seconds)
        if asked_seconds - other.silent_seconds > first_read:  # it has announced itself since
            raise StoreLockedError(leadership.same_name(self._own, other))
