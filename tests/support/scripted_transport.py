"""A transport whose answers a test has written down, for replies that no simulator gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import ExchangeError
from agbot.exchange.transport import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request that was sent."""

    method: str
    path: str
    credentials: Credentials | None
    body: Any
    timeout_seconds: float


def reply(status: int, body: object, **headers: str) -> Reply:
    """Write a reply; anything but text and bytes becomes JSON."""
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Reply(status=status, headers=headers, body=data)


class ScriptedTransport:
    """Answers in order with replies or errors."""

    def __init__(self, *answers: Reply | ExchangeError) -> None:
        self._answers = list(answers)
        self.asked: list[Asked] = []

    def then(self, *answers: Reply | ExchangeError) -> None:
        """Add answers."""
        self._answers += answers

    async def request(
        self, method: str, path: str, *, credentials: Credentials | None, body: bytes | None, timeout_seconds: float
    ) -> Reply:
        """Answer with the next one."""
        self.asked.append(
            Asked(
                method=method,
                path=path,
                credentials=credentials,
                body=json.loads(body) if body else None,
                timeout_seconds=timeout_seconds,
            )
        )
        answer = self._answers.pop(0)
        if isinstance(answer, ExchangeError):
            raise answer
        return answer

    async def close(self) -> None:
        """Nothing is open."""
