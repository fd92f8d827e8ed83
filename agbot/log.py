"""Writes events to the log. No other module calls a logger: every line is an event."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Self

import structlog

from agbot.events.event import Event, Level, Unread

_NUMBERS: Final[Mapping[Level, int]] = MappingProxyType(
    {
        Level.DEBUG: logging.DEBUG,
        Level.INFO: logging.INFO,
        Level.WARNING: logging.WARNING,
        Level.ERROR: logging.ERROR,
    }
)
_log = structlog.get_logger()


class Name(str):
    """The name of an event, from which a format for people gets its sentence.

    The sentence is no field of the line: programs need none, and it is written only where it is
    read.
    """

    __slots__ = ("_event",)
    _event: Event | Unread

    def __new__(cls, event: Event | Unread) -> Self:
        """Take the name of an event."""
        made = super().__new__(cls, event.name)
        made._event = event
        return made

    @property
    def sentence(self) -> str:
        """The event in words, with its reason if it has one."""
        words, why = self._event.in_words(), self._event.explanation()
        return f"{words}: {why}" if why and why not in words else words


def write(event: Event | Unread) -> None:
    """Write an event."""
    _log.log(_NUMBERS[event.level], Name(event), **event.logged())


def write_with_traceback(event: Event) -> None:
    """Write an event for an unexpected exception, with its traceback. Called in the handler."""
    _log.log(_NUMBERS[event.level], Name(event), exc_info=True, **event.logged())


def shows(level: Level) -> bool:
    """Whether lines of this level are written, before the caller computes an expensive one."""
    return logging.getLogger().isEnabledFor(_NUMBERS[level])
