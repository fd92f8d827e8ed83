"""What the journal says of each rollout: when its upgrades began and how they ended. Pure.

The entries are given in order, each once. What was deleted from the journal (`[store]
journal_days`) is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from agbot.events.leases import Granting, LeaseReleased
from agbot.events.rollouts import RolloutEnded, RolloutExpected
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.store.contract import Entry

Rollout = tuple[Kind, PolicyId]
READ: Final = (
    *("lease.granted", "lease.taken_over", "lease.observed", "lease.released"),
    *(RolloutExpected.name, RolloutEnded.name),
)
"""The events that are read."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the latest upgrade of a member ended."""

    at: datetime
    cause: Cause
    held: timedelta = timedelta()
    """For how long the member had the lease."""


_NONE: Final[Mapping[NodeId, Outcome]] = MappingProxyType({})


@dataclass(slots=True)
class Record:
    """One rollout."""

    begun: list[tuple[datetime, GroupId]] = field(default_factory=list)
    """When members received the lease for it, in which group."""
    outcomes: dict[GroupId, dict[NodeId, Outcome]] = field(default_factory=dict)
    last_at: datetime | None = None
    estimates: list[tuple[datetime, RolloutExpected]] = field(default_factory=list)
    """When each estimate of its end was made, of every revision of the policy."""
    ended_at: datetime | None = None
    """When it was last noted that a revision had ended."""

    def of(self, group: GroupId) -> Mapping[NodeId, Outcome]:
        """Return the outcomes in a group."""
        return self.outcomes.get(group, _NONE)

    def tenures(self, since: datetime | None) -> Iterator[timedelta]:
        """Yield how long those members had the lease that succeeded, from a revision on."""
        found = (each for of in self.outcomes.values() for each in of.values() if since is None or each.at >= since)
        return (each.held for each in found if each.cause is Cause.SUCCEEDED)


class Chronicle:
    """Every rollout of the journal."""

    def __init__(self) -> None:
        self.last_id = 0
        self.rollouts: dict[Rollout, Record] = {}
        self.ended: list[RolloutEnded] = []
        """The rollouts that had ended, in order."""
        self._kinds: dict[tuple[GroupId, int], Kind] = {}
        """The kind of each tenure that has not ended."""

    def take(self, entries: Iterable[Entry]) -> None:
        """Take further entries, in order."""
        for entry in entries:
            self.last_id = max(self.last_id, entry.id)
            if entry.group is None:
                self._take_estimate(entry)
            # a service that is down for a reason that is not known has no policy, and is no rollout
            if entry.group is None or entry.subject is None or entry.token is None or entry.node is None:
                continue
            match entry.read():
                case Granting(kind=kind):
                    self._kinds[entry.group, entry.token] = kind
                    record = self._record(kind, entry.subject, entry.at)
                    record.begun.append((entry.at, entry.group))
                case LeaseReleased(cause=cause, held_seconds=held_seconds):
                    # An end does not name its kind. One whose grant is no longer in the journal is
                    # left out: taken for the other kind, it would be a rollout that never was.
                    if (entry.group, entry.token) not in self._kinds:
                        continue
                    kind = self._kinds.pop((entry.group, entry.token))
                    record = self._record(kind, entry.subject, entry.at)
                    outcome = Outcome(entry.at, cause, timedelta(seconds=held_seconds))
                    # the latest one counts: a member that failed may have succeeded since
                    record.outcomes.setdefault(entry.group, {})[entry.node] = outcome

    def _take_estimate(self, entry: Entry) -> None:
        match entry.read():
            case RolloutExpected(kind=kind, subject=policy) as expected:
                self.rollouts.setdefault((kind, policy), Record()).estimates.append((entry.at, expected))
            case RolloutEnded(kind=kind, subject=policy) as ended:
                self.rollouts.setdefault((kind, policy), Record()).ended_at = entry.at
                self.ended.append(ended)

    def _record(self, kind: Kind, policy: PolicyId, at: datetime) -> Record:
        record = self.rollouts.setdefault((kind, policy), Record())
        record.last_at = at
        return record
