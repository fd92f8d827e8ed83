"""What a question waits for at this moment, so that "not yet" names what was really waited for.

A question goes through stages, each of which waits for somebody else: the Exchange, the real agbot, the store. Whoever has set it a
deadline `follow`s it, and finds the last stage that was `reach`ed when the time is over. It is kept with the task that asks (a context
variable), so that nobody on the way has to hand it on; a stage that is reached while nobody follows is forgotten.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import Enum

from agbot.rules.decide import Wait
from agbot.rules.reasons import Code, Reason

_RE_READ = frozenset({Code.PEERS_UNAVAILABLE, Code.SOAKING})
"""Reasons that rest on heartbeats and services, which are read anew before they keep anybody waiting."""
WAITED_FOR = "waited_for"
"""The fact of such a reason that may be told to anybody: the text may name hosts and files of the hub."""


@dataclass(frozen=True, slots=True)
class _Wait:
    code: Code
    what: str
    """What did not happen, as the beginning of a sentence."""


class Stage(Enum):
    """Whom a question waits for, in the order of its way."""

    AGBOT_IDENTITY = _Wait(Code.EXCHANGE_UNAVAILABLE, "the Exchange did not confirm the agbot that asks")
    CONFIRM = _Wait(Code.EXCHANGE_UNAVAILABLE, "the Exchange did not confirm the node")
    FEED = _Wait(Code.EXCHANGE_UNAVAILABLE, "the Exchange did not tell its latest changes")
    GROUP = _Wait(Code.EXCHANGE_UNAVAILABLE, "the Exchange did not show what the decision rests on")
    AGBOT = _Wait(Code.AGBOT_UNAVAILABLE, "the agbot did not show the upgrades that it has begun by itself")
    STORE = _Wait(Code.STORE_UNAVAILABLE, "the lease store did not answer")

    @property
    def code(self) -> Code:
        """The reason when it does not come to its end."""
        return self.value.code

    def too_late(self) -> Reason:
        """Return the reason when the time was over at this stage."""
        what = f"{self.value.what} in time"
        return Reason(code=self.code, text=what, facts={WAITED_FOR: what})

    def failed(self, error: Exception) -> Reason:
        """Return the reason when this stage failed."""
        return Reason(code=self.code, text=f"{self.value.what}: {error}", facts={WAITED_FOR: self.value.what})


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Something outside that every yes rests on as it is now: read at most a second ago, one read for all who ask in that second."""

    stage: Stage
    fresh: Callable[[], Awaitable[object]]
    """Waits until it has been read, and what it told has been taken in. Raises an `ExchangeError` when it cannot be."""


@dataclass(slots=True)
class Waits:
    """Where one question is."""

    stage: Stage = Stage.STORE
    """Whoever tells no stage reads nothing, and can only wait for the store."""


_waits: ContextVar[Waits | None] = ContextVar("waits", default=None)


def follow() -> Waits:
    """Follow what the present task asks from now on."""
    waits = Waits()
    _waits.set(waits)
    return waits


def reach(stage: Stage) -> None:
    """Take down that the present question waits for this from now on."""
    waits = _waits.get()
    if waits is not None:
        waits.stage = stage


def failed(error: Exception, else_at: Stage) -> Reason:
    """Return the reason when the present stage failed; where nobody follows, this one."""
    waits = _waits.get()
    return (else_at if waits is None else waits.stage).failed(error)


def with_unseen(wait: Wait, unseen: Exception | None) -> Wait:
    """Name the Exchange first where it did not show what keeps the asker waiting."""
    if unseen is None or not _RE_READ.intersection(reason.code for reason in wait.reasons):
        return wait
    return replace(wait, reasons=(Stage.GROUP.failed(unseen), *wait.reasons))
