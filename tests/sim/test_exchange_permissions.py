"""Who may do what: the documented permission tables of the Exchange, cell by cell, beyond what was recorded."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.plant import (
    ADMIN,
    AGBOT,
    FOREIGN_ADMIN,
    FOREIGN_AGBOT,
    FOREIGN_NODE,
    HUB_ADMIN,
    IBM_ADMIN,
    IBM_AGBOT,
    NODE,
    OTHER_NODE,
    OTHER_USER,
    OWNER,
    ROOT,
    plant,
)

STATUS_BODY = {"agentUpgradePolicyStatus": {"scheduledTime": "2026-11-23T12:00:00Z", "status": "waiting"}}
POLICY_BODY = {"label": "p", "enabled": True}
FILES_BODY: dict[str, list[str]] = {
    "agentCertVersions": [],
    "agentConfigVersions": [],
    "agentSoftwareVersions": ["2.32.0"],
}

GROUP_ACTIONS: dict[str, tuple[str, str, Any]] = {
    "list": ("GET", "", None),
    "get": ("GET", "/adm", None),
    "create": ("POST", "/new", {"members": []}),
    "change admin's": ("PUT", "/adm", {"description": "x"}),
    "change user's": ("PUT", "/usr", {"description": "x"}),
    "delete admin's": ("DELETE", "/adm", None),
    "delete user's": ("DELETE", "/usr", None),
    "add to admin's": ("POST", "/adm/nodes/free", None),
    "add to user's": ("POST", "/usr/nodes/free", None),
    "remove n1 of admin's": ("DELETE", "/adm/nodes/n1", None),
    "remove n2 of user's": ("DELETE", "/usr/nodes/n2", None),
}
GROUP_MATRIX = {
    ROOT: (200, 200, 201, 403, 201, 403, 204, 201, 201, 204, 204),
    ADMIN: (200, 200, 201, 201, 201, 204, 204, 201, 201, 204, 204),
    OWNER: (200, 200, 201, 403, 201, 403, 204, 403, 201, 204, 204),
    OTHER_USER: (200, 200, 201, 403, 403, 403, 403, 403, 403, 204, 204),
    AGBOT: (200, 200, 403, 403, 403, 403, 403, 403, 403, 403, 403),
    IBM_AGBOT: (200, 200, 403, 403, 403, 403, 403, 403, 403, 403, 403),
    NODE: (403, 403, 403, 403, 403, 403, 403, 403, 403, 204, 403),
    HUB_ADMIN: (403,) * 11,
    FOREIGN_ADMIN: (403,) * 11,
    FOREIGN_AGBOT: (403,) * 11,
    FOREIGN_NODE: (403,) * 11,
}

OTHERS = (AGBOT, IBM_AGBOT, OTHER_USER, OTHER_NODE, HUB_ADMIN, FOREIGN_ADMIN, FOREIGN_AGBOT, FOREIGN_NODE)
WRITERS_OF_A_NODE = {ROOT: 201, ADMIN: 201, OWNER: 201, NODE: 201, **dict.fromkeys(OTHERS, 403)}
ADMINS_ONLY = {ROOT: 201, ADMIN: 201, OWNER: 403, NODE: 403, **dict.fromkeys(OTHERS, 403)}
ALL_NODES_OF_AN_ORG = {
    ROOT: 201,
    ADMIN: 201,
    AGBOT: 201,
    IBM_AGBOT: 201,
    OWNER: 403,
    NODE: 403,
    HUB_ADMIN: 403,
    FOREIGN_ADMIN: 403,
    FOREIGN_AGBOT: 403,
}
TABLES: dict[str, tuple[str, str, Any, dict[str, int]]] = {
    "read a node": (
        "GET",
        "/orgs/o1/nodes/n1",
        None,
        {ROOT: 200, ADMIN: 200, OWNER: 200, NODE: 200, **dict.fromkeys(OTHERS, 403), AGBOT: 200, IBM_AGBOT: 200},
    ),
    "list nodes": (
        "GET",
        "/orgs/o1/nodes",
        None,
        {ROOT: 200, ADMIN: 200, OWNER: 200, AGBOT: 200, IBM_AGBOT: 200, NODE: 403, HUB_ADMIN: 403, FOREIGN_ADMIN: 403},
    ),
    "heartbeat": ("POST", "/orgs/o1/nodes/n1/heartbeat", None, WRITERS_OF_A_NODE),
    "change a node": ("PATCH", "/orgs/o1/nodes/n1", {"msgEndPoint": "x"}, WRITERS_OF_A_NODE),
    "report an upgrade": ("PUT", "/orgs/o1/nodes/n1/managementStatus/nmp", STATUS_BODY, WRITERS_OF_A_NODE),
    "report services": ("PUT", "/orgs/o1/nodes/n1/status", {"services": []}, WRITERS_OF_A_NODE),
    "create a management policy": ("POST", "/orgs/o1/managementpolicies/p2", POLICY_BODY, ADMINS_ONLY),
    "change a management policy": ("PUT", "/orgs/o1/managementpolicies/nmp", POLICY_BODY, ADMINS_ONLY),
    "read a management policy": (
        "GET",
        "/orgs/o1/managementpolicies/nmp",
        None,
        {
            ROOT: 200,
            ADMIN: 200,
            OWNER: 200,
            NODE: 200,
            AGBOT: 200,
            IBM_AGBOT: 200,
            HUB_ADMIN: 403,
            FOREIGN_ADMIN: 403,
            FOREIGN_AGBOT: 403,
            FOREIGN_NODE: 403,
        },
    ),
    "say what agents may run": (
        "PUT",
        "/orgs/IBM/AgentFileVersion",
        FILES_BODY,
        {
            ROOT: 201,
            HUB_ADMIN: 201,
            IBM_ADMIN: 201,
            IBM_AGBOT: 201,
            AGBOT: 201,
            FOREIGN_AGBOT: 201,
            ADMIN: 403,
            OWNER: 403,
            NODE: 403,
        },
    ),
    "ask for health": ("POST", "/orgs/o1/search/nodehealth", {"lastTime": ""}, ALL_NODES_OF_AN_ORG),
    "ask for the last change": (
        "GET",
        "/changes/maxchangeid",
        None,
        {ROOT: 200, ADMIN: 200, AGBOT: 200, NODE: 200, OWNER: 403, HUB_ADMIN: 403},
    ),
    "follow changes": (
        "POST",
        "/orgs/o1/changes",
        {"maxRecords": 10},
        {
            ROOT: 201,
            ADMIN: 201,
            OWNER: 201,
            NODE: 201,
            AGBOT: 201,
            IBM_AGBOT: 201,
            HUB_ADMIN: 201,
            FOREIGN_ADMIN: 403,
            FOREIGN_AGBOT: 403,
            FOREIGN_NODE: 403,
        },
    ),
    "see the Exchange's status": (
        "GET",
        "/admin/status",
        None,
        {ROOT: 200, HUB_ADMIN: 200, ADMIN: 200, OWNER: 200, NODE: 403, AGBOT: 403},
    ),
    "create an organisation": (
        "POST",
        "/orgs/o9",
        {"label": "l", "description": "d"},
        {ROOT: 201, HUB_ADMIN: 201, ADMIN: 403, AGBOT: 403},
    ),
    "delete a node": (
        "DELETE",
        "/orgs/o1/nodes/n1",
        None,
        {ROOT: 204, ADMIN: 204, OWNER: 204, NODE: 204, **dict.fromkeys(OTHERS, 403)},
    ),
}


@pytest.mark.parametrize("caller", GROUP_MATRIX)
def test_groups_are_open_to_exactly_those_in_the_permission_matrix(caller: str) -> None:
    answered = {
        action: plant().call(method, f"/orgs/o1/hagroups{path}", body, caller=caller).status
        for action, (method, path, body) in GROUP_ACTIONS.items()
    }
    assert answered == dict(zip(GROUP_ACTIONS, GROUP_MATRIX[caller], strict=True))


@pytest.mark.parametrize("action", TABLES)
def test_a_route_is_open_to_exactly_those_in_its_table(action: str) -> None:
    method, path, body, expected = TABLES[action]
    answered = {caller: plant().call(method, path, body, caller=caller).status for caller in expected}
    assert answered == expected


def test_a_refusal_names_caller_permission_and_target() -> None:
    reply = plant().call("GET", "/orgs/o2/nodes/x1", caller=OWNER)
    assert reply.json() == {
        "code": "access-denied",
        "msg": "Access denied: 'o1/jdoe' does not have authorization: READ_OTHER_ORGS node=o2/x1",
    }


@pytest.mark.parametrize(
    ("caller", "body"),
    [
        (ROOT, {"code": "not-found", "msg": "resource 'o1/nosuch' not found"}),
        (FOREIGN_ADMIN, {"code": "not-found", "msg": "resource 'o1/nosuch' not found"}),
        (IBM_AGBOT, {"code": "not-found", "msg": "not found"}),
        (OWNER, {"code": "not-found", "msg": "not found"}),
    ],
)
def test_a_missing_node_is_missing_in_other_words_for_root_and_for_other_organisations(
    caller: str, body: dict[str, str]
) -> None:
    reply = plant().call("GET", "/orgs/o1/nodes/nosuch", caller=caller)
    assert (reply.status, reply.json()) == (404, body)


def test_a_user_sees_only_members_of_their_own_and_no_description_of_an_admins_group() -> None:
    exchange = plant()
    (group,) = exchange.call("GET", "/orgs/o1/hagroups/adm", caller=OTHER_USER).json()["nodeGroups"]
    assert (group["members"], group["description"]) == ([], "")
    (group,) = exchange.call("GET", "/orgs/o1/hagroups/adm", caller=OWNER).json()["nodeGroups"]
    assert (group["members"], group["description"]) == (["n1"], "")


def test_a_node_wins_over_a_user_of_the_same_name() -> None:
    exchange = plant()
    exchange.call("PUT", "/orgs/o1/nodes/jdoe", {"name": "x", "token": "t", "pattern": "", "publicKey": ""})
    assert exchange.call("GET", "/orgs/o1/nodes", caller="o1/jdoe").status == 403
