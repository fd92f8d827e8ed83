"""What a real agent does after each answer to its question "may I upgrade?". Pure.

The table was recorded from an unmodified agent (`agent-reaction-to-replies.txt`; `agbot-ha.md`
"Corrections", 1.5). The agent asks again at its next run after every answer, with two exceptions:
the exact grant, and what it takes for a transport error. It repeats those every 10 s within the
same run, indefinitely, with its node management locked.
"""

from __future__ import annotations

from enum import StrEnum

from agbot.sim.links import TRANSPORT_STATUSES, Answered, Unanswered


class Reaction(StrEnum):
    """The agent's next step."""

    GO = "go"
    ASK_AGAIN = "ask again"
    """Ask at the next run, 60 s after the end of this one."""
    REPEAT = "repeat"
    """Ask in 10 s, in the same run, holding the lock."""


def react(answer: Answered | Unanswered) -> Reaction:
    """Return what an agent does after an answer, or after no answer."""
    if isinstance(answer, Unanswered):
        return Reaction.REPEAT if answer.is_transport else Reaction.ASK_AGAIN
    if answer.status in TRANSPORT_STATUSES:
        return Reaction.REPEAT
    if answer.status == 500 and b"timed out" in answer.body:
        return Reaction.REPEAT
    return Reaction.GO if answer.status == 201 and _code(answer) == "201" else Reaction.ASK_AGAIN


def _code(answer: Answered) -> object:
    body = answer.json()
    return body.get("code") if isinstance(body, dict) else None
