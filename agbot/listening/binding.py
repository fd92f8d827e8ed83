"""The sockets of a listener: one for each address of its host.

The doctor binds the same ones, to find out whether a start could listen.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

NEXT_STEPS: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.EADDRINUSE: "another program listens there (`ss -ltnp` shows which); stop it, or set another port",
        errno.EADDRNOTAVAIL: "this machine has no such address (`ip addr` shows those it has): set one of them",
        errno.EACCES: "ports below 1024 need a capability; set a higher port, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit",
    }
)
"""What to do where an address cannot be listened on, by the number of the error."""


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a host, as `bind` takes it."""

    family: int
    of: tuple[object, ...]
    takes_ipv4: bool
    """Whether `::` takes IPv4 clients too."""


def addresses(host: str, port: int) -> list[Address]:
    """Return the address of each socket; an empty host is every address.

    It blocks while the name of the host is resolved.

    Raises:
        socket.gaierror: that is not possible.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # `::` would take the port of 0.0.0.0 as well: not where that is bound by itself
    takes_ipv4 = all(family != socket.AF_INET for family, *_ in found)
    return [Address(*each, takes_ipv4) for each in dict.fromkeys((family, of) for family, _, _, _, of in found)]


def bound(address: Address) -> socket.socket:
    """Bind one address.

    Raises:
        OSError: it is in use or not local.
    """
    made = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not address.takes_ipv4)
        made.bind(address.of)
    except OSError:
        made.close()
        raise
    return made
