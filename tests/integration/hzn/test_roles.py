"""Who may do what: the commands as an organisation's admin, root, a user, a node's owner, an agbot and a node (`exchange-api.md` 1.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.hzn.conftest import Hub

ADMIN, ROOT, OWNER, USER = "o1/admin:adminpw", "root/root:rootpw", "o1/u1:u1pw", "o1/u2:u2pw"
AGBOT, NODE = "IBM/ab:ab-token", "o1/n1:n1tok"
CALLERS = {"admin": ADMIN, "root": ROOT, "owner": OWNER, "user": USER, "agbot": AGBOT, "node": NODE}

# What ends how: exit code by caller. g1 was created by the admin and holds the admin's nodes, gu by
# u1 with its node m1.
MATRIX = {
    "list g1": {"admin": 0, "root": 0, "owner": 0, "user": 0, "agbot": 0, "node": 5},
    "add ga": {"admin": 0, "root": 0, "owner": 0, "user": 0, "agbot": 5, "node": 5},
    "add ga with n4": {"admin": 0, "root": 0, "owner": 5, "user": 5, "agbot": 5, "node": 5},
    "add ga with m2": {"admin": 0, "root": 0, "owner": 0, "user": 5, "agbot": 5, "node": 5},
    "add g1 again": {"admin": 0, "root": 5, "owner": 5, "user": 5, "agbot": 5, "node": 5},
    "member add g1 m2": {"admin": 0, "root": 0, "owner": 5, "user": 5, "agbot": 5, "node": 5},
    "member add gu m2": {"admin": 0, "root": 0, "owner": 0, "user": 5, "agbot": 5, "node": 5},
    "member remove gu m1": {"admin": 0, "root": 0, "owner": 0, "user": 0, "agbot": 5, "node": 5},
    "member move gu n4": {"admin": 0, "root": 0, "owner": 5, "user": 5, "agbot": 5, "node": 5},
    "remove g1": {"admin": 0, "root": 5, "owner": 5, "user": 5, "agbot": 5, "node": 5},
    "remove gu": {"admin": 0, "root": 0, "owner": 0, "user": 5, "agbot": 5, "node": 5},
}
FILES = {
    "add ga": '{"description": "d", "members": []}',
    "add ga with n4": '{"description": "d", "members": ["n4"]}',
    "add ga with m2": '{"description": "d", "members": ["m2"]}',
    "add g1 again": '{"description": "d", "members": []}',
}


def words(case: str) -> list[str]:
    first, *rest = case.split()
    if first == "add":
        return ["hagroup", "add", rest[0], "-f", "group.json"]
    if first == "member":
        return ["hagroup", "member", rest[0], rest[1], "-m", rest[2], *(["-f"] if rest[0] != "add" else [])]
    return ["hagroup", first, *rest, *(["-f"] if first == "remove" else [])]


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("case", MATRIX)
def test_the_permission_matrix_of_the_exchange_is_what_a_caller_meets(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, caller: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "group.json").write_text(FILES.get(case, ""), encoding="utf-8")
    agbot = {"token": "ab-token", "name": "ab", "publicKey": ""}
    assert hub.send("root/root", "rootpw", "PUT", "/v1/orgs/IBM/agbots/ab", agbot) == 201

    done = hub.run(*words(case), user=CALLERS[caller])

    assert done.exit_code == MATRIX[case][caller], done.output
    if done.exit_code:
        assert "\n  tried: " in done.stderr
        assert CALLERS[caller].partition(":")[0] in done.stderr
        assert CALLERS[caller].partition(":")[2] not in done.output


def test_a_user_sees_all_groups_but_only_its_own_nodes_in_them(hub: Hub) -> None:
    seen = hub.json("hagroup", "list", "-l", user=OWNER)

    assert {name: group["members"] for name, group in seen.items()} == {"o1/g1": [], "o1/g2": [], "o1/gu": ["m1"]}


def test_a_node_with_its_own_credentials_may_not_list(hub: Hub) -> None:
    environ = {"HZN_EXCHANGE_URL": hub.url, "HZN_ORG_ID": "o1", "HZN_EXCHANGE_NODE_AUTH": "n1:n1tok"}
    by_environment = hub.run("hagroup", "list", environ=environ)
    by_option = hub.run("hagroup", "list", "-n", "n1:n1tok", environ={**environ, "HZN_EXCHANGE_NODE_AUTH": ""})

    assert (by_environment.exit_code, by_option.exit_code) == (5, 5)
    assert "o1/n1 may not do this" in by_option.stderr


def test_wrong_credentials_are_reported_with_what_to_check_and_without_the_secret(hub: Hub) -> None:
    done = hub.run("hagroup", "list", user="o1/admin:nonsense")

    assert done.exit_code == 5
    assert "check the name and the secret of o1/admin" in done.stderr
    assert "nonsense" not in done.output
