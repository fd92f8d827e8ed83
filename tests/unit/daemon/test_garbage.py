"""Full collections come every ten minutes, between cycles, and not whenever Python would begin one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from agbot.daemon import garbage
from tests.support.virtual_time import in_virtual_time


@pytest.fixture
def put_back() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("put_back")
def test_python_begins_no_full_collection_and_young_objects_are_collected_as_before() -> None:
    before = gc.get_threshold()
    garbage.begin()
    assert gc.get_threshold()[:2] == before[:2]
    assert gc.get_threshold()[2] > 1_000_000


@in_virtual_time
async def test_everything_is_collected_every_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    collected = list[float]()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(gc, "collect", lambda: collected.append(loop.time()))
    waiting, began = garbage.Garbage(trim=lambda: None), loop.time()
    for _ in range(1000):
        waiting.look()
        await asyncio.sleep(2)
    assert [at - began for at in collected] == [600, 1200, 1800]


@in_virtual_time
async def test_free_pages_are_returned_to_the_system_once_a_minute() -> None:
    trimmed, loop = list[float](), asyncio.get_running_loop()
    waiting, began = garbage.Garbage(trim=lambda: trimmed.append(loop.time())), loop.time()
    for _ in range(100):
        waiting.look()
        await asyncio.sleep(2)
    assert [at - began for at in trimmed] == [60, 120, 180]
