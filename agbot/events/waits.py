"""Events of waiters. A change of a wait is the most frequent event, so its log line is short."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from agbot.events.event import DecisionRecord, Level, LogEvent, Moment, OfGroup, of_ask
from agbot.events.shortening import bytes_in_json, shortened
from agbot.rules.reasons import Reason
from agbot.rules.records import Waiter
from agbot.rules.seen_time import Now

_LONGEST_NAME_BYTES: Final = 110
_NAMES_AND_REASON_BYTES: Final = 400
"""What the rest of a log line of 600 bytes leaves for them."""


class ReasonGiven(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a node waits."""

    code: str
    """A code of docs/reasons.md."""
    text: str


class WaitChanged(OfGroup, frozen=True, kw_only=True):
    """A node has begun to wait, or its reasons have changed.

    The log shows the first reason (`code`, `reason`) and the number of `others`; the journal has
    all.
    """

    name: ClassVar[str] = "wait.changed"

    reasons: tuple[ReasonGiven, ...]
    """All present reasons, the most important one first."""
    since: Moment
    rules: tuple[Mapping[str, Any], ...] = ()
    """The result of each rule, as `agbot explain` shows it."""
    decision_record: DecisionRecord | None = None

    def in_words(self) -> str:
        return f"{self.node} is waiting to upgrade {self.upgrade}: {', '.join(each.code for each in self.reasons)}"

    def explanation(self) -> str:
        return "; ".join(each.text for each in self.reasons)

    def logged(self) -> dict[str, object]:
        """Return what a person needs. A line has at most 600 bytes, however long the names are."""
        named = {
            column: shortened(str(value), _LONGEST_NAME_BYTES)
            for column, value in (("group", self.group), ("node", self.node), ("subject", self.subject))
            if value is not None
        }
        if not self.reasons:
            return {**named}
        # The names come first, because they can be looked up: a reason fills what they leave, and
        # is in full in the journal.
        left = _NAMES_AND_REASON_BYTES - sum(bytes_in_json(each) for each in named.values())
        first = self.reasons[0]
        return {**named, "code": first.code, "reason": shortened(first.text, left), "others": len(self.reasons) - 1}


class WaitExplained(LogEvent, frozen=True, kw_only=True):
    """The results of all rules for a waiter: follows `wait.changed` if the log level is debug."""

    name: ClassVar[str] = "wait.explained"
    level: ClassVar[Level] = Level.DEBUG
    words: ClassVar[str] = "what each rule says about {self.node}"

    group: str
    node: str | None
    subject: str | None
    reasons: tuple[ReasonGiven, ...]
    rules: tuple[Mapping[str, Any], ...]


class WaitEnded(OfGroup, frozen=True, kw_only=True):
    """A node has stopped waiting without a new grant: it no longer asks, is gone, or holds one."""

    name: ClassVar[str] = "wait.ended"
    words: ClassVar[str] = "{self.node} has stopped waiting for {self.upgrade}"

    why: str
    since: Moment


def changed(waiter: Waiter, now: Now) -> WaitChanged:
    """Describe a wait that is new or has new reasons."""
    reasons = tuple(map(_given, waiter.reasons))
    return WaitChanged(**of_ask(waiter.ask), reasons=reasons, since=now.shown(waiter.since))


def explained(event: WaitChanged) -> WaitExplained:
    """Return the long form of a wait, for the log at debug."""
    return WaitExplained(
        group=event.group, node=event.node, subject=event.subject, reasons=event.reasons, rules=event.rules
    )


def ended(waiter: Waiter, why: str, now: Now) -> WaitEnded:
    """Describe a wait that ended without a new grant."""
    return WaitEnded(**of_ask(waiter.ask), why=why, since=now.shown(waiter.since))


def _given(reason: Reason) -> ReasonGiven:
    return ReasonGiven(code=str(reason.code), text=reason.text)
