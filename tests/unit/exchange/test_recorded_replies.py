"""Every recorded reply of a real Exchange that we would read decodes to the right values."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from agbot.exchange import resources
from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import ExchangeError, Failed, Forbidden, Refused
from agbot.exchange.transport import Reply
from agbot.rules.facts import Agreement, Node, NodeType, Policy
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId
from agbot.rules.statuses import Phase, Status
from tests.support.clocks import NOON, HandClock
from tests.support.scripted_transport import ScriptedTransport

RECORDED = Path(__file__).parents[2] / "recorded" / "exchange.jsonl"
ROWS: dict[str, dict[str, Any]] = {
    row["name"]: row for row in map(json.loads, RECORDED.read_text("utf-8").splitlines())
}

O1 = OrgId("o1")
NODE = NodeId("o1/edge-gw-01")
NMP = PolicyId("o1/nmp-232")

Question = Callable[[ExchangeClient], Awaitable[object]]

PUBLISHED = datetime(2026, 11, 23, 5, 17, 15, 55343, tzinfo=UTC)


def recorded(name: str) -> Reply:
    row = ROWS[name]
    return Reply(status=row["status"], headers=row["headers"], body=(row["response_body"] or "").encode())


async def answer(question: Question, *names: str) -> tuple[object, ScriptedTransport]:
    """Ask, with these recordings as the answers."""
    transport = ScriptedTransport(*map(recorded, names))
    identity = Credentials(identity="IBM/agbot1", secret="made-up")
    clock = HandClock(parsedate_to_datetime(ROWS[names[0]]["headers"]["Date"]))
    client = ExchangeClient(transport, identity, clock)
    value = await question(client)
    for asked, name in zip(transport.asked, names, strict=True):
        assert (asked.method, f"/v1{asked.path}") == (ROWS[name]["method"], ROWS[name]["path"])
    return value, transport


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


AGREEMENT = Agreement(
    id="a1b2c3", service="o1/temp-sensor", finalized=True, updated_at=at("2026-11-23T05:17:17.378714Z")
)
NODE_IN_GROUP = Node(
    id=NODE,
    group=GroupId("o1/g1"),
    heartbeat_at=at("2026-11-23T05:17:10.091942Z"),
    heartbeat_stamp="2026-11-23T05:17:10.091942646Z",
    agent_version="2.32.0-1601",
    arch="amd64",
)

ANSWERS: dict[str, tuple[Question, tuple[str, ...], object]] = {
    "the version": (lambda client: client.version(), ("admin-version",), "2.154.0"),
    "no nodes": (lambda client: client.get(resources.NODES, O1), ("nodes-list-empty-404",), {}),
    "no groups": (lambda client: client.get(resources.GROUPS, O1), ("hagroups-list-empty-404",), {}),
    "the groups": (
        lambda client: client.get(resources.GROUPS, O1),
        ("hag-list-agbot",),
        {
            "o1/g1": ("o1/edge-gw-01", "o1/edge-gw-02"),
            "o1/k1": ("o1/k3s-cluster-01",),
            "o1/rootgrp": (),
            "o1/u1": ("o1/edge-gw-03",),
        },
    ),
    "a group": (
        lambda client: client.get(resources.GROUP, GroupId("o1/g1")),
        ("hag-get-agbot",),
        ("o1/edge-gw-01", "o1/edge-gw-02"),
    ),
    "a missing group": (
        lambda client: client.get(resources.GROUP, GroupId("o1/nosuch")),
        ("hag-get-missing-404",),
        None,
    ),
    "a node": (lambda client: client.node(NODE), ("node-get-in-group",), NODE_IN_GROUP),
    "a missing node": (lambda client: client.node(NodeId("o1/nosuch")), ("node-get-missing-404",), None),
    "no policies": (
        lambda client: client.get(resources.MANAGEMENT_POLICY, PolicyId("o1/nosuch")),
        ("nmp-get-missing-404",),
        None,
    ),
    "a management policy": (
        lambda client: client.get(resources.MANAGEMENT_POLICY, NMP),
        ("nmp-get",),
        Policy(id=NMP, revision="2026-11-23T05:17:15.055343719Z", revised_at=PUBLISHED),
    ),
    "no statuses": (lambda client: client.get(resources.STATUSES, NODE), ("nmpstatus-list-empty-404",), {}),
    "the statuses": (
        lambda client: client.get(resources.STATUSES, NODE),
        ("nmpstatus-list",),
        {
            NMP: Status(
                value="waiting",
                stamp="2026-11-23T05:17:15.399255471Z",
                updated_at=at("2026-11-23T05:17:15.399255Z"),
                target_version="2.32.0-1601",
            )
        },
    ),
    "no agreements": (lambda client: client.agreements(NODE), ("node-agreements-empty-404",), ()),
    "agreements of a node without a status": (
        lambda client: client.agreements(NODE),
        ("node-agreements-list", "nodestatus-get-missing-404"),
        (AGREEMENT,),
    ),
    "agreements with containers": (
        lambda client: client.agreements(NODE),
        ("node-agreements-list", "nodestatus-get"),
        (replace(AGREEMENT, version="1.2.0", containers=("running",)),),
    ),
    "a missing agbot": (
        lambda client: client.agbot_exists("IBM/nosuch", Credentials(identity="IBM/nosuch", secret="x")),
        ("agbot-get-missing-404",),
        False,
    ),
    "an agbot": (
        lambda client: client.agbot_exists("IBM/agbot1", Credentials(identity="IBM/agbot1", secret="x")),
        ("agbot-get",),
        True,
    ),
    "the last change id": (lambda client: client.max_change_id(), ("maxchangeid-agbot",), 72),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_a_recorded_reply_becomes_the_value(case: str) -> None:
    question, names, expected = ANSWERS[case]

    value, _ = await answer(question, *names)

    assert value == expected


async def test_the_recorded_node_list_has_every_node_with_its_type_and_heartbeat() -> None:
    value, _ = await answer(lambda client: client.get(resources.NODES, O1), "nodes-list-agbot")

    assert isinstance(value, dict)
    assert {node.id: (node.node_type, node.registered, node.group) for node in value.values()} == {
        "o1/k3s-cluster-01": (NodeType.CLUSTER, False, None),
        "o1/lee-box-01": (NodeType.DEVICE, False, None),
        "o1/edge-gw-01": (NodeType.DEVICE, False, None),
        "o1/edge-gw-02": (NodeType.DEVICE, False, None),
        "o1/edge-gw-03": (NodeType.DEVICE, False, None),
    }
    assert all(node.heartbeat_at and node.agent_version == "2.31.0-1540" for node in value.values())


PAGES = sorted(name for name, row in ROWS.items() if row["path"].endswith("/changes") and row["status"] == 201)


@pytest.mark.parametrize("name", PAGES)
async def test_a_recorded_feed_page_has_every_change_with_its_ids(name: str) -> None:
    body = json.loads(ROWS[name]["response_body"])
    transport = ScriptedTransport(recorded(name))
    client = ExchangeClient(transport, Credentials(identity="o1/agbot-o1", secret="made-up"), HandClock())

    page = await client.changes(77, None)

    assert transport.asked[0].path == "/orgs/o1/changes"
    assert transport.asked[0].body == {"changeId": 77, "maxRecords": 1000}
    assert (page.most_recent, page.hit_max) == (body["mostRecentChangeId"], body["hitMaxRecords"])
    assert [
        (f"{each.org}/{each.id}", each.resource, each.operation, list(each.change_ids)) for each in page.changes
    ] == [
        (
            f"{row['orgId']}/{row['id']}",
            row["resource"],
            row["operation"],
            [each["changeId"] for each in row["resourceChanges"]],
        )
        for row in body["changes"]
    ]


async def test_a_recorded_deployment_policy_has_its_service_and_the_only_version() -> None:
    policy = PolicyId("o1/bp-temp")
    client = ExchangeClient(
        ScriptedTransport(recorded("bp-list")), Credentials(identity="IBM/a", secret="x"), HandClock()
    )

    found = await client.get(resources.DEPLOYMENT_POLICY, policy)

    assert found == Policy(
        id=policy,
        arch="amd64",
        revision="2026-11-23T05:17:14.460382650Z",
        revised_at=found.revised_at if found else None,  # on a clock that the hand clock has moved
        service="o1/temp-sensor",
        top_version="1.2.0",
        versions=("1.2.0",),
    )


async def test_the_recorded_served_policies_name_the_organisation() -> None:
    transport = ScriptedTransport(recorded("agbot-businesspols"), Reply(status=404, body=b'{"patterns":{}}'))
    client = ExchangeClient(transport, Credentials(identity="IBM/agbot1", secret="x"), HandClock())

    assert await client.served_orgs("IBM/agbot1") == {"o1"}


@pytest.mark.parametrize(
    ("name", "error", "status"),
    [
        ("auth-none", Refused, 401),
        ("auth-unknown-id", Refused, 401),
        ("nodes-list-node-403", Forbidden, 403),
        ("unknown-path-auth", Failed, 404),
        ("changes-bad-lastupdated-400", Failed, 400),
    ],
)
async def test_a_recorded_refusal_is_an_error_by_its_status(name: str, error: type[ExchangeError], status: int) -> None:
    transport = ScriptedTransport(recorded(name))
    client = ExchangeClient(transport, Credentials(identity="IBM/agbot1", secret="made-up"), HandClock())

    with pytest.raises(error) as caught:
        await client.get(resources.NODES, O1)

    assert caught.value.status == status


def test_ha_node_waiting_is_recorded_as_the_rules_know_it() -> None:
    body = json.loads(ROWS["nmpstatus-get-ha-waiting"]["response_body"])
    value = body["managementStatus"]["o1/nmp-232"]["agentUpgradePolicyStatus"]["status"]

    assert Status(value=value, stamp="s", updated_at=NOON).phase is Phase.ASKING
