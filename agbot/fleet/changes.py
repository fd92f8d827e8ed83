"""What a row of the Exchange's change feed makes out of date.

The table is the whole knowledge (`reference/exchange-api.md` 4.4: resources, operations and ids as an agbot sees them). Heartbeats make no
rows. A row that is not in the table concerns nobody here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from agbot.rules import ids
from agbot.rules.ids import OrgId


class What(StrEnum):
    """What can be read from the Exchange about one thing."""

    ORG = "org"
    GROUP = "group"
    NODE = "node"
    STATUSES = "statuses"
    AGREEMENTS = "agreements"
    PROPERTIES = "properties"
    """Those of the node policy."""
    MANAGEMENT_POLICY = "management-policy"
    DEPLOYMENT_POLICY = "deployment-policy"
    PATTERN = "pattern"


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One thing to read: `id` is `org/name`, for an organisation its name."""

    what: What
    id: str

    @property
    def org(self) -> OrgId:
        """The organisation that is asked."""
        return ids.org_of(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row group of the feed: a resource and the last thing that happened to it."""

    org: OrgId
    resource: str
    id: str
    operation: str
    change_ids: tuple[int, ...] = ()
    at: datetime | None = None


_OUTDATES: Mapping[str, tuple[What, ...]] = MappingProxyType(
    {
        "ha_group": (What.GROUP,),
        "node": (What.NODE,),
        "nodemgmtpolstatus": (What.STATUSES,),
        "nodeagreements": (What.AGREEMENTS,),
        "nodestatus": (What.AGREEMENTS,),
        "nodepolicies": (What.PROPERTIES,),
        "mgmtpolicy": (What.MANAGEMENT_POLICY,),
        "policy": (What.DEPLOYMENT_POLICY,),
        "pattern": (What.PATTERN,),
    }
)

REPORT = "nodemgmtpolstatus"
"""A node has written, or dropped, a status of its agent's upgrade."""
CREATED = "created"
DELETED = "deleted"


def outdates(change: Change) -> tuple[Read, ...]:
    """Return what this change makes out of date."""
    whats = _OUTDATES.get(change.resource, ())
    if change.resource == "node" and change.operation in {CREATED, DELETED}:
        # they go with a node, and leave no rows of their own
        whats = (What.NODE, What.STATUSES, What.AGREEMENTS, What.PROPERTIES)
    return tuple(Read(what=what, id=_qualified(change.org, change.id)) for what in whats)


def ends(change: Change) -> tuple[Read, ...]:
    """Return what this row says is gone."""
    whats = _OUTDATES.get(change.resource, ()) if change.operation == DELETED else ()
    can_end = {What.GROUP, What.NODE, What.MANAGEMENT_POLICY, What.DEPLOYMENT_POLICY, What.PATTERN}
    return tuple(Read(what=what, id=_qualified(change.org, change.id)) for what in whats if what in can_end)


def is_new_node(change: Change) -> bool:
    """Tell whether a node was made, perhaps under the name of one that was there before: the feed shows delete and create as create."""
    return change.resource == "node" and change.operation == CREATED


def tells_of_member(change: Change, read: Read) -> bool:
    """Tell whether this is to be read soon if it is about a member of a group: that it was deleted, or how far its agent's upgrade is."""
    is_report = change.resource == REPORT
    return is_report or (read.what is What.NODE and change.operation == DELETED)


def is_lost_agreement(change: Change) -> bool:
    """Tell whether an agreement of a node has ended: an agbot is shown no other change of them."""
    return change.resource == "nodeagreements" and change.operation == DELETED


def _qualified(org: str, name: str) -> str:
    """Qualify an id of the feed; deployment policies may stand there as `org/name` already."""
    return name if name.startswith(f"{org}/") else f"{org}/{name}"
