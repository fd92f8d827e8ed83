"""What the coordinator needs of the guard's tables in the agbot's database; values and no SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from agbot.agreementbot.client import Lists
from agbot.coordinator.permission import Answer
from agbot.rules.facts import Ask, Row
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind
from agbot.store.contract import Store


class GuardUnavailableError(Exception):
    """The guard's tables could not be read or written; it is not known what was written."""


class GuardGoneError(GuardUnavailableError):
    """The guard is not installed, or a trigger does not work: nothing keeps the agbot waiting."""


class Outcome(StrEnum):
    """What a trigger has decided."""

    GRANTED = "granted"
    REPEATED = "repeated"
    """Granted again, under the same token."""
    REFUSED = "refused"
    ERRED = "failed"
    """Refused, because of an error inside the trigger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision of a trigger that the coordinator has not taken in yet."""

    group: GroupId
    claim: Claim
    outcome: Outcome
    token: int
    """0 without a grant."""
    code: str
    reason: str
    age_seconds: float
    """By the database's clock: since the last of these decisions."""
    waits_seconds: float
    """Since the first of them."""
    tries: int


class Verdict(StrEnum):
    """What a gate says about an upgrade."""

    WAIT = "wait"
    PASS = "pass"  # noqa: S105 - no password
    """It needs no lease, whatever the lease is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A verdict that holds for a time, in a scope: for one kind, subject or node, or for all."""

    scope: str
    """`*`, `org` or `org/group`."""
    verdict: Verdict
    known_seconds: float
    """For how long it is known to be right, from now on."""
    kind: Kind | None = None
    subject: PolicyId | None = None
    node: NodeId | None = None
    code: str = ""
    reason: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What the gate is about; there is one gate for each."""
        return self.scope, self.kind or "", self.subject or "", self.node or ""


Answering = Callable[[Ask], Awaitable[Answer | None]]
"""Answers a question of the guard; None if its node does not exist or cannot be read."""


class Guard(Lists, Protocol):
    """The guard's tables.

    `list_rows` lists the rows of the agbot. Every other method raises `GuardUnavailableError`, and
    is one short statement or two.
    """

    async def has_news(self) -> bool:
        """Return whether there is anything to take in."""

    async def undelivered(self) -> Sequence[Decided]:
        """Read what has been decided since it was last delivered, in order."""

    async def delivered(self, decided: Sequence[Decided]) -> None:
        """Drop decisions that are journalled. One that was repeated meanwhile stays."""

    async def write(
        self, judged_seconds: float | None, put: Sequence[Gate], drop: Sequence[Gate], *, resets: bool
    ) -> None:
        """Let the triggers rely on this coordinator for so long from now on, and change gates.

        None: they do not rely on it any longer than before, and no gate lets anything pass that is
        not in `put`. `resets`: only the gates in `put` stay.
        """

    async def delete(self, row: Row) -> bool:
        """Delete a row of the agbot, unless its upgrade holds the lease; return whether it did."""


GuardOf = Callable[[Store], Guard]
"""Returns the guard's tables for the term that uses this store."""
