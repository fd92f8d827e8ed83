"""The sockets of a listener: one for each address of its host.

The doctor binds the same ones, to find out whether a start could listen.
"""

from __future__ import annotations

import socket

Address = tuple[object, ...]


def addresses(host: str, port: int) -> list[tuple[int, Address]]:
    """Return the family and the address of each socket; an empty host is every address.

    It blocks while the name of the host is resolved.

    Raises:
        socket.gaierror: that is not possible.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((each[0], each[4]) for each in found))


def bound(family: int, address: Address) -> socket.socket:
    """Bind one address.

    Raises:
        OSError: it is in use or not local.
    """
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `::` would take the port of 0.0.0.0 as well, which is bound by itself
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made
