"""Names of the things the Exchange holds, as types.

Every id is the qualified form `org/name` that the Exchange itself uses as a key. An organisation never contains a slash (the
Exchange splits credentials at the first one), a name may contain anything else, so the first slash always separates the two.
"""

from __future__ import annotations

from typing import NewType

OrgId = NewType("OrgId", str)
NodeId = NewType("NodeId", str)
GroupId = NewType("GroupId", str)
PolicyId = NewType("PolicyId", str)
"""A node management policy or a deployment policy, `org/name`."""

NODE_SCOPE = "node:"
"""Begins the scope of a pause of a single node; a bare `org/name` is a group's."""


def node_id(org: str, name: str) -> NodeId:
    """Qualify a node's name with its organisation."""
    return NodeId(f"{org}/{name}")


def group_id(org: str, name: str) -> GroupId:
    """Qualify an HA group's name with its organisation."""
    return GroupId(f"{org}/{name}")


def policy_id(org: str, name: str) -> PolicyId:
    """Qualify a policy's name with its organisation; a name that is qualified already stays as it is."""
    return PolicyId(name if name.startswith(f"{org}/") else f"{org}/{name}")


REST_SCOPE = "rest:"
"""Begins the scope of a resumption that ends rests: of a group, an organisation, or all."""


def node_scope(node: NodeId) -> str:
    """Return the scope of a pause of a single node."""
    return f"{NODE_SCOPE}{node}"


STORE_SCOPE = "store:"
"""What a person resumes when the store is not the one that was used last."""


def node_of_scope(scope: str) -> NodeId | None:
    """Return the node that the scope of a pause is about, if it is a single one."""
    return NodeId(scope.removeprefix(NODE_SCOPE)) if scope.startswith(NODE_SCOPE) else None


def org_of(qualified: str) -> OrgId:
    """Return the organisation of a qualified id."""
    return OrgId(qualified.partition("/")[0])


def name_of(qualified: str) -> str:
    """Return the bare name of a qualified id."""
    return qualified.partition("/")[2]
