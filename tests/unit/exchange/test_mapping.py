"""What the recordings do not show: priorities, odd agreements, served organisations, and replies that must not be believed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import pytest

from agbot.exchange import feed_page, mapping, policy_mapping, wire
from agbot.exchange.timestamps import ExchangeClock
from agbot.fleet.changes import Change, Read, What
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId
from agbot.rules.statuses import Phase

CLOCK = ExchangeClock()
NODE = NodeId("o1/n1")
POLICY = PolicyId("o1/p1")

Shape = TypeVar("Shape", bound=msgspec.Struct)


def wired(stated: object, shape: type[Shape]) -> Shape:
    """Decode what an Exchange would have written."""
    return msgspec.json.decode(msgspec.json.encode(stated), type=shape)


def node(**fields: Any) -> dict[str, Any]:
    return {"lastHeartbeat": None, "publicKey": None, "ha_group": None, **fields}


def nodes(*names: str, **fields: Any) -> wire.Nodes:
    return wired({"nodes": {name: node(**fields) for name in names}}, wire.Nodes)


def deployment(*choices: tuple[str, int | None]) -> wire.DeploymentPolicies:
    versions = [
        {"version": version, "priority": None if value is None else {"priority_value": value, "retries": 1}}
        for version, value in choices
    ]
    entry = {"service": {"name": "svc", "org": "o1", "serviceVersions": versions}, "lastUpdated": "t"}
    return wired({"businessPolicy": {POLICY: entry}}, wire.DeploymentPolicies)


@pytest.mark.parametrize(
    ("choices", "top"),
    [
        ([("1.0.0", None)], "1.0.0"),
        ([("1.0.0", 2), ("2.0.0", 1)], "2.0.0"),
        ([("2.0.0", 5), ("1.0.0", 45), ("3.0.0", 10)], "2.0.0"),
        ([("1.0.0", None), ("2.0.0", 3)], "2.0.0"),
        ([], ""),
    ],
)
def test_the_top_version_is_that_of_the_lowest_priority_value(choices: list[tuple[str, int | None]], top: str) -> None:
    policy = policy_mapping.one_deployment_policy(POLICY, deployment(*choices), ExchangeClock())

    assert policy is not None
    assert (policy.service, policy.top_version, policy.revision) == ("o1/svc", top, "t")


def test_a_node_that_never_was_seen_and_is_in_no_group_says_so_with_nulls() -> None:
    found = mapping.one_node(NODE, nodes(NODE), CLOCK)

    assert found is not None
    assert (found.heartbeat_at, found.group, found.registered, found.agent_version) == (None, None, False, "")


def test_a_node_is_read_whole() -> None:
    found = mapping.one_node(
        NODE,
        nodes(
            NODE,
            ha_group="gruppe süd",
            publicKey="QUJD",
            nodeType="cluster",
            lastHeartbeat="2026-11-23T12:00:00Z[UTC]",
            heartbeatIntervals={"maxInterval": 120},
            softwareVersions={"horizon": "2.31.0"},
        ),
        CLOCK,
    )

    assert found is not None
    assert found.group == GroupId("o1/gruppe süd")
    assert (found.node_type.value, found.registered, found.heartbeat_interval_seconds) == ("cluster", True, 120.0)


@pytest.mark.parametrize("missing", ["lastHeartbeat", "publicKey", "ha_group"])
def test_a_node_without_a_key_that_every_exchange_writes_is_not_believed(missing: str) -> None:
    entry = node()
    del entry[missing]

    with pytest.raises(ValueError, match=missing):
        mapping.one_node(NODE, wired({"nodes": {NODE: entry}}, wire.Nodes), CLOCK)


def test_a_heartbeat_that_cannot_be_read_does_not_become_none() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        mapping.one_node(NODE, nodes(NODE, lastHeartbeat="yesterday"), CLOCK)


def test_a_reply_about_another_node_is_not_believed() -> None:
    with pytest.raises(ValueError, match="o1/n2, not about o1/n1"):
        mapping.one_node(NODE, nodes("o1/n2"), CLOCK)


def test_a_node_list_with_strangers_is_not_believed() -> None:
    with pytest.raises(ValueError, match="o2/n1"):
        mapping.nodes(OrgId("o1"), nodes("o1/n1", "o2/n1"), CLOCK)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        {"status": "successful"},
        {"status": "successful", "lastUpdated": None},
        {"status": "successful", "lastUpdated": "just now"},
        {"status": None, "lastUpdated": "2026-11-23T12:00:00Z"},
        {"status": "successfull", "lastUpdated": "2026-11-23T12:00:00Z"},
    ],
)
def test_a_status_without_a_known_word_and_a_readable_time_is_unreadable_to_the_rules(entry: Any) -> None:
    reply = wired({"managementStatus": {POLICY: {"agentUpgradePolicyStatus": entry}}}, wire.ManagementStatuses)

    assert mapping.statuses(reply, CLOCK)[POLICY].phase is Phase.UNREADABLE


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [("2026-11-23T12:00:00.5Z", datetime(2026, 11, 23, 12, 0, 0, 500_000, tzinfo=UTC)), ("soon", None), (None, None)],
)
def test_an_agreement_reports_when_it_was_written_if_that_can_be_read(
    stamp: str | None, moment: datetime | None
) -> None:
    reply = wired({"agreements": {"a1": {"lastUpdated": stamp}}}, wire.Agreements)

    assert mapping.agreements(reply, None, CLOCK)[0].updated_at == moment


def test_a_pattern_is_one_policy_for_each_service_with_agreements() -> None:
    def listed(url: str, *versions: tuple[str, int | None], less: bool = False) -> dict[str, object]:
        choices = [
            {"version": version, "priority": None if value is None else {"priority_value": value}}
            for version, value in versions
        ]
        entry = {"serviceUrl": url, "serviceOrgid": "IBM", "serviceArch": "arm64", "serviceVersions": choices}
        return {**entry, "agreementLess": less}

    services = [listed("meter", ("1.0.0", 2), ("1.1.0", 1)), listed("log", ("3.0.0", None)), listed("gps", less=True)]
    stamp = "2026-11-23T12:00:00Z"
    reply = wired({"patterns": {"o1/line": {"services": services, "lastUpdated": stamp}}}, wire.Patterns)

    meter, log = policy_mapping.one_pattern("o1/line", reply, CLOCK) or ()

    assert (meter.id, meter.service, meter.versions) == ("o1/line_meter_IBM_arm64", "IBM/meter", ("1.1.0", "1.0.0"))
    assert (meter.pattern, meter.arch, meter.revision) == ("o1/line", "arm64", stamp)
    assert (log.id, log.top_version) == ("o1/line_log_IBM_arm64", "3.0.0")
    assert policy_mapping.one_pattern("o1/line", wire.Patterns(patterns={}), CLOCK) is None


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("my.meter", "my.meter"),
        ("https://example.com/services/meter/", "example.com-services-meter"),
        ("meters/electric", "meters-electric"),
    ],
)
def test_the_policies_of_a_pattern_are_named_as_the_agbot_names_them(url: str, named: str) -> None:
    service = {"serviceUrl": url, "serviceOrgid": "IBM", "serviceArch": "arm64", "serviceVersions": []}
    reply = wired({"patterns": {"o1/line": {"services": [service], "lastUpdated": ""}}}, wire.Patterns)

    (policy,) = policy_mapping.one_pattern("o1/line", reply, CLOCK) or ()

    assert policy.id == f"o1/line_{named}_IBM_arm64"


def test_properties_are_texts_and_those_for_everything_win() -> None:
    def listed(**values: object) -> list[dict[str, object]]:
        return [{"name": name, "value": value} for name, value in values.items()]

    whole = listed(zone="east", rack=7, spare=True, tags=["a", "b"], nothing=None)
    reply = wired(
        {
            "properties": whole,
            "deployment": {"properties": listed(zone="west", floor=2.5), "constraints": []},
            "management": {"properties": None},
        },
        wire.NodePolicy,
    )

    assert mapping.properties(reply) == {"zone": "east", "rack": "7", "spare": "true", "tags": "a,b", "floor": "2.5"}


def agreement(service: Any, state: str | None, *running: dict[str, Any]) -> Any:
    listed = wired({"agreements": {"a1": {"agrService": service, "state": state}}}, wire.Agreements)
    status = wired({"services": list(running)}, wire.NodeStatus)
    return mapping.agreements(listed, status, CLOCK)[0]


def container(*states: str, **fields: Any) -> dict[str, Any]:
    return {
        "agreementId": "a1",
        "orgid": "o1",
        "serviceUrl": "svc",
        "version": "1.0.0",
        "containerStatus": [{"state": state} for state in states],
        **fields,
    }


@pytest.mark.parametrize(
    ("service", "qualified"),
    [
        ({"orgid": "o1", "url": "o1/svc"}, "o1/svc"),
        ({"orgid": "o1", "url": "svc"}, "o1/svc"),
        ({"orgid": "o1", "url": "IBM/gps"}, "IBM/gps"),
        ({"orgid": "o1", "url": "https://old.example/gps"}, "o1/https://old.example/gps"),
        ({"orgid": "o1", "url": "o1/https://old.example/gps"}, "o1/https://old.example/gps"),
        (None, "o1/svc"),
    ],
)
def test_an_agreement_names_its_service_with_the_organisation(service: Any, qualified: str) -> None:
    assert agreement(service, "finalized", container("running")).service == qualified


@pytest.mark.parametrize(
    ("state", "finalized"),
    [
        ("Finalized Agreement", True),
        ("finalized", True),
        ("FINALIZED", True),
        ("Agree to proposal", False),
        ("Producer Agreed", False),
        ("", False),
        (None, False),
    ],
)
def test_an_agreement_is_final_when_the_agent_says_so(state: str | None, finalized: bool) -> None:
    assert agreement({"orgid": "o1", "url": "o1/svc"}, state).finalized is finalized


def test_all_containers_of_an_agreement_count_but_the_version_is_its_own_services() -> None:
    found = agreement(
        {"orgid": "o1", "url": "o1/svc"},
        "finalized",
        container("exited", serviceUrl="dependency", version="9.9.9"),
        container("running", "created"),
        container("running", agreementId="another"),
        container("running", agreementId=None),
    )

    assert (found.version, found.containers) == ("1.0.0", ("exited", "running", "created"))


def test_a_status_without_organisation_still_reports_the_version_of_the_only_service() -> None:
    assert agreement({"orgid": "o1", "url": "o1/svc"}, "finalized", container("running", orgid=None)).version == "1.0.0"


def test_an_agbot_serves_the_organisations_of_policies_patterns_and_nodes() -> None:
    policies = {
        "o1_*_o2": {"businessPolOrgid": "o1", "businessPol": "*", "nodeOrgid": "o2"},
        "o3_gps_o3": {"businessPolOrgid": "o3", "businessPol": "gps", "nodeOrgid": "gps"},
        "o4_*_o4": {"businessPolOrgid": "o4", "businessPol": "*", "nodeOrgid": "*"},
    }
    patterns = {"o5_*_o6": {"patternOrgid": "o5", "pattern": "*", "nodeOrgid": "o6"}, "IBM_p_": {"nodeOrgid": None}}

    found = mapping.served_orgs(
        wired({"businessPols": policies}, wire.ServedPolicies),
        wired({"patterns": patterns}, wire.ServedPatterns),
    )

    assert found == {"o1", "o2", "o3", "o4", "o5", "o6"}


def test_a_change_without_rows_is_not_believed() -> None:
    group = {"orgId": "o1", "resource": "node", "id": "n1", "operation": "modified", "resourceChanges": []}
    reply = wired({"changes": [group], "mostRecentChangeId": 1, "hitMaxRecords": False}, feed_page.ChangesPage)

    page = feed_page.Pages().page(reply, CLOCK)

    assert (page.changes, len(page.garbled)) == ((), 1)


def test_a_change_without_a_readable_time_is_a_change_all_the_same() -> None:
    rows = [{"changeId": 7, "lastUpdated": "9999-12-31T23:59:59Z"}]
    group = {"orgId": "o1", "resource": "node", "id": "n1", "operation": "modified", "resourceChanges": rows}
    reply = wired({"changes": [group], "mostRecentChangeId": 7, "hitMaxRecords": False}, feed_page.ChangesPage)

    (change,) = feed_page.Pages().page(reply, CLOCK).changes

    assert (change.id, change.change_ids, change.at) == ("n1", (7,), None)


def test_a_row_that_the_next_page_repeats_is_not_mapped_again_and_any_other_is() -> None:
    pages, row = feed_page.Pages(), {"changeId": 7, "lastUpdated": "2026-11-23T12:00:00Z"}

    def changes(*operations: str) -> tuple[Change, ...]:
        rows = [
            {"orgId": "o1", "resource": "node", "id": "n1", "operation": each, "resourceChanges": [row]}
            for each in operations
        ]
        reply = wired({"changes": rows, "mostRecentChangeId": 7, "hitMaxRecords": False}, feed_page.ChangesPage)
        return pages.page(reply, CLOCK).changes

    (first,) = changes("modified")
    again, other = changes("modified", "deleted")

    assert again is first
    assert (other.operation, other.ends) == ("deleted", (Read(what=What.NODE, id="o1/n1"),))
