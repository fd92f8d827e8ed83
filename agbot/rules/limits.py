"""The operator's limits for one HA group: every number that the rules use.

Rules take a `Limits` value and never a constant of their own, so that an operator can change each one and `explain` can show it.
Durations are seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from agbot.rules import window
from agbot.rules.ids import GroupId


class Order(StrEnum):
    """In which order the members of a group go."""

    ASKED = "asked"
    """Whoever asks first; nobody twice while another waits."""
    NAME = "name"
    OLDEST_VERSION = "oldest-version"
    """The member whose agent has the oldest version."""
    PROPERTY = "property"
    """By the value of a property of the node, such as its zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the rules of one HA group measure against."""

    lease_seconds: float = 600.0
    """A lease without fresh evidence expires after this long. Must exceed the longest heartbeat interval of the nodes."""

    confirm_seconds: float = 180.0
    """A grant whose node shows no active status within this time is taken back as `unconfirmed`. Three question periods."""

    failure_grace_seconds: float = 120.0
    """`failed` must stand this long before it ends the lease: real agents report it for moments before `rollback started`."""

    reset_grace_seconds: float = 600.0
    """After a grant, a status put back to `waiting` or `reset` must stand this long: the install script may run all the same."""

    max_upgrade_seconds: float = 7200.0
    """Heartbeats alone renew a lease only until this long after the last change of its status."""

    dead_after_seconds: float = 1800.0
    """A suspect lease of a node whose last heartbeat is older than this is released as `expired`."""

    heartbeat_stale_seconds: float = 300.0
    """A node whose last heartbeat is older than this, or than twice its own longest interval, does not count as available."""

    min_available: int = 1
    """How many other members must be available before a member goes down for an agent upgrade."""

    min_available_percent: float = 0.0
    """The same as a share of the whole group, rounded up; the larger of the two counts."""

    services_must_run: bool = True
    """Whether a member that reports containers which do not run counts as unavailable to those who run the same service."""

    order: Order = Order.ASKED
    """Who goes first among those who ask."""

    org_brake_groups: int = 3
    """A release that failed in this many groups of an organisation begins in none of the others. 0: only a share stops it."""

    org_brake_percent: float = 0.0
    """The same as a share of the organisation's groups. 0: only the number stops it."""

    max_groups_in_org: int = 0
    """How many groups of the organisation may upgrade at once. 0: any number."""

    max_groups_in_fleet: int = 0
    """How many groups of all organisations may upgrade at once. 0: any number."""

    canary_percent: float = 0.0
    """The share of the organisation's groups that goes first with a release; the others wait until those have finished. 0: no canary."""

    approval: bool = False
    """Whether a person has to approve a release before the first member of a group begins it."""

    agent_soak_seconds: float = 0.0
    """How long a group rests after a successful agent upgrade."""

    service_soak_seconds: float = 60.0
    """How long a group rests after a successful service upgrade: a bad release may crash seconds after its first `running`."""

    rest_proof_seconds: float = 900.0
    """How long a group waits for the upgraded member to be seen healthy before the peers rule alone decides."""

    version_proof_seconds: float = 600.0
    """How long a node that has reported success may run another agent version than it reported; then it has failed. 0: for ever."""

    ask_period_seconds: float = 60.0
    """How often a waiting agent asks. A waiter that was silent for three periods is gone."""

    windows: tuple[window.Window, ...] = ()
    """When upgrades may start. None given: always."""

    order_property: str = ""
    """The property of the node policy that `Order.PROPERTY` goes by."""


LimitsOf = Callable[[GroupId], Limits]
"""The way to the limits of a group. Asked for with every question, so it must answer from memory."""
