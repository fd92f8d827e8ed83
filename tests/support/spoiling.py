"""What stands between the coordinator and its Exchange and gets answers wrong: absences that are none, and what vanishes without a row.

A rule matches a path and makes of the reply what it likes, a number of times or forever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from agbot.exchange.transport import Reply

Change = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class _Rule:
    path: re.Pattern[str]
    make: Callable[[Reply], Reply]
    left: int | None


class Spoiling:
    """Rules for replies; the first one that matches and is not used up applies."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self.spoilt = 0

    def __call__(self, method: str, path: str, reply: Reply) -> Reply:
        for rule in self._rules:
            if method == "GET" and rule.path.search(path) and rule.left != 0:
                rule.left = None if rule.left is None else rule.left - 1
                self.spoilt += 1
                return rule.make(reply)
        return reply

    def nothing_there(self, path: str, collection: str, times: int | None = 1) -> None:
        """Answer as the Exchange does for what it does not have."""
        empty = json.dumps({collection: [] if collection == "nodeGroups" else {}, "lastIndex": 0}).encode()
        self._rules.append(_Rule(re.compile(path), lambda _reply: Reply(status=404, body=empty), times))

    def changed(self, path: str, change: Change, times: int | None = 1) -> None:
        """Change what the Exchange says."""

        def make(reply: Reply) -> Reply:
            return replace(reply, body=json.dumps(change(json.loads(reply.body))).encode())

        self._rules.append(_Rule(re.compile(path), make, times))

    def clear(self) -> None:
        """Let every answer through from now on."""
        self._rules.clear()
