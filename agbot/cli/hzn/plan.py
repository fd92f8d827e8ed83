"""What `add` would change, and which nodes cannot be members. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agbot.exchange.administration import HaGroup, NodeRecord
from agbot.rules import ids
from agbot.rules.ids import GroupId


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """The change of a group. Names are without the organisation."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    kept: tuple[str, ...]
    old_description: str
    new_description: str

    @property
    def changes_nothing(self) -> bool:
        """Whether the group stays as it is."""
        return not self.added and not self.removed and self.old_description == self.new_description

    def lines(self) -> list[str]:
        """Return the change in lines for people."""
        found = [f"would add:    {', '.join(self.added)}"] if self.added else []
        found += [f"would remove: {', '.join(self.removed)}"] if self.removed else []
        found += [f"would keep:   {', '.join(self.kept)}"] if self.kept else []
        if self.old_description != self.new_description:
            found.append(f"description:  {self.old_description!r} becomes {self.new_description!r}")
        return found


def replacement(before: HaGroup, members: Sequence[str], description: str) -> Replacement:
    """Compare a group with its new state."""
    return Replacement(
        added=tuple(name for name in members if name not in before.members),
        removed=tuple(name for name in before.members if name not in members),
        kept=tuple(name for name in before.members if name in members),
        old_description=before.description,
        new_description=description,
    )


def elsewhere(nodes: Sequence[NodeRecord], group: GroupId) -> dict[str, str]:
    """Return the nodes that are in another group, with its name: a node is in one group at most."""
    return {ids.name_of(node.id): node.group for node in nodes if node.group not in {"", ids.name_of(group)}}


def elsewhere_text(found: dict[str, str]) -> str:
    """Return in words which nodes are in which other group."""
    return ", ".join(f"{node} is in {group}" for node, group in sorted(found.items()))
