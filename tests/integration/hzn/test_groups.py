"""Creating, replacing, listing and removing groups: what `hzn` does, and what it leaves open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from agbot.sim.faults import FaultKind
from tests.integration.hzn.conftest import Hub


def add(hub: Hub, tmp_path: Path, body: object, *words: str, user: str = "o1/admin:adminpw") -> Result:
    file = tmp_path / "group.json"
    file.write_text(body if isinstance(body, str) else json.dumps(body), encoding="utf-8")
    return hub.run("hagroup", "add", "-f", str(file), *words, user=user)


def test_a_new_group_is_created_with_its_members(hub: Hub, tmp_path: Path) -> None:
    done = add(hub, tmp_path, {"name": "g9", "description": "nine", "members": ["n4", "o1/n4", "n4"]})

    assert (done.exit_code, done.stdout) == (0, "HA group o1/g9 added in the Horizon Exchange\n")
    assert "'n4' is listed more than once; it is used once" in done.stderr
    assert hub.members("g9") == ["n4"]


def test_an_existing_group_says_what_it_adds_and_removes(hub: Hub, tmp_path: Path) -> None:
    done = add(hub, tmp_path, {"name": "g1", "description": "group one", "members": ["n1", "n4"]})

    assert done.exit_code == 0
    assert "would add:    n4" in done.stderr
    assert "would remove: n2, n3" in done.stderr
    assert done.stdout == "HA group o1/g1 updated in the Horizon Exchange: added n4; removed n2, n3\n"
    assert hub.members("g1") == ["n1", "n4"]


def test_a_dry_run_reads_everything_and_changes_nothing(hub: Hub, tmp_path: Path) -> None:
    existing = add(hub, tmp_path, {"name": "g1", "description": "d", "members": []}, "--dry-run")
    new = add(hub, tmp_path, {"name": "g9", "description": "d", "members": ["n4"]}, "--dry-run")
    removed = hub.run("hagroup", "remove", "g1", "--dry-run")
    member = hub.run("hagroup", "member", "add", "g2", "-m", "n4", "--dry-run")

    assert [each.exit_code for each in (existing, new, removed, member)] == [0, 0, 0, 0]
    assert "would remove: n1, n2, n3" in existing.stderr
    assert "would be created with 1 member" in new.stdout
    assert "with 3 members would be removed" in removed.stdout
    assert "would be added" in member.stdout
    assert (hub.members("g1"), hub.members("g2"), hub.has("g9")) == (["n1", "n2", "n3"], [], False)


@pytest.mark.parametrize(("name", "code"), [("g9", 1), ("g2", 5)])
def test_a_node_in_another_group_is_named_with_that_group(hub: Hub, tmp_path: Path, name: str, code: int) -> None:
    """`hzn` ends with 1 for a new group and 5 for one that exists; which node it is, it never says."""
    done = add(hub, tmp_path, {"name": name, "description": "d", "members": ["n4", "n2", "m1"]})

    assert done.exit_code == code
    assert "m1 is in gu, n2 is in g1" in done.stderr
    create = "create the group without them; then " if name == "g9" else ""
    assert f"next:  {create}`agbot hagroup member move {name} --node …` moves them" in done.stderr
    assert not hub.has("g9")
    assert hub.members("g2") == []


@pytest.mark.parametrize(
    ("body", "code", "stated"),
    [
        ({"name": "g9", "description": "d", "members": ["c1"]}, 1, "c1 is a cluster node"),
        ({"name": "g9", "description": "d", "members": ["nosuch"]}, 8, "there is no node nosuch in o1"),
        ({"name": "g9", "members": []}, 1, "the group has no description"),
        ({"description": "d"}, 1, "the group has no name"),
        ({"name": "g9", "description": "d", "members": "n4"}, 3, "$.members"),
        ('{"name": "g9", ', 3, "not the JSON of a group"),
        ("", 3, "not the JSON of a group"),
    ],
)
def test_bad_input_is_answered_clearly_and_changes_nothing(
    hub: Hub, tmp_path: Path, body: object, code: int, stated: str
) -> None:
    done = add(hub, tmp_path, body)

    assert done.exit_code == code
    assert stated in done.stderr
    assert not hub.has("g9")


def test_a_file_that_is_not_there_is_exit_code_4(hub: Hub) -> None:
    done = hub.run("hagroup", "add", "-f", "nosuch.json")

    assert done.exit_code == 4
    assert "No such file" in done.stderr


def test_the_template_comes_back_in_with_its_comments_and_variables(hub: Hub) -> None:
    template = hub.run("hagroup", "new").stdout
    written = template.replace('"name": ""', '"name": "g9"').replace(
        '"description": ""', '"description": "of $HZN_ORG_ID /* kept */"'
    )
    written = written.replace('"node1"', '"n4"').replace(',\n    "node2"', "")

    done = hub.run("hagroup", "add", "-f", "-", stdin=written)

    assert done.exit_code == 0, done.output
    assert hub.members("g9") == ["n4"]
    assert hub.json("hagroup", "list", "g9")["o1/g9"]["description"] == "of o1 /* kept */"


def test_an_empty_group_is_created_with_a_warning(hub: Hub, tmp_path: Path) -> None:
    done = add(hub, tmp_path, {"name": "g9", "description": "d"})

    assert done.exit_code == 0
    assert "o1/g9 has no members: it gates no node" in done.stderr
    assert hub.has("g9")


def test_a_program_gets_the_outcome_as_json_and_errors_too(hub: Hub, tmp_path: Path) -> None:
    done = add(hub, tmp_path, {"name": "g1", "description": "group one", "members": ["n1"]}, "--json")
    failed = hub.run("hagroup", "remove", "nosuch", "-f", "--json")

    assert json.loads(done.stdout) == {
        "text": "HA group o1/g1 updated in the Horizon Exchange: removed n2, n3",
        "group": "o1/g1",
        "did": "updated",
        "nodes_added": [],
        "nodes_removed": ["n2", "n3"],
        "nodes_unchanged": ["n1"],
    }
    assert json.loads(failed.stdout)["error"]["exit_code"] == failed.exit_code == 8


def test_an_organisation_without_groups_lists_none(hub: Hub) -> None:
    for name in ("g1", "g2", "gu"):
        hub.as_admin("DELETE", f"/hagroups/{name}")

    assert hub.run("hagroup", "list").stdout == "[]\n"
    assert hub.run("hagroup", "list", "-l").stdout == "[]\n"


def test_names_may_be_given_with_the_organisation(hub: Hub) -> None:
    assert list(hub.json("hagroup", "ls", "o1/g1")) == ["o1/g1"]
    assert hub.run("hagroup", "mb", "add", "o1/g2", "-m", "o1/n4").exit_code == 0
    assert hub.members("g2") == ["n4"]
    assert hub.run("hagr", "rm", "o1/g2", "-f").exit_code == 0
    assert not hub.has("g2")


@pytest.mark.parametrize(
    "words", [("list", "--nosuch"), ("nosuch",), ("add",), ("member", "add", "g1"), ("remove",), ("--nosuch",)]
)
def test_wrong_usage_is_exit_code_1_as_in_hzn(hub: Hub, words: tuple[str, ...]) -> None:
    assert hub.run("hagroup", *words).exit_code == 1


@pytest.mark.parametrize(
    ("environ", "code", "stated"),
    [
        ({}, 1, "there is no organisation"),
        ({"HZN_ORG_ID": "o1"}, 1, "no credentials were given"),
        ({"HZN_ORG_ID": "o1", "HZN_EXCHANGE_USER_AUTH": "admin"}, 1, "not of the form [org/]name:secret"),
        ({"HZN_ORG_ID": "o1", "HZN_EXCHANGE_USER_AUTH": "admin:x"}, 7, "HZN_EXCHANGE_URL is not set"),
        (
            {"HZN_ORG_ID": "o1", "HZN_EXCHANGE_USER_AUTH": "admin:x", "HZN_EXCHANGE_URL": "http://127.0.0.1:1/v1"},
            5,
            "connection refused",
        ),
    ],
)
@pytest.mark.parametrize("command", [("new",), ("list",), ("remove", "g1", "-f")])
def test_what_is_missing_is_reported_in_the_order_of_hzn(
    hub: Hub, command: tuple[str, ...], environ: dict[str, str], code: int, stated: str
) -> None:
    done = hub.run("hagroup", *command, environ=environ)

    assert done.exit_code == code
    assert stated in done.stderr
    assert ":x" not in done.output


def test_an_exchange_without_ha_groups_is_distinguished_from_one_that_has_none(hub: Hub) -> None:
    hub.fault(FaultKind.GARBAGE, path="admin/version", text="2.110.4")

    done = hub.run("hagroup", "list")

    assert done.exit_code == 7
    assert "the Exchange is 2.110.4; HA groups need 2.124.0" in done.stderr


def test_verbose_reports_every_request_and_no_secret(hub: Hub) -> None:
    done = hub.run("hagroup", "list", "-v")

    assert "[verbose] GET /orgs/o1/hagroups: 200" in done.stderr
    assert "adminpw" not in done.output


def test_a_file_of_the_machine_is_the_last_resort(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "horizon"
    file.write_text(
        f'# agent\nHZN_EXCHANGE_URL="{hub.url}"\nHZN_ORG_ID=o1\nHZN_EXCHANGE_USER_AUTH=not:read\n', encoding="utf-8"
    )
    monkeypatch.setattr("agbot.cli.hzn.environment.LAST_RESORT", file)

    found = hub.run("hagroup", "list", environ={"HZN_EXCHANGE_USER_AUTH": "admin:adminpw"})
    without = hub.run("hagroup", "list", environ={})

    assert json.loads(found.stdout) == ["o1/g1", "o1/g2", "o1/gu"]
    assert without.exit_code == 1


def test_the_own_version_is_shown_where_no_organisation_is_given(hub: Hub) -> None:
    """As `hzn version` does for an agent that it cannot ask."""
    alone, both = hub.run("version", environ={}), hub.run("version")

    assert (alone.exit_code, both.exit_code) == (0, 0)
    first, second = alone.stdout.splitlines()
    assert first == both.stdout.splitlines()[0]
    assert second.startswith("Exchange version: failed to get: ")
    assert "give -o ORG or set HZN_ORG_ID" in second
    assert json.loads(hub.run("version", "--json", environ={}).stdout)["exchange"] is None
