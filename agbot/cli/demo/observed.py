"""What the daemon of the demo has committed: counted, described in lines, and how it is seen."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from agbot.cli.demo.words import in_words
from agbot.events.leases import Granting, LeaseExempted, LeaseOverlapped, LeaseReleased
from agbot.rules.lease import Lease
from agbot.store.contract import NOTHING, Entry, Lost, Store, Writes

_SHOWN_LINES: Final = 200
_S = TypeVar("_S", bound=Store)


@dataclass(slots=True, kw_only=True)
class Observed:
    """What the daemon has committed so far: counted, and described in lines for people."""

    grants: int = 0
    exempt: int = 0
    overlaps: int = 0
    releases: Counter[str] = field(default_factory=Counter)
    lines: deque[tuple[datetime, str]] = field(default_factory=lambda: deque(maxlen=_SHOWN_LINES))
    on_line: Callable[[datetime, str], None] | None = None
    on_release: Callable[[str, str, str, datetime], None] | None = None
    """Is called when a lease is released, so that the observer of the fleet can measure the
    hand-off."""

    def entry(self, entry: Entry) -> None:
        """Count an entry of the journal and show it."""
        event = entry.read()
        match event:
            case Granting():
                self.grants += 1
            case LeaseExempted():
                self.exempt += 1
            case LeaseOverlapped():
                self.overlaps += 1
            case LeaseReleased():
                self.releases[str(event.cause)] += 1
                if self.on_release is not None:
                    self.on_release(event.group, event.node or "", event.subject or "", entry.at)
        words = in_words(event)
        if words is not None:
            self.line(entry.at, words)

    def line(self, at: datetime, text: str) -> None:
        """Add a line and show it."""
        self.lines.append((at, text))
        if self.on_line is not None:
            self.on_line(at, text)


def observing(store: _S, observe: Callable[[Entry], None]) -> _S:
    """Let a store pass each entry on after its commit. Its type stays: the guard needs it."""
    swap, write, settle = store.swap, store.write, store.settle

    def pass_on(writes: Writes) -> None:
        for entry in writes.entries:
            observe(entry)

    async def swap_observed(expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        outcome = await swap(expected, new, writes)
        # of a lost race nothing was written, its entries neither
        if not isinstance(outcome, Lost):
            pass_on(writes)
        return outcome

    async def write_observed(writes: Writes) -> None:
        await write(writes)
        pass_on(writes)

    async def settle_observed(entry: Entry) -> None:
        await settle(entry)
        observe(entry)

    vars(store).update(swap=swap_observed, write=write_observed, settle=settle_observed)
    return store
