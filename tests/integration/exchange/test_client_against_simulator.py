"""The client against the simulated Exchange over real sockets: what people and nodes write is what we read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import quote

import pytest

from agbot.clock import SystemClock
from agbot.exchange import resources
from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import ExchangeError, Failed, Forbidden, Refused, Unreachable, Unreadable
from agbot.exchange.feed import ChangeFeed
from agbot.exchange.retry import Retry
from agbot.exchange.transport import HttpTransport
from agbot.rules.facts import NodeType
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId
from agbot.rules.statuses import Phase
from agbot.sim.clock import ScaledClock
from agbot.sim.exchange import SimExchange, seed, serving
from agbot.sim.faults import Fault, FaultKind
from tests.support.clocks import HandClock

O1 = OrgId("o1")
N1 = NodeId("o1/n1")
ODD_NAMES = [
    "edge@plant.example",
    "100%",
    "%2F",
    "a b",
    "knötchen",
    "узел",
    "a+b&c=d",
    "dots.in.it",
    "semi;colon",
    "q?m#h",
]


class Hub:
    """A simulated Exchange on a socket with our client in front of it, and no coordinator."""

    def __init__(self, exchange: SimExchange, url: str) -> None:
        self.exchange = exchange
        self.transport = HttpTransport(url)
        self.clock = SystemClock()
        self.client = self.client_of("IBM/us")

    def client_of(self, identity: str, *, secret: str | None = None, seconds: float = 5.0) -> ExchangeClient:
        known = Credentials(identity=identity, secret=secret or self.exchange.secret_of(identity))
        return ExchangeClient(self.transport, known, self.clock, request_seconds=seconds)

    def write(self, method: str, path: str, body: object = None, *, caller: str = "o1/admin") -> None:
        assert self.exchange.call(method, path, body, caller=caller).status < 300


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    exchange = SimExchange(clock=ScaledClock(), root_password="rootpw")
    seed.agbot(exchange, "IBM", "us")
    seed.org(exchange, "o1")
    async with serving(exchange) as server:
        found = Hub(exchange, server.url)
        yield found
        await found.transport.close()


async def test_a_new_hub_is_empty_in_every_respect(hub: Hub) -> None:
    client = hub.client

    assert await client.version() == "2.154.0"
    assert (await client.get(resources.GROUPS, O1), await client.get(resources.NODES, O1)) == ({}, {})
    assert (await client.get(resources.GROUP, GroupId("o1/g")), await client.node(N1)) == (None, None)
    assert (await client.get(resources.STATUSES, N1), await client.agreements(N1)) == ({}, ())
    assert await client.get(resources.MANAGEMENT_POLICY, PolicyId("o1/p")) is None
    assert await client.get(resources.DEPLOYMENT_POLICY, PolicyId("o1/p")) is None
    assert await client.served_orgs("IBM/us") == frozenset()


async def test_an_unknown_organisation_is_empty_too(hub: Hub) -> None:
    nowhere = OrgId("nowhere")

    assert (await hub.client.get(resources.GROUPS, nowhere), await hub.client.get(resources.NODES, nowhere)) == ({}, {})


async def test_groups_and_their_members_are_read(hub: Hub) -> None:
    for name in ("n1", "n2", "n3"):
        seed.node(hub.exchange, "o1", name)
    seed.group(hub.exchange, "o1", "g1", ["n1", "n2"])
    seed.group(hub.exchange, "o1", "empty", [])

    assert await hub.client.get(resources.GROUPS, O1) == {"o1/g1": ("o1/n1", "o1/n2"), "o1/empty": ()}
    assert await hub.client.get(resources.GROUP, GroupId("o1/g1")) == ("o1/n1", "o1/n2")
    assert {key: getattr(node, "group", node) for key, node in (await hub.client.get(resources.NODES, O1)).items()} == {
        "o1/n1": "o1/g1",
        "o1/n2": "o1/g1",
        "o1/n3": None,
    }


async def test_a_node_shows_type_version_registration_and_a_heartbeat_of_now(hub: Hub) -> None:
    seed.node(hub.exchange, "o1", "n1", version="2.32.0", node_type="cluster")
    seed.node(hub.exchange, "o1", "n2", public_key="")

    cluster, gone = await hub.client.node(N1), await hub.client.node(NodeId("o1/n2"))

    assert cluster is not None
    assert gone is not None
    assert (cluster.node_type, cluster.agent_version, cluster.registered) == (NodeType.CLUSTER, "2.32.0", True)
    assert (gone.node_type, gone.registered) == (NodeType.DEVICE, False)
    assert cluster.heartbeat_at is not None
    assert abs(cluster.heartbeat_at - hub.clock.now()) < timedelta(seconds=5)


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_ids_of_any_kind_reach_their_node_group_and_policy(hub: Hub, name: str) -> None:
    encoded = quote(name, safe="")
    node = {"token": "secret-of-it", "name": name, "nodeType": "device", "pattern": "", "publicKey": "k"}
    hub.write("PUT", f"/orgs/o1/nodes/{encoded}", node)
    hub.write("POST", f"/orgs/o1/hagroups/{encoded}", {"members": [name]})
    policy = {"label": "p", "description": "", "enabled": True, "start": "now", "startWindow": 0, "constraints": []}
    hub.write("POST", f"/orgs/o1/managementpolicies/{encoded}", policy)

    found = await hub.client.node(NodeId(f"o1/{name}"))
    groups = await hub.client.get(resources.GROUPS, O1)

    assert found is not None
    assert (found.id, found.group) == (f"o1/{name}", f"o1/{name}")
    assert groups == {f"o1/{name}": (f"o1/{name}",)}
    assert await hub.client.get(resources.GROUP, GroupId(f"o1/{name}")) == (f"o1/{name}",)
    assert await hub.client.get(resources.MANAGEMENT_POLICY, PolicyId(f"o1/{name}")) is not None
    themselves = Credentials(identity=f"o1/{name}", secret="secret-of-it")
    # the Exchange takes no identity with a space: such a node can be read, but never log in
    if " " in name:
        with pytest.raises(Refused):
            await hub.client.node(NodeId(f"o1/{name}"), themselves)
        return
    assert await hub.client.node(NodeId(f"o1/{name}"), themselves) == found


async def test_statuses_are_read_with_their_target_version_and_a_new_stamp_for_each_report(hub: Hub) -> None:
    seed.node(hub.exchange, "o1", "n1")
    seed.management_policy(hub.exchange, "o1", "p1")
    policy = PolicyId("o1/p1")
    seed.upgrade_status(hub.exchange, "o1", "n1", "p1", "initiated", version="2.32.0")
    first = (await hub.client.get(resources.STATUSES, N1))[policy]
    seed.upgrade_status(hub.exchange, "o1", "n1", "p1", "initiated", version="2.32.0")
    second = (await hub.client.get(resources.STATUSES, N1))[policy]

    assert (first.value, first.phase, first.target_version) == ("initiated", Phase.UNDER_WAY, "2.32.0")
    assert abs(first.updated_at - hub.clock.now()) < timedelta(seconds=5)
    assert second.stamp > first.stamp


async def test_a_disabled_policy_says_so_and_a_changed_one_has_a_new_revision(hub: Hub) -> None:
    seed.management_policy(hub.exchange, "o1", "p1")
    before = await hub.client.get(resources.MANAGEMENT_POLICY, PolicyId("o1/p1"))
    body = {"label": "p1", "description": "", "enabled": False, "start": "now", "startWindow": 0, "constraints": []}
    hub.write("PUT", "/orgs/o1/managementpolicies/p1", body)
    after = await hub.client.get(resources.MANAGEMENT_POLICY, PolicyId("o1/p1"))

    assert before is not None
    assert after is not None
    assert (before.enabled, after.enabled) == (True, False)
    assert before.revision != after.revision


async def test_a_deployment_policy_names_its_service_and_top_version(hub: Hub) -> None:
    choices = [
        {"version": "1.0.0", "priority": {"priority_value": 2, "retries": 1, "retry_durations": 60}},
        {"version": "2.0.0", "priority": {"priority_value": 1, "retries": 1, "retry_durations": 60}},
    ]
    for version in ("1.0.0", "2.0.0"):
        service = {
            "label": "",
            "public": False,
            "url": "svc",
            "version": version,
            "arch": "amd64",
            "sharable": "multiple",
        }
        hub.exchange.call("POST", "/orgs/o1/services", service, caller="o1/admin")
    body = seed.policy_body("o1", "svc", ["1.0.0"])
    body["service"]["serviceVersions"] = choices
    hub.write("POST", "/orgs/o1/business/policies/dp", body)

    policy = await hub.client.get(resources.DEPLOYMENT_POLICY, PolicyId("o1/dp"))

    assert policy is not None
    assert (policy.service, policy.top_version) == ("o1/svc", "2.0.0")


async def test_agreements_are_read_with_what_runs_under_them(hub: Hub) -> None:
    seed.node(hub.exchange, "o1", "n1")
    for key, state in (("a1", "Finalized Agreement"), ("a2", "Agree to proposal")):
        body = {"agreementService": {"orgid": "o1", "pattern": "", "url": "o1/svc"}, "state": state}
        hub.write("PUT", f"/orgs/o1/nodes/n1/agreements/{key}", body, caller="o1/n1")
    without = await hub.client.agreements(N1)
    running = {
        "agreementId": "a1",
        "serviceUrl": "svc",
        "orgid": "o1",
        "version": "1.0.0",
        "arch": "amd64",
        "containerStatus": [{"name": "c", "image": "i", "created": 1, "state": "running"}],
    }
    hub.write("PUT", "/orgs/o1/nodes/n1/status", {"connectivity": {}, "services": [running]}, caller="o1/n1")
    first, second = await hub.client.agreements(N1)

    assert [(each.id, each.finalized, each.containers) for each in without] == [("a1", True, ()), ("a2", False, ())]
    assert (first.service, first.version, first.containers) == ("o1/svc", "1.0.0", ("running",))
    assert (second.version, second.containers) == ("", ())


async def test_the_properties_of_a_node_are_read_and_a_node_without_a_policy_has_none(hub: Hub) -> None:
    seed.node(hub.exchange, "o1", "n1")
    without = await hub.client.get(resources.PROPERTIES, N1)
    body = {"properties": [{"name": "zone", "value": "east", "type": "string"}], "constraints": []}
    hub.write("PUT", "/orgs/o1/nodes/n1/policy", body, caller="o1/n1")

    assert without == {}
    assert await hub.client.get(resources.PROPERTIES, N1) == {"zone": "east"}


async def test_credentials_are_proved_by_the_exchange(hub: Hub) -> None:
    seed.node(hub.exchange, "o1", "n1")
    seed.node(hub.exchange, "o1", "n2")
    right = Credentials(identity="o1/n1", secret=seed.token_of("n1"))

    assert await hub.client.node(N1, right) is not None
    with pytest.raises(Refused):
        await hub.client.node(N1, Credentials(identity="o1/n1", secret="wrong"))
    with pytest.raises(Refused):
        await hub.client.node(N1, Credentials(identity="o1/ghost", secret="wrong"))
    with pytest.raises(Forbidden):
        await hub.client.node(N1, Credentials(identity="o1/n2", secret=seed.token_of("n2")))


async def test_an_agbot_proves_itself_and_a_missing_one_is_distinguished(hub: Hub) -> None:
    agbot = Credentials(identity="IBM/us", secret=seed.token_of("us"))

    assert await hub.client.agbot_exists("IBM/us", agbot) is True
    assert await hub.client.agbot_exists("IBM/other", agbot) is False
    with pytest.raises(Refused):
        await hub.client.agbot_exists("IBM/us", Credentials(identity="IBM/us", secret="wrong"))


async def test_an_agbot_of_an_organisation_may_not_read_another(hub: Hub) -> None:
    seed.org(hub.exchange, "o2")
    seed.agbot(hub.exchange, "o2", "theirs")

    with pytest.raises(Forbidden):
        await hub.client_of("o2/theirs").get(resources.NODES, O1)


async def test_the_served_organisations_are_those_of_policies_and_patterns(hub: Hub) -> None:
    seed.org(hub.exchange, "o2")
    seed.serves(hub.exchange, "IBM/us", "o1")
    hub.write(
        "POST", "/orgs/IBM/agbots/us/businesspols", {"businessPolOrgid": "o2", "businessPol": "*"}, caller="root/root"
    )

    assert await hub.client.served_orgs("IBM/us") == {"o1", "o2"}


async def test_the_wrong_base_url_is_a_failure_and_not_an_empty_hub(hub: Hub) -> None:
    seed.node(hub.exchange, "o1", "n1")
    wrong = HttpTransport(str(hub.transport._url).removesuffix("/v1"))  # noqa: SLF001 - the fixture's URL, without its end
    client = ExchangeClient(wrong, Credentials(identity="IBM/us", secret=seed.token_of("us")), hub.clock)
    for question in (
        client.get(resources.NODES, O1),
        client.node(N1),
        client.get(resources.GROUPS, O1),
        client.max_change_id(),
    ):
        with pytest.raises(ExchangeError):
            await question
    await wrong.close()


FAULTS = [
    (Fault(kind=FaultKind.STATUS, status=503), Failed),
    (Fault(kind=FaultKind.STATUS, status=500), Failed),
    (Fault(kind=FaultKind.DROP), Unreachable),
    (Fault(kind=FaultKind.TRUNCATE), Unreachable),
    (Fault(kind=FaultKind.GARBAGE), Unreadable),
    (Fault(kind=FaultKind.GARBAGE, text="{}"), Unreadable),
    (Fault(kind=FaultKind.GARBAGE, text='{"nodes":{"o2/n1":{}}}'), Unreadable),
    (Fault(kind=FaultKind.HANG), Unreachable),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS)
async def test_a_fault_is_an_error_of_its_kind_and_passes_with_its_cause(
    hub: Hub, fault: Fault, error: type[ExchangeError]
) -> None:
    seed.node(hub.exchange, "o1", "n1")
    client = hub.client_of("IBM/us", seconds=0.2)
    hub.exchange.faults.add(fault)
    with pytest.raises(error) as caught:
        await client.get(resources.NODES, O1)
    hub.exchange.faults.clear()

    assert seed.token_of("us") not in f"{caught.value} {caught.value!r}"
    found = await client.get(resources.NODES, O1)
    assert set(found) == {N1}


async def test_a_background_read_survives_a_short_outage(hub: Hub) -> None:
    seed.node(hub.exchange, "o1", "n1")
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, times=3))

    assert set(await Retry(HandClock())(lambda: hub.client.get(resources.NODES, O1))) == {N1}
    assert hub.exchange.count(template="/orgs/{org}/nodes") == 1


@pytest.mark.parametrize("ahead_seconds", [-7200.0, -1.0, 1.0, 7200.0])
async def test_a_heartbeat_is_of_now_whatever_the_exchanges_clock_says(hub: Hub, ahead_seconds: float) -> None:
    hub.exchange.faults.add(Fault(kind=FaultKind.CLOCK, seconds=ahead_seconds))
    seed.node(hub.exchange, "o1", "n1")

    found = await hub.client.node(N1)

    assert found is not None
    assert found.heartbeat_at is not None
    assert abs(found.heartbeat_at - hub.clock.now()) < timedelta(seconds=5)


async def test_our_own_reads_take_turns_and_a_nodes_do_not_wait_for_them(hub: Hub) -> None:
    seed.node(hub.exchange, "o1", "n1")
    hub.exchange.faults.add(Fault(kind=FaultKind.HANG, caller="IBM/us"))
    stuck = [asyncio.create_task(hub.client.get(resources.NODES, O1)) for _ in range(20)]
    await asyncio.sleep(0)

    found = await hub.client.node(N1, Credentials(identity="o1/n1", secret=seed.token_of("n1")))
    asked = sum(each["hits"] for each in hub.exchange.faults.to_json())

    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
    assert found is not None
    assert asked <= 8


async def test_the_feed_shows_every_change_once_and_nothing_of_heartbeats(hub: Hub) -> None:
    feed = ChangeFeed(hub.client, hub.clock)
    assert (await feed.poll()).resync is not None
    seed.node(hub.exchange, "o1", "n1")
    seed.group(hub.exchange, "o1", "g1", ["n1"])
    seed.management_policy(hub.exchange, "o1", "p1")
    seed.upgrade_status(hub.exchange, "o1", "n1", "p1", "waiting")
    news = await feed.poll()
    hub.write("POST", "/orgs/o1/nodes/n1/heartbeat", caller="o1/n1")
    silence = await feed.poll()
    hub.write("DELETE", "/orgs/o1/nodes/n1")
    end = await feed.poll()

    assert {(each.resource, f"{each.org}/{each.id}") for each in news.changes} == {
        ("node", "o1/n1"),
        ("ha_group", "o1/g1"),
        ("mgmtpolicy", "o1/p1"),
        ("nodemgmtpolstatus", "o1/n1"),
    }
    assert (silence.changes, silence.resync) == ((), None)
    assert [(each.resource, f"{each.org}/{each.id}", each.operation) for each in end.changes] == [
        ("node", "o1/n1", "deleted")
    ]


async def test_the_feed_follows_many_changes_through_small_pages_without_losing_one(hub: Hub) -> None:
    feed = ChangeFeed(hub.client, hub.clock, max_records=7)
    await feed.poll()
    names = [f"n{number}" for number in range(40)]
    for name in names:
        seed.node(hub.exchange, "o1", name)

    result = await feed.poll()
    ids = [change_id for each in result.changes for change_id in each.change_ids]

    assert result.resync is None
    assert [each.id for each in result.changes if each.resource == "node"] == names
    assert len(ids) == len(set(ids))
    assert feed.last_id == await hub.client.max_change_id()


async def test_the_feed_of_an_agbot_shows_its_own_organisation_only(hub: Hub) -> None:
    seed.org(hub.exchange, "o2")
    seed.agbot(hub.exchange, "o1", "ours")
    feed = ChangeFeed(hub.client_of("o1/ours"), hub.clock)
    await feed.poll()
    seed.node(hub.exchange, "o1", "n1")
    seed.node(hub.exchange, "o2", "n1")

    assert {each.org for each in (await feed.poll()).changes} == {"o1"}


async def test_an_exchange_that_was_set_up_again_makes_the_feed_begin_again(hub: Hub) -> None:
    for name in ("n1", "n2", "n3"):
        seed.node(hub.exchange, "o1", name)
    feed = ChangeFeed(hub.client, hub.clock)
    await feed.poll()
    another = SimExchange(clock=ScaledClock(), root_password="rootpw")
    hub.exchange.world.__dict__.update(another.world.__dict__)
    seed.agbot(hub.exchange, "IBM", "us")

    result = await feed.poll()

    assert result.resync is not None
    assert feed.last_id == hub.exchange.world.log.last_id


async def test_a_frozen_feed_gives_everything_when_it_thaws(hub: Hub) -> None:
    feed = ChangeFeed(hub.client, hub.clock)
    await feed.poll()
    hub.exchange.faults.add(Fault(kind=FaultKind.FREEZE))
    seed.node(hub.exchange, "o1", "n1")
    frozen = await feed.poll()
    hub.exchange.faults.clear()
    thawed = await feed.poll()

    assert (frozen.changes, frozen.resync) == ((), None)
    assert [f"{each.org}/{each.id}" for each in thawed.changes] == ["o1/n1"]
