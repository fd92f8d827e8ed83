"""Where the store is: server, database, schema and password, and how its errors are explained.

The URL is libpq's, with its TLS parameters (`sslmode`, `sslrootcert` …), several hosts and
`target_session_attrs`. Nothing of the password is ever part of a message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import psycopg
from psycopg import conninfo

from agbot.foreign_text import excerpt
from agbot.settings.hosts import LAST_PORT, database_in_words
from agbot.settings.secret import Secret
from agbot.store.contract import StoreRefusedError, StoreUnavailableError

# as long as a question may take: after that its answer is a refusal anyway
_CONNECT_SECONDS: Final = 3
_MESSAGE_CHARACTERS: Final = 400
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_ALIVE: Final[Mapping[str, int]] = MappingProxyType(
    {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
)

_ADVICE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "08": "look whether the server runs and can be reached from here",
        "25006": "this server is a replica: add target_session_attrs=read-write and all hosts to [store] url",
        "28": "check the user in [store] url, [store] password_file, and pg_hba.conf of the server",
        "3D": "create the database, or correct its name in [store] url",
        "42501": "let the user of [store] url create the schema, or own it and everything in it",
        "53": "look at the server's disk and its max_connections",
        "55P03": "another session holds a lock for too long: pg_stat_activity shows which",
        "57014": "the server is slow: look at its load and its disk",
        "57P": "the server is starting or stopping",
        "XX001": "the database is damaged: restore it from a backup",
    }
)
_NOT_LET_IN: Final = ("authentication failed", "no password supplied", "pg_hba.conf", "does not exist")
"""Parts of the text when the server refuses a connection."""
_NO_DATABASE: Final = re.compile(r'database "[^"]*" does not exist')
_LIBRARYS_WORDS: Final = re.compile(r"^connection failed: | Is the server running [^?]*\?")
_REFUSED: Final = ("28", "3D", "42501")
"""What an operator has to correct: without that, trying again is of no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One store. Its parts were checked when the settings were read."""

    url: str
    schema: str = "agbot_ha"
    password: Secret | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what is no name of a schema, which is part of statements, and no address of libpq.

        Raises:
            ValueError: the name of the schema is invalid.
            StoreRefusedError: libpq does not take the address.
        """
        if not _NAME.fullmatch(self.schema):
            message = f"{self.schema!r} is no name of a schema: lower-case letters, digits and _"
            raise ValueError(message)
        wrong = why_not_of_libpq(self.url)
        if wrong:
            raise StoreRefusedError(f"[store] url: {wrong}")

    def __str__(self) -> str:
        """Return server, database and schema for people."""
        return f"{database_in_words(conninfo.conninfo_to_dict(self.url))} (schema {self.schema})"

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of a connection, with the password that its file has at this moment."""
        ours: dict[str, Any] = {"application_name": "agbot", "connect_timeout": _CONNECT_SECONDS, **_ALIVE}
        given = {name: value for name, value in conninfo.conninfo_to_dict(self.url).items() if value is not None}
        password = {} if self.password is None else {"password": self.password.as_it_is_now().reveal()}
        return {**ours, **given, **password, "client_encoding": "UTF8"}

    def unavailable(self, tried: str, error: BaseException) -> StoreUnavailableError:
        """Return an error that states what was tried, what came back and what to do."""
        code = (error.sqlstate if isinstance(error, psycopg.Error) else None) or ""
        secrets = (self.password.reveal(), self.password.as_it_is_now().reveal()) if self.password else ()
        reply = _LIBRARYS_WORDS.sub("", " ".join(str(error).split())) or type(error).__name__
        reply = excerpt(reply, secrets, _MESSAGE_CHARACTERS)
        meant = code or _code_of_connecting(str(error))
        kind = StoreRefusedError if meant.startswith(_REFUSED) else StoreUnavailableError
        return kind(f"could not {tried} {self}: {f'{code}, ' if code else ''}{reply}; {_advice(meant)}")


def _code_of_connecting(reply: str) -> str:
    """Return what kind of error this is: of a failed connection psycopg has only the text."""
    if _NO_DATABASE.search(reply):
        return "3D"
    # psycopg has no code here: the server has not got so far, or libpq does not pass it on
    return "28" if any(each in reply for each in _NOT_LET_IN) else "08"


def _advice(code: str) -> str:
    known = [each for each in _ADVICE if code.startswith(each)]
    return _ADVICE[max(known, key=len)] if known else "see the message of PostgreSQL"


def why_not_of_libpq(url: str) -> str:
    """Return why libpq does not take this address, which contains no password; empty if it does."""
    try:
        ports = str(conninfo.conninfo_to_dict(url).get("port") or "")
    except psycopg.ProgrammingError as error:
        return f'"{url}" is not an address of PostgreSQL: {" ".join(str(error).split())}'
    wrong = [each for each in ports.split(",") if each and not (each.isdecimal() and 0 < int(each) <= LAST_PORT)]
    return f'"{url}" has the port {wrong[0]}; a port is a number from 1 to {LAST_PORT}' if wrong else ""
