"""Events of whole rollouts: the end that is expected, and the end that came."""

from __future__ import annotations

from typing import ClassVar

from agbot.events.event import Event, Level, LogEvent, Moment
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind
from agbot.rules.words import clock, count


class OfRollout(Event, frozen=True, kw_only=True):
    """An event of one rollout: of a policy in one revision."""

    subject: PolicyId
    kind: Kind
    earliest: Moment
    latest: Moment


class RolloutExpected(OfRollout, frozen=True, kw_only=True):
    """The end of a rollout was estimated, from the pace of its groups.

    Kept as soon as there is a pace, and after each further quarter of the groups.
    """

    name: ClassVar[str] = "rollout.expected"

    done: int
    """Groups that are done."""
    remaining: int
    """Groups that are not done and need no person."""

    def in_words(self) -> str:
        return f"{self.subject} is expected to be done between {clock(self.earliest)} and {clock(self.latest)}"


class RolloutEnded(OfRollout, frozen=True, kw_only=True):
    """Every group that follows a policy is done with it, or needs a person.

    Only of a rollout whose end was estimated. `earliest` and `latest` are those of the first
    estimate.
    """

    name: ClassVar[str] = "rollout.ended"

    ended_at: Moment
    """When the last group was done."""
    done: int
    left: int
    """Groups that need a person."""
    later: int = 0
    """Estimates after the first."""
    later_held: int = 0
    """Those of them within whose interval it ended."""

    @property
    def held(self) -> bool:
        """Whether it ended within the interval of the first estimate."""
        return self.earliest <= self.ended_at <= self.latest

    def in_words(self) -> str:
        left = f", and {count(self.left, 'group needs', 'groups need')} a person" if self.left else ""
        return f"{count(self.done, 'group is', 'groups are')} done with {self.subject}{left}"

    def explanation(self) -> str:
        expected = f"expected between {clock(self.earliest)} and {clock(self.latest)}"
        return f"the last one at {clock(self.ended_at)}; {expected}"


class EstimatesFailed(LogEvent, frozen=True, kw_only=True):
    """The ends of rollouts could not be estimated, unexpectedly. Upgrades are not affected.

    It is tried again a minute later.
    """

    name: ClassVar[str] = "estimates.failed"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "the ends of rollouts could not be estimated, unexpectedly; upgrades are not affected"
