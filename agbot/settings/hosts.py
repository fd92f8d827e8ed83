"""Addresses of machines: the `host:port` of a listener, and what only this machine can reach.

And the names of databases for people, without a password.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

LAST_PORT: Final = 65535
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on


def host_and_port(listen: str) -> tuple[str, int]:
    """Split `host:port`; the brackets around an IPv6 host are taken off.

    Raises:
        ValueError: the text has another form.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        raise ValueError(f'"{listen}" is not of the form host:port')
    if int(port) > LAST_PORT:
        raise ValueError(f'"{listen}" has the port {port}; the highest is {LAST_PORT}')
    return host.strip("[]"), int(port)


def bracketed(host: str) -> str:
    """Return the host as it is written in a URL."""
    return f"[{host}]" if ":" in host else host


def database_in_words(parameters: Mapping[str, Any]) -> str:
    """Return the servers with their ports, and the database, of libpq's parameters."""
    hosts = str(parameters.get("host") or parameters.get("hostaddr") or "the local server").split(",")
    ports = str(parameters.get("port") or "").split(",")
    pairs = zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False)
    servers = ",".join(f"{bracketed(host)}{':' if port else ''}{port}" for host, port in pairs)
    return f"{servers}/{parameters.get('dbname') or parameters.get('user') or ''}"


def is_same_socket(one: str, other: str) -> bool:
    """Whether two listeners cannot have these addresses at once; port 0 is any free port."""
    (one_host, one_port), (other_host, other_port) = host_and_port(one), host_and_port(other)
    # a listener on every address takes the port of each
    is_same_host = one_host == other_host or not _EVERYWHERE.isdisjoint((one_host, other_host))
    return is_same_host and one_port == other_port != 0


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def goes_in_clear(url: str) -> bool:
    """Whether what is sent there crosses a network in clear text: plain HTTP to another machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme == "http" and bool(host) and not is_loopback(host)
