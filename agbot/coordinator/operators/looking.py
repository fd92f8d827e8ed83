"""What the console reads of many groups, as a part of the coordinator (`coordinator.reads`).

And what it notes of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from agbot.coordinator.operators import finding, naming, rollouts
from agbot.coordinator.operators.orders import orders
from agbot.coordinator.reads import GroupPage, GroupProgress, GroupQuery, Noun, Orders, Subject
from agbot.coordinator.situation import Situation
from agbot.events.event import Event
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import Kind
from agbot.transitions.change import Change


class Looking:
    """Answers from memory."""

    _situation: Situation

    def find_groups(self, query: GroupQuery) -> GroupPage:
        """Return one page of groups."""
        return finding.find_groups(query, self._situation)

    def subjects(self) -> Sequence[Subject]:
        """Return every upgrade that is under way, waited for or stopped."""
        return rollouts.subjects(self._situation)

    def progress(self, kind: Kind, policy: PolicyId) -> Iterator[GroupProgress]:
        """Yield how far each group is with an upgrade."""
        return rollouts.progress(kind, policy, self._situation)

    def revised_at(self, kind: Kind, policy: PolicyId) -> datetime | None:
        """Return when the policy's present revision was written."""
        return rollouts.revised_at(kind, policy, self._situation)

    def oldest_grant(self) -> GroupId | None:
        """Return the group whose lease has been held longest."""
        return rollouts.oldest_grant(self._situation)

    def orders(self, *, with_windows: bool = True) -> Orders:
        """Return what operators have ordered."""
        return orders(self._situation, with_windows=with_windows)

    async def note(self, event: Event) -> None:
        """Write an event that changes nothing to the journal."""
        await self._situation.commit(Change(events=[event]))

    def unknown(self, noun: Noun, name: str) -> str:
        """Return that the name is not known, with the nearest one."""
        return naming.unknown(noun, name, self._situation)
