"""What nodes and agbots of the simulation really do, told to whoever watches (the observer, a demo's screen).

A deed is told at the moment it is done, by the program that does it, whether or not any server learns of it: so the watcher
knows when a node was down even if its reports were lost.
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
    """Got an answer (`status`, `detail`) to "may I upgrade?"; `status` 0 is none."""
    DOWN = "down"
    """Acts on a permission: from now on the service may stop at any moment."""
    UP = "up"
    """Back from an upgrade; `detail` says how it ended."""
    DIED = "died"
    """Lost power or its network; tells nobody."""
    RETURNED = "returned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One deed of one node (`org/id`). `subject` is `org/policy`, empty for deeds without one."""

    at: datetime
    act: Act
    node: str
    kind: Kind = Kind.AGENT
    subject: str = ""
    detail: str = ""
    status: int = 0
    granted: bool = False
    """Of an answer: the asker takes it for a yes."""
    is_unasked: bool = False
    """Of a beginning: the coordinator was not asked, so it could not have prevented it."""
    is_listed: bool = False
    """Of a beginning: the agbot has let it go, and lists it."""


Tell = Callable[[Deed], None]
