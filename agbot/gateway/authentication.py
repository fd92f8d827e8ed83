"""Authenticates callers, and caches what the Exchange has answered about their credentials.

Only the Exchange decides. The cache saves reads for refusals and never gives a grant. An entry is
keyed by a hash with a key of this process and holds no secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from agbot.clock import Clock
from agbot.exchange.credentials import Credentials
from agbot.rules.facts import Node

_REFUSED_SECONDS = 10.0
"""How long a refusal of the Exchange is cached, so that a storm of the same wrong credentials costs
one read. A node that was registered again asks after 60 s anyway."""
_MAX_REMEMBERED = 65_536
"""Entries in each table; about 200 bytes each."""

_ABSENT = "Unauthorized. No exchange {kind} id is supplied."
_NOT_BASIC = "Unauthorized. Only Basic authentication is supported on this route."
_NO_ORG = "Failed to authenticate the {kind} with the Exchange. No exchange user organization id is supplied."
_WRONG = "Failed to authenticate the {kind} with the Exchange. Wrong organization id, {kind} id or password."


@dataclass(frozen=True, slots=True)
class Unproven:
    """The header identifies no caller; `text` is the body of the 401."""

    text: str


def read(header: str | None, kind: str) -> Credentials | Unproven:
    """Read an Authorization header.

    The texts are recorded from the real agbot. It accepts Bearer tokens too (with X-Organization
    and X-UserId), but agents send none.

    Args:
        header: the header's value, or None.
        kind: `nodes` or `agbots`, for the texts.
    """
    text = _basic(header or "")
    if text is None:
        is_bearer = header is not None and header.lower().startswith("bearer ")
        return Unproven((_NOT_BASIC if is_bearer else _ABSENT).format(kind=kind))
    identity, _, secret = text.partition(":")
    org, slash, name = identity.partition("/")
    if not slash or not org:
        return Unproven(_NO_ORG.format(kind=kind))
    if not secret or not name:
        return Unproven(_WRONG.format(kind=kind))
    return Credentials(identity=identity, secret=secret)


def claimed(header: str | None) -> str:
    """Return the identity in an Authorization header, unproven; empty if there is none."""
    return (_basic(header or "") or "").partition(":")[0]


def _basic(header: str) -> str | None:
    """Return `user:password` of a Basic header with a user, else None, as Go's `BasicAuth` does."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    return text if ":" in text[1:] else None


class Memory:
    """A bounded cache of what the Exchange has answered about credentials.

    `now` is the event loop's time. It is an argument because each call for the running loop is a
    system call, and these calls were a tenth of the cost of a refusal.
    """

    def __init__(self, clock: Clock, remember_seconds: float, *, max_remembered: int = _MAX_REMEMBERED) -> None:
        self._key = secrets.token_bytes(32)
        self._accept_seconds = clock.real_seconds(remember_seconds)
        self._refuse_seconds = clock.real_seconds(min(_REFUSED_SECONDS, remember_seconds))
        self._max = max_remembered
        self._accepted: OrderedDict[bytes, float] = OrderedDict()
        """Until when each is accepted."""
        self._fresh: OrderedDict[bytes, tuple[float, Node]] = OrderedDict()
        """The nodes that were read within the last seconds, each with the time."""
        # a table of its own: a flood of wrong credentials must evict no accepted ones
        self._refused: OrderedDict[bytes, float] = OrderedDict()

    def key(self, credentials: Credentials) -> bytes:
        """Return the key under which credentials are cached; it reveals nothing about them."""
        # the length of the identity separates the two parts
        text = f"{len(credentials.identity)}:{credentials.identity}{credentials.secret}"
        return hashlib.blake2b(text.encode("utf-8"), digest_size=16, key=self._key).digest()

    def is_accepted(self, key: bytes, now: float) -> bool:
        """Whether the Exchange has recently accepted these credentials."""
        until = self._accepted.get(key)
        if until is None:
            return False
        if until <= now:
            del self._accepted[key]
            return False
        self._accepted.move_to_end(key)  # the ones that ask no more are evicted first
        return True

    def fresh_node(self, key: bytes, now: float) -> Node | None:
        """Return the node if these credentials have read it within the last seconds."""
        read_at, node = self._fresh.get(key, (0.0, None))
        return node if node is not None and read_at + self._refuse_seconds > now else None

    def is_refused(self, key: bytes, now: float) -> bool:
        """Whether the Exchange has refused these credentials within the last seconds."""
        until = self._refused.get(key)
        if until is None:
            return False
        if until <= now:
            del self._refused[key]
            return False
        return True

    def accept(self, key: bytes, now: float, node: Node | None = None) -> None:
        """Cache that the Exchange has accepted these credentials."""
        self._refused.pop(key, None)
        self._accepted[key] = now + self._accept_seconds
        self._accepted.move_to_end(key)
        self._keep_fresh(key, now, node)
        if len(self._accepted) > self._max:
            self._fresh.pop(self._accepted.popitem(last=False)[0], None)

    def _keep_fresh(self, key: bytes, now: float, node: Node | None) -> None:
        self._fresh.pop(key, None)
        if node is not None:
            self._fresh[key] = (now, node)
        while self._fresh and next(iter(self._fresh.values()))[0] + self._refuse_seconds <= now:
            self._fresh.popitem(last=False)

    def refuse(self, key: bytes, now: float) -> None:
        """Cache that the Exchange has refused these credentials, and drop an earlier acceptance."""
        self._accepted.pop(key, None)
        self._fresh.pop(key, None)
        self._refused[key] = now + self._refuse_seconds
        self._refused.move_to_end(key)
        if len(self._refused) > self._max:
            self._refused.popitem(last=False)
