"""The types of the names that the Exchange uses.

Every id has the qualified form `org/name` that the Exchange itself uses as a key. An organisation
never contains a slash (the Exchange splits credentials at the first one) and a name may contain
anything, so the first slash always separates the two.

An id is in many places: in the picture, in leases, waiters and indexes. Each is interned, so that a
fleet has one copy of it.
"""

from __future__ import annotations

from sys import intern
from typing import NewType

OrgId = NewType("OrgId", str)
NodeId = NewType("NodeId", str)
GroupId = NewType("GroupId", str)
PolicyId = NewType("PolicyId", str)
"""A node management policy or a deployment policy, `org/name`."""

REST_SCOPE = "rest:"
"""The prefix of the scope of a resumption that ends rests: of a group, an organisation, or all."""
STORE_SCOPE = "store:"
"""The scope that an operator resumes when the store is not the one that was used last."""
_NODE_SCOPE = "node:"
"""The prefix of the scope of a hold of one node; a plain `org/name` is a group."""


def node_id(org: str, name: str) -> NodeId:
    """Qualify a node's name with its organisation."""
    return NodeId(intern(f"{org}/{name}"))


def group_id(org: str, name: str) -> GroupId:
    """Qualify an HA group's name with its organisation."""
    return GroupId(intern(f"{org}/{name}"))


def policy_id(org: str, name: str) -> PolicyId:
    """Qualify a policy's name with its organisation.

    A name that is already qualified stays as it is.
    """
    # the agbot names a deployment policy `org/name` and a management policy without its
    # organisation
    return PolicyId(intern(name if name.startswith(f"{org}/") else f"{org}/{name}"))


def node_scope(node: NodeId) -> str:
    """Return the scope of a hold of a single node."""
    return f"{_NODE_SCOPE}{node}"


def node_of_scope(scope: str) -> NodeId | None:
    """Return the node that the scope of a hold names; None if it is not a single node."""
    return NodeId(scope.removeprefix(_NODE_SCOPE)) if scope.startswith(_NODE_SCOPE) else None


def org_of(qualified: str) -> OrgId:
    """Return the organisation of a qualified id."""
    return OrgId(qualified.partition("/")[0])


def name_of(qualified: str) -> str:
    """Return the name without its organisation."""
    return qualified.partition("/")[2]
