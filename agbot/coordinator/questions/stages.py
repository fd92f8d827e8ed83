"""What a question is waiting for, so that a refusal after a timeout names it.

A question goes through stages, and each waits for another party: the Exchange, the real agbot, the
store. The caller that sets a deadline calls `follow`, and finds the last stage that was passed to
`reach` when the deadline has passed. The stage is kept in a context variable of the task, so that
no function has to pass it on. A stage that is reached without a follower is dropped.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum

import msgspec

from agbot.rules.decide import Wait
from agbot.rules.reasons import Code, Reason

_RE_READ = frozenset({Code.PEERS_UNAVAILABLE, Code.SOAKING})
"""Reasons that depend on heartbeats and services, which are read again before they keep an asker
waiting."""
WAITED_FOR = "waited_for"
"""The fact of such a reason that may be sent to any asker. The text may name hosts and files of the
hub."""


@dataclass(frozen=True, slots=True)
class _Wait:
    code: Code
    what: str
    """What did not happen, as the beginning of a sentence."""


class Stage(Enum):
    """What a question waits for, in order."""

    AGBOT_IDENTITY = _Wait(Code.EXCHANGE_UNAVAILABLE, "the Exchange did not confirm the agbot that asks")
    CONFIRM = _Wait(Code.EXCHANGE_UNAVAILABLE, "the Exchange did not confirm the node")
    FEED = _Wait(Code.EXCHANGE_UNAVAILABLE, "the Exchange did not show its latest changes")
    GROUP = _Wait(Code.EXCHANGE_UNAVAILABLE, "the Exchange did not show what the decision rests on")
    AGBOT = _Wait(Code.AGBOT_UNAVAILABLE, "the agbot did not show the upgrades that it has begun by itself")
    STORE = _Wait(Code.STORE_UNAVAILABLE, "the lease store did not answer")

    @property
    def code(self) -> Code:
        """The code of the reason if this stage fails or takes too long."""
        return self.value.code

    def too_late(self) -> Reason:
        """Return the reason if the deadline has passed in this stage."""
        what = f"{self.value.what} in time"
        return Reason(code=self.code, text=what, facts={WAITED_FOR: what})

    def failed(self, error: Exception) -> Reason:
        """Return the reason if this stage has failed."""
        return Reason(code=self.code, text=f"{self.value.what}: {error}", facts={WAITED_FOR: self.value.what})


@dataclass(slots=True)
class Current:
    """The current stage of one question."""

    stage: Stage = Stage.STORE
    """A task that reaches no stage reads nothing, and can only wait for the store."""


_current: ContextVar[Current | None] = ContextVar("current", default=None)


def follow() -> Current:
    """Follow the stages of the current task from now on."""
    current = Current()
    _current.set(current)
    return current


def reach(stage: Stage) -> None:
    """Note that the current question waits for this from now on."""
    current = _current.get()
    if current is not None:
        current.stage = stage


def failed(error: Exception, else_at: Stage) -> Reason:
    """Return the reason of the current stage's failure; without a follower, that of `else_at`."""
    current = _current.get()
    return (else_at if current is None else current.stage).failed(error)


def with_unseen(wait: Wait, unseen: Exception | None) -> Wait:
    """Put the Exchange first among the reasons if it did not show what keeps the asker waiting."""
    if unseen is None or not _RE_READ.intersection(reason.code for reason in wait.reasons):
        return wait
    return msgspec.structs.replace(wait, reasons=(Stage.GROUP.failed(unseen), *wait.reasons))
