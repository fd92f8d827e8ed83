"""Names the client of a connection, by which its share of a listener is counted. Pure."""

from __future__ import annotations

import functools
import ipaddress

_V6_NETWORK_BITS = 64
"""The prefix of one customer's IPv6 addresses. If each address counted, an attacker would have any
number of shares."""


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
