"""What the console needs: it shows, and carries out what operators order, and decides nothing.

Each order is journalled with who and why. If the store fails, it is not known whether it has
happened (`StoreUnavailableError`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from agbot.coordinator.contract import Done, Explanation, GroupView, NotDone, Overview
from agbot.coordinator.listings import GroupPage, GroupProgress, GroupQuery, Noun, Orders, Subject
from agbot.events.event import Event
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.records import Allowance, Approval, Hold
from agbot.store.contract import Entry, JournalQuery


class Operations(Protocol):
    """What the console and the CLI need. All views come from memory; `look_at` renews it."""

    def overview(self) -> Overview:
        """Return the summary."""

    def groups(self) -> Sequence[GroupView]:
        """Return every known group, sorted by id."""

    def group(self, group: GroupId) -> GroupView | None:
        """Return one group; None if it is unknown."""

    async def look_at(self, group: GroupId) -> None:
        """Read again what is not known of the members of a group, before it is shown."""

    def why_excluded(self, org: OrgId) -> str:
        """Return why this organisation is not coordinated; empty for one that is."""

    def find_groups(self, query: GroupQuery) -> GroupPage:
        """Return the ids of one page of groups."""

    def subjects(self) -> Sequence[Subject]:
        """Return every upgrade that is under way, waited for or stopped."""

    def progress(self, kind: Kind, policy: PolicyId) -> Iterator[GroupProgress]:
        """Yield how far each group of the policy's organisation is.

        The caller may pause between two groups; each is read when it is yielded.
        """

    def revised_at(self, kind: Kind, policy: PolicyId) -> datetime | None:
        """Return when the policy's present revision was written; None if that is not known."""

    def oldest_grant(self) -> GroupId | None:
        """Return the group whose lease has been held longest; None if none is."""

    def orders(self, *, with_windows: bool = True) -> Orders:
        """Return what operators have ordered; the windows go through all groups."""

    async def note(self, event: Event) -> None:
        """Write an event that changes nothing, such as an estimate of a rollout, to the journal."""

    def unknown(self, noun: Noun, name: str) -> str:
        """Return that the name is not known, with the nearest one; empty if it is known."""

    def nearest(self, noun: Noun, name: str) -> str:
        """Return the known group, node or policy that is nearest to this name; empty if none is."""

    def explain(self, node: NodeId) -> Explanation | None:
        """Answer "why is this node waiting?"; None for an unknown node."""

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        """Read the journal."""

    async def release(self, group: GroupId, *, token: int | None, reason: str, who: str) -> Done | NotDone:
        """Free a lease by force, with the cause `forced`.

        With a token, only that grant is freed.
        """

    async def hold(self, hold: Hold) -> Done | NotDone:
        """Stop new grants for a scope."""

    async def resume(self, scope: str, *, subject: PolicyId | None, reason: str, who: str) -> Done | NotDone:
        """End the hold of this scope, or, with a subject, lift the brakes on it in this scope."""

    async def allow(self, allowance: Allowance) -> Done | NotDone:
        """Let one upgrade of a node past all rules with `Rule.is_allowable`, never past a lease."""

    async def approve(self, approval: Approval) -> Done | NotDone:
        """Let an upgrade begin where an approval is required."""

    async def withdraw_allowance(self, node: NodeId, *, reason: str, who: str) -> Done | NotDone:
        """Take the allowance of a node back."""

    async def withdraw_approval(
        self, scope: str, kind: Kind, subject: PolicyId, *, reason: str, who: str
    ) -> Done | NotDone:
        """Take an approval back. Groups in which the upgrade has begun go on."""
