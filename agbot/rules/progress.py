"""What has been seen of the upgrade of a lease's holder, kept with the lease."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import blake2s

from agbot.rules.seen_time import SeenTime
from agbot.rules.versions import Versions

_MOST_MARKS = 32
"""An upgrade has at most a dozen statuses; an agreement changes less often than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What has been seen of the holder's upgrade since the grant."""

    moved_at: SeenTime
    """When a change of status was last seen; at first the time of the grant."""
    status: str = ""
    """The last status (agent) or digest of agreements and containers (service); at first empty."""
    stamp: str = ""
    """The Exchange's own stamp of that status."""
    confirmed: bool = False
    """An active status has been seen: the claim is real."""
    pending_since: SeenTime | None = None
    """Since when the node reports a status that ends the lease only after a grace period."""
    target_version: str = ""
    """The agent version that the upgrade leads to, as the node reported it."""
    version_before: str = ""
    """The agent version at the grant: only a change of it proves anything."""
    revision: str = ""
    """The revision of the policy at the grant: a brake stops this one and no later one."""
    service: str = ""
    """The service that is upgraded, `org/url`."""
    agreements_before: tuple[str, ...] = ()
    """The agreements at the grant of a service upgrade: its end is an agreement that is not
    among them."""
    observed: bool = False
    """The upgrade was unasked: it was seen in the Exchange when it had begun."""
    pattern: str = ""
    """The pattern that the upgraded service comes from, `org/name`; empty for a deployment
    policy."""
    certificate: str = ""
    """The certificate version that the upgrade brings, as the node reported it."""
    configuration: str = ""
    """The configuration version, likewise."""
    top_version: str = ""
    """The policy's top version at the grant of a service upgrade."""
    asked_by: tuple[str, ...] = ()
    """The identities that got the grant on the node's behalf, the last one first: only they may
    report the end without the token."""
    marks: tuple[str, ...] = ()
    """A digest of each report since the grant: a report that is repeated is no progress."""
    advanced_at: SeenTime | None = None
    """When a new report last came; None: at the last change."""
    was_offline: bool = False
    """The holder was offline already when it got the lease: its silence is not of this upgrade."""
    is_untaken: bool = False
    """The guard has granted it in the agbot's database, and the coordinator has not taken that in:
    nothing here says how its upgrade began."""
    upheld_above: int = 0
    """The floor of the store's generation in which this grant, which is older, was decided again.
    The guard's triggers repeat it from then on. 0: in none."""

    @property
    def versions(self) -> Versions:
        """The versions that the upgrade brings, as far as they are known."""
        software = self.target_version or self.top_version
        return Versions(software=software, certificate=self.certificate, configuration=self.configuration)

    def standstill(self, now: SeenTime) -> timedelta:
        """Return the time since the last new report."""
        return now - (self.advanced_at or self.moved_at)

    def reported(self, report: str, now: SeenTime) -> Progress:
        """Return the progress after a report: any report moves it, a new one advances it."""
        # A node that repeats one report, or alternates between two, moves without end and never
        # advances, so its lease ends after `max_upgrade_seconds`. More different reports than an
        # upgrade has count as repeated, too.
        mark = blake2s(report.encode(), digest_size=6).hexdigest()
        if mark in self.marks or len(self.marks) >= _MOST_MARKS:
            return replace(self, moved_at=now, advanced_at=self.advanced_at or self.moved_at)
        return replace(self, moved_at=now, advanced_at=now, marks=(*self.marks, mark))
