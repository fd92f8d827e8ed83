"""When an absence is accepted: after a row of the feed, or at the second read.

One answer is not evidence: a proxy's 404, an empty or truncated list and a restored database each
look like an absence, and each could end a lease and let a second member upgrade. So what is missing
for the first time stays as it was known and is out of date, which makes another read necessary. A
presence needs no confirmation.
"""

from __future__ import annotations

from datetime import timedelta

from agbot.fleet.changes import Read
from agbot.rules.facts import Sight
from agbot.rules.ids import OrgId
from agbot.rules.seen_time import SeenTime

CONFIRM_AFTER = timedelta(seconds=10)
"""The time between the two reads. It is longer than a proxy's restart, and than the few seconds in
which an Exchange commits related changes."""
_COMPLETE_READS = 2
"""How many complete reads of an organisation must come before any absence in it is accepted, after
its Exchange was reset or restored."""


class Absences:
    """What is missing, by its read. `begun` and `sequence` are the picture's marks."""

    def __init__(self) -> None:
        self._missed_at: dict[Read, SeenTime] = {}
        self._announced: dict[Read, int] = {}
        self._wary: dict[OrgId, tuple[int, SeenTime | None]] = {}

    def announce(self, read: Read, *, sequence: int) -> None:
        """Note that the feed announces the end of this: the next read that begins confirms it."""
        self._announced[read] = sequence

    def confirms(self, read: Read, *, begun: int, now: SeenTime) -> bool:
        """Note that a read has not found this, and return whether its absence is confirmed now."""
        is_announced = self._take_announcement(read, begun)
        first = self._missed_at.setdefault(read, now)
        # after a restore not even a row is enough (decision 17)
        if read.org in self._wary or not (is_announced or now - first >= CONFIRM_AFTER):
            return False
        del self._missed_at[read]
        return True

    def doubts(self, read: Read, known: object, *, begun: int, now: SeenTime) -> bool:
        """Note that a read has not found this, and return whether its absence is unconfirmed.

        If it is `known` to be absent, that was confirmed before.
        """
        is_new = known is not Sight.ABSENT or self.is_unconfirmed(read)
        return is_new and not self.confirms(read, begun=begun, now=now)

    def seen(self, read: Read, *, begun: int) -> None:
        """Note that it exists."""
        self._take_announcement(read, begun)
        self._missed_at.pop(read, None)

    def forget(self, read: Read) -> None:
        """Drop what is no longer needed."""
        self._announced.pop(read, None)
        self._missed_at.pop(read, None)

    def is_unconfirmed(self, read: Read) -> bool:
        """Whether the last read did not find this and its absence is not confirmed yet."""
        return read in self._missed_at

    def due(self, now: SeenTime) -> list[Read]:
        """Return what is due for its second read."""
        return [read for read, first in self._missed_at.items() if now - first >= CONFIRM_AFTER]

    def distrust(self, org: OrgId) -> None:
        """Accept no absence in this organisation until two complete reads of it."""
        self._wary[org] = (_COMPLETE_READS, None)
        for found in (self._missed_at, self._announced):
            for read in [read for read in found if read.org == org]:
                del found[read]

    def read_completely(self, org: OrgId, now: SeenTime) -> None:
        """Note a complete read of the organisation."""
        left, last = self._wary.get(org, (0, None))
        # two reads of the same moment would be one
        if left == 0 or (last is not None and now - last < CONFIRM_AFTER):
            return
        if left == 1:
            del self._wary[org]
        else:
            self._wary[org] = (left - 1, now)

    def is_wary(self, org: OrgId) -> bool:
        """Whether no absence in this organisation is accepted at present."""
        return org in self._wary

    def _take_announcement(self, read: Read, begun: int) -> bool:
        # A read that began before the row does not confirm it. A row confirms one read only: one
        # that says no more than "modified" must not make a later 404 credible (decision 17).
        is_announced = self._announced.get(read, begun + 1) <= begun
        if is_announced:
            del self._announced[read]
        return is_announced
