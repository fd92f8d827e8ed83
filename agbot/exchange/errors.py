"""The errors of requests to the Exchange.

Every message states what was tried (method and path), what came back, and what to do next. It
contains no secret: paths have ids only, and excerpts of replies are redacted. That something does
not exist is not an error but a value (`None`, an empty mapping), and only the Exchange's own reply
proves it: any other 404 is `Failed`, because unknown is never gone (P3).
"""

from __future__ import annotations


class ExchangeError(Exception):
    """The Exchange could not be reached, or its answer was an error."""

    def __init__(
        self, method: str, path: str, what_came_back: str, what_next: str, *, status: int | None = None
    ) -> None:
        """State what was tried, what came back and what to do; `status` is HTTP's, if any."""
        super().__init__(method, path, what_came_back, what_next)
        self.method = method
        self.path = path
        self.what_came_back = what_came_back
        self.what_next = what_next
        self.status = status

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.what_came_back}; {self.what_next}"


class Unreachable(ExchangeError):
    """No answer, an incomplete one, or none in time."""


class Refused(ExchangeError):
    """The Exchange does not accept the credentials (401)."""


class Forbidden(ExchangeError):
    """The Exchange knows the caller, which may not do this (403)."""


class Conflicting(ExchangeError):
    """The Exchange refused to write, because something exists already (409)."""


class Failed(ExchangeError):
    """The Exchange, or a proxy, answered with an unexpected status."""


class StoodStill(ExchangeError):
    """The answer is old: something that we wrote earlier is missing."""


class Unreadable(ExchangeError):
    """The answer is not the expected JSON."""
