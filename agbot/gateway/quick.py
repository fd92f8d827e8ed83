"""Answers plain questions from memory without aiohttp, from bytes to bytes. No I/O.

A question is plain if one read holds exactly the whole question, in the form in which agents write
it: these fields in this order, each at most once, and no body. This form leaves no room for
interpretation, so this module and aiohttp's parser cannot read it differently;
`tests/integration/gateway/test_quick_and_plain.py` compares the two. For any other form, and if
memory has no answer, the result is None, and aiohttp's connection handles the request from its
first byte.

An agent repeats its question byte for byte, so it is read once: after that its bytes are known by a
hash with a key of this process, which reveals nothing about the credentials in them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from typing import Final

from agbot.gateway.answers import Outcome, Reply
from agbot.gateway.core import Core, Known
from agbot.gateway.logins import FailedLogins
from agbot.gateway.serving import Observe
from agbot.gateway.writing import head

_QUESTION = re.compile(
    rb"POST (/org/[\w.~!$&'()*+,;=:@%/-]+) HTTP/1\.1\r\n"
    rb"Host: [\w.:\[\]-]+\r\n"
    rb"(?:User-Agent: [ -~]+\r\n)?"
    rb"Content-Length: 0\r\n"
    rb"(?:Accept: [ -~]+\r\n)?"
    rb"Authorization: (Basic [A-Za-z0-9+/=]+)\r\n"
    rb"(?:Content-Type: [ -~]+\r\n)?"
    rb"(?:Accept-Encoding: [ -~]+\r\n)?"
    rb"\r\n"
)
"""As Go's client writes it: three fields of its own, the others by name, then Accept-Encoding
(`tests/recorded/agent-permission.jsonl`)."""

REPEATED_WITHIN_SECONDS: Final = 150.0
"""A question that is not repeated for this long may be forgotten. Agents ask every minute."""
_MAX_KNOWN: Final = 65_536
"""Questions that are known; about 500 bytes each."""


class Repetitions:
    """The questions that were asked lately, by the hash of their bytes. Times are the event loop's.

    They are in two tables, and the older one is dropped when the younger one is old or full.
    """

    def __init__(self, *, max_known: int = _MAX_KNOWN) -> None:
        self._key = secrets.token_bytes(32)
        self._most = max_known // 2
        self._young: dict[bytes, Known] = {}
        self._old: dict[bytes, Known] = {}
        self._until = 0.0

    def hash(self, data: bytes) -> bytes:
        """Return the hash of the bytes of a request."""
        return hashlib.blake2b(data, digest_size=16, key=self._key).digest()

    def find(self, hashed: bytes, now: float) -> Known | None:
        """Return the question with this hash."""
        known = self._young.get(hashed)
        if known is None and (known := self._old.pop(hashed, None)) is not None:
            self.add(hashed, known, now)
        return known

    def add(self, hashed: bytes, known: Known, now: float) -> None:
        """Add a question."""
        if now >= self._until or len(self._young) >= self._most:
            self._old, self._young, self._until = self._young, {}, now + REPEATED_WITHIN_SECONDS
        self._young[hashed] = known


class Quick:
    """Answers questions that memory can answer at once."""

    def __init__(
        self,
        core: Core,
        observe: Observe,
        logins: FailedLogins,
        now: Callable[[], float],
        *,
        max_bytes: int,
        is_tls: bool,
    ) -> None:
        """Store the dependencies.

        Args:
            core: decides.
            observe: counts the answers.
            logins: logs failed logins.
            now: the event loop's time.
            max_bytes: the limit of one field; a plain question must be shorter than that as a
                whole.
            is_tls: whether the answers are sent over TLS.
        """
        self._core = core
        self._observe = observe
        self._logins = logins
        self._now = now
        self._max_bytes = max_bytes
        self._is_tls = is_tls
        self._repetitions = Repetitions()

    def answer(self, data: bytes) -> bytes | None:
        """Answer the data of one read; None unless they are a plain question known to memory."""
        began_at = self._now()
        try:
            reply = self._reply(data, began_at)
        except Exception:  # noqa: BLE001 - aiohttp's connection repeats it and logs the traceback
            return None
        if reply is None:
            return None
        self._observe(reply.outcome, self._now() - began_at)
        self._logins.note(reply, began_at)
        return head(reply, is_tls=self._is_tls) + reply.body

    def _reply(self, data: bytes, now: float) -> Reply | None:
        if len(data) > self._max_bytes:
            return None
        hashed = self._repetitions.hash(data)
        known = self._repetitions.find(hashed, now)
        if known is not None:
            return self._core.refuse_again(known, now)
        found = _QUESTION.fullmatch(data)
        if found is None:
            return None
        target, credentials = (each.decode("ascii") for each in found.groups())
        reply = self._core.answer("POST", target, credentials, now)
        if not isinstance(reply, Reply) or reply.closes:
            return None
        if reply.outcome is Outcome.REFUSED and (known := self._core.known(target, credentials)) is not None:
            self._repetitions.add(hashed, known, now)
        return reply
