"""What the console's handlers work with, handed to them through the application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from agbot.clock import Clock
from agbot.coordinator.contract import Operations
from agbot.settings.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The coordinator, and what the listener needs beside it."""

    operations: Operations
    clock: Clock
    operator_token: Callable[[], Secret | None]
    """Asked at every writing request, so that a reload changes it."""


PARTS: Final = web.AppKey("parts", Parts)


def of(request: web.Request) -> Parts:
    """Return the parts behind a request."""
    return request.app[PARTS]
