"""Errors at the start, in one sentence: the setting, what is wrong with it, and what to do next."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable
from pathlib import Path
from typing import Final

from agbot.clock import Clock
from agbot.daemon.notify import Notifier
from agbot.listening import binding
from agbot.settings.model import StoreSettings
from agbot.store.contract import Store, StoreError
from agbot.store.leadership import SharedStore
from agbot.store.sqlite import SqliteStore

_REPORT_SECONDS: Final = 2.0
_MORE_SECONDS: Final = 30.0
"""The TimeoutStartSec= of the unit."""
_PATIENCE_SECONDS: Final = 120.0
_SLOWEST_BYTES_A_SECOND: Final = 4_000_000


async def listening(setting: str, listen: str, start: Awaitable[None]) -> None:
    """Start a listener.

    Raises:
        OSError: it cannot listen there, or one of its certificates cannot be used.
    """
    try:
        await start
    except socket.gaierror as error:
        message = (
            f"{setting} {listen}: the host name cannot be resolved ({error.strerror}); set an address of this machine"
        )
        raise OSError(message) from error
    except OSError as error:
        next_step = binding.NEXT_STEPS.get(error.errno or 0)
        if next_step is None:  # an error of a certificate, which names its setting itself
            raise
        problem = os.strerror(error.errno or 0).lower()  # asyncio's own text repeats the address
        message = f"{setting} {listen} cannot be used: {problem}; {next_step}"
        raise OSError(message) from error


async def opened(store: Store | SharedStore, settings: StoreSettings, notifier: Notifier, clock: Clock) -> None:
    """Open the store. If that takes long, ask systemd for more time and report the progress.

    Raises:
        StoreError: it cannot be used; the same class, with the name of the setting.
    """
    began, size = clock.monotonic_seconds(), 0 if settings.url else _bytes_of(settings.path)
    # Enough to read the file several times from a slow disk, but bounded: the disk may hang.
    patience_seconds = _PATIENCE_SECONDS + size / _SLOWEST_BYTES_A_SECOND
    opening = asyncio.ensure_future(store.open())
    try:
        while not (await asyncio.wait([opening], timeout=clock.real_seconds(_REPORT_SECONDS)))[0]:
            waited = clock.monotonic_seconds() - began
            if waited < patience_seconds:
                doing = f": {store.doing}" if isinstance(store, SqliteStore) and store.doing else ""
                sentence = f"has been opening the store ({size / 1e6:.0f} MB) for {waited:.0f} s{doing}"
                notifier.extend(_MORE_SECONDS, sentence)
        await opening
    except StoreError as error:
        error.args = (f"[store] {'url' if settings.url else 'path'}: {error}",)
        raise
    finally:
        opening.cancel()


def _bytes_of(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
