"""Who asks: reading the Authorization header, and remembering for a while what the Exchange said about credentials.

The Exchange alone decides. What is remembered here saves reads for refusals and never gives a grant: an accepted credential for
`remember_seconds`, a refused one for a few seconds, so that a storm of wrong credentials costs one read each. Kept is a keyed hash
with a key of this process, never a secret, in two bounded tables, so that a flood of refused ones pushes out no accepted one.
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

REFUSED_SECONDS = 10.0
"""How long a refusal of the Exchange stands. A node that was registered anew asks again after 60 s anyway."""
MAX_REMEMBERED = 65_536
"""Entries in each table; about 200 bytes each."""

_ABSENT = "Unauthorized. No exchange {kind} id is supplied."
_NOT_BASIC = "Unauthorized. Only Basic authentication is supported on this route."
_NO_ORG = "Failed to authenticate the {kind} with the Exchange. No exchange user organization id is supplied."
_WRONG = "Failed to authenticate the {kind} with the Exchange. Wrong organization id, {kind} id or password."


@dataclass(frozen=True, slots=True)
class Unproven:
    """The header does not name anybody; `text` is the body of the 401."""

    text: str


def read(header: str | None, kind: str) -> Credentials | Unproven:
    """Read an Authorization header.

    The texts are those recorded from the real agbot. It would take Bearer tokens too (with X-Organization and X-UserId); agents send none.

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
    """Return whom an Authorization header names, whether or not it is true; empty when nobody."""
    return (_basic(header or "") or "").partition(":")[0]


def _basic(header: str) -> str | None:
    """Return `user:password` of a Basic header with a user, else None: the form that Go's `BasicAuth` takes."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    return text if ":" in text[1:] else None


@dataclass(frozen=True, slots=True)
class _Accepted:
    until: float
    at: float
    node: Node | None


class Memory:
    """What the Exchange said about credentials, for a bounded time and a bounded number of them.

    `now` is the event loop's time. It comes in as an argument: asking for the running loop is a system call, and those of one refusal
    were a tenth of its cost.
    """

    def __init__(self, clock: Clock, remember_seconds: float, *, max_remembered: int = MAX_REMEMBERED) -> None:
        self._key = secrets.token_bytes(32)
        self._accept_seconds = clock.real_seconds(remember_seconds)
        self._refuse_seconds = clock.real_seconds(min(REFUSED_SECONDS, remember_seconds))
        self._max = max_remembered
        self._accepted: OrderedDict[bytes, _Accepted] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()

    def key(self, credentials: Credentials) -> bytes:
        """Return the name under which credentials are remembered; it tells nothing about them."""
        # the identity has no NUL in front of the colon that matters: its length separates the two parts
        said = f"{len(credentials.identity)}:{credentials.identity}{credentials.secret}"
        return hashlib.blake2b(said.encode("utf-8"), digest_size=16, key=self._key).digest()

    def is_accepted(self, key: bytes, now: float) -> bool:
        """Tell whether the Exchange accepted these credentials lately."""
        entry = self._accepted.get(key)
        if entry is None:
            return False
        if entry.until <= now:
            del self._accepted[key]
            return False
        self._accepted.move_to_end(key)
        return True

    def fresh_node(self, key: bytes, now: float) -> Node | None:
        """Return the node as it was read with these credentials within the last seconds."""
        entry = self._accepted.get(key)
        if entry is None or entry.at + self._refuse_seconds <= now:
            return None
        return entry.node

    def is_refused(self, key: bytes, now: float) -> bool:
        """Tell whether the Exchange refused these credentials within the last seconds."""
        until = self._refused.get(key)
        if until is None:
            return False
        if until <= now:
            del self._refused[key]
            return False
        return True

    def accept(self, key: bytes, now: float, node: Node | None = None) -> None:
        """Remember that the Exchange accepted these credentials."""
        self._refused.pop(key, None)
        self._accepted[key] = _Accepted(until=now + self._accept_seconds, at=now, node=node)
        self._accepted.move_to_end(key)
        if len(self._accepted) > self._max:
            self._accepted.popitem(last=False)

    def refuse(self, key: bytes, now: float) -> None:
        """Remember that the Exchange refused these credentials, and forget that it ever accepted them."""
        self._accepted.pop(key, None)
        self._refused[key] = now + self._refuse_seconds
        self._refused.move_to_end(key)
        if len(self._refused) > self._max:
            self._refused.popitem(last=False)
