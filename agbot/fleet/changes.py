"""What can be read from the Exchange, and the rows of its feed with the reads that they affect.

The table in `agbot.exchange.resources` has which row outdates or ends which read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

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
    """The properties in the node's policy."""
    MANAGEMENT_POLICY = "management-policy"
    DEPLOYMENT_POLICY = "deployment-policy"
    PATTERN = "pattern"


ABOUT_NODE = (What.NODE, What.STATUSES, What.PROPERTIES, What.AGREEMENTS)
"""What is read about a node."""


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to read. `id` is `org/name`, or the name of an organisation."""

    what: What
    id: str

    @property
    def org(self) -> OrgId:
        """The organisation that it belongs to."""
        return ids.org_of(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of the feed: a resource and the last operation on it."""

    org: OrgId
    resource: str
    id: str
    operation: str
    outdates: tuple[Read, ...] = ()
    """The reads that are out of date now."""
    ends: tuple[Read, ...] = ()
    """The reads of what no longer exists."""
    change_ids: tuple[int, ...] = ()
    at: datetime | None = None


REPORT = "nodemgmtpolstatus"
"""A node has written or deleted the status of an agent upgrade."""
CREATED = "created"
DELETED = "deleted"


def is_new_node(change: Change) -> bool:
    """Whether a node was created; the feed shows a deletion and a new creation as `created`."""
    return change.resource == "node" and change.operation == CREATED


def is_urgent_for_member(change: Change, read: Read) -> bool:
    """Whether this is read soon if the node is a member: it was deleted, or has a new status."""
    is_report = change.resource == REPORT
    return is_report or (read.what is What.NODE and change.operation == DELETED)


def is_lost_agreement(change: Change) -> bool:
    """Whether an agreement of a node has ended. An agbot sees no other change of agreements."""
    return change.resource == "nodeagreements" and change.operation == DELETED
