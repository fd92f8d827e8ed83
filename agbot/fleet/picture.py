"""The picture of the fleet: what has been read from the Exchange, and which of it is out of date.

It does no I/O and knows no clock: whoever reads takes a mark with `begin` before the request goes out and gives it back with the answer
(`shelf` says why). What was never read is `UNREAD`, what was read and is not there is `ABSENT`. Only members of groups and nodes
that were asked about are kept. A node is in one group at most, wherever that was learnt: from the node, or from the group's list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from agbot.fleet import changes, dating
from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import Change, Read, What
from agbot.fleet.garbled import Garbled
from agbot.fleet.standstill import has_changed, written_since
from agbot.fleet.view import Statuses, View
from agbot.rules import ids
from agbot.rules.facts import Agreement, Node, Sight
from agbot.rules.ids import GroupId, NodeId, OrgId
from agbot.rules.seen_time import Now, SeenTime


class Picture(View):
    """The view, and how it changes: by rows of the feed, and by answers."""

    def apply(self, change: Change, now: Now) -> None:
        """Take one row of the change feed in: mark what it outdates."""
        self._sequence += 1
        self._changed()
        self.standstill.goes_on(now)
        self._announce(change)
        for read in (*changes.outdates(change), *self._cascade(change)):
            self.unreadables.retry(read)
            self._shelves[read.what].outdate(read.id, sequence=self._sequence)
            tells = changes.tells_of_member(change, read) and self._membership.group_of(NodeId(read.id)) is not None
            if read.what is What.GROUP or tells:
                self._eager[read] = None
        node, at = ids.node_id(change.org, change.id), dating.of_row(change.at, now)
        if changes.is_lost_agreement(change):
            self._remember(node, at, now)
            self._arrivals.lose(node, at)
        if changes.is_new_node(change):
            self._arrivals.forgive(node)
            if self._membership.has_seen(node):
                self._created_at[node] = max(at, self._created_at.get(node, at))

    def _remember(self, node: NodeId, at: datetime, now: Now) -> None:
        """Keep what a member ran before it lost an agreement: whoever reads it from now on finds the rest."""
        read_at, known = self._agreements.read_at(node), self._agreements.get(node)
        if read_at is None or isinstance(known, Sight) or self._membership.group_of(node) is None:
            return
        ran = known if read_at < now.seen_at(at) else self._former.get(node, known)
        self._before.setdefault(node, ran)

    def _announce(self, change: Change) -> None:
        """Take in what the row itself tells of ends: what was read of those is believed to be gone at the next look."""
        for read in changes.ends(change):
            absences = self.policies.gone if read.what in self.policies.shelves else self._gone
            if read.id in self._shelves[read.what] or self._membership.has_seen(NodeId(read.id)):
                absences.announce(read, sequence=self._sequence)
        node = ids.node_id(change.org, change.id)
        moved = [node] if change.resource == "node" else []
        if change.resource == "ha_group":
            moved += self._membership.members(ids.group_id(change.org, change.id))
        for each in moved:
            if self._membership.group_of(each) is not None:
                self._left.announce(Read(what=What.NODE, id=each), sequence=self._sequence)
        if change.resource in {"node", "nodemgmtpolstatus"} and node in self._statuses:
            self._dropped.announce(Read(what=What.STATUSES, id=node), sequence=self._sequence)

    def _cascade(self, change: Change) -> list[Read]:
        """Return what goes with a deleted management policy and leaves no rows: the nodes' statuses for it."""
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
            self._dropped.announce(read, sequence=self._sequence)
        return found

    def distrust_absences(self, org: OrgId) -> None:
        """Believe no absence in this organisation until the whole of it has been seen twice: its Exchange was restored."""
        for absences in (self._gone, self._left, self._dropped, self.policies.gone):
            absences.distrust(org)

    def shows_the_past(self, org: OrgId, now: Now, until: SeenTime | None = None) -> None:
        """Take in that the nodes of this organisation are shown as they had been: how silent each of them is, is known from before.

        With `until` they were shown so in every read since then.
        """
        self._changed()
        for node in self._nodes:
            known, read_at = self._nodes.get(node), self._nodes.read_at(node)
            if ids.org_of(node) == org and isinstance(known, Node) and read_at is not None:
                last_at = read_at if until is None else min(read_at, until)
                self.sights.hide(NodeId(node), known.heartbeat_at, last_at, now)
        self.sights.reset(org, now)
        self.stamps.shows_the_past(org)

    def forget_org(self, org: OrgId) -> None:
        """Drop an organisation that is not there any more; what was in it is known to be gone."""
        self._changed()
        self._orgs.forget(org)

    def outdate_org(self, org: OrgId, *, may_differ: bool = False) -> None:
        """Mark everything of an organisation as out of date: a resync begins, with `may_differ` because changes may have gone unseen."""
        self._sequence += 1
        self._changed()
        self._orgs.outdate(org, sequence=self._sequence)
        for what in What:
            if what is not What.ORG:
                self._shelves[what].outdate_all(f"{org}/", sequence=self._sequence, may_differ=may_differ)

    def outdate_unannounced(self) -> None:
        """Mark as out of date what no row of the feed announces: heartbeats, and what members run. We were blind for a while."""
        self._sequence += 1
        self._changed()
        for what in (What.NODE, What.AGREEMENTS):
            self._shelves[what].outdate_all("", sequence=self._sequence)

    def date_stepped(self, step: timedelta) -> None:
        """Take in that our date was set: everything is to be read anew, and what is remembered moves along."""
        self.outdate_everything()
        for node in self._nodes:
            known = self._nodes.get(node)
            if isinstance(known, Node) and known.heartbeat_at is not None:
                self._nodes.amend(node, replace(known, heartbeat_at=known.heartbeat_at + step))
        self.stamps.date_stepped(step, sequence=self._sequence)
        self._arrivals.date_stepped(step)
        self.sights.date_stepped(step)
        self._created_at = {node: at + step for node, at in self._created_at.items()}

    def outdate_everything(self) -> None:
        """Mark everything as out of date: nobody knows how old it is."""
        self._sequence += 1
        self._changed()
        for shelf in self._shelves.values():
            shelf.outdate_all("", sequence=self._sequence)

    # What is learnt

    def remember_member(self, node: NodeId, group: GroupId) -> None:
        """Take in that this was a member when it was last written down: that it is none any more is believed as any other absence."""
        if not self._membership.has_seen(node):
            self._changed()
            self._membership.set_group(node, group, begun=0)

    def learn_org(
        self,
        org: OrgId,
        groups: Mapping[GroupId, Iterable[NodeId] | Garbled],
        nodes: Mapping[NodeId, Node | Garbled],
        *,
        begun: int,
        now: Now,
    ) -> None:
        """Take in all groups and all nodes of an organisation; what is not among them is gone."""
        prefix = f"{org}/"
        for absences in (self._gone, self._left, self._dropped, self.policies.gone):
            absences.saw_whole(org, now.seen)
        for group, members in groups.items():
            if isinstance(members, Garbled):
                self.learn_unreadable(Read(what=What.GROUP, id=group), members, now=now)
            else:
                self.learn_group(group, tuple(members), begun=begun, now=now)
        for gone in [key for key in self._groups if key.startswith(prefix) and key not in groups]:
            self.learn_group(GroupId(gone), Sight.ABSENT, begun=begun, now=now)
        self.learn_nodes(org, nodes, begun=begun, now=now)
        self._orgs.put(org, None, begun=begun, now=now)

    def learn_nodes(self, org: OrgId, nodes: Mapping[NodeId, Node | Garbled], *, begun: int, now: Now) -> None:
        """Take in all nodes of an organisation; known ones that are not among them are gone."""
        for key, node in nodes.items():
            if isinstance(node, Garbled):
                self.learn_unreadable(Read(what=What.NODE, id=key), node, now=now)
            elif node.group is not None or self._membership.has_seen(key):
                self.learn_node(key, node, begun=begun, now=now)
            else:
                self.unreadables.clear(Read(what=What.NODE, id=key))
        for gone in [node for node in self._membership if node.startswith(f"{org}/") and node not in nodes]:
            self.learn_node(gone, Sight.ABSENT, begun=begun, now=now)

    def learn_group(self, group: GroupId, members: tuple[NodeId, ...] | Sight, *, begun: int, now: Now) -> None:
        """Take in a group's list of members, or that there is no such group."""
        self._changed()
        self.unreadables.clear(Read(what=What.GROUP, id=group))
        if not self._groups.is_late(group, begun):
            self._take_group(group, members, begun=begun, now=now)
        self._settle(Read(what=What.GROUP, id=group))

    def _take_group(self, group: GroupId, members: tuple[NodeId, ...] | Sight, *, begun: int, now: Now) -> None:
        read = Read(what=What.GROUP, id=group)
        kept: tuple[NodeId, ...] = ()
        listed = () if isinstance(members, Sight) else members
        present = self._membership.members(group)
        if not isinstance(members, Sight):
            self._gone.seen(read, begun=begun)
            kept = self._kept(group, listed, begun=begun, now=now)
        elif self._is_open(read, begun=begun, now=now) and (present or self._groups.get(group) is None):
            self._groups.outdate(group, sequence=begun + 1)
            return
        absent = Sight.ABSENT if isinstance(members, Sight) else None
        self._groups.put(group, absent, begun=begun, now=now)
        before = [(node, *self._place(node)) for node in dict.fromkeys((*listed, *present))]
        self._membership.set_members(group, listed, begun=begun, kept=kept)
        for node, place, is_known in before:
            self._note_move(node, place, is_known=is_known, now=now)
        self._membership.set_existing(group, exists=absent is None)

    def _kept(self, group: GroupId, listed: tuple[NodeId, ...], *, begun: int, now: Now) -> tuple[NodeId, ...]:
        """Return the members that a list lacks and that stay, because it is the first one without them."""
        kept: list[NodeId] = []
        for node in self._membership.members(group):
            read = Read(what=What.NODE, id=node)
            if node in listed:
                self._left.seen(read, begun=begun)
            elif not self._membership.is_late(node, begun) and not self._left.confirms(read, begun=begun, now=now.seen):
                kept.append(node)
                self._nodes.outdate(node, sequence=begun + 1)
        return tuple(kept)

    def learn_node(self, node: NodeId, seen: Node | Sight, *, begun: int, now: Now) -> None:
        """Take in a node with its group, or that there is no such node."""
        self._changed()
        self.unreadables.clear(Read(what=What.NODE, id=node))
        if not self._nodes.is_late(node, begun):
            seen = dating.of_node(self.stamps, seen, begun=begun, now=now)
            if self._nodes.is_untold(node) and has_changed(self._nodes.get(node), seen):
                self.standstill.found(f"node {node}", now)
            self.sights.learnt(node, self._nodes.get(node), seen, self._nodes.read_at(node), now)
            self._take_node(node, seen, begun=begun, now=now)
        self._settle(Read(what=What.NODE, id=node))

    def _take_node(self, node: NodeId, seen: Node | Sight, *, begun: int, now: Now) -> None:
        read, (place, is_known) = Read(what=What.NODE, id=node), self._place(node)
        if isinstance(seen, Node):
            self._gone.seen(read, begun=begun)
        elif self._is_open(read, begun=begun, now=now) and (place or isinstance(self._nodes.get(node), Node)):
            self._nodes.outdate(node, sequence=begun + 1)
            return
        self._nodes.put(node, seen, begun=begun, now=now)
        group = None if isinstance(seen, Sight) else seen.group
        if not isinstance(seen, Node) or group is not None or place is None:
            self._left.seen(read, begun=begun)
        elif not self._membership.is_late(node, begun) and not self._left.confirms(read, begun=begun, now=now.seen):
            self._nodes.outdate(node, sequence=begun + 1)
            group = place
        self._membership.set_group(node, group, begun=begun)
        self._note_move(node, place, is_known=is_known, now=now)
        if isinstance(seen, Node) and not seen.registered:
            self._arrivals.forgive(node)
        if group is not None and self._groups.get(group) is Sight.ABSENT:
            self._groups.outdate(group, sequence=begun)

    def _is_open(self, read: Read, *, begun: int, now: Now) -> bool:
        """Take in that a node or a group is missing; tell whether that is not believed yet."""
        is_news = self._shelves[read.what].get(read.id) is not Sight.ABSENT or self._gone.is_open(read)
        return is_news and not self._gone.confirms(read, begun=begun, now=now.seen)

    def learn_unreadable(self, read: Read, garbled: Garbled, *, now: Now) -> None:
        """Take in that something is there and cannot be read: what was known of it stays, and is out of date."""
        self._changed()
        self._sequence += 1
        self._shelves[read.what].outdate(read.id, sequence=self._sequence)
        self.unreadables.note(read, garbled, now.seen)

    def learnt(self, read: Read) -> None:
        """Take in that this could be read."""
        if read in self.unreadables:
            self._changed()
            self.unreadables.clear(read)

    def learn_statuses(self, node: NodeId, statuses: Statuses, *, begun: int, now: Now) -> None:
        """Take in all `managementStatus` entries of a node."""
        self._changed()
        if self._statuses.is_late(node, begun):
            return
        read, before = Read(what=What.STATUSES, id=node), self._statuses.get(node)
        statuses = dating.of_statuses(self.stamps, node, dict(statuses), begun=begun, now=now)
        written_at = written_since(statuses, before) if self._statuses.is_untold(node) else None
        if written_at is not None:
            self.standstill.found(f"the report of {node}", now, written_at, self._statuses.read_at(node))
        dropped = (
            {} if isinstance(before, Sight) else {key: each for key, each in before.items() if key not in statuses}
        )
        if not dropped:
            self._dropped.seen(read, begun=begun)
        elif not self._dropped.confirms(read, begun=begun, now=now.seen):
            self._statuses.amend(node, {**dropped, **statuses})
            self._statuses.outdate(node, sequence=begun + 1)
            return
        self._statuses.put(node, statuses, begun=begun, now=now)
        if dropped:
            self._statuses.vouch(node, CONFIRM_AFTER)
        self._settle(Read(what=What.STATUSES, id=node))

    def learn_agreements(self, node: NodeId, agreements: tuple[Agreement, ...], *, begun: int, now: Now) -> None:
        """Take in the agreements of a node."""
        self._changed()
        if self._agreements.is_late(node, begun):
            return
        agreements = dating.of_agreements(self.stamps, node, agreements, begun=begun, now=now)
        before = self._agreements.get(node)
        if not isinstance(before, Sight) and {each.id for each in before} - {each.id for each in agreements}:
            self._former[node] = before
        self._agreements.put(node, agreements, begun=begun, now=now)

    def learn_properties(self, node: NodeId, properties: Mapping[str, str], *, begun: int, now: Now) -> None:
        """Take in the properties of a node's policy."""
        self._changed()
        self._properties.put(node, properties, begun=begun, now=now)

    def forget_absent(self, read: Read) -> None:
        """Forget that something does not exist: questions about invented names leave nothing behind."""
        if self._shelves[read.what].get(read.id) is Sight.ABSENT:
            self._changed()
            self._shelves[read.what].forget(read.id)
            self.policies.gone.forget(read)

    def _changed(self) -> None:
        """Forget what was derived."""
        self._put_together.clear()
        self._gaps.forget()

    def _place(self, node: NodeId) -> tuple[GroupId | None, bool]:
        """Return the node's group, and whether that is known: of a whole organisation only members are kept."""
        is_known = self._membership.has_seen(node) or self._orgs.read_at(ids.org_of(node)) is not None
        return self._membership.group_of(node), is_known

    def _note_move(self, node: NodeId, before: GroupId | None, *, is_known: bool, now: Now) -> None:
        after = self._membership.group_of(node)
        if after is None:
            self._arrivals.leave(node)
        elif after != before and is_known:
            self._arrivals.join(node, now.wall)

    def _settle(self, read: Read) -> None:
        if self.is_current(read):
            self._eager.pop(read, None)
