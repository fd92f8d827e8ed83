"""What a group costs in memory: tens of thousands of them share one process with everything else."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from functools import cache
from pathlib import Path

import pytest

import agbot
from agbot.coordinator.permission import Granted
from agbot.rules.limits import Limits
from agbot.settings.model import ExchangeSettings, Settings
from agbot.settings.scopes import limits_of
from agbot.store.sqlite import SqliteStore
from tests.support.hub import AGBOT, Hub
from tests.support.virtual_time import run

_SETTINGS = ExchangeSettings(url="http://exchange/v1", identity=f"IBM/{AGBOT}", busy_poll_seconds=10.0)
"""A slower cycle than by default, because every allocation is traced."""
_PRODUCT = Path(agbot.__file__).parent
_AT_ONCE = 20
_OF_THE_INTERPRETER = 50_000
"""No mapping of a hundred groups is as large as this, but the interpreter's table of interned texts is."""


def product_bytes() -> int:
    """Return the memory that the product has allocated and still holds, without the simulated Exchange's."""
    gc.collect()
    traces = tracemalloc.take_snapshot().traces
    return sum(
        each.size for each in traces if each.size < _OF_THE_INTERPRETER and _is_product(each.traceback[0].filename)
    )


@cache  # few files have hundreds of thousands of traces
def _is_product(file: str) -> bool:
    path = Path(file)
    if path.is_relative_to(_PRODUCT):
        return not path.is_relative_to(_PRODUCT / "sim")
    return path.name == "dataclasses.py" or path.parent.name == "asyncio"  # `replace`, locks and futures


async def bytes_of_hub(file: Path, groups: int) -> int:
    """Return what a hub takes when a member of each group has upgraded for some minutes and the other has waited."""
    hub = Hub(store=SqliteStore(file), limits_of=limits_of(Settings(rules=Limits())), settings=_SETTINGS)
    names = [f"g{number:04}" for number in range(groups)]
    for name in names:
        hub.group(name, f"{name}a", f"{name}b")
    before = product_bytes()
    await hub.start()
    for number, name in enumerate(names):
        hub.report(f"{name}a", "ha node waiting")
        assert isinstance(await hub.ask(f"{name}a", name), Granted)
        hub.report(f"{name}a", "downloaded")
        if number % _AT_ONCE == 0:
            await asyncio.sleep(1)
    everyone = [f"{name}{member}" for name in names for member in "ab"]
    for _ in range(4):
        await hub.live(*everyone, seconds=60)
        for name in names:
            assert not isinstance(await hub.ask(f"{name}b", name, is_remembered=True), Granted)
    await asyncio.sleep(10)
    for kept in (hub.emitted, hub.reads):
        kept.clear()
    taken = product_bytes() - before
    await hub.stop()
    return taken


@pytest.mark.timeout(300)
def test_a_group_of_two_with_a_lease_and_a_waiter_takes_at_most_seven_and_a_half_kilobytes(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        few, many = (run(bytes_of_hub(tmp_path / f"{groups}.db", groups)) for groups in (20, 80))
    finally:
        tracemalloc.stop()

    assert (many - few) / 60 <= 7500
