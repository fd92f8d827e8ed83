"""Reviews a lease as soon as its holder's report has been read, beside the cycle.

A cycle handles every group that is due, hundreds of them by time alone. A holder whose report the
feed has announced may have ended its upgrade, and other members wait for that. So its lease is
reviewed after that one read. The cycle judges the group again with everything else: a deferral, a
rest, and an upgrade of which the agbot's lists show more than the report.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from agbot.coordinator.review.reviewing import Reviewing
from agbot.coordinator.situation import Situation
from agbot.rules.facts import Node
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Kind
from agbot.store.contract import StoreUnavailableError


class HandingOver:
    """Reviews the leases of holders that have reported."""

    def __init__(self, situation: Situation, reviewing: Reviewing) -> None:
        self._situation = situation
        self._reviewing = reviewing
        self._done: list[str] = []

    async def review(self, reported: Iterable[NodeId]) -> None:
        """Review the leases that these nodes hold, whose statuses have just been read."""
        situation = self._situation
        if not (situation.ledger.is_trusted and situation.is_view_fresh()):
            return  # the cycle waits for both
        held = dict.fromkeys(group for node in reported if (group := self._held_by(node)) is not None)
        with suppress(StoreUnavailableError):  # the ledger keeps it, and the cycle reports it
            self._done += await self._reviewing.review_each(held)

    def _held_by(self, node: NodeId) -> GroupId | None:
        """Return the group in which this node was granted the lease for its agent's upgrade."""
        known = self._situation.picture.node(node)
        group = known.group if isinstance(known, Node) else None
        tenure = self._situation.ledger.lease(group).tenure if group is not None else None
        if tenure is None or tenure.claim.holder != node or tenure.claim.kind is not Kind.AGENT:
            return None
        # of an unasked upgrade the agbot's lists are read first, which the cycle does
        return None if tenure.progress.observed else group

    def take_done(self) -> list[str]:
        """Return what was done since the last call, one phrase each."""
        done, self._done = self._done, []
        return done
