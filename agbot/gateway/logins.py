"""Logs each failed login at the agents' listener, and limits how many lines that makes.

A node with a wrong token asks every minute, and a fleet of them would hide everything else. So a
caller is logged once in ten minutes for each reason, and all of them together ten times in a
minute; the next line states how many were left out. By the reason too, because anyone can ask in
the name of a node without its token: that must not hide why the node itself is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from agbot import log
from agbot.events.listeners import LoginFailed
from agbot.gateway.answers import Denied, Reply
from agbot.rules import ids
from agbot.rules.ids import NodeId

PER_CALLER_SECONDS: Final = 600.0
MOST_PER_MINUTE: Final = 10
_MINUTE_SECONDS: Final = 60.0
_MAX_REMEMBERED: Final = 4_096
"""Any client can invent names."""


class FailedLogins:
    """The failed logins. Times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._logged_at: OrderedDict[Denied, float] = OrderedDict()
        """The oldest first."""
        self._minute_began_at = -_MINUTE_SECONDS
        self._in_minute = 0
        self._left_out = 0

    def note(self, reply: Reply, now: float) -> None:
        """Log the failed login that this reply answers, if it answers one and there is room."""
        denied = reply.denied
        if denied is None:
            return
        if not self._has_room(denied, now):
            self._left_out += 1
            return
        org = ids.org_of(NodeId(denied.caller))
        log.write(LoginFailed(org=org, node=denied.caller, why=denied.why, left_out=self._left_out))
        self._left_out = 0

    def _has_room(self, denied: Denied, now: float) -> bool:
        if now - self._logged_at.get(denied, -PER_CALLER_SECONDS) < PER_CALLER_SECONDS:
            return False
        if now - self._minute_began_at >= _MINUTE_SECONDS:
            self._minute_began_at, self._in_minute = now, 0
        if self._in_minute >= MOST_PER_MINUTE:
            return False
        self._in_minute += 1
        self._logged_at[denied] = now
        self._logged_at.move_to_end(denied)
        if len(self._logged_at) > _MAX_REMEMBERED:
            self._logged_at.popitem(last=False)
        return True
