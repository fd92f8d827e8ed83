"""Forwards questions to the leader while this coordinator stands by.

The rule kept here: an agent always gets an answer that it understands, in time. Whatever the hop
brings that is not one, a leader that cannot be reached included, is a refusal as `no-leader`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from agbot.clock import Clock
from agbot.gateway import refusals
from agbot.gateway.answers import TOKEN_HEADER, Outcome, Reply
from agbot.gateway.core import Core, Question
from agbot.listening.hop import MARK, Hop, HopError, Received
from agbot.rules.leadership import Whereabouts
from agbot.settings.model import AGENT_PATIENCE_SECONDS, GatewaySettings

_HOP_SECONDS: Final = 2.0
"""How much longer the leader's answer may take than its own limit."""
_LONGEST_SECONDS: Final = AGENT_PATIENCE_SECONDS - 2.0
"""Without an answer by then, the refusal still reaches an agent that waits."""
_SENT: Final = ("Authorization", "fleet-lock-protocol")
_MOST_BYTES: Final = 65_536
_STATUSES: Final = frozenset({200, 201, 400, 401, 403, 404, 409, 431})
"""What a coordinator answers questions with. An agent loops on anything else."""


class Forwarding:
    """Answers questions with the leader's answers."""

    def __init__(
        self, core: Core, hop: Hop, where: Callable[[], Whereabouts], settings: GatewaySettings, *, clock: Clock
    ) -> None:
        self._core = core
        self._hop = hop
        self._where = where
        self._seconds = min(clock.real_seconds(settings.answer_seconds) + _HOP_SECONDS, _LONGEST_SECONDS)

    async def reply(self, method: str, target: str, asked: Question, headers: Mapping[str, str]) -> Reply:
        """Answer a question; raises only if cancelled."""
        received = await self.received(method, target, headers)
        if isinstance(received, str):
            return self._refused(asked, received)
        if received.status not in _STATUSES or not _is_of_a_coordinator(received.body):
            return self._refused(asked, "the leading coordinator cannot answer at present")
        return _as_received(received)

    @property
    def leads(self) -> bool:
        """Whether nothing is forwarded, because this coordinator leads."""
        return self._where().leads

    async def received(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Received | str:
        """Return what the leader answers, or in words why there is no answer."""
        leader = self._where().leader
        if MARK in headers:
            return "the question was forwarded here, but this coordinator does not lead"
        if leader is None or not leader.gateway_url:
            return "no coordinator is known to lead at present"
        sent = {name: headers[name] for name in _SENT if name in headers}
        try:
            return await self._hop.send(
                method, leader.gateway_url, target, sent, body, seconds=self._seconds, most_bytes=_MOST_BYTES
            )
        except HopError:
            return "the leading coordinator cannot be reached at present"

    def _refused(self, asked: Question, text: str) -> Reply:
        return self._core.own_refusal(asked, refusals.no_leader(text))


def _is_of_a_coordinator(body: bytes) -> bool:
    """Whether this is an answer as `answers.py` writes it, and not the page of a proxy."""
    try:
        found = json.loads(body)
    except ValueError:
        return False
    return isinstance(found, str) or (isinstance(found, dict) and set(found) == {"code", "msg"})


def _as_received(received: Received) -> Reply:
    token = received.headers.get(TOKEN_HEADER, "")
    return Reply(
        status=received.status,
        body=received.body,
        outcome=Outcome.FORWARDED,
        token=int(token) if token.isascii() and token.isdigit() else None,
    )
