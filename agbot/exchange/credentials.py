"""Who asks the Exchange: an identity `org/name` and its secret. The secret shows in no repr, no str and no error."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

import aiohttp

_SCHEME = "basic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The credentials of a node, an agbot or a user."""

    identity: str
    """`org/name`; the Exchange takes everything before the first slash as the organisation."""
    secret: str = field(repr=False)

    @property
    def org(self) -> str:
        """Return the organisation of the identity."""
        return self.identity.partition("/")[0]

    def basic(self) -> str:
        """Return the value of the `Authorization` header.

        Raises:
            ValueError: the identity contains a colon, which Basic authentication cannot carry.
        """
        return aiohttp.encode_basic_auth(self.identity, self.secret)

    def __str__(self) -> str:
        return self.identity


def secrets_of(credentials: Credentials | None) -> tuple[str, ...]:
    """Return what must be shown nowhere: the secret, and the header in which it goes out."""
    return () if credentials is None else (credentials.basic().partition(" ")[2], credentials.secret)


def parse_basic(header: str) -> Credentials | None:
    """Read an `Authorization` header; None if it is not `Basic` with an `org/name` and a secret.

    As in the Exchange (`exchange-api.md` 0.2) neither the organisation nor the name may be empty or contain white space.
    """
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != _SCHEME:
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):  # a broken encoding, or bytes that are not UTF-8
        return None
    identity, _, secret = text.partition(":")
    org, _, name = identity.partition("/")
    if not (org and name and secret) or any(letter.isspace() for letter in identity):
        return None
    return Credentials(identity=identity, secret=secret)
