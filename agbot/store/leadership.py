"""The contract of a store that several coordinators share: who leads, and the fence of its writes.

- There is one row for the leader, with its epoch, and only `take` changes the epoch. It succeeds
  only if `agbot.rules.leadership.may_take` holds by the store's own clock.
- `under(epoch)` is the store of one term: every write through it is refused in its own transaction
  with `NotLeadingError`, and changes nothing, once the row has another epoch. Whether the row has
  expired does not matter to that: while no other has taken it, no other can have granted. A write
  that began before is complete when `take` returns, so that what is loaded afterwards contains it.
- A lost answer never harms: `take` may be repeated by the same run, `renew` and `give_up` name the
  epoch, and `announce` overwrites.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agbot.rules.leadership import Announced, Candidate, Leader
from agbot.store.contract import Store


class SharedStore(Protocol):
    """See the docstring of the module.

    Every method raises `StoreUnavailableError` if it is not known whether it has happened.
    """

    async def open(self) -> None:
        """Make the store ready; see `agbot.store.contract.Store.open`."""

    async def close(self) -> None:
        """Close all connections. Closing twice is allowed."""

    async def current(self) -> Leader | None:
        """Read the row of the leader; None if there has never been one."""

    async def take(self, candidate: Candidate, ttl_seconds: float) -> Leader:
        """Take the leadership if it may be taken; return the leader after that, whoever it is.

        A new leader has a higher epoch than all before it. It is this candidate if it has its run.
        """

    async def renew(self, epoch: int, ttl_seconds: float) -> bool:
        """Let the row expire `ttl_seconds` from now; False if another has taken it."""

    async def give_up(self, epoch: int, *, reserved_for: str = "", reserved_seconds: float = 0.0) -> bool:
        """Let the row expire at once, reserved for a coordinator; False if another has taken it.

        The epoch stays, and with it the right to finish writes, until another takes the row.
        """

    async def announce(self, candidate: Candidate) -> None:
        """Note that this coordinator lives. Those that have been silent for a day are forgotten."""

    async def announced(self) -> Sequence[Announced]:
        """Read all coordinators that have announced themselves, by name."""

    async def withdraw(self, candidate: Candidate) -> None:
        """Forget the announcement of this run of this coordinator, which ends."""

    def under(self, epoch: int) -> Store:
        """Return the store as the leader of this epoch uses it.

        Its `open` and `close` do nothing to the shared one.
        """

    async def size_bytes(self) -> int:
        """Return how much the store takes in the database.

        Raises:
            StoreUnavailableError: it cannot be read.
        """
