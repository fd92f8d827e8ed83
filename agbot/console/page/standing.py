"""How far a group is with one upgrade, by one word, and why. Pure.

The status that a member reports goes before what the journal has: a new revision of a policy begins
with new statuses. Where no status is known (a service upgrade, or a group that was idle since the
coordinator started), the journal decides, from the policy's present revision on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from agbot.console.page.chronicle import Outcome
from agbot.coordinator.listings import GroupProgress, MemberProgress
from agbot.rules.ids import GroupId, NodeId, name_of
from agbot.rules.reasons import COMPLETING
from agbot.rules.statuses import DONE, Phase
from agbot.rules.words import count


class Standing(StrEnum):
    """How far a group is, in the order in which the page shows it."""

    DONE = "done"
    """Every member that asks has ended it well, or had nothing to do."""
    RUNNING = "running"
    """A member holds the lease for it."""
    PARTLY = "partly"
    """Some members are done, and no other one asks at present."""
    WAITING = "waiting"
    SUSPECT = "suspect"
    """It is not known how the holder's upgrade ended."""
    FAILED = "failed"
    """It failed on a member: it is stopped here, or was not tried again."""
    UNTOUCHED = "untouched"
    """No member has begun or asked. Its policy may not be for this group at all."""


LABELS: Final[Mapping[Standing, str]] = {
    Standing.DONE: "Done",
    Standing.RUNNING: "Upgrading",
    Standing.PARTLY: "Partly done",
    Standing.WAITING: "Waiting",
    Standing.SUSPECT: "Suspect",
    Standing.FAILED: "Failed",
    Standing.UNTOUCHED: "Untouched",
}

_BEGUN: Final = frozenset(Phase) - {Phase.IDLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """A group's standing."""

    group: GroupId
    standing: Standing
    text: str
    code: str = ""
    """Of a group that waits: the first reason of the member that has waited longest."""
    since: datetime | None = None
    until: datetime | None = None
    """When that reason can pass by itself, if that is known."""
    token: int = 0
    """Of the lease that a member holds for it."""
    done: int = 0
    members: int = 0
    """Members that ask, cluster nodes not counted."""
    done_at: datetime | None = None
    """When its last member was done, if the journal has it."""
    is_expected: bool = True
    """A member is known to follow the policy."""


def stand(facts: GroupProgress, outcomes: Mapping[NodeId, Outcome], revised_at: datetime | None = None) -> Stand:
    """Return how far a group is."""
    # an end before the policy's present revision says nothing about what that one brings
    valid = {node: each for node, each in outcomes.items() if revised_at is None or each.at >= revised_at}
    # a cluster node asks for nothing: with it no group would ever be done
    gated = [member for member in facts.members if member.is_gated]
    done = [member for member in gated if _is_done(member, valid.get(member.node))]
    standing, text, code, since = _by_lease(facts) or _by_reports(gated) or _by_members(gated, done, valid)
    ends = [each.at for each in valid.values() if each.cause in COMPLETING]
    return Stand(
        group=facts.group,
        standing=standing,
        text=text,
        code=code,
        since=since,
        until=facts.waiting[0].until if standing is Standing.WAITING else None,
        token=facts.token,
        done=len(done),
        members=len(gated),
        # of a group that is not done it would count as an end in the pace
        done_at=max(ends, default=None) if standing is Standing.DONE else None,
        is_expected=standing is not Standing.UNTOUCHED or any(each.phase is not None for each in gated),
    )


_Verdict = tuple[Standing, str, str, datetime | None]
"""Standing, text, code, since."""


def _by_lease(facts: GroupProgress) -> _Verdict | None:
    """Judge by what the coordinator has decided; None if it has nothing to do with the group."""
    brake, holder = facts.brake, facts.holder
    # a brake first: an unasked upgrade may go on beside it, and the group is stopped after that
    if brake is not None:
        return Standing.FAILED, f"{brake.cause} on {name_of(brake.node)}: stopped in this group", "brake", brake.since
    if holder is not None and facts.is_suspect:
        return Standing.SUSPECT, f"it is not known how the upgrade of {name_of(holder)} ended", "lease-suspect", None
    if holder is not None:
        return Standing.RUNNING, f"{name_of(holder)} is upgrading{_beside(facts)}", "", None
    if facts.waiting:
        first = facts.waiting[0]
        return Standing.WAITING, f"{name_of(first.node)}: {first.text}", first.code, first.since
    return None


def _by_reports(gated: Sequence[MemberProgress]) -> _Verdict | None:
    """Judge by a member's report of a failure that no brake stops any longer."""
    bad = next((each for each in gated if each.phase in {Phase.ENDED_BADLY, Phase.FAILING}), None)
    return None if bad is None else (Standing.FAILED, f"{name_of(bad.node)} reports {bad.status!r}", "", None)


def _by_members(
    gated: Sequence[MemberProgress], done: Sequence[MemberProgress], outcomes: Mapping[NodeId, Outcome]
) -> _Verdict:
    if gated and len(done) == len(gated):
        return Standing.DONE, f"{count(len(done), 'member')} done", "", None
    if done:
        return (
            Standing.PARTLY,
            f"{len(done)} of {count(len(gated), 'member')} done, and no other one asks now",
            "",
            None,
        )
    if outcomes or any(each.phase in _BEGUN for each in gated):
        return Standing.PARTLY, "a member has begun, and none asks now", "", None
    return Standing.UNTOUCHED, "no member has asked or begun", "", None


def _beside(facts: GroupProgress) -> str:
    return f"; {count(len(facts.waiting), 'other member')} waiting" if facts.waiting else ""


def _is_done(member: MemberProgress, outcome: Outcome | None) -> bool:
    # what it reports, whatever the journal has: the status may have been reset, or a forced release
    # have ended the lease of an upgrade that then succeeded
    if member.phase is not None:
        return member.phase in DONE
    return outcome is not None and outcome.cause in COMPLETING


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A whole rollout."""

    stands: tuple[Stand, ...]
    counts: Mapping[Standing, int]
    reasons: Mapping[str, int]
    """Of the groups that wait: how many by code, the most frequent first."""
    members_done: int
    members: int
    expected: int
    """Groups in which a member is known to follow the policy."""

    @property
    def expected_counts(self) -> Mapping[Standing, int]:
        """The counts without the groups in which no member is known to follow the policy."""
        return {**self.counts, Standing.UNTOUCHED: self.counts[Standing.UNTOUCHED] - self.groups + self.expected}

    @property
    def groups(self) -> int:
        """All groups."""
        return len(self.stands)


def summarise(stands: Iterable[Stand]) -> Summary:
    """Count the groups of a rollout."""
    found = tuple(stands)
    counts = Counter(each.standing for each in found)
    reasons = Counter(each.code for each in found if each.standing is Standing.WAITING)
    return Summary(
        stands=found,
        counts={each: counts[each] for each in Standing},
        reasons=dict(reasons.most_common()),
        members_done=sum(each.done for each in found if each.is_expected),
        members=sum(each.members for each in found if each.is_expected),
        expected=sum(each.is_expected for each in found),
    )
