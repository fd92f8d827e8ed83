"""Whether a node asks the coordinator before it upgrades its agent."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from agbot.events import agreementbot
from agbot.rules.ids import GroupId
from agbot.rules.lease import Claim
from agbot.rules.limits import Limits
from agbot.rules.records import Contact
from agbot.rules.seen_time import Now
from agbot.transitions.change import NO_CHANGE, Change

WRITTEN_AGAIN = timedelta(days=1)
"""An agent that waits asks every minute; one record a day is enough to show that it asks here."""


def bypass(known: Contact | None, group: GroupId, claim: Claim, limits: Limits, now: Now) -> Change:
    """Note that a node upgrades its agent without asking here, unless it has asked recently.

    It is noted once, until the node asks again.
    """
    contact = known or Contact(node=claim.holder)
    # an upgrade that was asked for may last so long, and is noted in its contact once a day only
    longest = timedelta(seconds=limits.max_upgrade_seconds)
    if contact.bypassed_at is not None or asked_within(contact, max(longest, WRITTEN_AGAIN), now.wall):
        return NO_CHANGE
    events = [agreementbot.bypassed(group, claim)]
    return Change(put=[replace(contact, bypassed_at=now.wall)], events=events, at=now.wall)


def asked_within(contact: Contact, time: timedelta, now: datetime) -> bool:
    """Return whether the node has asked within this time."""
    # a time in the future comes from a wrong clock and proves nothing
    return contact.asked_at is not None and timedelta() <= now - contact.asked_at < time
