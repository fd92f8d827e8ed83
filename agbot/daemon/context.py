"""What a daemon runs in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agbot.clock import Clock, SystemClock
from agbot.daemon.notify import Notifier
from agbot.settings.load import Loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a daemon runs in: the command, a test or the demo provides it."""

    clock: Clock = field(default_factory=SystemClock)
    notifier: Notifier = field(default_factory=Notifier)
    reload: Callable[[], Loaded] | None = None
    """Reads the settings again; raises `SettingsError`."""
    handles_signals: bool = True
    dropped_lines: Callable[[], int] = lambda: 0
    """The number of log lines dropped so far."""
