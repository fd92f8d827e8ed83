"""What keeps a daemon from starting, in one sentence: which setting, what is wrong with it, and what to do next."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Awaitable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from agbot.clock import Clock
from agbot.daemon.notify import Notifier
from agbot.store.contract import Store, StoreError
from agbot.store.sqlite import SqliteStore

_TELL_EVERY_SECONDS: Final = 2.0
_MORE_SECONDS: Final = 30.0
"""As TimeoutStartSec= of the unit."""
_PATIENCE_SECONDS: Final = 120.0
_SLOWEST_BYTES_A_SECOND: Final = 4_000_000

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


async def opened(store: Store, path: Path, notifier: Notifier, clock: Clock) -> None:
    """Open the store. While that takes long, ask systemd for more time and say what is being done.

    Raises:
        StoreError: it cannot be used; of the same kind, with the setting.
    """
    began, size = clock.monotonic_seconds(), _bytes_of(path)
    # Time enough to read the file several times from a slow disk, and no more: a disk that hangs is not waited for without an end.
    patience_seconds = _PATIENCE_SECONDS + size / _SLOWEST_BYTES_A_SECOND
    opening = asyncio.ensure_future(store.open())
    try:
        while not (await asyncio.wait([opening], timeout=clock.real_seconds(_TELL_EVERY_SECONDS)))[0]:
            waited = clock.monotonic_seconds() - began
            if waited < patience_seconds:
                doing = f": {store.doing}" if isinstance(store, SqliteStore) and store.doing else ""
                sentence = f"has been opening the store ({size / 1e6:.0f} MB) for {waited:.0f} s{doing}"
                notifier.extend(_MORE_SECONDS, sentence)
        await opening
    except StoreError as error:
        error.args = (f"[store] path: {error}",)
        raise
    finally:
        opening.cancel()


def _bytes_of(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
