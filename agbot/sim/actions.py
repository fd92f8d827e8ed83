"""What the nodes and agbots of the simulation actually do.

The program that acts reports each action at once to its listeners, such as the observer or the
screen of the demo, even if no server learns of it. So a listener knows when a node was down even if
its reports were lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from agbot.sim.links import Kind


class Act(StrEnum):
    """What was done."""

    ASKED = "asked"
    """Got an answer (`status`, `detail`) to "may I upgrade?"; `status` 0 is no answer."""
    DOWN = "down"
    """Acts on a permission: from now on the service may stop at any moment."""
    UP = "up"
    """Back from an upgrade; `detail` says how it ended."""
    DIED = "died"
    """Lost power or its network, without a report."""
    RETURNED = "returned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action of one node (`org/id`).

    `subject` is `org/policy`, or empty for an action without one.
    """

    at: datetime
    act: Act
    node: str
    kind: Kind = Kind.AGENT
    subject: str = ""
    detail: str = ""
    status: int = 0
    granted: bool = False
    """Of an answer: the asker takes it for a grant."""
    is_unasked: bool = False
    """Of a beginning: the coordinator was not asked, so it could not have prevented it."""
    is_listed: bool = False
    """Of a beginning: the agbot has permitted it, and lists it."""


ActionListener = Callable[[Action], None]
