"""Events of the guard: what the triggers in the agbot's own database have decided."""

from __future__ import annotations

from typing import ClassVar

from agbot.events.event import Event, Level, Moment, OfGroup
from agbot.events.leases import Granting
from agbot.rules.lease import Kind


class GuardGranted(Granting, frozen=True, kw_only=True):
    """The guard has let the agbot begin an upgrade, and its node holds the lease of the group.

    This happened in the agbot's database, at `begun_at`.
    """

    name: ClassVar[str] = "guard.granted"
    words: ClassVar[str] = "{self.node} may upgrade {self.upgrade}: the guard has granted it in the agbot's database"

    begun_at: Moment
    why: str
    """Why a free lease could be granted without a question to a coordinator."""


class GuardRefused(OfGroup, frozen=True, kw_only=True):
    """The guard has kept an upgrade of the agbot waiting.

    Reported once while the agbot tries again for the same reason.
    """

    name: ClassVar[str] = "guard.refused"
    words: ClassVar[str] = "the guard keeps {self.node} waiting to upgrade {self.upgrade}"

    kind: Kind
    code: str
    """The reason: a code of docs/reasons.md, or `not-judged` until the coordinator has decided."""
    reason: str
    since: Moment


class GuardErred(OfGroup, frozen=True, kw_only=True):
    """A trigger of the guard has failed inside the database, which is a refusal to the agbot."""

    name: ClassVar[str] = "guard.erred"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "a trigger of the guard has failed for the upgrade of {self.node} to {self.upgrade}"

    error: str


class GuardDeleted(OfGroup, frozen=True, kw_only=True):
    """A row of the agbot whose upgrade is over was deleted, because it kept others waiting."""

    name: ClassVar[str] = "guard.deleted"
    words: ClassVar[str] = "deleted the agbot's row of {self.node} for {self.upgrade}, which is over"

    kind: Kind
    why: str


class GuardFailed(Event, frozen=True, kw_only=True):
    """The guard does not work although `[guard] enabled` is true.

    It is not installed, a trigger is missing or disabled, or its tables in the agbot's database
    cannot be read or written. Reported once until `guard.recovered`, and again when it turns out to
    be gone after it could not be reached, or the other way round.
    """

    name: ClassVar[str] = "guard.failed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "the guard does not work"

    error: str


class GuardRecovered(Event, frozen=True, kw_only=True):
    """The guard works again after `guard.failed`."""

    name: ClassVar[str] = "guard.recovered"
    words: ClassVar[str] = "the guard works again"
