"""Events after an upgrade has ended: a contradicted success, the group's rest, and brakes."""

from __future__ import annotations

from typing import ClassVar

from agbot.events.event import COORDINATOR, Level, OfGroup, of_claim
from agbot.events.leases import OfLease
from agbot.rules.ids import GroupId
from agbot.rules.lease import End, Kind, Lease
from agbot.rules.reasons import Cause
from agbot.rules.records import Brake


class SuccessContradicted(OfLease, frozen=True, kw_only=True):
    """A node `reported` success with one agent version but still `runs` another.

    Its time to prove the new version (`version_proof_seconds`) is over, so its upgrade counts as
    failed, even if no brake is necessary.
    """

    name: ClassVar[str] = "success.contradicted"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = (
        "{self.node} reported that {self.upgrade} had succeeded with {self.reported}, but it still runs {self.runs}: "
        "this counts as failed"
    )

    kind: Kind
    cause: Cause
    why: str
    reported: str
    runs: str


class RestEnded(OfLease, frozen=True, kw_only=True):
    """An operator ended the rest of a group after its last upgrade."""

    name: ClassVar[str] = "rest.ended"
    words: ClassVar[str] = "the rest of {self.group} after its last upgrade has been ended early"

    why: str


class BrakeSet(OfGroup, frozen=True, kw_only=True):
    """An upgrade has failed in a group and is stopped there.

    It resumes when an operator orders it, or when no member installs the failed version any more.
    """

    name: ClassVar[str] = "brake.set"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "{self.upgrade} is stopped in {self.group}: {self.cause} on {self.node}"

    token: int
    cause: Cause
    revision: str
    failed: tuple[str, ...] = ()
    """The failed versions, the latest first, if they are known."""
    why: str = ""


class BrakeLifted(OfGroup, frozen=True, kw_only=True):
    """A brake was lifted.

    An operator did it, the policy is gone, or it was changed and no member installs the failed
    version any more.
    """

    name: ClassVar[str] = "brake.lifted"
    words: ClassVar[str] = "{self.upgrade} may go on in {self.group}"

    why: str


def contradicted(group: GroupId, end: End, runs: str, why: str) -> SuccessContradicted:
    """Describe a reported success that counts as a failure: the node runs another version."""
    return SuccessContradicted(
        group=group,
        **of_claim(end.claim),
        token=end.token,
        kind=end.claim.kind,
        cause=Cause.FAILED,
        why=why,
        reported=end.version,
        runs=runs,
    )


def rest_ended(lease: Lease, why: str, who: str) -> RestEnded:
    """Describe a rest that an operator ended."""
    claim = of_claim(lease.last_end.claim) if lease.last_end else {}
    return RestEnded(group=lease.group, **claim, token=lease.token, who=who, why=why)


def brake_set(brake: Brake, why: str = "") -> BrakeSet:
    """Describe an upgrade that is stopped in its group."""
    return BrakeSet(
        group=brake.group,
        node=brake.node,
        subject=brake.subject,
        token=brake.token,
        cause=brake.cause,
        revision=brake.revision,
        failed=tuple(map(str, brake.failed)),
        why=why,
    )


def brake_lifted(brake: Brake, why: str, who: str = COORDINATOR) -> BrakeLifted:
    """Describe an upgrade that may go on in its group."""
    return BrakeLifted(group=brake.group, subject=brake.subject, who=who, why=why)
