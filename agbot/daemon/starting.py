"""What keeps a daemon from starting, in one sentence: which setting, what is wrong with it, and what to do next."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Final

from agbot.store.contract import Store, StoreError

_NEXT: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.EADDRINUSE: "another program listens there (`ss -ltnp` shows which): stop it, or set another port",
        errno.EADDRNOTAVAIL: "this machine has no such address (`ip addr` shows those it has): set one of them",
        errno.EACCES: "ports below 1024 need a right: set a higher one, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit",
    }
)


async def listening(setting: str, listen: str, start: Awaitable[None]) -> None:
    """Start a listener.

    Raises:
        OSError: it cannot listen there, or one of its certificates cannot be used.
    """
    try:
        await start
    except socket.gaierror as error:
        message = f"{setting} {listen}: the host is not known ({error.strerror}); set an address of this machine"
        raise OSError(message) from error
    except OSError as error:
        next_step = _NEXT.get(error.errno or 0)
        if next_step is None:  # of a certificate, which names its settings itself
            raise
        problem = (error.strerror or str(error)).lower()
        message = f"{setting} {listen} cannot be listened on: {problem}; {next_step}"
        raise OSError(message) from error


async def opened(store: Store) -> None:
    """Open the store.

    Raises:
        StoreError: it cannot be used; of the same kind, with the setting.
    """
    try:
        await store.open()
    except StoreError as error:
        error.args = (f"[store] path: {error}",)
        raise
