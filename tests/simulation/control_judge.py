"""Whether the controls of a rollout hold: what was granted, against windows, holds, pace, canary, approvals and the members that are there.

What people have stated is known from themselves, what holds from the disk, who is there from the
simulated Exchange; of the coordinator only what it commits counts. A decision may be somewhat older
than its commit: what has changed within `MARGIN_SECONDS` speaks against nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from agbot.rules import ids, window
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind, Lease, Tenure
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.rules.records import Allowance, Approval, Hold
from agbot.sim.episodes import Rule, Violation
from agbot.sim.exchange import Write
from agbot.sim.fleet import Fleet
from agbot.store.contract import Entry
from tests.simulation.plan import Plan
from tests.simulation.story import Promise, Story
from tests.support.clocks import NOON

MARGIN_SECONDS = 15.0
_CLOCK_SECONDS = 60.0
"""The Exchange's clock may be moved: what was stated of a release just before it was published is
then taken for stated after it."""
_UNSEEN_SECONDS = 120.0
"""So long a change of members may stay unknown while the change feed is frozen."""


class ControlJudge:
    """One run's people, and what was granted in spite of them."""

    def __init__(self, plan: Plan, story: Story) -> None:
        self._plan = plan
        self._story = story
        self.limits: Callable[[], Limits] = lambda: plan.limits
        self._held_since: dict[str, float] = {}
        self._holds: dict[str, Hold] = {}
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

    def holds(self, holds: Sequence[Hold]) -> None:
        """Take in the holds as they are on the disk after a commit."""
        present = {hold.scope: hold for hold in holds}
        for scope in present:
            self._held_since.setdefault(scope, _now())
        self._held_since = {scope: since for scope, since in self._held_since.items() if scope in present}
        self._holds = present

    def granted(
        self, old: Lease, new: Lease, after: Mapping[GroupId, Lease], emitted: Sequence[Entry], fleet: Fleet
    ) -> None:
        """Look at a grant for which somebody has asked."""
        tenure = new.tenure
        if tenure is None or tenure.progress.observed:
            return
        against = [*self._held(new.group, tenure), *self._lapsed(tenure, emitted)]
        if not self._is_allowed(tenure, emitted):
            others = [each.tenure for group, each in after.items() if group != new.group and each.tenure is not None]
            against += self._closed()
            against += self._paced(new.group, tenure, others)
            proven = sum(_has_succeeded(each, tenure) for group, each in after.items() if group != new.group)
            against += self._canary(old, tenure, new.group, others, proven=proven)
            against += self._unapproved(old, tenure)
            against += self._too_few(new.group, tenure, fleet)
        for text in against:
            self._story.broke(
                Promise.CONTROLS, new.group, f"{tenure.claim.holder} was granted {tenure.claim.subject}: {text}"
            )
        self._was_allowed.discard(tenure.claim.holder)
        if self._is_allowed(tenure, emitted):
            self._was_allowed.add(tenure.claim.holder)
            self._allowances.pop(tenure.claim.holder, None)

    def allowed_alone(self, violation: Violation) -> bool:
        """Whether a person let this node go although no one else is there."""
        return violation.rule is Rule.NO_MEMBER_LEFT and set(violation.nodes) <= self._was_allowed

    def _is_allowed(self, tenure: Tenure, emitted: Sequence[Entry]) -> bool:
        return any(entry.node == tenure.claim.holder and "allowed_by" in entry.facts for entry in emitted)

    def _lapsed(self, tenure: Tenure, emitted: Sequence[Entry]) -> Iterator[str]:
        given = self._allowances.get(tenure.claim.holder)
        if self._is_allowed(tenure, emitted) and (given is None or self._wall(MARGIN_SECONDS) > given.until):
            yield "it was allowed to, but by nobody, or not any more"

    def _held(self, group: GroupId, tenure: Tenure) -> Iterator[str]:
        scopes = {"*", ids.org_of(group), group, ids.node_scope(tenure.claim.holder)}
        for scope in scopes & self._holds.keys():
            until = self._holds[scope].until
            is_over = until is not None and self._wall() >= until
            if _now() - self._held_since[scope] > MARGIN_SECONDS and not is_over:
                yield f"{scope} has been held since {self._held_since[scope]:.0f}"

    def _closed(self) -> Iterator[str]:
        windows = self.limits().windows
        moments = (self._wall(), self._wall(MARGIN_SECONDS))
        if windows and not any(window.is_open(each, moment) for each in windows for moment in moments):
            yield f"no window is open at {moments[0]:%H:%M:%S}: {', '.join(map(str, windows))}"

    def _paced(self, group: GroupId, tenure: Tenure, others: Sequence[Tenure]) -> Iterator[str]:
        limits = self.limits()
        before = [each for each in others if _is_before(each, tenure)]
        in_org = sum(ids.org_of(each.claim.holder) == ids.org_of(group) for each in before)
        for most, busy in ((limits.max_groups_in_org, in_org), (limits.max_groups_in_fleet, len(before))):
            if most and busy >= most:
                yield f"{busy} other groups upgrade, {most} may"

    def _canary(
        self, old: Lease, tenure: Tenure, group: GroupId, others: Sequence[Tenure], *, proven: int
    ) -> Iterator[str]:
        share, groups = self.limits().canary_percent, len([name for name, (who, _) in self._members.items() if who])
        if not share or self._has_begun(old, tenure):
            return
        first = [each for each in others if _is_same(each, tenure) and _is_before(each, tenure)]
        # groups that have emptied may not be known yet, so the larger number counts
        wanted = math.ceil(share / 100 * max(groups, len(self._plan.groups)))
        if proven < wanted <= len(first):
            yield f"{len(first)} groups are going first with it, and {group} is none of them"

    def _unapproved(self, old: Lease, tenure: Tenure) -> Iterator[str]:
        subject = (tenure.claim.kind, tenure.claim.subject)
        if not self.limits().approval or self._has_begun(old, tenure):
            return
        approved, published = self._approved.get(subject), self._published.get(subject, 0.0)
        if approved is None or approved < published - _CLOCK_SECONDS:
            yield f"nobody has approved it since {published:.0f}"

    def _too_few(self, group: GroupId, tenure: Tenure, fleet: Fleet) -> Iterator[str]:
        """Count who has been known of lately.

        What can only make fewer of them available is left out.
        """
        limits, (members, since) = self.limits(), self._members.get(group, (frozenset(), 0.0))
        if tenure.claim.kind is not Kind.AGENT or not limits.min_available_percent or _now() - since < _UNSEEN_SECONDS:
            return
        others = members - {tenure.claim.holder}
        required = min(math.ceil(limits.min_available_percent / 100 * len(members)), len(others))
        longest = limits.heartbeat_stale_seconds + MARGIN_SECONDS + _CLOCK_SECONDS
        silent = {each: fleet.observer.members.silent_seconds(each, fleet.clock.now()) for each in others}
        received = sum(seconds <= longest for seconds in silent.values())
        if received < required:
            yield f"{received} of {len(others)} others have been heard of lately, {required} must be there"

    def _has_begun(self, old: Lease, tenure: Tenure) -> bool:
        if old.tenure is not None and _is_same(old.tenure, tenure):
            return True
        end = old.last_end
        return end is not None and (end.claim.kind, end.claim.subject, end.revision) == (
            tenure.claim.kind,
            tenure.claim.subject,
            tenure.progress.revision,
        )

    def _wall(self, ago_seconds: float = 0.0) -> datetime:
        """Return what the coordinator's clock shows, or showed."""
        return NOON + timedelta(seconds=_now() + self._plan.ahead_seconds - ago_seconds)


def _has_succeeded(lease: Lease, mine: Tenure) -> bool:
    """Whether the last upgrade of that group was this one, with success."""
    end = lease.last_end
    if end is None or not (end.cause is Cause.SUCCEEDED or end.after_success):
        return False
    done, wanted = end.claim, mine.claim
    return (done.kind, done.subject, end.revision) == (wanted.kind, wanted.subject, mine.progress.revision)


def _is_before(other: Tenure, mine: Tenure) -> bool:
    """Whether the other had been decided when mine was.

    One that was only seen in the same moment may have come later.
    """
    if other.granted_at == mine.granted_at:
        return not other.progress.observed
    return other.granted_at < mine.granted_at


def _is_same(other: Tenure, mine: Tenure) -> bool:
    return (other.claim.kind, other.claim.subject, other.progress.revision) == (
        mine.claim.kind,
        mine.claim.subject,
        mine.progress.revision,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
