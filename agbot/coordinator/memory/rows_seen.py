"""The upgrades that the agbot lists, as last read, for the rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from agbot.agreementbot.client import Listed, Listing, NotRunning
from agbot.events.agreementbot import AgbotFailed, AgbotRecovered
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
    """No local API is configured, which gives no reason to refuse."""
    UNREAD = "unread"
    """The lists have not been read yet."""
    LISTED = "listed"
    NOT_RUNNING = "not-running"
    """No agbot runs: the last lists stay valid, and no new upgrade begins. Without any, an upgrade
    from before may still be under way."""
    UNREADABLE = "unreadable"
    """An agbot hangs, or its answer cannot be read: it may begin upgrades that are not seen."""


_WITHOUT_DOUBT = frozenset({Source.NONE, Source.LISTED})
_FAILING = frozenset({Source.NOT_RUNNING, Source.UNREADABLE})


@dataclass(slots=True, kw_only=True)
class RowsSeen:
    """The rows by group, each with its claim (`rows.claim_of`) from when it was last judged."""

    source: Source = Source.NONE
    read_at: SeenTime | None = None
    """When the lists were last read."""
    url: str = ""
    """The API that answered then."""
    failing: str = ""
    """Why they cannot be read, while they cannot."""
    states: dict[GroupId, dict[Row, RowState]] = field(default_factory=dict)
    claims: dict[Row, Claim] = field(default_factory=dict)
    found_first: frozenset[Row] = frozenset()
    """The rows of the first list: their upgrades began at an unknown time before."""
    gone: set[Row] = field(default_factory=set)
    """Rows that have disappeared from the lists, until their nodes have been read because of it."""
    _listed_seconds: float = 0.0
    """When the lists were last read, on the monotonic clock."""

    def take_in(self, answer: Listing, asked_at: Now, asked_seconds: float) -> AgbotFailed | AgbotRecovered | None:
        """Take in an answer; return the failure if it has begun, or the recovery.

        It was asked for at this moment, and at this time of the monotonic clock.
        """
        before = self.source
        if not isinstance(answer, Listed):
            self.source = Source.NOT_RUNNING if isinstance(answer, NotRunning) else Source.UNREADABLE
            self.failing = answer.why
            return None if self.source is before else AgbotFailed(error=answer.why, agbot=self.source.value)
        not_before = asked_at.wall
        if self.read_at is None:
            self.found_first = frozenset(answer.rows)
        else:
            # a new row may have been written right after the last list
            not_before -= timedelta(seconds=asked_seconds - self._listed_seconds)
        self._listed_seconds = asked_seconds
        self.source, self.read_at, self.url, self.failing = Source.LISTED, asked_at.seen, answer.url, ""
        self._list(answer.rows, not_before)
        return AgbotRecovered(agbot=answer.url) if before in _FAILING else None

    def _list(self, listed: Iterable[Row], not_before: datetime) -> None:
        known, self.states = self.states, {}
        for row in listed:
            state = known.get(row.group, {}).get(row)
            self.states.setdefault(row.group, {})[row] = state or RowState(row=row, not_before=not_before)
        self.gone.update(row for of_group in known.values() for row in of_group if not self._is_listed(row))
        self.gone.difference_update(listed)  # one that is listed again has begun again
        self.claims = {row: claim for row, claim in self.claims.items() if self._is_listed(row)}

    def _is_listed(self, row: Row) -> bool:
        return row in self.states.get(row.group, {})

    def of(self, group: GroupId) -> Iterable[RowState]:
        """Return the states of a group's rows."""
        return tuple(self.states.get(group, {}).values())

    def count_stuck(self) -> int:
        """Return how many rows stay although their upgrade is over."""
        return sum(state.standing is Standing.STUCK for of_group in self.states.values() for state in of_group.values())

    def groups_stuck(self) -> list[GroupId]:
        """Return the groups in which a row stays although its upgrade is over."""
        stuck = Standing.STUCK
        return sorted(
            group for group, rows in self.states.items() if any(each.standing is stuck for each in rows.values())
        )

    def waited_for(self, group: GroupId) -> tuple[Row, ...]:
        """Return the rows of a group that must be waited for, each with its qualified subject."""
        states = self.states.get(group)
        if not states:
            return ()
        waited_for = [state.row for state in states.values() if state.is_waited_for]
        return tuple(replace(row, subject=self.claim(row).subject) for row in waited_for)

    def is_waited_for(self, group: GroupId, claim: Claim) -> bool:
        """Whether a row of this upgrade must be waited for, by the lists that were last read."""
        return any(
            state.is_waited_for and self.claim(row) == claim for row, state in self.states.get(group, {}).items()
        )

    def claim(self, row: Row) -> Claim:
        """Return the claim of the upgrade that a row stands for."""
        return self.claims.get(row) or Claim(holder=row.node, kind=row.kind, subject=row.subject)

    def is_listed(self, group: GroupId, claim: Claim) -> bool | None:
        """Whether the agbot lists this upgrade; None if its lists are not known."""
        if self.source is not Source.LISTED:
            return None
        return any(self.claim(row) == claim for row in self.states.get(group, {}))

    def is_done_with(self, group: GroupId, claim: Claim) -> bool:
        """Whether the agbot no longer lists a service upgrade of this node, so this one is over.

        This works even if neither the node nor the policy can be read. Rows of other policies count
        too, because the policy of a row of a pattern is known only after the row was judged.
        """
        if self.source is not Source.LISTED or claim.kind is not Kind.SERVICE or not claim.subject:
            # agent upgrades, and service upgrades of an unknown policy, may have no row
            return False
        listed = self.states.get(group, {})
        return not any((row.node, row.kind) == (claim.holder, Kind.SERVICE) for row in listed)

    @property
    def doubt(self) -> Reason | None:
        """Why it is not known which upgrades the agbot has begun; None if it is known."""
        if self.source in _WITHOUT_DOUBT:
            return None
        if self.source is Source.UNREAD:
            return Reason(code=Code.AGBOT_UNAVAILABLE, text="the agbot's local API has not been read yet")
        if self.source is Source.NOT_RUNNING and self.read_at is None:
            text = f"no agbot runs, and what it had begun before has not been read since this start: {self.failing}"
            return Reason(code=Code.AGBOT_UNAVAILABLE, text=text)
        if self.source is Source.UNREADABLE:
            return Reason(code=Code.AGBOT_UNAVAILABLE, text=f"the agbot's local API cannot be read: {self.failing}")
        return None

    def follow(self, row: Row, facts: rows.RowFacts, claim: Claim, now: Now) -> RowState:
        """Judge a listed row again with what is known of its node."""
        self.claims[row] = claim
        state = rows.next_state(self.states[row.group][row], facts, now)
        self.states[row.group][row] = state
        return state
