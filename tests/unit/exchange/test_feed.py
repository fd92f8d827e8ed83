"""The change feed against answers written down: pages, duplicates, ids that go backwards, the four hours, a restored Exchange."""

from __future__ import annotations

from typing import Any

import pytest

from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import ExchangeError, Unreachable, Unreadable
from agbot.exchange.feed import ChangeFeed, FeedResult
from agbot.exchange.transport import Reply
from tests.support.clocks import HandClock
from tests.support.examples import some
from tests.support.scripted_transport import ScriptedTransport, reply

DOWN = Unreachable("POST", "/orgs/IBM/changes", "nothing", "it is tried again")


def top(change_id: int) -> Reply:
    return reply(200, {"maxChangeId": change_id})


def change(*ids: int, name: str = "", operation: str = "modified") -> dict[str, Any]:
    rows = [{"changeId": each, "lastUpdated": "2026-11-23T12:00:00Z"} for each in ids]
    name = name or f"n{ids[0]}"
    return {"orgId": "o1", "resource": "node", "id": name, "operation": operation, "resourceChanges": rows}


def page(most_recent: int, *changes: dict[str, Any], hit_max: bool = False) -> Reply:
    return reply(201, {"changes": list(changes), "mostRecentChangeId": most_recent, "hitMaxRecords": hit_max})


class Follower:
    """A feed with its transport and clock."""

    def __init__(self, *answers: Reply | ExchangeError, identity: str = "IBM/us", max_records: int = 1000) -> None:
        self.clock = HandClock()
        self.clock.advance(86_400)  # the machine has run for a day
        self.transport = ScriptedTransport(*answers)
        client = ExchangeClient(self.transport, Credentials(identity=identity, secret="x"), self.clock)
        self.feed = ChangeFeed(client, self.clock, max_records=max_records)

    async def poll(self, *answers: Reply | ExchangeError) -> FeedResult:
        self.transport.then(*answers)
        return await self.feed.poll()

    def asked(self) -> list[dict[str, Any]]:
        return [asked.body for asked in self.transport.asked if asked.method == "POST"]


async def started(at: int = 100, **options: Any) -> Follower:
    """Return a feed that has been polled once and stands at this id."""
    follower = Follower(**options)
    await follower.poll(top(at), page(at))
    return follower


async def test_a_row_that_cannot_be_read_is_a_reason_to_read_everything_again_once_and_hides_no_other() -> None:
    follower = await started(100)
    bad = {"orgId": "o1", "resource": "node", "id": 17, "operation": "modified", "resourceChanges": []}

    first = await follower.poll(page(102, bad, change(102)))
    again = await follower.poll(page(102, bad, change(102)))

    assert names(first) == [("n102", (102,))]
    assert first.resync is not None
    assert again == FeedResult()


def names(result: FeedResult) -> list[tuple[str, tuple[int, ...]]]:
    return [(each.id, each.change_ids) for each in result.changes]


async def test_the_first_poll_begins_at_the_end_and_asks_for_a_resync() -> None:
    follower = Follower()

    result = await follower.poll(top(100), page(100))

    assert result.resync is not None
    assert follower.feed.last_id == 100
    assert (await follower.poll(page(100))).resync is None


async def test_an_agbot_of_ibm_asks_for_all_organisations() -> None:
    follower = await started()

    assert follower.asked()[0] == {"changeId": 1, "maxRecords": 1000, "orgList": ["*"]}
    assert follower.transport.asked[1].path == "/orgs/IBM/changes"


async def test_another_agbot_asks_for_its_own_organisation_without_a_list() -> None:
    follower = await started(identity="o1/us")

    assert follower.asked()[0] == {"changeId": 1, "maxRecords": 1000}
    assert follower.transport.asked[1].path == "/orgs/o1/changes"


async def test_every_poll_asks_for_all_that_was_given_out_in_the_last_minute() -> None:
    follower = await started(10_000)
    await follower.poll(page(10_007, change(10_003), change(10_007)))
    follower.clock.advance(59)
    await follower.poll(page(10_009))
    follower.clock.advance(2)
    await follower.poll(page(10_009))
    follower.clock.advance(60)
    await follower.poll(page(10_009))
    await follower.poll(page(10_009))

    assert [body["changeId"] for body in follower.asked()] == [8_001, 8_001, 8_001, 8_001, 10_008, 10_009]


class Log:
    """The rows of an Exchange, of which some become visible late."""

    def __init__(self, *rows: int) -> None:
        self.rows = set(rows)
        self.end = max(rows, default=0)

    def answer(self, follower: Follower) -> Reply:
        """Answer the follower's next question, without the two seconds before it."""
        from_id = follower.feed._from_id()  # noqa: SLF001 - as the Exchange answers
        return page(self.end, *(change(each) for each in sorted(self.rows) if each >= from_id))

    async def follow(self, follower: Follower, seconds: float, every: float = 2.0) -> list[tuple[str, tuple[int, ...]]]:
        """Poll for a while; return what was given out."""
        found: list[tuple[str, tuple[int, ...]]] = []
        for _poll in range(int(seconds / every)):
            follower.clock.advance(every)
            found += names(await follower.poll(self.answer(follower)))
        return found


@pytest.mark.parametrize("place", [1, 900, 2500])
@pytest.mark.parametrize("late", some([3, 20, 40], every=2))
async def test_a_change_anywhere_in_a_burst_that_is_committed_late_is_given_out_within_fifteen_seconds(
    place: int, late: int
) -> None:
    follower, log = await started(10_000), Log(*(each for each in range(10_001, 13_001) if each != 10_000 + place))
    assert len(await log.follow(follower, late)) == 2_999

    log.rows.add(10_000 + place)

    assert await log.follow(follower, 17) == [(f"n{10_000 + place}", (10_000 + place,))]


async def test_between_two_questions_for_all_of_a_burst_no_more_than_some_hundred_rows_are_repeated() -> None:
    follower, log = await started(10_000), Log(*range(10_001, 13_001))
    await log.follow(follower, 58)

    asked = [body["changeId"] for body in follower.asked()][1:]

    assert {each for each in asked if each > 10_000} == {12_501}
    assert sum(each <= 10_000 for each in asked) == 4


async def test_numbers_of_changes_that_no_one_shows_us_do_not_shorten_the_minute() -> None:
    """Thousands of nodes write messages and agreements, which an agbot is not shown.

    Late is late all the same.
    """
    follower, log = await started(10_000), Log(10_001)
    for second in range(1, 31):
        log.end = 10_000 + 1_000 * second
        await log.follow(follower, 2)

    log.rows.add(11_500)

    assert await log.follow(follower, 2) == [("n11500", (11_500,))]


async def test_what_was_given_out_just_before_the_start_is_asked_for_again_as_well() -> None:
    follower, log = await started(10_000), Log(10_000)
    await log.follow(follower, 30)
    log.rows.add(9_000)

    assert await log.follow(follower, 2) == [("n9000", (9_000,))]


@pytest.mark.parametrize("every", [70, 600])
async def test_a_feed_that_is_asked_seldom_is_asked_for_every_number_once_more_all_the_same(every: float) -> None:
    follower, log = await started(10_000), Log(10_005)
    await log.follow(follower, every, every)
    log.rows.add(10_003)

    assert await log.follow(follower, every, every) == [("n10003", (10_003,))]


async def test_an_outage_in_the_minute_after_a_change_hides_no_late_one() -> None:
    follower, log = await started(10_000), Log(10_005)
    await log.follow(follower, 2)
    follower.clock.advance(300)
    with pytest.raises(Unreachable):
        await follower.poll(DOWN)
    log.rows.add(10_003)

    assert await log.follow(follower, 2) == [("n10003", (10_003,))]


async def test_a_quiet_feed_is_asked_from_its_last_id_on_and_never_from_the_next_one() -> None:
    follower = await started()
    for _minute in range(5):
        follower.clock.advance(61)
        await follower.poll(page(100, change(100)))

    assert [body["changeId"] for body in follower.asked()][2:] == [100] * 4


async def test_a_burst_is_repeated_for_a_minute_and_then_only_now_and_then() -> None:
    follower = await started(10_000)
    burst = page(11_000, *(change(each) for each in range(10_001, 11_001)))
    assert len((await follower.poll(burst)).changes) == 1000
    asked: list[int] = []
    for _poll in range(360):  # an hour of idle polls
        follower.clock.advance(10)
        await follower.poll(burst if follower.feed._from_id() <= 11_000 else page(11_000))  # noqa: SLF001 - as the Exchange answers
        asked.append(follower.asked()[-1]["changeId"])

    assert [each <= 11_000 for each in asked[:6]].count(True) == 6
    looks_back = [each for each in asked[6:] if each <= 11_000]
    assert 4 <= len(looks_back) <= 8  # of a thousand rows, every ten minutes
    assert set(looks_back[1:]) == {10_501}


async def test_a_change_in_the_middle_of_a_burst_that_is_committed_twenty_minutes_late_is_given_out_within_ten_more() -> (
    None
):
    follower = await started(10_000)
    rows = [change(each) for each in range(10_001, 11_001) if each != 10_700]
    late = sorted([*rows, change(10_700)], key=lambda each: each["resourceChanges"][0]["changeId"])
    found_after: list[int] = []
    for poll in range(360):
        shown = late if poll >= 120 else rows
        from_id = follower.feed._from_id()  # noqa: SLF001 - as the Exchange answers
        result = await follower.poll(page(11_000, *(shown if from_id <= 11_000 else [])))
        if ("n10700", (10_700,)) in names(result):
            found_after.append((poll - 120) * 10)
        follower.clock.advance(10)

    assert len(found_after) == 1
    assert 0 <= found_after[0] <= 610


async def test_a_change_that_becomes_visible_after_its_number_was_called_the_most_recent_is_given_out() -> None:
    """A real agent was reported "0 changes, latest 960" although 960 was its own message, and never read it."""
    follower = await started(900)
    assert names(await follower.poll(page(960))) == []

    assert follower.asked()[-1]["changeId"] <= 960
    assert names(await follower.poll(page(960, change(960)))) == [("n960", (960,))]


@pytest.mark.parametrize("seconds", [1, 20, 55])
async def test_a_change_that_was_committed_late_is_given_out(seconds: float) -> None:
    follower = await started(900)
    await follower.poll(page(950, change(940), change(950)))
    await follower.poll(page(990, change(990)))
    follower.clock.advance(seconds)

    result = await follower.poll(page(990, change(945), change(990)))

    assert follower.asked()[-1]["changeId"] <= 945
    assert names(result) == [("n945", (945,))]


async def test_what_was_committed_before_the_first_poll_is_no_change_and_what_came_late_is_one() -> None:
    follower = Follower()
    first = await follower.poll(top(100), page(100, change(98), change(100)))
    second = await follower.poll(page(100, change(98), change(99), change(100)))

    assert first.changes == ()
    assert names(second) == [("n99", (99,))]


async def test_after_an_outage_a_restored_exchange_is_known_by_the_rows_of_its_end() -> None:
    follower = await started(10_000)
    burst = [change(each) for each in range(10_001, 10_101)]
    for _poll in range(12):
        await follower.poll(page(10_100, *burst))
        follower.clock.advance(20)
    with pytest.raises(Unreachable):
        await follower.poll(DOWN)

    result = await follower.poll(page(10_200, change(10_100, name="other"), change(10_200)), top(10_200))

    assert follower.asked()[-1]["changeId"] == 10_100
    assert (result.reset, result.changes) == (True, ())


async def test_a_quiet_poll_is_one_request() -> None:
    follower = await started()
    before = len(follower.transport.asked)
    await follower.poll(page(100))

    assert len(follower.transport.asked) - before == 1


async def test_repeated_rows_are_given_out_once() -> None:
    follower = await started()
    first = await follower.poll(page(107, change(103, 107, name="a")))
    second = await follower.poll(page(108, change(103, 107, 108, name="a")))
    third = await follower.poll(page(108, change(108, name="a")))

    assert [names(each) for each in (first, second, third)] == [[("a", (103, 107))], [("a", (108,))], []]


async def test_a_row_of_a_slow_writer_below_the_last_id_is_given_out() -> None:
    follower = await started()
    await follower.poll(page(107, change(107)))

    assert names(await follower.poll(page(107, change(105), change(107)))) == [("n105", (105,))]


async def test_changes_come_in_the_order_of_their_ids() -> None:
    follower = await started()
    result = await follower.poll(page(107, change(107, name="c"), change(101, 106, name="b"), change(103, name="a")))

    assert [each.id for each in result.changes] == ["a", "b", "c"]


async def test_full_pages_are_followed_to_the_end() -> None:
    follower = await started(max_records=2)
    result = await follower.poll(
        page(102, change(101), change(102), hit_max=True),
        page(103, change(102), change(103), hit_max=True),
        page(104, change(103), change(104)),
    )

    assert [each.change_ids for each in result.changes] == [(101,), (102,), (103,), (104,)]
    assert [body["changeId"] for body in follower.asked()] == [1, 1, 102, 103]


async def test_a_full_page_of_older_rows_does_not_move_the_feed_backwards_but_makes_the_page_larger() -> None:
    follower = await started(max_records=1)
    follower.clock.advance(61)
    await follower.poll(page(100))
    result = await follower.poll(page(77, change(77), hit_max=True), page(101, change(77), change(101)))

    assert follower.feed.last_id == 101
    assert [(body["changeId"], body["maxRecords"]) for body in follower.asked()[2:]] == [(100, 1), (100, 2)]
    assert [each.change_ids for each in result.changes] == [(77,), (101,)]


async def test_a_full_page_of_the_asked_row_alone_makes_the_page_larger() -> None:
    follower = await started(max_records=1)

    await follower.poll(page(1, change(1), hit_max=True), page(100))

    assert [body["maxRecords"] for body in follower.asked()[1:]] == [1, 2]


async def test_a_feed_that_cannot_get_past_full_pages_begins_again() -> None:
    follower = await started(max_records=10_000)
    follower.clock.advance(61)
    await follower.poll(page(100))

    result = await follower.poll(page(99, change(99), hit_max=True), top(200))

    assert result.resync is not None
    assert follower.feed.last_id == 200


async def test_pages_before_one_that_fails_are_not_lost() -> None:
    follower = await started(max_records=2)
    with pytest.raises(Unreachable):
        await follower.poll(page(102, change(101), change(102), hit_max=True), DOWN)

    result = await follower.poll(page(103, change(102), change(103)))

    assert result.resync is None
    assert [each.change_ids for each in result.changes] == [(101,), (102,), (103,)]


async def test_an_exchange_that_counts_from_below_was_set_up_again() -> None:
    follower = await started()

    result = await follower.poll(page(7, change(5)), top(9))

    assert result.resync is not None
    assert "7" in result.resync
    assert result.changes == ()
    assert follower.feed.last_id == 9
    assert names(await follower.poll(page(10, change(10)))) == [("n10", (10,))]


async def test_what_was_seen_of_the_old_exchange_hides_nothing_of_the_new() -> None:
    follower = await started()
    await follower.poll(page(101, change(101)))
    await follower.poll(page(9), top(9))

    assert names(await follower.poll(page(101, change(101)))) == [("n101", (101,))]


async def test_changes_of_the_old_exchange_are_not_given_out_after_the_new_one_was_seen() -> None:
    follower = await started(max_records=1)
    result = await follower.poll(page(101, change(101), hit_max=True), page(9), top(9))

    assert result.changes == ()
    assert names(await follower.poll(page(10, change(10)))) == [("n10", (10,))]


async def test_an_id_that_is_about_something_else_now_shows_a_restored_exchange() -> None:
    follower = await started()
    await follower.poll(page(101, change(101, name="a")))

    result = await follower.poll(page(150, change(101, name="b"), change(150)), top(151))

    assert result.resync is not None
    assert follower.feed.last_id == 151


async def test_a_resync_that_is_due_is_reported_even_when_finding_the_end_fails_first() -> None:
    follower = await started()
    with pytest.raises(Unreachable):
        await follower.poll(page(7), DOWN)

    result = await follower.poll(top(9), page(9))

    assert result.resync is not None
    assert result.reset, "what is missing in a restored Exchange may come back"
    assert follower.feed.last_id == 9
    assert await follower.poll(page(9)) == FeedResult()


@pytest.mark.parametrize(("hours", "missed"), [(3.7, False), (3.9, True), (50, True)])
async def test_after_the_four_hours_that_rows_live_everything_is_read_again(hours: float, missed: bool) -> None:
    follower = await started()
    follower.clock.advance(hours * 3600)

    result = await (follower.poll(top(500), page(500)) if missed else follower.poll(page(500)))

    assert (result.resync is not None) is missed


async def test_the_four_hours_count_from_the_last_good_poll() -> None:
    follower = await started()
    for _ in range(2):
        follower.clock.advance(2 * 3600)
        with pytest.raises(Unreachable):
            await follower.poll(DOWN)

    assert (await follower.poll(top(500), page(500))).resync is not None


@pytest.mark.parametrize("bad", [reply(201, '{"changes": [{"orgId": '), reply(201, {}), reply(200, "<html>")])
async def test_an_unreadable_page_is_an_error_and_the_next_good_poll_asks_for_a_resync(bad: Reply) -> None:
    follower = await started()
    with pytest.raises(Unreadable):
        await follower.poll(bad)
    with pytest.raises(Unreadable):
        await follower.poll(top(200), bad)

    result = await follower.poll(top(300), page(300))

    assert result.resync is not None
    assert "unreadable" in result.resync
    assert (await follower.poll(page(300))).resync is None


async def test_an_unreachable_exchange_at_the_start_is_an_error_and_the_first_poll_stays_the_first() -> None:
    follower = Follower()
    with pytest.raises(Unreachable):
        await follower.poll(DOWN)

    assert (await follower.poll(top(1), page(1))).resync is not None


async def test_the_memory_of_ids_is_bounded() -> None:
    follower = await started(at=0)
    for last in range(1000, 40_000, 1000):
        await follower.poll(page(last, change(*range(last - 999, last + 1))))

    assert len(follower.feed._seen) == 20_000  # noqa: SLF001 - what is bounded shows nowhere else
