"""Finds agent upgrades that were reported before we followed the change feed and may be under way.

No later change announces such an upgrade, and the Exchange cannot list the statuses of several
nodes. But it keeps the rows of its feed for four hours, and they name the nodes that have reported
anything. So after every start, and whenever the feed may have missed something, those rows are read
once, and then the statuses of the members that they name, the latest first and a limited number in
each cycle.
"""

from __future__ import annotations

from collections.abc import Container
from itertools import islice

from agbot.exchange.feed import ChangeFeed
from agbot.fleet.changes import REPORT, Read, What
from agbot.fleet.picture import Picture
from agbot.fleet.reads import Wanted, Why
from agbot.rules.facts import Node, Sight
from agbot.rules.ids import NodeId, OrgId, node_id

_READS_PER_CYCLE = 100
_TRIES = 10
"""After this many failures, statuses are read only when the node reports again or a question needs
them."""


class EarlierReports:
    """Keeps the nodes whose statuses have yet to be read."""

    def __init__(self, feed: ChangeFeed, picture: Picture) -> None:
        self._feed = feed
        self._picture = picture
        self._is_due = True
        self._nodes: dict[NodeId, int] = {}
        """How often each has been tried."""

    def lost(self) -> None:
        """Note that the feed may have missed something."""
        self._is_due = True

    async def read_rows(self, orgs: Container[OrgId]) -> None:
        """Read the rows of these organisations that the feed still keeps, if that is due.

        Raises:
            ExchangeError: they could not be read; the next cycle tries again.
        """
        if self._is_due:
            self._is_due = False  # before the read: what is missed during it is due again
            try:
                rows = await self._feed.kept(REPORT)
            except BaseException:
                self._is_due = True
                raise
            # the latest first: an upgrade of hours ago has probably ended
            self._nodes = {node_id(row.org, row.id): 0 for row in reversed(rows) if row.org in orgs}

    def reads(self) -> list[Wanted]:
        """Return the reads for this cycle.

        A node in no group is left out. A node whose organisation has not been read yet stays for a
        later cycle.
        """
        wanted = {node: tries for node, tries in self._nodes.items() if self._matters(node)}
        known = (node for node in wanted if self._picture.node(node) is not Sight.UNREAD)
        found = dict.fromkeys(islice(known, _READS_PER_CYCLE))
        others = {node: tries for node, tries in wanted.items() if node not in found}
        again = {node: wanted[node] + 1 for node in found if wanted[node] < _TRIES}
        self._nodes = {**others, **again}  # failed ones go last and delay no others
        return [Wanted(read=_statuses(node), why=Why.REPORT) for node in found]

    def _matters(self, node: NodeId) -> bool:
        known = self._picture.node(node)
        is_member = isinstance(known, Node) and known.group is not None
        return known is Sight.UNREAD or (is_member and not self._picture.is_current(_statuses(node)))


def _statuses(node: NodeId) -> Read:
    return Read(what=What.STATUSES, id=node)
