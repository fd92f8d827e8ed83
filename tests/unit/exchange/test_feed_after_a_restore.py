"""The change feed after a restore, after pages that failed in the middle, and with many rows that cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from agbot.exchange.errors import Unreachable
from agbot.exchange.feed import FeedResult
from tests.unit.exchange.test_feed import DOWN, change, names, page, started, top


def garbled(number: int) -> dict[str, Any]:
    return {"orgId": "o1", "resource": "node", "id": number, "operation": "modified", "resourceChanges": []}


async def test_in_a_restored_exchange_too_each_poll_asks_for_all_that_was_given_out_in_the_last_minute() -> None:
    follower = await started(10_000)
    await follower.poll(page(10_050, change(10_050)))
    follower.clock.advance(30)
    assert (await follower.poll(page(5000), top(5000))).reset
    for seconds in (1, 30, 28, 2):
        follower.clock.advance(seconds)
        await follower.poll(page(5000))
    await follower.poll(page(5000))

    assert [body["changeId"] for body in follower.asked()[3:]] == [3001, 3001, 3001, 3001, 5000]


async def test_a_restore_between_two_tries_is_seen_by_the_pages_that_came_before_the_failure() -> None:
    follower = await started(max_records=1)
    with pytest.raises(Unreachable):
        await follower.poll(page(300, change(300), hit_max=True), DOWN)

    assert (await follower.poll(page(200), top(200))).reset


async def test_a_new_row_that_cannot_be_read_is_noticed_beside_one_that_is_repeated() -> None:
    follower = await started()
    await follower.poll(page(102, garbled(1)))

    assert (await follower.poll(page(103, garbled(2), garbled(1)))).resync is not None
    assert await follower.poll(page(103, garbled(2), garbled(1))) == FeedResult()


async def test_the_memory_of_rows_that_cannot_be_read_is_bounded() -> None:
    follower = await started()
    await follower.poll(page(102, *map(garbled, range(150))))

    assert (await follower.poll(page(102, garbled(149)))).resync is None
    assert (await follower.poll(page(102, garbled(0)))).resync is not None


async def test_a_burst_before_a_restore_does_not_let_a_poll_pass_over_the_last_rows_after_it() -> None:
    """A long tail is repeated seldom; a restored Exchange may end at the same id with another one."""
    follower = await started(1000)
    burst = change(*range(901, 1001))
    follower.clock.advance(61)
    await follower.poll(page(1000))
    await follower.poll(page(1000, burst))
    await follower.poll(page(1000))
    assert follower.asked()[-1]["changeId"] == 1001

    assert (await follower.poll(page(900), top(1000))).reset
    await follower.poll(page(1000))
    follower.clock.advance(61)
    await follower.poll(page(1000))
    await follower.poll(page(1000))

    assert follower.asked()[-1]["changeId"] == 1000


async def test_all_changes_of_one_kind_are_read_page_by_page_oldest_first() -> None:
    follower = await started()
    other = {**change(3), "resource": "agbot"}
    follower.transport.then(page(4, change(4), change(2), hit_max=True), page(9, other, change(9)))

    kept = await follower.feed.kept("node")

    assert names(FeedResult(changes=tuple(kept))) == [("n2", (2,)), ("n4", (4,)), ("n9", (9,))]
    assert [body["changeId"] for body in follower.asked()[1:]] == [1, 4]


async def test_a_full_page_that_leads_no_further_ends_the_reading_of_all_changes() -> None:
    follower = await started()
    follower.transport.then(page(1, change(1), hit_max=True))

    assert names(FeedResult(changes=tuple(await follower.feed.kept("node")))) == [("n1", (1,))]
