"""What a real agent does after each answer to "may I upgrade?". Pure.

The table is recorded from an unmodified agent (`agent-reaction-to-replies.txt`; `agbot-ha.md` "Corrections", 1.5): everything is "ask
again at the next run" except the exact yes, and except what the agent takes for a transport error. Those it repeats every
10 s inside the same run, without end, with its node management locked.
"""

from __future__ import annotations

from enum import StrEnum

from agbot.sim.links import Answered, Unanswered

ASK_SECONDS = 60.0
"""From the end of one run to the start of the next."""

RETRY_SECONDS = 10.0
"""Between repetitions after a transport error."""

_TRANSPORT_STATUSES = frozenset({408, 429, 502, 503, 504})


class Reaction(StrEnum):
    """What the agent does next."""

    GO = "go"
    ASK_AGAIN = "ask again"
    """At the next run, 60 s after the end of this one."""
    REPEAT = "repeat"
    """In 10 s, in the same run, holding the lock."""


def react(answer: Answered | Unanswered) -> Reaction:
    """Return what an agent does after an answer, or after none."""
    if isinstance(answer, Unanswered):
        return Reaction.REPEAT if answer.is_transport else Reaction.ASK_AGAIN
    if answer.status in _TRANSPORT_STATUSES:
        return Reaction.REPEAT
    if answer.status == 500 and b"timed out" in answer.body:
        return Reaction.REPEAT
    return Reaction.GO if answer.status == 201 and _code(answer) == "201" else Reaction.ASK_AGAIN


def writes_an_error(answer: Answered | Unanswered) -> bool:
    """Say whether the node's log gets an error line: the only silent "not yet" is 201 with code `"409"`."""
    if isinstance(answer, Unanswered):
        return True
    return not (answer.status == 201 and _code(answer) in ("201", "409"))


def _code(answer: Answered) -> object:
    body = answer.json()
    return body.get("code") if isinstance(body, dict) else None
