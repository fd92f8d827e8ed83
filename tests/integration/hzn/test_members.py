"""Adding, removing and moving members, and what follows for upgrades under way."""

from __future__ import annotations

import asyncio

import pytest

from agbot.cli.hzn import environment
from agbot.cli.hzn.environment import Options
from agbot.cli.hzn.members import _move_one
from agbot.cli.hzn.session import Session
from agbot.exchange.administration import Administration
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import Conflicting
from agbot.exchange.transport import HttpTransport
from agbot.rules.ids import group_id, node_id
from agbot.sim.faults import FaultKind
from tests.integration.hzn.conftest import Hub
from tests.support.patience import until


def test_nodes_are_added_and_those_already_inside_are_named(hub: Hub) -> None:
    done = hub.run("hagroup", "member", "add", "g1", "-m", "n4", "-m", "n1", "-m", "n4")

    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "Node n1 is already in HA group o1/g1.",
        "The following nodes are added to HA group o1/g1: n4",
    ]
    assert hub.members("g1") == ["n1", "n2", "n3", "n4"]


def test_a_node_in_another_group_stays_there_and_the_others_are_added(hub: Hub) -> None:
    done = hub.run("hagroup", "member", "add", "g2", "-m", "n1", "-m", "n4")

    assert done.exit_code == 1
    assert "n1 is in g1; added nevertheless: n4" in done.stderr
    assert (hub.members("g1"), hub.members("g2")) == (["n1", "n2", "n3"], ["n4"])


@pytest.mark.parametrize(
    ("words", "fault", "stated"),
    [
        (("add", "g2", "-m", "n4", "-m", "n3"), ("POST", "hagroups/g2/nodes/n3"), "added before that: n4"),
        (("remove", "g1", "-m", "n1", "-m", "n2", "-f"), ("DELETE", "hagroups/g1/nodes/n2"), "removed before that: n1"),
        (("move", "g2", "-m", "n1", "-m", "n2", "-f"), ("POST", "hagroups/g2/nodes/n2"), "moved before that: n1"),
    ],
    ids=lambda each: each[0],
)
def test_a_failure_in_the_middle_names_what_was_done_before_it(
    hub: Hub, words: tuple[str, ...], fault: tuple[str, str], stated: str
) -> None:
    hub.run("hagroup", "member", "remove", "g1", "-m", "n3", "-f")
    hub.fault(FaultKind.STATUS, status=500, method=fault[0], path=fault[1])

    done = hub.run("hagroup", "member", *words)

    assert (done.exit_code, stated in done.stderr) == (5, True), done.stderr


@pytest.mark.parametrize(
    ("words", "code", "stated"),
    [
        (("member", "add", "g2", "-m", "c1"), 1, "c1 is a cluster node"),
        (("member", "add", "g2", "-m", "nosuch"), 8, "there is no node nosuch in o1"),
        (("member", "add", "nosuch", "-m", "n4"), 8, "there is no HA group nosuch in o1"),
        (("member", "remove", "nosuch", "-m", "n4", "-f"), 8, "there is no HA group nosuch in o1"),
        (("member", "remove", "g1", "-m", "o2/n1", "-f"), 1, "of another organisation"),
        (
            ("member", "remove", "g1", "-m", "n1", "-m", "nn1", "-f"),
            8,
            "there is no node nn1 in o1 (did you mean o1/n1?)",
        ),
        (("member", "move", "nosuch", "-m", "n1", "-f"), 8, "there is no HA group nosuch in o1"),
        (("member", "move", "g2", "-m", "c1", "-f"), 1, "c1 is a cluster node"),
        (("member", "move", "g2", "-m", "n1"), 1, "the input ended without an answer"),
    ],
)
def test_bad_input_is_answered_clearly_and_changes_nothing(
    hub: Hub, words: tuple[str, ...], code: int, stated: str
) -> None:
    done = hub.run("hagroup", *words)

    assert done.exit_code == code
    assert stated in done.stderr
    assert (hub.members("g1"), hub.members("g2")) == (["n1", "n2", "n3"], [])


def test_a_member_is_removed_after_a_yes_only(hub: Hub) -> None:
    no = hub.run("hagroup", "member", "remove", "g1", "-m", "n1", stdin="n\n")
    assert (no.exit_code, hub.members("g1")) == (0, ["n1", "n2", "n3"])

    yes = hub.run("hagroup", "member", "remove", "g1", "-m", "n1", "-m", "n4", stdin="y\n")
    assert yes.exit_code == 0
    assert "Node n4 is not in HA group o1/g1." in yes.stdout
    assert "Node n1 is removed from HA group o1/g1" in yes.stdout
    assert hub.members("g1") == ["n2", "n3"]


def test_a_node_is_moved_as_one_step(hub: Hub) -> None:
    done = hub.run("hagroup", "member", "move", "g2", "-m", "n1", "-m", "n4", "-f")

    assert done.exit_code == 0
    assert "Moved o1/n1 from g1, o1/n4 from no group to HA group o1/g2" in done.stdout
    assert (hub.members("g1"), hub.members("g2")) == (["n2", "n3"], ["n1", "n4"])
    again = hub.run("hagroup", "member", "move", "g2", "-m", "n1")
    assert (again.exit_code, again.stdout) == (0, "Node n1 is already in HA group o1/g2.\n")


def test_a_move_whose_second_half_fails_is_undone(hub: Hub) -> None:
    hub.fault(FaultKind.STATUS, status=500, method="POST", path="hagroups/g2/nodes")

    done = hub.run("hagroup", "member", "move", "g2", "-m", "n1", "-f")

    assert done.exit_code == 5
    assert "POST" in done.stderr
    assert (hub.members("g1"), hub.members("g2")) == (["n1", "n2", "n3"], [])


def test_a_move_whose_answer_alone_was_lost_has_happened(hub: Hub) -> None:
    hub.fault(FaultKind.DROP, applied=True, method="POST", path="hagroups/g2/nodes")

    done = hub.run("hagroup", "member", "move", "g2", "-m", "n1", "-f")

    assert done.exit_code == 0
    assert (hub.members("g1"), hub.members("g2")) == (["n2", "n3"], ["n1"])


def test_a_move_that_can_be_neither_finished_nor_undone_says_so_and_how_to_mend_it(hub: Hub) -> None:
    hub.fault(FaultKind.STATUS, status=503, method="POST", path="hagroups/.*/nodes")

    done = hub.run("hagroup", "member", "move", "g2", "-m", "n1", "-f")

    assert done.exit_code == 5
    assert "may be in no group now, and then upgrades without asking" in done.stderr
    assert "agbot hagroup member add" in done.stderr


@pytest.mark.parametrize("applied", [True, False])
def test_a_move_whose_first_half_may_have_happened_is_undone(hub: Hub, applied: bool) -> None:
    hub.fault(FaultKind.DROP, applied=applied, method="DELETE", path="hagroups/g1/nodes")

    done = hub.run("hagroup", "member", "move", "g2", "-m", "n1", "-f")

    assert done.exit_code == 5
    assert "DELETE" in done.stderr
    assert (hub.members("g1"), hub.members("g2")) == (["n1", "n2", "n3"], [])


@pytest.mark.parametrize(("half", "is_moved"), [("DELETE", False), ("POST", True)])
async def test_a_move_that_is_interrupted_leaves_the_node_in_a_group_and_ends(
    hub: Hub, half: str, is_moved: bool
) -> None:
    hub.fault(FaultKind.LATENCY, seconds=0.5, method=half, path="hagroups/g./nodes")
    asker = environment.asker(Options(org="o1", user="admin:adminpw"), {"HZN_EXCHANGE_URL": hub.url})
    sent: list[str] = []
    exchange = Administration(HttpTransport(hub.url), asker.credentials, trace=sent.append)
    node = await exchange.node(node_id("o1", "n1"))
    assert node is not None

    session = Session(asker=asker, exchange=exchange, is_dry=False)
    moving = asyncio.create_task(_move_one(session, node, group_id("o1", "g2")))
    await until(f"the {half}", lambda: any(line.startswith(half) for line in sent))
    moving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await moving
    await exchange.close()

    assert ("n1" in hub.members("g2"), "n1" in hub.members("g1")) == (is_moved, not is_moved)


async def test_a_lost_race_for_a_node_is_a_conflict_and_no_fault_of_the_server(hub: Hub) -> None:
    """Two additions of one node at the same time: the real Exchange answers the loser 500."""
    hub.as_admin("POST", "/hagroups/g2/nodes/n4")
    hub.fault(FaultKind.RACE, path="hagroups")
    exchange = Administration(HttpTransport(hub.url), Credentials(identity="o1/admin", secret="adminpw"))

    with pytest.raises(Conflicting, match="at the same time"):
        await exchange.add_member(group_id("o1", "g1"), node_id("o1", "n4"))
    await exchange.close()


def test_without_a_coordinator_the_nodes_own_statuses_report_what_follows(hub: Hub) -> None:
    hub.report("n1", "initiated")
    hub.report("n2", "ha node waiting")

    done = hub.run("hagroup", "member", "remove", "g1", "-m", "n1", "-m", "n2", "-m", "n3", "-f")

    assert done.exit_code == 0
    assert "o1/n1 reports initiated for o1/up1: it continues, and the others no longer wait for it" in done.stderr
    assert "o1/n2 reports ha node waiting for o1/up1: it will not ask" in done.stderr
    assert "o1/n3" not in done.stderr


def test_replacing_and_removing_a_group_in_use_warn_too(hub: Hub) -> None:
    hub.report("n1", "initiated")
    replaced = hub.run("hagroup", "add", "-f", "-", stdin='{"name": "g1", "description": "d", "members": ["n2", "n3"]}')
    assert "o1/n1 reports initiated" in replaced.stderr

    hub.report("n2", "downloaded")
    removed = hub.run("hagroup", "remove", "g1", "-f")
    assert "o1/n2 reports downloaded for o1/up1: it continues" in removed.stderr
    assert not hub.has("g1")


@pytest.mark.parametrize(
    "words",
    [
        ("member", "add", "g1", "-m", ""),
        ("member", "remove", "g1", "-f", "-m", "n1", "-m", ""),
        ("remove", "", "-f"),
        ("list", ""),
        ("member", "add", "o1/", "-m", "n1"),
    ],
)
def test_an_empty_name_as_from_an_unset_variable_is_refused_and_changes_nothing(
    hub: Hub, words: tuple[str, ...]
) -> None:
    before = hub.members("g1")

    done = hub.run("hagroup", *words)

    assert (done.exit_code, hub.members("g1")) == (1, before), done.output
    assert "is a variable of the shell not set?" in done.stderr


@pytest.mark.parametrize("answer", ["Y\n", "yes\n", " y \n"])
def test_a_yes_may_be_written_large_or_in_full(hub: Hub, answer: str) -> None:
    done = hub.run("hagroup", "member", "remove", "g1", "-m", "n1", stdin=answer)

    assert done.exit_code == 0, done.output
    assert "n1" not in hub.members("g1")
