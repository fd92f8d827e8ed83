"""What the agbot lists of its own upgrades, as far as it was looked at: kept for the rules, filled by `agbot_rows`.

Without a configured API it is empty for ever and doubts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum

from agbot.rules import rows
from agbot.rules.facts import Row
from agbot.rules.ids import GroupId
from agbot.rules.lease import Claim, Kind
from agbot.rules.reasons import Code, Reason
from agbot.rules.rows import RowState, Standing
from agbot.rules.seen_time import Now, SeenTime


class Source(Enum):
    """How well the lists are known."""

    NONE = "none"
    """No local API is configured."""
    UNREAD = "unread"
    """It has not been looked at yet."""
    LISTED = "listed"
    NOBODY_THERE = "nobody-there"
    """No agbot runs: what was last seen still holds, and nothing new begins."""
    UNREADABLE = "unreadable"


@dataclass(slots=True, kw_only=True)
class RowsSeen:
    """The rows by group. The claims are those of `rows.claim_of`, with what was known when the row was last judged."""

    source: Source = Source.NONE
    looked_at: SeenTime | None = None
    """When the lists were last read."""
    url: str = ""
    """Who answered then."""
    failing: str = ""
    """Why they cannot be read, while they cannot."""
    states: dict[GroupId, dict[Row, RowState]] = field(default_factory=dict)
    claims: dict[Row, Claim] = field(default_factory=dict)
    gone: set[Row] = field(default_factory=set)
    """Rows that a look has missed, until their nodes have been looked at because of that."""

    def of(self, group: GroupId) -> Iterable[RowState]:
        """Return the states of a group's rows."""
        return tuple(self.states.get(group, {}).values())

    def count_stuck(self) -> int:
        """Return how many rows stay although their upgrade is over."""
        return sum(state.standing is Standing.STUCK for of_group in self.states.values() for state in of_group.values())

    def waited_for(self, group: GroupId) -> tuple[Row, ...]:
        """Return the rows of a group that have to be waited for, each with its qualified subject."""
        return tuple(
            replace(state.row, subject=self.claim(state.row).subject)
            for state in self.states.get(group, {}).values()
            if state.is_waited_for
        )

    def is_waited_for(self, group: GroupId, claim: Claim) -> bool:
        """Tell whether a row of this very upgrade has to be waited for, as far as was last seen."""
        return any(
            state.is_waited_for and self.claim(row) == claim for row, state in self.states.get(group, {}).items()
        )

    def claim(self, row: Row) -> Claim:
        """Return the upgrade that a row tells of."""
        return self.claims.get(row) or Claim(holder=row.node, kind=row.kind, subject=row.subject)

    def is_listed(self, group: GroupId, claim: Claim) -> bool | None:
        """Tell whether the agbot lists this upgrade; None where it cannot be asked."""
        if self.source is not Source.LISTED:
            return None
        return any(self.claim(row) == claim for row in self.states.get(group, {}))

    def is_done_with(self, group: GroupId, claim: Claim) -> bool:
        """Tell whether the agbot lists no service's upgrade on this node any more: its own one is over.

        That shows also where neither the node nor the policy can be read. Rows of another policy
        count as well: which one a row of a pattern is for is known only once it was judged.
        """
        if self.source is not Source.LISTED or claim.kind is not Kind.SERVICE or not claim.subject:
            return False  # an agent's upgrade needs no row, nor does a service that is down without a known policy
        listed = self.states.get(group, {})
        return not any((row.node, row.kind) == (claim.holder, Kind.SERVICE) for row in listed)

    @property
    def doubt(self) -> Reason | None:
        """Say why it is not known what the agbot has begun by itself, if it is not."""
        if self.source is Source.UNREAD:
            return Reason(code=Code.AGBOT_UNAVAILABLE, text="the agbot's local API has not been read yet")
        if self.source is Source.UNREADABLE:
            return Reason(code=Code.AGBOT_UNAVAILABLE, text=f"the agbot's local API cannot be read: {self.failing}")
        return None

    def follow(self, row: Row, facts: rows.RowFacts, claim: Claim, now: Now) -> RowState:
        """Judge a listed row anew with what is known of its node."""
        self.claims[row] = claim
        state = rows.next_state(self.states[row.group][row], facts, now)
        self.states[row.group][row] = state
        return state
