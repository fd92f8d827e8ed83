"""A name that the Exchange does not have is answered with the nearest one that it has."""

from __future__ import annotations

import pytest

from tests.integration.hzn.conftest import Hub


@pytest.mark.parametrize(
    ("words", "stated"),
    [
        (("hagroup", "list", "gg1"), "there is no HA group gg1 in o1 (did you mean o1/g1?)"),
        (("hagroup", "list", "-l", "o1/gg2"), "there is no HA group gg2 in o1 (did you mean o1/g2?)"),
        (("hagroup", "remove", "gg1", "-f"), "there is no HA group gg1 in o1 (did you mean o1/g1?)"),
        (("hagroup", "member", "add", "gg1", "-m", "n4"), "there is no HA group gg1 in o1 (did you mean o1/g1?)"),
        (("hagroup", "member", "add", "g1", "-m", "nn4"), "there is no node nn4 in o1 (did you mean o1/n4?)"),
        (("hagroup", "member", "remove", "gg1", "-m", "n1", "-f"), "no HA group gg1 in o1 (did you mean o1/g1?)"),
        (("hagroup", "member", "move", "g2", "-m", "nn1", "-f"), "there is no node nn1 in o1 (did you mean o1/n1?)"),
        (("node", "list", "nn1"), "there is no node nn1 in o1 (did you mean o1/n1?)"),
        (("nmp", "status", "uup1"), "there is no node management policy uup1 in o1 (did you mean o1/up1?)"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_one(hub: Hub, words: tuple[str, ...], stated: str) -> None:
    done = hub.run(*words)

    assert done.exit_code == 8
    assert stated in done.stderr
    assert (hub.members("g1"), hub.members("g2")) == (["n1", "n2", "n3"], [])


def test_a_policy_that_no_node_has_reported_on_is_not_an_unknown_one(hub: Hub) -> None:
    done = hub.run("nmp", "status", "up1")

    assert done.exit_code == 8
    assert "no node has reported a status of o1/up1 yet" in done.stderr
