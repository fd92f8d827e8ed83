"""Answers plain questions from memory without aiohttp, from bytes to bytes. No I/O.

A question is plain if one read holds exactly the whole question, in the form in which agents write
it: these fields in this order, each at most once, and no body. This form leaves no room for
interpretation, so this module and aiohttp's parser cannot read it differently;
`tests/integration/gateway/test_quick_and_plain.py` compares the two. For any other form, and if
memory has no answer, the result is None, and aiohttp's connection handles the request from its
first byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from agbot.gateway.answers import Reply
from agbot.gateway.core import Core
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

    def answer(self, data: bytes) -> bytes | None:
        """Answer the data of one read; None unless they are a plain question known to memory."""
        began_at = self._now()
        found = _QUESTION.fullmatch(data)
        if found is None or len(data) > self._max_bytes:
            return None
        target, credentials = found.groups()
        try:
            reply = self._core.answer("POST", target.decode("ascii"), credentials.decode("ascii"), began_at)
        except Exception:  # noqa: BLE001 - aiohttp's connection repeats it and logs the traceback
            return None
        if not isinstance(reply, Reply) or reply.closes:
            return None
        self._observe(reply.outcome, self._now() - began_at)
        self._logins.note(reply, began_at)
        return head(reply, is_tls=self._is_tls) + reply.body
