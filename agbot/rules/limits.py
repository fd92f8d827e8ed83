"""The operator's limits for one HA group: every number that the rules use.

Rules take a `Limits` value and never a constant of their own, so that an operator can change each one and `explain` can show it. It is at
the same time the section `[rules]` of the settings: the text under a field is its documentation, and its annotation says what it may be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from agbot.rules.ids import GroupId
from agbot.rules.window import Window

Seconds = Annotated[float, Meta(gt=0)]
SecondsOrNone = Annotated[float, Meta(ge=0)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Count = Annotated[int, Meta(ge=0)]


class Order(StrEnum):
    """In which order the members of a group go, where it is not by a property: `property:NAME`."""

    ASKED = "asked"
    """Whoever asks first; nobody twice while another waits."""
    NAME = "name"
    OLDEST_VERSION = "oldest-version"
    """The member whose agent has the oldest version."""


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
    """`[rules]`: the limits that hold for every group, unless a scope says otherwise."""

    lease_seconds: Seconds = 600.0
    """A lease without fresh evidence expires after this long. Longer than the heartbeat interval of the nodes."""
    confirm_seconds: Seconds = 180.0
    """A grant whose node shows no active status within this time is taken back as `unconfirmed`. Three question periods."""
    failure_grace_seconds: SecondsOrNone = 120.0
    """How long `failed` must stand before it ends a lease: agents report it for moments before `rollback started`."""
    reset_grace_seconds: SecondsOrNone = 600.0
    """How long a reset must stand before it ends a lease: the install script may run all the same."""
    max_upgrade_seconds: Seconds = 7200.0
    """Heartbeats, and reports of what was reported before, keep a lease only until this long after the last news."""
    dead_after_seconds: Seconds = 1800.0
    """A suspect lease whose holder is silent for longer than this is released as `expired`. Twice this is the
    longest heartbeat interval that is believed."""
    heartbeat_stale_seconds: Seconds = 300.0
    """A member silent for longer than this (or twice its own interval) does not count as available."""
    min_available: Count = 1
    """How many other members must be available before one goes down for an agent upgrade."""
    min_available_percent: Percent = 0.0
    """The same as a share of the whole group, rounded up; the larger of the two counts."""
    services_must_run: bool = True
    """Whether a member with a container that it reports and that does not run is unavailable to those who run the same service. Turn
    it off for services whose containers end by design."""
    order: OrderText = Order.ASKED
    """Who goes first among those who ask: `asked` (whoever asks first, nobody twice while another waits), `name`, `oldest-version`, or
    `property:NAME` (the value of that property in the node policy, such as a zone; nodes without it last)."""
    org_brake_groups: Count = 3
    """A release that failed in this many groups of an organisation begins in none of the others. 0: only a share stops it."""
    org_brake_percent: Percent = 0.0
    """The same as a share of the organisation's groups. 0: only the number stops it."""
    max_groups_in_org: Count = 0
    """How many groups of the organisation may upgrade at once. 0: any number."""
    max_groups_in_fleet: Count = 0
    """How many groups of all organisations may upgrade at once. 0: any number."""
    canary_percent: Percent = 0.0
    """The share of the organisation's groups that goes first with a release; the others wait until those have finished. 0: no canary."""
    approval: bool = False
    """Whether a person has to approve a release before the first member of a group begins it."""
    agent_soak_seconds: SecondsOrNone = 0.0
    """Rest of a group after a successful agent upgrade."""
    service_soak_seconds: SecondsOrNone = 60.0
    """Rest of a group after a successful service upgrade: a bad release may crash seconds after its first `running`."""
    rest_proof_seconds: SecondsOrNone = 900.0
    """How long the next member waits for the upgraded one to be seen healthy."""
    version_proof_seconds: SecondsOrNone = 600.0
    """How long a node that reported success may run another agent version than it reported, before that counts as failed. 0: for ever."""
    ask_period_seconds: Seconds = 60.0
    """How often agents ask. A waiter silent for three periods is gone."""
    windows: tuple[Window, ...] = ()
    """Maintenance windows such as "sat,sun 22:00-04:00 Europe/Berlin". None: always open."""

    @property
    def order_property(self) -> str:
        """The property of the node policy that the order goes by; empty where it goes by none."""
        return self.order.removeprefix(_BY_PROPERTY) if self.order.startswith(_BY_PROPERTY) else ""


LimitsOf = Callable[[GroupId], Limits]
"""The way to the limits of a group. Asked for with every question, so it must answer from memory."""
