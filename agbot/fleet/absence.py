"""When an absence is believed: once the feed has told of it, or at a second look a while after the first.

One answer is no evidence. A proxy's 404, an empty or cut list, a restored database: each of them ended a lease and let a second member
upgrade. So what is missing for the first time stays as it was known, and is out of date, so that it is looked at again. The other direction
needs none of this: what is there is there.
"""

from __future__ import annotations

from datetime import timedelta

from agbot.fleet.changes import Read
from agbot.rules.ids import OrgId
from agbot.rules.seen_time import SeenTime

CONFIRM_AFTER = timedelta(seconds=10)
"""Between the two looks: longer than a proxy's restart, and than the few seconds in which an Exchange commits what belongs together."""
_WHOLE_LOOKS = 2
"""After an Exchange was set up anew or restored, so many whole looks come before any absence in it is believed."""


class Absences:
    """What is missing, by how it is read. `begun` and `sequence` are the picture's marks."""

    def __init__(self) -> None:
        self._missed_at: dict[Read, SeenTime] = {}
        self._announced: dict[Read, int] = {}
        self._wary: dict[OrgId, tuple[int, SeenTime | None]] = {}

    def announce(self, read: Read, *, sequence: int) -> None:
        """Take in that the feed tells of the end of this: the next look that begins from now on is believed."""
        self._announced[read] = sequence

    def confirms(self, read: Read, *, begun: int, now: SeenTime) -> bool:
        """Take in a look at which this is missing, and tell whether that is believed."""
        is_announced = self._take_announcement(read, begun)
        first = self._missed_at.setdefault(read, now)
        if read.org in self._wary or not (is_announced or now - first >= CONFIRM_AFTER):
            return False
        del self._missed_at[read]
        return True

    def seen(self, read: Read, *, begun: int) -> None:
        """Take in that it is there."""
        self._take_announcement(read, begun)
        self._missed_at.pop(read, None)

    def forget(self, read: Read) -> None:
        """Drop what nobody needs any more."""
        self._announced.pop(read, None)
        self._missed_at.pop(read, None)

    def is_open(self, read: Read) -> bool:
        """Tell whether this was missing at the last look and is not believed to be gone yet."""
        return read in self._missed_at

    def due(self, now: SeenTime) -> list[Read]:
        """Return what is to be looked at a second time."""
        return [read for read, first in self._missed_at.items() if now - first >= CONFIRM_AFTER]

    def distrust(self, org: OrgId) -> None:
        """Believe no absence in this organisation until the whole of it has been seen twice."""
        self._wary[org] = (_WHOLE_LOOKS, None)
        for found in (self._missed_at, self._announced):
            for read in [read for read in found if read.org == org]:
                del found[read]

    def saw_whole(self, org: OrgId, now: SeenTime) -> None:
        """Take in that the whole organisation is being seen."""
        left, last = self._wary.get(org, (0, None))
        if left == 0 or (last is not None and now - last < CONFIRM_AFTER):
            return
        if left == 1:
            del self._wary[org]
        else:
            self._wary[org] = (left - 1, now)

    def is_wary(self, org: OrgId) -> bool:
        """Tell whether no absence in this organisation is believed at present."""
        return org in self._wary

    def _take_announcement(self, read: Read, begun: int) -> bool:
        is_announced = self._announced.get(read, begun + 1) <= begun
        if is_announced:
            del self._announced[read]
        return is_announced
