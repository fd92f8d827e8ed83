"""The sections `[run]` and `[log]`; `model` has all the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agbot.settings.checks import one_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """`[run]`: how the coordinator runs."""

    mode: Annotated[str, one_of("gateway", "shadow")] = "gateway"
    """`gateway`: agents ask the coordinator, which grants. `shadow`: it only reads, decides as it
    would, and journals where the real agbot decides otherwise (`shadow.differs`); it listens for no
    agents and sends nothing to brokers or webhooks. `agbot run --mode` overrides it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """`[log]`: the log, written to standard error."""

    level: Annotated[str, one_of("debug", "info", "warning", "error")] = "info"
    """debug, info, warning or error."""
    format: Annotated[str, one_of("auto", "json", "console", "journal")] = "auto"
    """`json`, `console`, `journal` (a sentence, and the data after it), or `auto`: console on a
    terminal, journal under journald, JSON lines otherwise. Under journald each line begins with its
    priority."""
