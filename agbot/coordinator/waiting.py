"""Who waits, since when, and why: kept in memory, written by the cycle.

A refusal must cost nothing, so it only touches memory. What it changes is written in the next cycle: a new waiter, other reasons, silence.
A crash can lose the last second of it; then a waiter's time begins with its next question, which costs it at most its place in the queue.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from agbot.coordinator import entries
from agbot.coordinator.ledger import Ledger
from agbot.rules.facts import Ask, Group, Node, Sight, Waiter
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.order import still_asks
from agbot.rules.presence import why_absent
from agbot.rules.reasons import Code, Reason
from agbot.rules.seen_time import Now
from agbot.store.contract import Entry, Writes
from agbot.store.records import Key, waiter_key

MOST_OF_A_NODE = 8
"""A node waits for one policy, or for a few where several are for it. Who asks about ever more makes no more waiters than this."""


class Waiting:
    """The waiters' book."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._unwritten: dict[Key, tuple[Ask, Entry]] = {}

    def note(self, ask: Ask, reasons: tuple[Reason, ...], now: Now) -> bool:
        """Take down that this question was answered with these reasons; say whether that is news."""
        before = self._ledger.waiter(ask)
        waiter = Waiter(ask=ask, since=before.since if before else now.seen, asked_at=now.seen, reasons=reasons)
        self._ledger.note(waiter)
        is_news = before is None or _codes(before.reasons) != _codes(reasons)
        if is_news:
            self._unwritten[waiter_key(ask)] = (ask, entries.wait_changed(waiter, now))
        return is_news

    def keep(self, ask: Ask, facts: Mapping[str, object]) -> None:
        """Add what the refusal rested on to the entry that `note` has just made of it."""
        key = waiter_key(ask)
        if key in self._unwritten:
            asked, entry = self._unwritten[key]
            self._unwritten[key] = (asked, replace(entry, facts={**entry.facts, **facts}))

    def drop_key(self, ask: Ask) -> Key | None:
        """Return the key of this question's waiter, to be dropped with a grant; None when it never waited."""
        key = waiter_key(ask)
        self._unwritten.pop(key, None)
        return key if self._ledger.waiter(ask) else None

    def unwritten(self) -> Writes:
        """Return what the store does not know yet; the caller says `written` after the commit."""
        known = [(waiter, entry) for ask, entry in self._unwritten.values() if (waiter := self._ledger.waiter(ask))]
        return Writes(put=tuple(waiter for waiter, _ in known), entries=tuple(entry for _, entry in known))

    def written(self, writes: Writes) -> None:
        """Forget what has been written, unless it has changed again meanwhile."""
        for record in writes.put:
            if isinstance(record, Waiter) and self._ledger.waiter(record.ask) is record:
                self._unwritten.pop(waiter_key(record.ask), None)

    def gone(self, group: Group, node: Callable[[NodeId], Node | Sight], now: Now) -> Writes:
        """Return the waiters of a group that wait no longer, to be dropped; `node` shows each as it was last seen."""
        staying = [waiter for waiter in group.waiters if waiter_key(waiter.ask) not in self._ledger.leaving]
        crowded = _crowded(staying)
        over = [(each, why) for each in staying if (why := _why_gone(each, group, node, now) or crowded.get(each.ask))]
        return Writes(
            drop=tuple(waiter_key(waiter.ask) for waiter, _ in over),
            entries=tuple(entries.wait_ended(waiter, why, now) for waiter, why in over),
        )

    def groups(self) -> list[GroupId]:
        """Return the groups in which somebody waits."""
        return sorted(group for group, waiters in self._ledger.waiters.items() if waiters)


def _why_gone(waiter: Waiter, group: Group, node: Callable[[NodeId], Node | Sight], now: Now) -> str | None:
    if not still_asks(waiter, group, now):
        return "it has stopped asking"
    return why_absent(node(waiter.ask.node), group.id)


def _crowded(waiters: Iterable[Waiter]) -> dict[Ask, str]:
    """Return what nodes that wait for too much have asked about the longest time ago, each with the reason to forget it."""
    of_node: defaultdict[NodeId, list[Waiter]] = defaultdict(list)
    for waiter in sorted(waiters, key=lambda each: each.asked_at, reverse=True):
        of_node[waiter.ask.node].append(waiter)
    why = f"its node asks about more than {MOST_OF_A_NODE} policies"
    return {waiter.ask: why for each in of_node.values() for waiter in each[MOST_OF_A_NODE:]}


def _codes(reasons: tuple[Reason, ...]) -> list[Code]:
    return [reason.code for reason in reasons]
