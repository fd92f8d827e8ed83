"""The upgrades that the real agbot has begun by itself, as it lists them."""

from __future__ import annotations

from dataclasses import dataclass

from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One upgrade under way: written before it begins, deleted when it is over (`reference/live-trials.md`)."""

    kind: Kind
    group: GroupId
    node: NodeId
    subject: PolicyId
    """`org/name`; of a policy that a pattern made the name alone, without the pattern's organisation (W18)."""
