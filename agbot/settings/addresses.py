"""The addresses of services for notifications: one address of Apprise per line of a file.

Addresses contain tokens and passwords, so they are secrets as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agbot.settings.secret import Secret, SecretError


class AddressError(ValueError):
    """An address that cannot be used; the message does not show it."""


def read(path: Path) -> tuple[list[Secret], list[str]]:
    """Read a file; return the addresses that can be used, and what is wrong with the others.

    Raises:
        SecretError: it cannot be read.
    """
    addresses, wrong = [], []
    try:
        for number, text in _lines(path):
            address = Secret(text)
            try:
                service(address)
            except AddressError as error:
                wrong.append(f"{path}, line {number}: {error}")
            else:
                addresses.append(address)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise SecretError(f"{path} cannot be read: {why}") from error
    if not addresses and not wrong:
        wrong.append(f"{path} has no address")
    return addresses, wrong


def service(address: Secret) -> Any:  # noqa: ANN401 - Apprise is not typed
    """Return Apprise's plugin for an address.

    Raises:
        AddressError: the address cannot be used.
    """
    try:
        import apprise  # noqa: PLC0415 - an extra, which is slow to import
    except ImportError as error:
        raise AddressError("Apprise is missing; install agbot[notify]") from error
    found = apprise.Apprise.instantiate(address.reveal(), suppress_exceptions=True)
    if found is None:
        scheme = address.reveal().partition("://")[0]
        # before `://` there may be a password, if the address was pasted with a mistake
        shown = scheme if scheme.isalnum() else "…"
        raise AddressError(f"{shown}://… is not an address of Apprise, or lacks a part")
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()
