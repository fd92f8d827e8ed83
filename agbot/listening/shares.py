"""Fair shares of a limited number of places, and the client by which they are counted. Pure.

An owner may take another place while it has fewer than four times the number of free places.
Alone, it gets four fifths of all. With more owners fewer places are free, and each may take fewer.
So a new owner always finds a place, and no limit per client has to be configured.
"""

from __future__ import annotations

import functools
import ipaddress

_GREED = 4
_V6_NETWORK_BITS = 64
"""The prefix of one customer's IPv6 addresses. If each address counted, an attacker would have any
number of shares."""


class Shares:
    """The places and their owners."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._used = 0
        self._used_by: dict[str, int] = {}

    @property
    def used(self) -> int:
        """The number of places in use."""
        return self._used

    def take(self, owner: str, part: str | None = None) -> Place | None:
        """Take a place for an owner; None if it may not have another.

        The end of the place's `with` block frees it.

        Args:
            owner: a proven identity, such as an address.
            part: for whom the owner claims to act, such as a user behind a load balancer. It can
                only lower what the owner gets: a part has no more places than are free.
        """
        used_by, free = self._used_by, self._places - self._used
        if used_by.get(owner, 0) >= _GREED * free:
            return None
        names = (owner,) if part is None else (owner, f"{owner}\n{part}")
        # not times `GREED`: a part is only claimed, and one owner could name any number of them
        if part is not None and used_by.get(names[-1], 0) >= free:
            return None
        self._used += 1
        for each in names:
            used_by[each] = used_by.get(each, 0) + 1
        return Place(self, names)

    def give(self, names: tuple[str, ...]) -> None:
        """Free a place; called by `Place`."""
        self._used -= 1
        for each in names:
            left = self._used_by[each] - 1
            if left:
                self._used_by[each] = left
            else:
                del self._used_by[each]


class Place:
    """One place in use."""

    __slots__ = ("_names", "_shares")

    def __init__(self, shares: Shares, names: tuple[str, ...]) -> None:
        self._shares = shares
        self._names = names

    def __enter__(self) -> None:
        """Use the place."""

    def __exit__(self, *_: object) -> None:
        """Free the place."""
        self._shares.give(self._names)


def client_of(peername: object) -> str:
    """Return the client's IPv4 address or IPv6 network; empty where there is no address.

    Behind a load balancer that does not keep addresses, all clients are one.
    """
    return _network(str(peername[0])) if isinstance(peername, tuple) and peername else ""


@functools.lru_cache(maxsize=4096)
def _network(host: str) -> str:
    """Return the network of an address. It is cached, because agents return often."""
    try:
        # without the zone of a link-local address
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, _V6_NETWORK_BITS), strict=False))
    return str(address)
