"""Lets a store pass every journal entry to a callback after its commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from agbot.rules.lease import Lease
from agbot.store.contract import NOTHING, Entry, Lost, Store, Writes

_S = TypeVar("_S", bound=Store)


def observed(store: _S, observe: Callable[[Entry], None]) -> _S:
    """Return this store, which is observed from now on. Its type stays: the guard needs it."""
    swap, write, settle = store.swap, store.write, store.settle

    def pass_on(writes: Writes) -> None:
        for entry in writes.entries:
            observe(entry)

    async def swap_observed(expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        outcome = await swap(expected, new, writes)
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
