"""Fair shares of a bounded number of places. Pure.

An owner may take another place while it has fewer than `GREED` times as many as are free. Alone, it gets four fifths of all, and the more
others there are, the fewer are free, and the fewer it may take: somebody new always finds room, and no number has to be set per client.
"""

from __future__ import annotations

GREED = 4


class Shares:
    """Who has how many of the places."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._used = 0
        self._of: dict[str, int] = {}

    @property
    def used(self) -> int:
        """How many places are taken."""
        return self._used

    def take(self, owner: str, part: str | None = None) -> Place | None:
        """Take a place for an owner, if it may have another; it is given back at the end of the place's `with` block.

        Args:
            owner: who is known for certain, such as an address.
            part: whom the owner says that it acts for, such as a user behind a load balancer. It is believed only against itself:
                a part has no more places than are free.
        """
        of, free = self._of, self._places - self._used
        if of.get(owner, 0) >= GREED * free:
            return None
        names = (owner,) if part is None else (owner, f"{owner}\n{part}")
        if part is not None and of.get(names[-1], 0) >= free:
            return None
        self._used += 1
        for each in names:
            of[each] = of.get(each, 0) + 1
        return Place(self, names)

    def give(self, names: tuple[str, ...]) -> None:
        """Take a place back; see `Place`."""
        self._used -= 1
        for each in names:
            left = self._of[each] - 1
            if left:
                self._of[each] = left
            else:
                del self._of[each]


class Place:
    """One place that was taken."""

    __slots__ = ("_names", "_shares")

    def __init__(self, shares: Shares, names: tuple[str, ...]) -> None:
        self._shares = shares
        self._names = names

    def __enter__(self) -> None:
        """Use it."""

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self._shares.give(self._names)
