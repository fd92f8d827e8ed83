"""What the console reads of many groups: found by name and state, by upgrade, and what operators ordered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agbot.coordinator.listings import GroupQuery, GroupState, Subject
from agbot.coordinator.operators.orders import next_change
from agbot.rules.ids import group_id, node_id, node_scope, policy_id
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits
from agbot.rules.records import Hold
from agbot.rules.statuses import Phase
from agbot.settings.windows import parse
from tests.support.hub import NMP, ORG, Hub
from tests.support.virtual_time import in_virtual_time

POLICY = policy_id(ORG, NMP)
ALL = [group_id(ORG, name) for name in ("busy", "quiet-1", "quiet-2", "waits")]


async def hub_with_groups(limits: Limits | None = None) -> Hub:
    """Start a hub in which n1 upgrades, n3 waits because its group is on hold, and two groups do nothing."""
    hub = Hub(limits=limits or Limits())
    for name, members in (("busy", ("n1", "n2")), ("waits", ("n3", "n4")), ("quiet-1", ("n5",)), ("quiet-2", ("n6",))):
        hub.group(name, *members)
    await hub.start()
    for node in ("n1", "n2", "n3"):
        hub.heartbeat(node)
    await hub.coordinator.hold(Hold(scope=ALL[3], since=hub.clock.now(), by="ada", why="fair"))
    await hub.ask("n1", "busy")
    hub.report("n1", "initiated")
    await hub.ask("n3", "waits")
    return hub


@in_virtual_time
async def test_groups_are_found_by_a_part_of_their_name_a_page_at_a_time() -> None:
    find = (await hub_with_groups()).coordinator.find_groups

    assert find(GroupQuery()).groups == ALL
    assert find(GroupQuery(find="QUIET")).groups == ALL[1:3]
    second = find(GroupQuery(offset=1, limit=2))
    assert (second.total, second.groups) == (4, ALL[1:3])
    assert find(GroupQuery(offset=9)).groups == []
    after = find(GroupQuery(after=ALL[1], limit=1))
    assert (after.total, after.groups) == (4, ALL[2:3])
    assert find(GroupQuery(after=f"{ORG}/dropped", limit=2)).groups == ALL[1:3], "of a group that is gone"
    assert find(GroupQuery(org="elsewhere")).total == 0


@in_virtual_time
@pytest.mark.parametrize(
    ("state", "found"),
    [
        (GroupState.HELD, ["busy"]),
        (GroupState.WAITING, ["waits"]),
        (GroupState.BUSY, ["busy", "waits"]),
        (GroupState.QUIET, ["quiet-1", "quiet-2"]),
        (GroupState.SUSPECT, []),
        (GroupState.BRAKED, []),
        (GroupState.DEFERRED, []),
    ],
)
async def test_groups_are_found_by_their_state(state: GroupState, found: list[str]) -> None:
    hub = await hub_with_groups()

    assert hub.coordinator.find_groups(GroupQuery(state=state)).groups == [group_id(ORG, name) for name in found]


@in_virtual_time
async def test_a_hold_of_a_group_or_of_a_member_makes_the_group_busy() -> None:
    hub = await hub_with_groups()
    now = hub.clock.now()
    for scope in (ALL[1], node_scope(node_id(ORG, "n6")), node_scope(node_id(ORG, "n1"))):
        await hub.coordinator.hold(Hold(scope=scope, since=now, by="ada", why="fair"))

    assert hub.coordinator.find_groups(GroupQuery(state=GroupState.BUSY)).groups == ALL
    assert hub.coordinator.find_groups(GroupQuery(state=GroupState.QUIET)).groups == []


@in_virtual_time
async def test_an_upgrade_is_followed_group_by_group() -> None:
    hub = await hub_with_groups()
    await hub.live("n1", "n2", "n3", seconds=20)

    found = {each.group: each for each in hub.coordinator.progress(Kind.AGENT, POLICY)}

    assert list(found) == ALL
    busy, waits = found[ALL[0]], found[ALL[3]]
    assert (busy.holder, busy.is_suspect) == (node_id(ORG, "n1"), False)
    assert next((each.node, each.phase) for each in busy.members) == (node_id(ORG, "n1"), Phase.UNDER_WAY)
    assert [(each.node, each.code) for each in waits.waiting] == [(node_id(ORG, "n3"), "paused")]
    assert all(not each.waiting and each.holder is None for each in found.values() if each not in (busy, waits))


@in_virtual_time
async def test_what_is_read_of_other_upgrades_leaves_no_trace() -> None:
    hub = await hub_with_groups()
    before = len(hub.coordinator._situation.ledger.brakes)  # noqa: SLF001 - what a look-up would leave behind

    other = list(hub.coordinator.progress(Kind.SERVICE, POLICY))

    assert all(each.holder is None and not each.waiting for each in other)
    assert len(hub.coordinator._situation.ledger.brakes) == before  # noqa: SLF001 - as above


@in_virtual_time
async def test_upgrades_that_matter_are_listed_with_the_number_of_groups() -> None:
    hub = await hub_with_groups()

    assert hub.coordinator.subjects() == [Subject(kind=Kind.AGENT, policy=POLICY, running=1, waiting=1)]
    assert hub.coordinator.oldest_grant() == ALL[0]
    assert hub.coordinator.revised_at(Kind.AGENT, POLICY) is not None
    assert hub.coordinator.revised_at(Kind.SERVICE, POLICY) is None


@in_virtual_time
async def test_orders_and_windows_are_listed_with_their_next_change() -> None:
    window = parse("daily 01:00-02:00")
    hub = await hub_with_groups(Limits(windows=(window,)))
    now = hub.clock.now()
    await hub.coordinator.hold(Hold(scope=ORG, since=now, by="ada", why="fair", until=now + timedelta(hours=1)))

    found = hub.coordinator.orders()

    assert [each.scope for each in found.holds] == [ORG, ALL[3]]
    (shown,) = found.windows
    assert (shown.windows, shown.groups, shown.example) == (["daily 01:00-02:00"], 4, ALL[0])
    assert shown.changes_at == next_change((window,), now)


@pytest.mark.parametrize(
    ("windows", "now", "change"),
    [
        (("daily 01:00-05:00",), "2026-03-04T00:30", "2026-03-04T01:00"),
        (("daily 01:00-05:00",), "2026-03-04T01:30", "2026-03-04T05:00"),
        (("daily 22:00-04:00",), "2026-03-04T23:00", "2026-03-05T04:00"),
        (("daily 01:00-03:00", "daily 02:00-05:00"), "2026-03-04T02:30", "2026-03-04T05:00"),
        (("daily 01:00-03:00", "daily 03:00-05:00"), "2026-03-04T02:30", "2026-03-04T05:00"),
        (("wed 00:00-24:00",), "2026-03-04T12:00", "2026-03-05T00:00"),
        (("daily 00:00-24:00",), "2026-03-04T12:00", None),
        (("sun 01:00-05:00 Europe/Berlin",), "2026-03-29T02:30", "2026-03-29T03:00"),
    ],
)
def test_windows_change_when_they_open_or_the_last_one_closes(
    windows: tuple[str, ...], now: str, change: str | None
) -> None:
    found = next_change([parse(each) for each in windows], datetime.fromisoformat(now).replace(tzinfo=UTC))

    assert found == (None if change is None else datetime.fromisoformat(change).replace(tzinfo=UTC))
