"""The table of groups and a rollout at 20,000 groups, against the same of a small hub on the same machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest

from agbot.console.metrics import Metrics
from agbot.console.page.rollouts import Rollouts
from agbot.console.server import Console
from agbot.coordinator.coordinator import Coordinator
from agbot.coordinator.dependencies import Dependencies
from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.rules.facts import Ask, Node
from agbot.rules.ids import OrgId, PolicyId, group_id, node_id, policy_id
from agbot.rules.lease import Claim, Kind
from agbot.rules.limits import Limits
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Approval, Waiter
from agbot.settings.model import ExchangeSettings
from agbot.sim.exchange import SimExchange
from agbot.store.memory import MemoryStore
from tests.support.clocks import HandClock, LoopClock
from tests.support.direct_transport import DirectTransport
from tests.support.values import status

ORG = "o1"
SMALL, LARGE = 100, 20_000
MOST_TIMES_LONGER = 10.0
"""A page has at most 50 groups in both hubs; only the names of all are looked at. Measured: 2 to 4."""
_made: dict[tuple[int | str, ...], Coordinator] = {}


@pytest.fixture(scope="module", autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    _made.clear()  # each garbage collection of later tests would go through it


async def coordinator_of(groups: int, policies: Sequence[str]) -> Coordinator:
    """Return a coordinator that has read so many groups of two members, which report these policies. Each is made once."""
    if (groups, *policies) not in _made:
        _made[groups, *policies] = await _made_of(groups, policies)
    return _made[groups, *policies]


async def _made_of(groups: int, policies: Sequence[str]) -> Coordinator:
    clock = HandClock(datetime(2026, 3, 4, tzinfo=UTC))
    client = ExchangeClient(
        DirectTransport(SimExchange(clock=LoopClock(), root_password="x")),
        Credentials(identity="IBM/a", secret="x"),
        clock,
    )
    store = MemoryStore()
    await store.open()
    dependencies = Dependencies(exchange=client, store=store, clock=clock, publish=lambda _entry: None)
    made = Coordinator(dependencies, ExchangeSettings(url="http://exchange", identity="IBM/a"), lambda _group: Limits())
    situation = made._situation  # noqa: SLF001 - what an Exchange with so many groups would fill in minutes
    members = {
        group_id(ORG, f"group-{number:05}"): [node_id(ORG, f"n{number}-{each}") for each in "ab"]
        for number in range(groups)
    }
    nodes = {node: Node(id=node, group=group, registered=True) for group, of in members.items() for node in of}
    begun, now = situation.picture.begin(), situation.now()
    situation.picture.learn_org(OrgId(ORG), members, nodes, begun=begun, now=now)
    for node in nodes if policies else ():
        statuses = {policy_id(ORG, policy): status("waiting") for policy in policies}
        situation.picture.learn_statuses(node, statuses, begun=begun, now=now)
    return made


@asynccontextmanager
async def console_of(groups: int, policies: Sequence[str] = ()) -> AsyncIterator[str]:
    console = Console(
        listen="127.0.0.1:0",
        operations=await coordinator_of(groups, policies),
        metrics=Metrics(),
        clock=HandClock(datetime(2026, 3, 4, tzinfo=UTC)),
        operator_token=lambda: None,
    )
    await console.start()
    yield console.url
    await console.stop()


async def processor_seconds(http: aiohttp.ClientSession, address: str) -> tuple[float, str]:
    """Return the least time of processor that a page takes, of several tries, and its text."""
    taken, text = list[float](), ""
    for _ in range(5):
        began = time.process_time()
        async with http.get(address) as reply:
            text = await reply.text()
            assert reply.status == 200
        taken.append(time.process_time() - began)
    return min(taken), text


QUERIES = (
    "/groups",
    "/groups?offset=50",
    "/groups?find=GROUP-0000",
    "/groups?state=quiet",
    f"/v1/groups?limit=50&after={ORG}/group-00020",
    "/v1/status?limit=50",
    "/v1/status?state=busy",
)
MARKS = {"/groups": '<tr id="row-', "/v1": '"members":['}


async def test_views_of_20000_groups_take_about_as_long_as_those_of_few() -> None:
    """A page of the table, however it is filtered; and a rollout, for each group."""
    async with aiohttp.ClientSession() as http, console_of(SMALL, ["p"]) as small, console_of(LARGE, ["p"]) as large:
        ratios = {}
        for query in QUERIES:
            few_seconds, _ = await processor_seconds(http, f"{small}{query}")
            many_seconds, text = await processor_seconds(http, f"{large}{query}")
            mark = MARKS["/v1" if query.startswith("/v1") else "/groups"]
            assert text.count(mark) == (10 if "find" in query else 0 if "busy" in query else 50)
            ratios[query] = round(many_seconds / few_seconds, 1)
        rollout = [await once(http, f"{url}/rollouts/agent/{ORG}/p") for url in (small, large)]
        each = rollout[1] / LARGE / (rollout[0] / SMALL)

    assert {query: ratio for query, ratio in ratios.items() if ratio > MOST_TIMES_LONGER} == {}
    assert each < 2.0, f"a rollout takes {rollout[1]:.3f} s, {each:.1f} times as long for each group as a small one"


async def test_a_rollout_that_many_look_at_is_put_together_once() -> None:
    operations, now = await coordinator_of(SMALL, ()), datetime(2026, 3, 4, tzinfo=UTC)
    rollouts = Rollouts(operations)

    first = await rollouts.whole((Kind.AGENT, PolicyId(f"{ORG}/p")), now)

    assert await rollouts.whole((Kind.AGENT, PolicyId(f"{ORG}/p")), now) is first
    assert await rollouts.whole((Kind.SERVICE, PolicyId(f"{ORG}/p")), now) is not first


async def test_a_policy_that_no_node_knows_is_refused_without_a_look_at_every_group() -> None:
    async with aiohttp.ClientSession() as http, console_of(LARGE, ["p"]) as large:
        rollout_seconds = await once(http, f"{large}/v1/rollouts/{ORG}/p")
        unknown_seconds = await once(http, f"{large}/v1/rollouts/{ORG}/nope", status=404)

    assert unknown_seconds < rollout_seconds / 5, f"{unknown_seconds:.3f} s, and {rollout_seconds:.3f} s for a rollout"


@pytest.mark.parametrize("of_another", [True, False], ids=["of another upgrade", "for another group"])
async def test_what_needs_a_person_looks_at_no_other_approval_for_each_waiter(of_another: bool) -> None:
    """Every view of what needs a person asks for it, while questions are answered by the same process."""
    operations = await coordinator_of(2_000, ())
    ledger, now = operations._situation.ledger, operations._situation.now()  # noqa: SLF001 - as above
    for number in range(2_000):
        claim = Claim(holder=node_id(ORG, f"n{number}-a"), kind=Kind.AGENT, subject=policy_id(ORG, "p"))
        ask = Ask(group=group_id(ORG, f"group-{number:05}"), claim=claim)
        reasons = (Reason(code=Code.NOT_APPROVED, text="it is not approved"),)
        ledger.note(Waiter(ask=ask, since=now.seen, asked_at=now.seen, reasons=reasons))

    def least_seconds() -> float:
        taken = list[float]()
        for _ in range(5):
            began = time.process_time()
            assert [each.groups for each in operations.orders(with_windows=False).awaited] == [2_000]
            taken.append(time.process_time() - began)
        return min(taken)

    before_seconds = least_seconds()
    for number in range(200):
        policy, scope = (f"other{number}", ORG) if of_another else ("p", f"{ORG}/elsewhere-{number}")
        given = Approval(
            scope=scope, kind=Kind.AGENT, subject=policy_id(ORG, policy), since=now.wall, by="admin", why="tried"
        )
        ledger.approvals[str(number),] = given
    times = least_seconds() / before_seconds

    # measured: 1.1 and 1.8, and 17 with a look at each
    assert times < 4.0, f"with 200 approvals it takes {times:.1f} times as long"


async def test_a_release_that_failed_in_every_group_is_looked_for_by_the_cycle_alone() -> None:
    """Each probe of the daemon shows it, and no question is answered meanwhile."""
    operations = await coordinator_of(5_000, ())
    situation, clock = operations._situation, operations._situation.clock  # noqa: SLF001 - as above
    failures = operations._failures  # noqa: SLF001 - as above
    assert isinstance(clock, HandClock)

    def fails(numbers: range) -> None:
        begun = situation.picture.begin()
        for number in numbers:
            statuses = {policy_id(ORG, "p"): status("download failed")}
            situation.picture.learn_statuses(node_id(ORG, f"n{number}-a"), statuses, begun=begun, now=situation.now())

    def failed() -> int:
        return operations.overview().failed

    fails(range(100))
    assert failed() == 100, "a few are looked for at once"
    fails(range(100, 4_000))
    began = time.process_time()
    await failures.look()
    look_seconds = time.process_time() - began
    assert failed() == 4_000
    fails(range(4_000, 5_000))
    await failures.look()
    began = time.process_time()
    assert [failed() for _ in range(10)] == [4_000] * 10
    assert (time.process_time() - began) / 10 < look_seconds / 5
    clock.advance(6.0)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    await failures.look()
    beside.cancel()
    assert failed() == 5_000
    assert turns > 1, "questions are answered during the look"


async def once(http: aiohttp.ClientSession, address: str, status: int = 200) -> float:
    """Return the time of processor of one page, which is not in memory yet."""
    began = time.process_time()
    async with http.get(address) as reply:
        assert reply.status == status
        await reply.read()
    return time.process_time() - began
