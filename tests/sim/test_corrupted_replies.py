"""Faults that make replies of the Exchange false, while its state stays as it is."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from agbot.sim.exchange import SimExchange, seed
from agbot.sim.faults import Fault, FaultKind
from tests.sim.plant import ADMIN, IBM_AGBOT, NODE, OTHER_NODE, clock, plant

NODES = "/orgs/o1/nodes"


def read(exchange: SimExchange, path: str = NODES) -> tuple[int, Any]:
    reply = exchange.call("GET", path, caller=IBM_AGBOT)
    return reply.status, reply.json()


def names(exchange: SimExchange) -> set[str]:
    return set(read(exchange)[1]["nodes"])


def test_a_list_of_nodes_can_be_empty_once() -> None:
    exchange = plant()
    exchange.faults.add(Fault(kind=FaultKind.EMPTY, times=1, path="/nodes$"))
    assert read(exchange) == (404, {"nodes": {}, "lastIndex": 0})
    assert names(exchange) == {NODE, OTHER_NODE, "o1/free"}


def test_a_list_of_nodes_can_leave_some_out() -> None:
    exchange = plant()
    exchange.faults.add(Fault(kind=FaultKind.SHORT, node="n[12]$"))
    assert names(exchange) == {"o1/free"}
    assert read(exchange, f"{NODES}/n1")[0] == 200


@pytest.mark.parametrize("below", ["", "/managementStatus", "/managementStatus/nmp"])
def test_what_exists_can_be_a_404_once_and_looks_as_if_it_were_not_there(below: str) -> None:
    exchange = plant()
    seed.upgrade_status(exchange, "o1", "n1", "nmp", "initiated")
    absent = read(exchange, f"{NODES}/free{below}" if below else f"{NODES}/nobody")
    exchange.faults.add(Fault(kind=FaultKind.ABSENT, times=1, path="/n1"))
    status, body = read(exchange, f"{NODES}/n1{below}")

    assert status == absent[0] == 404
    assert body.keys() == absent[1].keys()
    assert read(exchange, f"{NODES}/n1{below}")[0] == 200


def test_a_node_can_look_as_if_it_were_in_no_group() -> None:
    exchange = plant()
    exchange.faults.add(Fault(kind=FaultKind.NO_GROUP, node="n1$", times=2))
    groups = {name: doc["ha_group"] for name, doc in read(exchange)[1]["nodes"].items()}
    assert groups == {NODE: None, OTHER_NODE: "usr", "o1/free": None}
    assert read(exchange, f"{NODES}/n1")[1]["nodes"][NODE]["ha_group"] is None
    assert read(exchange, f"{NODES}/n1")[1]["nodes"][NODE]["ha_group"] == "adm"


def test_one_nodes_times_can_lie_in_the_year_9999() -> None:
    exchange = plant()
    for name in ("n1", "n2"):
        seed.upgrade_status(exchange, "o1", name, "nmp", "initiated")
    exchange.faults.add(Fault(kind=FaultKind.FUTURE, node="n1$"))
    updated = {name: doc["lastUpdated"][:4] for name, doc in read(exchange)[1]["nodes"].items()}
    assert updated == {NODE: "9999", OTHER_NODE: "2026", "o1/free": "2026"}
    for name, year in (("n1", "9999"), ("n2", "2026")):
        statuses = read(exchange, f"{NODES}/{name}/managementStatus")[1]["managementStatus"]
        assert statuses["o1/nmp"]["agentUpgradePolicyStatus"]["lastUpdated"].startswith(year)


@pytest.mark.parametrize("path", [NODES, f"{NODES}/n1", f"{NODES}/n1/managementStatus"])
def test_one_nodes_data_can_be_nested_deeper_than_a_parser_likes(path: str) -> None:
    exchange = plant()
    seed.upgrade_status(exchange, "o1", "n1", "nmp", "initiated")
    exchange.faults.add(Fault(kind=FaultKind.NESTED, node="n1$"))
    reply = exchange.call("GET", path, caller=IBM_AGBOT)
    assert not reply.truncated
    with pytest.raises(RecursionError):
        json.loads(reply.body)
    assert read(exchange, f"{NODES}/n2")[0] == 200


def test_a_proxy_in_front_has_a_date_of_its_own_and_the_exchanges_times_stay_right() -> None:
    exchange = plant()
    exchange.faults.add(Fault(kind=FaultKind.DATE, seconds=-3600))
    reply = exchange.call("POST", "/orgs/IBM/changes", {"changeId": 0, "maxRecords": 1}, caller=IBM_AGBOT)
    agbot = read(exchange, "/orgs/IBM/agbots/agbot1")[1]["agbots"][IBM_AGBOT]

    assert (exchange.now() - parsedate_to_datetime(reply.headers["Date"])).total_seconds() == 3600
    assert agbot["lastHeartbeat"].startswith(f"{exchange.now():%Y-%m-%dT%H:%M:%S}")


def test_faults_add_up() -> None:
    exchange = plant()
    exchange.faults.add(Fault(kind=FaultKind.SHORT, node="free"))
    exchange.faults.add(Fault(kind=FaultKind.NO_GROUP, node="n1$"))
    exchange.faults.add(Fault(kind=FaultKind.FUTURE, node="n2$"))
    found = read(exchange)[1]["nodes"]

    assert found.keys() == {NODE, OTHER_NODE}
    assert found[NODE]["ha_group"] is None
    assert found[OTHER_NODE]["lastUpdated"].startswith("9999")


def test_an_exchange_restored_from_a_backup_has_lost_rows_and_gives_their_ids_once_more() -> None:
    exchange = plant()
    copy, last = exchange.backup(), exchange.world.log.last_id
    seed.node(exchange, "o1", "later")
    seed.send(exchange, "DELETE", f"{NODES}/free", caller=ADMIN)
    assert exchange.world.log.last_id > last
    exchange.restore(copy)

    assert exchange.world.log.last_id == last
    assert names(exchange) == {NODE, OTHER_NODE, "o1/free"}
    seed.node(exchange, "o1", "other")
    assert exchange.world.log.last_id == last + 1


@pytest.mark.parametrize("seconds", [1.5, 30.0])
def test_who_reads_on_from_the_newest_id_loses_a_row_that_becomes_visible_after_a_later_one(seconds: float) -> None:
    at = clock()
    exchange = plant(at)
    late = exchange.faults.add(Fault(kind=FaultKind.LATE, seconds=seconds))
    seed.node(exchange, "o1", "slow")
    slow = exchange.world.log.last_id
    exchange.faults.remove(late)
    at.advance(seconds / 2)
    seed.node(exchange, "o1", "quick")
    exchange.faults.add(Fault(kind=FaultKind.LATE, seconds=seconds, rate=1.0, times=None))

    def ids(change_id: int) -> list[int]:
        body = {"changeId": change_id, "maxRecords": 1000, "orgList": ["*"]}
        found = exchange.call("POST", "/orgs/IBM/changes", body, caller=IBM_AGBOT).json()
        return sorted(row["changeId"] for one in found["changes"] for row in one["resourceChanges"])

    assert slow not in ids(slow)
    at.advance(seconds)
    assert slow not in ids(exchange.world.log.last_id + 1)
    assert slow in ids(slow)
