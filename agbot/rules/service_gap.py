"""A service that is down during an upgrade without a grant, as the Exchange shows it.

Measured on real agents (`reference/agbot-ha.md`, "Service upgrades, live"): the node's agreement
ends, 5 to 35 s later there is a new one, and its containers run seconds after it is final. Any
other cancellation looks the same at first, so the wait is bounded. An agreement shows when it was
written, but not which one it replaces: on a node with several services the gap ends when all that
are new run, even if the lost one is not back.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agbot.rules.facts import Member, Sight
from agbot.rules.health import is_since
from agbot.rules.limits import Limits
from agbot.rules.seen_time import Now, SeenTime


def why_over(lost_at: datetime, member: Member, limits: Limits, now: Now, service: str = "") -> str | None:
    """Say why the upgrade of a lost service is over; None while it lasts or nothing is known.

    If the `service` (`org/url`) is known, agreements for others do not count.
    """
    if not member.node.registered:
        return "the node has unregistered"
    if isinstance(member.agreements, Sight):
        return None
    mine = [each for each in member.agreements if service in {"", each.service}]
    new = [each for each in mine if is_since(each, lost_at)]
    # all of the new ones: several services may have gone down together
    if new and all(each.finalized and each.runs for each in new):
        return f"it runs {new[0].service} {new[0].version}".rstrip()
    is_reported = any(each.containers for each in new)
    # Containers that are reported may take as long to run as an upgrade may take. Without any, the
    # service was removed for good, or is one of those that never report (W10).
    seconds = limits.max_upgrade_seconds if is_reported else limits.lease_seconds
    if not has_shown_nothing(lost_at, member.agreements_read_at, seconds, limits, now):
        return None
    return f"no new agreement was seen running within {seconds:g} s"


def has_shown_nothing(since: datetime, read_at: SeenTime | None, seconds: float, limits: Limits, now: Now) -> bool:
    """Return whether nothing was seen for this long, by a read after that time."""
    wait = timedelta(seconds=seconds)
    if read_at is not None and read_at - now.seen_at(since) > wait:
        return True
    # a node that cannot be read is waited for as long as the longest upgrade, and not for good (P5)
    return now.age_of(since) > max(wait, timedelta(seconds=limits.max_upgrade_seconds))
