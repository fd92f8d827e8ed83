"""What can go wrong between us and the Exchange, as one family.

Every message says what was tried (method and path), what came back, and what to do next. It never holds a secret: paths carry ids only,
excerpts of replies are redacted where they are made. That a thing does not exist is not an error but a value (`None`, an empty mapping),
and only the Exchange's own words make it so: a 404 from anything else is `Failed`, because unknown is never gone (P3).
"""

from __future__ import annotations


class ExchangeError(Exception):
    """The Exchange could not be asked, or did not answer as it should."""

    def __init__(
        self, method: str, path: str, what_came_back: str, what_next: str, *, status: int | None = None
    ) -> None:
        """Say what was tried, what came back and what to do; `status` is the HTTP status where one arrived."""
        super().__init__(method, path, what_came_back, what_next)
        self.method = method
        self.path = path
        self.what_came_back = what_came_back
        self.what_next = what_next
        self.status = status

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.what_came_back}; {self.what_next}"


class Unreachable(ExchangeError):
    """No answer, a broken one, or none in time."""


class Refused(ExchangeError):
    """The Exchange does not accept the credentials (401)."""


class Forbidden(ExchangeError):
    """The Exchange knows the caller but does not let it do this (403)."""


class Conflicting(ExchangeError):
    """The Exchange would not write, because something is there already (409)."""


class Failed(ExchangeError):
    """The Exchange, or something before it, answered with a status that this question does not expect."""


class StoodStill(ExchangeError):
    """The answer is an old one: what we wrote ourselves a while ago is not in it."""


class Unreadable(ExchangeError):
    """The answer is not the JSON that this question expects."""
