"""Secrets: read from files or from systemd's credentials, kept in a type that does not show them.

A secret is never a value in the settings file, in the environment or on a command line, and never in a log: whoever needs it says
`reveal()`.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EXCHANGE_TOKEN: Final = "exchange-token"  # noqa: S105 - the name of a systemd credential, not a secret
OPERATOR_TOKEN: Final = "operator-token"  # noqa: S105 - the name of a systemd credential, not a secret
MQTT_PASSWORD: Final = "mqtt-password"  # noqa: S105 - the name of a systemd credential, not a secret
WEBHOOK_SECRET: Final = "webhook-secret"  # noqa: S105 - the name of a systemd credential, not a secret
CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
_LARGEST_BYTES: Final = 4096


class Secret:
    """A value that hides itself from repr, str, format, logs and pickles."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself; call it where it goes out, not before."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('…')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")

    def __eq__(self, other: object) -> bool:
        """Compare for a changed file; never for a login, which needs constant time."""
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


class SecretError(Exception):
    """A secret's file cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A secret with the file it came from; `warning` when that file is open to everybody."""

    secret: Secret
    path: Path
    warning: str = ""


def where(file: Path | None, credential: str, environ: Mapping[str, str]) -> Path | None:
    """Return the file that holds a secret: the one the settings name, else systemd's credential, else None."""
    if file is not None:
        return file
    directory = environ.get(CREDENTIALS_DIRECTORY, "")
    handed_over = Path(directory) / credential
    return handed_over if directory and handed_over.exists() else None


def handed_over(environ: Mapping[str, str]) -> list[str]:
    """Name what systemd has handed over: copies that it made at the start, which stay as they are until the next one (systemd.exec(5))."""
    directory = environ.get(CREDENTIALS_DIRECTORY, "")
    try:
        return sorted(file.name for file in Path(directory).iterdir()) if directory else []
    except OSError:
        return []


def read(path: Path) -> Found:
    """Read one secret. Surrounding white space, such as the newline of an editor, is no part of it.

    Raises:
        SecretError: the file is missing, unreadable, empty or holds something that cannot be a token.
    """
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise SecretError(f"{path} cannot be read: {error.strerror}") from error
    try:
        value = content.decode().strip()
    except UnicodeDecodeError as error:
        raise SecretError(f"{path} is not text") from error
    if not value:
        raise SecretError(f"{path} is empty")
    if len(content) > _LARGEST_BYTES or not value.isprintable() or " " in value:
        raise SecretError(f"{path} does not hold a token: it must be one line without spaces")
    warning = f"{path} is readable by everybody (mode {mode & 0o777:03o}); make it 600" if mode & stat.S_IROTH else ""
    return Found(secret=Secret(value), path=path, warning=warning)
