"""The end of a command that runs until it is stopped."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def on_signal(signals: Iterable[signal.Signals] = _SIGNALS) -> asyncio.Event:
    """Return what is set by Ctrl-C or SIGTERM, in place of the exception that Python would raise.

    Call it before anything is shown: whoever reads that Ctrl-C ends the command may press it at
    once.
    """
    ended = asyncio.Event()
    for number in signals:
        # below nohup, and for a job in the background of a script, Ctrl-C is not meant for it
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
    return ended
