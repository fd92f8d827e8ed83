"""Marks what is out of date: after rows of the feed, outages, steps of the date and old copies.

The only things learnt here are that something has ended, may have ended, or must be read again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from agbot.fleet import changes, dating
from agbot.fleet.changes import Change, Read, What
from agbot.fleet.view import View
from agbot.rules import ids
from agbot.rules.facts import Node, Sight
from agbot.rules.ids import NodeId, OrgId
from agbot.rules.seen_time import Now, SeenTime


class Outdating(View):
    """The view, and what makes it out of date."""

    def apply(self, change: Change, now: Now) -> None:
        """Apply one row of the feed."""
        self._sequence += 1
        self.standstill.note_row(now)
        self._announce(change)
        for read in (*change.outdates, *self._cascade(change)):
            self._changed_by(read)
            self.unreadables.retry(read)
            self._shelves[read.what].outdate(read.id, sequence=self._sequence)
            if read.what in self.policies.shelves:
                self.policies.announced(read)
            is_urgent = changes.is_urgent_for_member(change, read)
            is_member = self.membership.group_of(NodeId(read.id)) is not None
            if read.what is What.GROUP or (is_urgent and is_member):
                self._eager[read] = None
        node, at = ids.node_id(change.org, change.id), dating.of_row(change.at, now)
        self._note_report(change, node, at)
        if changes.is_lost_agreement(change):
            self._remember(node, at, now)
            self._arrivals.note_loss(node, at)
        if changes.is_new_node(change):
            # its agreements ended with the node before it, which was no upgrade
            self._arrivals.forget_loss(node)
            if self.membership.has_seen(node):
                self._created_at[node] = max(at, self._created_at.get(node, at))
        self._changed_about(node, *self._arrivals.take_dropped())

    def _note_report(self, change: Change, node: NodeId, at: datetime) -> None:
        """Note the report that this row announces, which a read has to show."""
        is_over = change.operation in {changes.CREATED, changes.DELETED} and change.resource == "node"
        if change.resource == changes.REPORT and change.operation != changes.DELETED:
            if self.membership.group_of(node) is not None:
                self._unshown[node] = max(at, self._unshown.get(node, at))
        elif change.resource == changes.REPORT or is_over:
            self._unshown.pop(node, None)  # the report may be gone, and would not be shown by any read

    def _remember(self, node: NodeId, at: datetime, now: Now) -> None:
        """Keep what a member ran before it lost an agreement: later reads show only the rest."""
        read_at, known = self._agreements.read_at(node), self._agreements.get(node)
        if read_at is None or isinstance(known, Sight) or self.membership.group_of(node) is None:
            return
        # a read from after the end shows only the rest: then what the one before it has shown
        # counts
        ran = known if read_at < now.seen_at(at) else self._former.get(node, known)
        self._before.setdefault(node, ran)

    def _announce(self, change: Change) -> None:
        """Note which absences this row announces: the next read confirms them."""
        for read in change.ends:
            if read.id in self._shelves[read.what] or self.membership.has_seen(NodeId(read.id)):
                self._gone.announce(read, sequence=self._sequence)
        node = ids.node_id(change.org, change.id)
        # a node that is registered again is in no group, and has no statuses. Its own agent
        # modifies it with each service that it starts, which says nothing about either.
        is_other = change.resource == "node" and change.operation in {changes.CREATED, changes.DELETED}
        moved = [node] if is_other else []
        if change.resource == "ha_group":  # each change of a membership leaves this row, too
            moved += self.membership.of_group(ids.group_id(change.org, change.id))
        for each in moved:
            if self.membership.group_of(each) is not None:
                self._left.announce(Read(what=What.NODE, id=each), sequence=self._sequence)
        # an agent that unregisters deletes its statuses (A3)
        if (is_other or change.resource == changes.REPORT) and node in self._statuses:
            self._gone.announce(Read(what=What.STATUSES, id=node), sequence=self._sequence)

    def _cascade(self, change: Change) -> list[Read]:
        """Return what is deleted with a management policy without a row: its statuses."""
        if change.resource != "mgmtpolicy" or change.operation != changes.DELETED:
            return []
        policy = ids.policy_id(change.org, change.id)
        known = ((node, self._statuses.get(node)) for node in self._statuses)
        found = [
            Read(what=What.STATUSES, id=node)
            for node, statuses in known
            if not isinstance(statuses, Sight) and policy in statuses
        ]
        for read in found:
            self._gone.announce(read, sequence=self._sequence)
        # the last report of a node may have been the deleted one, and no read would show it
        self._unshown = {node: at for node, at in self._unshown.items() if ids.org_of(node) != change.org}
        return found

    def distrust_absences(self, org: OrgId) -> None:
        """Accept no absence in this organisation until two complete reads, after a restore."""
        for absences in (self._gone, self._left):
            absences.distrust(org)

    def note_old_state(self, org: OrgId, now: Now, until: SeenTime | None = None) -> None:
        """Note that the Exchange shows old records of this organisation's nodes.

        How silent each node is remains as it was known. With `until`, all reads since then were
        old.
        """
        self._changed_everywhere()
        for node in self._nodes.of_org(org):
            known, read_at = self._nodes.get(node), self._nodes.read_at(node)
            if isinstance(known, Node) and read_at is not None:
                last_at = read_at if until is None else min(read_at, until)
                self.hidden.hide(NodeId(node), known.heartbeat_at, last_at, now)
        self._unshown = {node: at for node, at in self._unshown.items() if ids.org_of(node) != org}
        self.hidden.note_reset(org, now)
        self.stamps.note_old_state(org)

    def forget_org(self, org: OrgId) -> None:
        """Drop an organisation that no longer exists. Its groups and nodes are gone already."""
        self._changed_in(org)
        self._orgs.forget(org)

    def outdate_org(self, org: OrgId, *, may_differ: bool = False) -> None:
        """Mark everything of an organisation as out of date, for a resync.

        With `may_differ`, changes may have been missed.
        """
        self._sequence += 1
        self._changed_in(org)
        self._orgs.outdate(org, sequence=self._sequence)
        for what in What:
            if what is not What.ORG:
                self._shelves[what].outdate_all(org, sequence=self._sequence, may_differ=may_differ)

    def outdate_unannounced(self) -> None:
        """Mark what no row announces (heartbeats, services) as out of date, after an outage."""
        self._sequence += 1
        self._changed_everywhere()
        for what in (What.NODE, What.AGREEMENTS):
            self._shelves[what].outdate_all(None, sequence=self._sequence)

    def date_stepped(self, step: timedelta) -> None:
        """Note that our date was set: everything is read again, and times that are kept move."""
        self.outdate_everything()
        for node in self._nodes:
            known = self._nodes.get(node)
            if isinstance(known, Node) and known.heartbeat_at is not None:
                back_at = known.back_at and known.back_at + step
                self._nodes.amend(node, replace(known, heartbeat_at=known.heartbeat_at + step, back_at=back_at))
        self.stamps.date_stepped(step, sequence=self._sequence)
        self._arrivals.date_stepped(step)
        self.hidden.date_stepped(step)
        for moments in (self._created_at, self._unshown):
            moments.update({node: at + step for node, at in moments.items()})

    def outdate_everything(self) -> None:
        """Mark everything as out of date, because its age is not known."""
        self._sequence += 1
        self._changed_everywhere()
        for shelf in self._shelves.values():
            shelf.outdate_all(None, sequence=self._sequence)
