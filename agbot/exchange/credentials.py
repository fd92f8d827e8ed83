"""Credentials for the Exchange: an identity and its secret, which no repr, str or error shows."""

from __future__ import annotations

from dataclasses import dataclass, field

import aiohttp

from agbot.settings.load import Loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The credentials of a node, an agbot or a user."""

    identity: str
    """`org/name`; the organisation is everything before the first slash."""
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


def own(loaded: Loaded) -> Credentials:
    """Return the coordinator's credentials."""
    token = loaded.secrets.exchange_token
    return Credentials(identity=loaded.settings.exchange.identity, secret=token.reveal() if token else "")


def secrets_of(credentials: Credentials | None) -> tuple[str, ...]:
    """Return what must not be shown: the secret, and the header that contains it."""
    return () if credentials is None else (credentials.basic().partition(" ")[2], credentials.secret)
