"""Whether the controls of a rollout hold: what was granted, against windows, holds, pace, canary, approvals and the members that are there.

What people have said is known from themselves, what holds from the disk, who is there from the simulated Exchange; of the coordinator only
what it commits counts. A decision may be somewhat older than its commit: what has changed within `MARGIN_SECONDS` speaks against nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from agbot.rules import ids, window
from agbot.rules.facts import Allowance, Approval, Pause
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Hold, Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.sim.episodes import Rule, Violation
from agbot.sim.exchange import Write
from agbot.sim.fleet import Fleet
from agbot.store.contract import Entry
from tests.simulation.plan import Plan
from tests.simulation.story import Promise, Story
from tests.support.hub import EPOCH

MARGIN_SECONDS = 15.0
_CLOCK_SECONDS = 60.0
"""The Exchange's clock may be moved: what was said of a release just before it was published is then taken for said after it."""
_UNSEEN_SECONDS = 120.0
"""So long a change of members may stay unknown while the change feed is frozen."""


class ControlJudge:
    """One run's people, and what was granted in spite of them."""

    def __init__(self, plan: Plan, story: Story) -> None:
        self._plan = plan
        self._story = story
        self.limits: Callable[[], Limits] = lambda: plan.limits
        self._held_since: dict[str, float] = {}
        self._pauses: dict[str, Pause] = {}
        self._allowances: dict[NodeId, Allowance] = {}
        self._approved: dict[tuple[Kind, PolicyId], float] = {}
        self._published: dict[tuple[Kind, PolicyId], float] = {}
        self._members: dict[str, tuple[frozenset[str], float]] = {}
        self._was_allowed: set[str] = set()
        """Nodes whose last grant rested on a person's word."""

    def allows(self, allowance: Allowance) -> None:
        """Hear what a person lets a node do."""
        self._allowances[allowance.node] = allowance

    def approves(self, approval: Approval) -> None:
        """Hear what a person has approved."""
        self._approved[approval.kind, approval.subject] = _now()

    def wrote(self, write: Write, fleet: Fleet) -> None:
        """Take in what is published, and who is in which group."""
        kind = {"mgmtpolicy": Kind.AGENT, "policy": Kind.SERVICE}.get(write.resource)
        if kind is not None:
            self._published[kind, ids.policy_id(write.org, str(write.id))] = _now()
        if write.resource == "node" and write.operation != "heartbeat":
            members = fleet.observer.members
            group = members.group_of(f"{write.org}/{write.id}")
            groups = {*self._members, group} - {""}
            for each in groups:
                present = frozenset(name for name in fleet.nodes if members.group_of(name) == each)
                if self._members.get(each, (None, 0.0))[0] != present:
                    self._members[each] = (present, _now())

    def holds(self, pauses: Sequence[Pause]) -> None:
        """Take in the holds as they are on the disk after a commit."""
        present = {pause.scope: pause for pause in pauses}
        for scope in present:
            self._held_since.setdefault(scope, _now())
        self._held_since = {scope: since for scope, since in self._held_since.items() if scope in present}
        self._pauses = present

    def granted(
        self, old: Lease, new: Lease, after: Mapping[GroupId, Lease], told: Sequence[Entry], fleet: Fleet
    ) -> None:
        """Look at a grant for which somebody has asked."""
        hold = new.hold
        if hold is None or hold.progress.observed:
            return
        against = [*self._held(new.group, hold), *self._lapsed(hold, told)]
        if not self._is_allowed(hold, told):
            others = [each.hold for group, each in after.items() if group != new.group and each.hold is not None]
            against += self._closed()
            against += self._paced(new.group, hold, others)
            proven = sum(_has_succeeded(each, hold) for group, each in after.items() if group != new.group)
            against += self._canary(old, hold, new.group, others, proven=proven)
            against += self._unapproved(old, hold)
            against += self._too_few(new.group, hold, fleet)
        for text in against:
            self._story.broke(
                Promise.CONTROLS, new.group, f"{hold.claim.holder} was granted {hold.claim.subject}: {text}"
            )
        self._was_allowed.discard(hold.claim.holder)
        if self._is_allowed(hold, told):
            self._was_allowed.add(hold.claim.holder)
            self._allowances.pop(hold.claim.holder, None)

    def allowed_alone(self, violation: Violation) -> bool:
        """Whether a person let this node go although nobody else is there."""
        return violation.rule is Rule.NOBODY_LEFT and set(violation.nodes) <= self._was_allowed

    def _is_allowed(self, hold: Hold, told: Sequence[Entry]) -> bool:
        return any(entry.node == hold.claim.holder and "allowed_by" in entry.facts for entry in told)

    def _lapsed(self, hold: Hold, told: Sequence[Entry]) -> Iterator[str]:
        given = self._allowances.get(hold.claim.holder)
        if self._is_allowed(hold, told) and (given is None or self._wall(MARGIN_SECONDS) > given.until):
            yield "it was allowed to, but by nobody, or not any more"

    def _held(self, group: GroupId, hold: Hold) -> Iterator[str]:
        scopes = {"*", ids.org_of(group), group, ids.node_scope(hold.claim.holder)}
        for scope in scopes & self._pauses.keys():
            until = self._pauses[scope].until
            is_over = until is not None and self._wall() >= until
            if _now() - self._held_since[scope] > MARGIN_SECONDS and not is_over:
                yield f"{scope} has been held since {self._held_since[scope]:.0f}"

    def _closed(self) -> Iterator[str]:
        windows = self.limits().windows
        moments = (self._wall(), self._wall(MARGIN_SECONDS))
        if windows and not any(window.is_open(each, moment) for each in windows for moment in moments):
            yield f"no window is open at {moments[0]:%H:%M:%S}: {', '.join(map(str, windows))}"

    def _paced(self, group: GroupId, hold: Hold, others: Sequence[Hold]) -> Iterator[str]:
        limits = self.limits()
        before = [each for each in others if _is_before(each, hold)]
        in_org = sum(ids.org_of(each.claim.holder) == ids.org_of(group) for each in before)
        for most, busy in ((limits.max_groups_in_org, in_org), (limits.max_groups_in_fleet, len(before))):
            if most and busy >= most:
                yield f"{busy} other groups upgrade, {most} may"

    def _canary(self, old: Lease, hold: Hold, group: GroupId, others: Sequence[Hold], *, proven: int) -> Iterator[str]:
        share, groups = self.limits().canary_percent, len([name for name, (who, _) in self._members.items() if who])
        if not share or self._has_begun(old, hold):
            return
        first = [each for each in others if _is_same(each, hold) and _is_before(each, hold)]
        # groups that have emptied may not be known yet, so the larger number counts
        wanted = math.ceil(share / 100 * max(groups, len(self._plan.groups)))
        if proven < wanted <= len(first):
            yield f"{len(first)} groups are going first with it, and {group} is none of them"

    def _unapproved(self, old: Lease, hold: Hold) -> Iterator[str]:
        subject = (hold.claim.kind, hold.claim.subject)
        if not self.limits().approval or self._has_begun(old, hold):
            return
        approved, published = self._approved.get(subject), self._published.get(subject, 0.0)
        if approved is None or approved < published - _CLOCK_SECONDS:
            yield f"nobody has approved it since {published:.0f}"

    def _too_few(self, group: GroupId, hold: Hold, fleet: Fleet) -> Iterator[str]:
        """Count who has been heard of lately; what can only make fewer of them available is left out."""
        limits, (members, since) = self.limits(), self._members.get(group, (frozenset(), 0.0))
        if hold.claim.kind is not Kind.AGENT or not limits.min_available_percent or _now() - since < _UNSEEN_SECONDS:
            return
        others = members - {hold.claim.holder}
        required = min(math.ceil(limits.min_available_percent / 100 * len(members)), len(others))
        longest = limits.heartbeat_stale_seconds + MARGIN_SECONDS + _CLOCK_SECONDS
        silent = {each: fleet.observer.members.silent_seconds(each, fleet.clock.now()) for each in others}
        heard = sum(seconds <= longest for seconds in silent.values())
        if heard < required:
            yield f"{heard} of {len(others)} others have been heard of lately, {required} must be there"

    def _has_begun(self, old: Lease, hold: Hold) -> bool:
        if old.hold is not None and _is_same(old.hold, hold):
            return True
        end = old.last_end
        return end is not None and (end.claim.kind, end.claim.subject, end.revision) == (
            hold.claim.kind,
            hold.claim.subject,
            hold.progress.revision,
        )

    def _wall(self, ago_seconds: float = 0.0) -> datetime:
        """Return what the coordinator's clock shows, or showed."""
        return EPOCH + timedelta(seconds=_now() + self._plan.ahead_seconds - ago_seconds)


def _has_succeeded(lease: Lease, mine: Hold) -> bool:
    """Whether the last upgrade of that group was this one, with success."""
    end = lease.last_end
    if end is None or end.cause is not Cause.SUCCEEDED:
        return False
    done, wanted = end.claim, mine.claim
    return (done.kind, done.subject, end.revision) == (wanted.kind, wanted.subject, mine.progress.revision)


def _is_before(other: Hold, mine: Hold) -> bool:
    """Whether the other had been decided when mine was; one that was only seen in the same moment may have come later."""
    if other.granted_at == mine.granted_at:
        return not other.progress.observed
    return other.granted_at < mine.granted_at


def _is_same(other: Hold, mine: Hold) -> bool:
    return (other.claim.kind, other.claim.subject, other.progress.revision) == (
        mine.claim.kind,
        mine.claim.subject,
        mine.progress.revision,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
