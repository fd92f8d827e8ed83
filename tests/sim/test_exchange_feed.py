"""The change feed: what is in it, who sees it, and how it repeats, ends and forgets."""

from __future__ import annotations

from typing import Any

import pytest

from agbot.sim.exchange import SimExchange, seed
from agbot.sim.faults import Fault, FaultKind
from tests.sim.plant import ADMIN, AGBOT, HUB_ADMIN, IBM_AGBOT, NODE, OTHER_NODE, OWNER, ROOT, clock, plant


def poll(
    exchange: SimExchange, caller: str = IBM_AGBOT, *, org: str = "o1", records: int = 1000, **fields: Any
) -> dict[str, Any]:
    reply = exchange.call("POST", f"/orgs/{org}/changes", {"maxRecords": records, **fields}, caller=caller)
    assert reply.status == 201
    found: dict[str, Any] = reply.json()
    return found


def ids(feed: dict[str, Any]) -> list[int]:
    return sorted(row["changeId"] for change in feed["changes"] for row in change["resourceChanges"])


def rows(feed: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(change["resource"], change["id"], change["operation"]) for change in feed["changes"]}


def next_id(exchange: SimExchange) -> int:
    return exchange.world.log.last_id + 1


def written(exchange: SimExchange, method: str, path: str, body: Any = None, caller: str = ADMIN) -> set[Any]:
    """Return the rows that one write makes, as an admin of the organisation sees them."""
    start = next_id(exchange)
    assert exchange.call(method, path, body, caller=caller).status in (201, 204)
    return rows(poll(exchange, ADMIN, changeId=start)) if exchange.world.log.last_id >= start else set()


def test_a_row_whose_id_is_asked_for_comes_with_two_seconds_before_it() -> None:
    at = clock()
    exchange = plant(at)
    first = next_id(exchange)
    for seconds in (0, 1, 1, 1):
        at.advance(seconds)
        exchange.call("PATCH", "/orgs/o1/nodes/n1", {"name": "x"}, caller=NODE)
    assert ids(poll(exchange, changeId=first + 3)) == [first + 1, first + 2, first + 3]
    assert ids(poll(exchange, changeId=first + 4)) == []


def test_rows_are_grouped_and_carry_the_operation_of_the_last() -> None:
    exchange = plant()
    start = next_id(exchange)
    exchange.call("DELETE", "/orgs/o1/hagroups/usr", caller=OWNER)
    exchange.call("POST", "/orgs/o1/hagroups/usr", {"members": []}, caller=OWNER)
    assert rows(poll(exchange, changeId=start)) == {("ha_group", "usr", "created"), ("node", "n2", "modified")}


def test_a_full_page_ends_at_its_last_row_and_a_short_one_at_the_end_of_the_log() -> None:
    exchange = plant()
    full = poll(exchange, ROOT, records=3)
    assert (full["hitMaxRecords"], full["mostRecentChangeId"], ids(full)) == (True, 3, [1, 2, 3])
    short = poll(exchange, ROOT)
    assert (short["hitMaxRecords"], short["mostRecentChangeId"]) == (False, exchange.world.log.last_id)


def test_a_poll_without_a_number_of_records_gets_none() -> None:
    exchange = plant()
    feed = exchange.call("POST", "/orgs/o1/changes", {}, caller=IBM_AGBOT).json()
    assert (feed["changes"], feed["hitMaxRecords"]) == ([], False)


def test_rows_older_than_four_hours_are_gone_after_the_hourly_purge() -> None:
    at = clock()
    exchange = plant(at)
    poll(exchange)
    at.advance(4 * 3600 + 60)
    exchange.call("PATCH", "/orgs/o1/nodes/n1", {"name": "late"}, caller=NODE)
    assert ids(poll(exchange, ROOT, changeId=1)) == [exchange.world.log.last_id]


def test_last_updated_reaches_ten_seconds_back_and_yields_to_a_change_id() -> None:
    at = clock()
    exchange = plant(at)
    start = next_id(exchange)
    for seconds in (0, 9, 2):
        at.advance(seconds)
        exchange.call("PATCH", "/orgs/o1/nodes/n1", {"name": "x"}, caller=NODE)
    now = at.now().isoformat().replace("+00:00", "Z[UTC]")
    assert ids(poll(exchange, lastUpdated=now)) == [start + 1, start + 2]
    assert ids(poll(exchange, lastUpdated=now, changeId=start + 99)) == []


def test_a_poll_is_the_callers_heartbeat_and_makes_no_row() -> None:
    at = clock()
    exchange = plant(at)
    at.advance(100)
    start = next_id(exchange)
    poll(exchange, NODE)
    poll(exchange, AGBOT)
    assert exchange.world.nodes["o1", "n1"].doc["lastHeartbeat"].startswith("2026-11-23T12:01:50")
    assert exchange.world.agbots["o1", "agbot1"].doc["lastHeartbeat"].startswith("2026-11-23T12:01:50")
    assert exchange.world.nodes["o1", "n1"].doc["lastUpdated"].startswith("2026-11-23T12:00:00")
    assert next_id(exchange) == start


@pytest.mark.parametrize(
    ("caller", "org", "fields", "orgs"),
    [
        (ROOT, "o2", {}, {"IBM", "root", "o1", "o2"}),
        (AGBOT, "o1", {}, {"o1"}),
        (AGBOT, "o1", {"orgList": ["*"]}, {"o1"}),
        (OWNER, "o1", {}, {"o1"}),
        (HUB_ADMIN, "o2", {}, {"o2"}),
        (IBM_AGBOT, "o1", {"orgList": ["*"]}, {"IBM", "root", "o1", "o2"}),
        (IBM_AGBOT, "o1", {"orgList": [""]}, {"IBM", "root", "o1", "o2"}),
    ],
)
def test_rows_are_shown_of_the_organisations_that_a_caller_may_see(
    caller: str, org: str, fields: dict[str, Any], orgs: set[str]
) -> None:
    assert {change["orgId"] for change in poll(plant(), caller, org=org, **fields)["changes"]} == orgs


def test_a_multitenant_agbot_sees_of_other_organisations_only_that_they_were_created_unless_it_asks() -> None:
    feed = poll(plant(), org="o1")
    foreign = {(change["orgId"], change["resource"]) for change in feed["changes"] if change["orgId"] != "o1"}
    assert foreign == {("IBM", "org"), ("root", "org"), ("o2", "org")}
    asked = poll(plant(), org="IBM", orgList=["o1"])
    assert ("ha_group", "adm", "created") in rows(asked)


def test_what_agents_may_run_is_seen_by_every_organisation_but_by_a_multitenant_agbot_only_on_asking() -> None:
    exchange = plant()
    files: dict[str, list[str]] = {"agentCertVersions": [], "agentConfigVersions": [], "agentSoftwareVersions": []}
    exchange.call("PUT", "/orgs/IBM/AgentFileVersion", files)
    row = ("agentfileversion", "IBM", "modified")
    seen = {caller: row in rows(poll(exchange, caller)) for caller in (NODE, OWNER, AGBOT, IBM_AGBOT)}
    assert seen == {NODE: True, OWNER: True, AGBOT: True, IBM_AGBOT: False}
    assert row in rows(poll(exchange, orgList=["IBM"]))


def test_a_node_sees_itself_and_policies_but_no_groups_and_no_other_node() -> None:
    exchange = plant()
    seed.upgrade_status(exchange, "o1", "n1", "nmp", "waiting")
    resources = {(resource, name) for resource, name, _ in rows(poll(exchange, NODE))}
    assert resources == {("node", "n1"), ("nodemgmtpolstatus", "n1"), ("mgmtpolicy", "nmp"), ("org", "o1")}


@pytest.mark.parametrize("agbot", [AGBOT, IBM_AGBOT])
def test_agbots_see_upgrade_statuses_and_ends_of_agreements_but_no_service_statuses(agbot: str) -> None:
    exchange = plant()
    start = next_id(exchange)
    agreement = {"agreementService": {"orgid": "o1", "pattern": "", "url": "o1/s"}, "state": "finalized"}
    seed.upgrade_status(exchange, "o1", "n1", "nmp", "waiting")
    seed.send(exchange, "PUT", "/orgs/o1/nodes/n1/status", {"services": []}, caller=NODE)
    seed.send(exchange, "PUT", "/orgs/o1/nodes/n1/agreements/a1", agreement, caller=NODE)
    seed.send(exchange, "PUT", "/orgs/o1/nodes/n2/agreements/a2", agreement, caller=OTHER_NODE)
    seed.send(exchange, "DELETE", "/orgs/o1/nodes/n2/agreements/a2", caller=OTHER_NODE)
    assert rows(poll(exchange, agbot, changeId=start)) == {
        ("nodemgmtpolstatus", "n1", "created/modified"),
        ("nodeagreements", "n2", "deleted"),
    }


def test_a_group_write_logs_its_nodes_and_itself_at_one_time() -> None:
    exchange = plant()
    start = next_id(exchange)
    body = {"members": ["free"]}
    assert written(exchange, "PUT", "/orgs/o1/hagroups/adm", body) == {
        ("ha_group", "adm", "modified"),
        ("node", "n1", "modified"),
        ("node", "free", "modified"),
    }
    feed = poll(exchange, changeId=start)
    assert len({row["lastUpdated"] for change in feed["changes"] for row in change["resourceChanges"]}) == 1


def test_a_change_of_description_logs_the_group_alone() -> None:
    assert written(plant(), "PUT", "/orgs/o1/hagroups/adm", {"description": ""}) == {("ha_group", "adm", "modified")}


def test_a_deleted_group_logs_its_former_members() -> None:
    assert written(plant(), "DELETE", "/orgs/o1/hagroups/adm") == {
        ("ha_group", "adm", "deleted"),
        ("node", "n1", "modified"),
    }


def test_a_deleted_node_leaves_its_group_without_a_group_row() -> None:
    exchange = plant()
    before = exchange.world.groups["o1", "adm"].last_updated
    assert written(exchange, "DELETE", "/orgs/o1/nodes/n1") == {("node", "n1", "deleted")}
    group = exchange.world.groups["o1", "adm"]
    assert (group.members, group.last_updated) == (set(), before)


def test_heartbeats_and_users_make_no_rows() -> None:
    exchange = plant()
    assert written(exchange, "POST", "/orgs/o1/nodes/n1/heartbeat") == set()
    body = {"password": "p", "admin": False, "email": "e"}
    assert written(exchange, "POST", "/orgs/o1/users/new", body) == set()


def test_a_group_write_touches_neither_time_of_its_nodes() -> None:
    at = clock()
    exchange = plant(at)
    before = dict(exchange.world.nodes["o1", "free"].doc)
    at.advance(5)
    exchange.call("POST", "/orgs/o1/hagroups/adm/nodes/free", caller=ADMIN)
    assert exchange.world.nodes["o1", "free"].doc == {**before, "ha_group": "adm"}


def test_a_frozen_feed_stands_still_until_it_thaws() -> None:
    exchange = plant()
    start = next_id(exchange)
    handle = exchange.faults.add(Fault(kind=FaultKind.FREEZE, org="o1", caller="^IBM/"))
    exchange.call("PATCH", "/orgs/o1/nodes/n1", {"name": "x"}, caller=NODE)
    frozen = poll(exchange, changeId=start)
    assert (frozen["changes"], frozen["mostRecentChangeId"]) == ([], start - 1)
    assert exchange.call("GET", "/changes/maxchangeid", caller=NODE).json() == {"maxChangeId": start}
    assert ids(poll(exchange, NODE, changeId=start)) == [start]
    exchange.faults.remove(handle)
    assert ids(poll(exchange, changeId=start)) == [start]


def test_a_late_row_appears_below_the_id_that_was_already_given() -> None:
    at = clock()
    exchange = plant(at)
    exchange.faults.add(Fault(kind=FaultKind.LATE, seconds=1.5))
    start = next_id(exchange)
    exchange.call("PATCH", "/orgs/o1/nodes/n1", {"name": "x"}, caller=NODE)
    early = poll(exchange, changeId=start)
    assert (ids(early), early["mostRecentChangeId"]) == ([], start)
    at.advance(2)
    assert ids(poll(exchange, changeId=early["mostRecentChangeId"])) == [start]
