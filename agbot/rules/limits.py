"""The operator's limits for one HA group: every number that the rules use.

Rules take a `Limits` value instead of constants of their own, so that an operator can change each
number and `explain` can show it. It is also the section `[rules]` of the settings: the text below a
field is its documentation, and its annotation states the valid values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Annotated

from msgspec import Meta

from agbot.rules.ids import GroupId
from agbot.rules.window import Window

_LONGEST_SECONDS = 1_000_000_000
"""More than any time that is meant. After 250 times as long the calendar ends, and every sum with a
date would fail, and every question with it."""
Seconds = Annotated[float, Meta(gt=0, le=_LONGEST_SECONDS)]
SecondsOrNone = Annotated[float, Meta(ge=0, le=_LONGEST_SECONDS)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]


class Order(StrEnum):
    """The order of the members of a group, where it is not by a property (`property:NAME`)."""

    ASKED = "asked"
    """The member that asks first; none goes twice while another waits."""
    NAME = "name"
    OLDEST_VERSION = "oldest-version"
    """The member with the oldest agent version."""


_BY_PROPERTY = "property:"
_WORD = r"[^\s\x00-\x1f\x7f-\x9f]"
OrderText = Annotated[
    str,
    Meta(
        pattern=rf"^({'|'.join(Order)}|{_BY_PROPERTY}{_WORD}+( +{_WORD}+)*)$",
        description=f"one of {', '.join(Order)}, or {_BY_PROPERTY}NAME, such as {_BY_PROPERTY}zone",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`[rules]`: the limits of every group, unless a scope overrides them."""

    lease_seconds: Seconds = 600.0
    """A lease without new evidence expires after this time. Longer than the heartbeat interval
    of the nodes."""
    confirm_seconds: Seconds = 180.0
    """A grant whose node reports no active status within this time ends as `unconfirmed`. By
    default three periods in which agents ask."""
    failure_grace_seconds: SecondsOrNone = 120.0
    """How long `failed` must last before it ends a lease: agents report it briefly before
    `rollback started`."""
    reset_grace_seconds: SecondsOrNone = 600.0
    """How long a reset must last before it ends a lease: the install script may still be
    running."""
    max_upgrade_seconds: Seconds = 7200.0
    """Heartbeats and repeated reports keep a lease no longer than this after the last new
    report."""
    dead_after_seconds: Seconds = 1800.0
    """A suspect lease whose holder has been silent for longer than this is released as `expired`. A
    node's heartbeat interval counts as twice this at most."""
    heartbeat_stale_seconds: Seconds = 300.0
    """A member that has been silent for longer than this, or than twice its own heartbeat
    interval, is not available."""
    min_available: Count = 1
    """How many other members must be available before a member begins an agent upgrade."""
    min_available_percent: Percent = 0.0
    """The same as a percentage of the whole group, rounded up; the larger of the two applies."""
    services_must_run: bool = True
    """Whether a member that reports a container which is not running is unavailable to members with
    the same service. Turn it off for services whose containers end by design."""
    order: OrderText = Order.ASKED
    """Which of the members that ask goes first: `asked` (the one that asks first; none goes twice
    while another waits), `name`, `oldest-version`, or `property:NAME` (the value of that property
    in the node policy, such as a zone; nodes without it go last)."""
    org_brake_groups: Count = 3
    """An upgrade that has failed in this many groups of an organisation begins in none of the
    others. 0: only `org_brake_percent` applies."""
    org_brake_percent: Percent = 0.0
    """The same as a percentage of the organisation's groups. 0: only `org_brake_groups` applies."""
    max_groups_in_org: Count = 0
    """How many groups of an organisation may upgrade at the same time. 0: no limit."""
    max_groups_in_fleet: Count = 0
    """How many groups of all organisations may upgrade at the same time. 0: no limit."""
    canary_percent: Percent = 0.0
    """The percentage of an organisation's groups that go first with an upgrade; the others wait
    until those have finished. 0: no canary."""
    approval: bool = False
    """Whether an operator has to approve an upgrade before the first member of a group begins
    it."""
    agent_soak_seconds: SecondsOrNone = 0.0
    """How long a group rests after a successful agent upgrade."""
    service_soak_seconds: SecondsOrNone = 90.0
    """How long a group rests after a successful service upgrade: a bad version may crash seconds
    after it is `running`, and its node may report that 50 s later."""
    rest_proof_seconds: SecondsOrNone = 900.0
    """How long the next member waits for the upgraded one to be seen healthy."""
    version_proof_seconds: SecondsOrNone = 600.0
    """How long a node that has reported success may run another agent version than it reported
    before the upgrade counts as failed. 0: no limit."""
    max_busy_seconds: Annotated[float, Meta(ge=0, le=604_800)] = 14_400.0
    """How long a node can keep its agent upgrade waiting by its own word over MQTT (`[mqtt] busy`).
    After that its word is ignored, until it has not been busy for an hour. 0: it is always
    ignored."""
    ask_period_seconds: Seconds = 60.0
    """How often agents ask. A waiter that has not asked for three periods is dropped."""
    windows: tuple[Window, ...] = ()
    """Maintenance windows such as "sat,sun 22:00-04:00 Europe/Berlin". None: always open."""

    @property
    def order_property(self) -> str:
        """The property of the node policy that the order uses; empty if it uses none."""
        return self.order.removeprefix(_BY_PROPERTY) if self.order.startswith(_BY_PROPERTY) else ""


def share_of(percent: float, whole: int) -> int:
    """Return how many of these a percentage is, rounded up: of more than 0 %, one at least."""
    # 7 / 100 * 100 is a little more than 7, which would be rounded up to 8
    return max(ceil(round(percent * whole / 100, 6)), int(percent * whole > 0))


LimitsOf = Callable[[GroupId], Limits]
"""Returns the limits of a group. Every question needs them, so it must answer from memory."""
