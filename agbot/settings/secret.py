"""Secrets: read from files or systemd credentials, and kept in a type that does not show them.

A secret is never a value in the settings file, in the environment or on a command line, and is
never logged. Code that needs its value calls `reveal()`.
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
NOTIFY_ADDRESSES: Final = "notify-addresses"
STORE_PASSWORD: Final = "store-password"  # noqa: S105 - the name of a systemd credential, not a secret
CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
_LARGEST_BYTES: Final = 4096


class Secret:
    """A value that repr, str, format, logs and pickle do not show."""

    __slots__ = ("_path", "_value")

    def __init__(self, value: str, path: Path | None = None) -> None:
        self._value = value
        self._path = path

    def reveal(self) -> str:
        """Return the value; call it only where it is sent or compared."""
        return self._value

    def as_it_is_now(self) -> Secret:
        """Return what its file has now; this one if it is from none, or that cannot be used."""
        try:
            return self if self._path is None else read(self._path).secret
        except SecretError:
            return self

    def __repr__(self) -> str:
        return "Secret('…')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")

    def __eq__(self, other: object) -> bool:
        """Compare to detect a changed file; never for a login, which needs constant time."""
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


class SecretError(Exception):
    """A secret's file cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A secret with its file; `warning` is set if every user can read that file."""

    secret: Secret
    path: Path
    warning: str = ""


def has_credentials(environ: Mapping[str, str]) -> bool:
    """Whether systemd has handed credentials over. An empty variable names no folder."""
    return bool(environ.get(CREDENTIALS_DIRECTORY))


def where(file: Path | None, credential: str, environ: Mapping[str, str], folder: Path | None) -> Path | None:
    """Return the file of a secret: of the settings, else of systemd, else None."""
    if file is not None:
        return file
    # Whoever types a command has no credentials of systemd. The installed unit takes them from the
    # folder of the settings, so that is where a secret is found then.
    directory = Path(environ[CREDENTIALS_DIRECTORY]) if has_credentials(environ) else folder
    provided = directory / credential if directory else None
    return provided if provided and provided.exists() else None


def provided_by_systemd(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the systemd credentials, which are copies from the start."""
    directory = environ.get(CREDENTIALS_DIRECTORY, "")
    try:
        return sorted(file.name for file in Path(directory).iterdir()) if directory else []
    except OSError:
        return []


def read(path: Path) -> Found:
    """Read one secret, without white space around it such as a final newline.

    Raises:
        SecretError: the file is missing, unreadable, empty, or not a token.
    """
    try:
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
        raise SecretError(f"{path} does not contain a token: it must be one line without spaces")
    return Found(secret=Secret(value, path), path=path, warning=why_open(path))


def why_open(path: Path) -> str:
    """Return a warning if every user can read this file; empty if not, or if there is none."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""  # a file that is missing is a mistake of its own
    return f"{path} is readable by every user (mode {mode & 0o777:03o}); make it 600" if mode & stat.S_IROTH else ""


def closed(path: Path) -> str:
    """Return what is expected of a file that `why_open` warns of."""
    return f"mode 600 (chmod 600 {path})"
