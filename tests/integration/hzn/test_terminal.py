"""What a person at a terminal sees and is asked, with a coordinator beside the Exchange and without one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agbot.rules.ids import GroupId, NodeId
from tests.integration.cli.conftest import console_of
from tests.integration.console.scripted import GROUPS, NOW, Scripted
from tests.integration.hzn.conftest import NOWHERE, Hub
from tests.support.terminal import run_on_terminal

MILLS = GROUPS[0]
G1 = replace(
    MILLS,
    id=GroupId("o1/g1"),
    members=(
        replace(MILLS.members[0], node=NodeId("o1/n1")),
        replace(MILLS.members[1], node=NodeId("o1/n2")),
        replace(MILLS.members[1], node=NodeId("o1/n3"), deferred_for=MILLS.lease.subject),
    ),
    lease=replace(MILLS.lease, group=GroupId("o1/g1"), holder=NodeId("o1/n1")),
    waiting=(replace(MILLS.waiting[0], node=NodeId("o1/n2")),),
)


@pytest.fixture
def coordinator() -> Iterator[str]:
    """Run an operators' listener that knows o1/g1: n1 holds the lease, n2 waits, n3 is deferred."""
    operations = Scripted()
    operations.known = (G1,)
    with console_of(operations) as url:
        yield url


def on_a_terminal(hub: Hub, *words: str, coordinator: str = NOWHERE, types: bytes = b"") -> tuple[int, str]:
    """Run a command with a pseudo terminal."""
    environ = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm",
        "COLUMNS": "160",
        "HZN_EXCHANGE_URL": hub.url,
        "HZN_ORG_ID": "o1",
        "HZN_EXCHANGE_USER_AUTH": "admin:adminpw",
        "AGBOT_URL": coordinator,
    }
    return run_on_terminal(words, environ, types)


def row(seen: str, node: str) -> list[str]:
    """Return the cells of a member's line."""
    line = next(line for line in seen.splitlines() if line.startswith(f"{node} "))
    return re.split(r"\s{2,}", line.strip())


def test_the_table_shows_each_member_with_lease_and_wait_reasons(hub: Hub, coordinator: str) -> None:
    """The coordinator of this test lives in March 2026, and its time counts."""
    heartbeat = f"{NOW - timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}[UTC]"
    hub.exchange.world.nodes["o1", "n1"].doc["lastHeartbeat"] = heartbeat

    code, seen = on_a_terminal(hub, "hagroup", "list", "g1", coordinator=coordinator)

    assert code == 0
    assert "o1/g1  group one  (3 members)" in seen
    first, second, third = (row(seen, name) for name in ("n1", "n2", "n3"))
    assert [first[0], first[1], first[2], first[4]] == ["n1", "device", "o1/admin", "2.31.0"]
    assert first[3] == "2 min ago"
    assert first[5] == "held: agent acme/agent-2.32, initiated"
    assert second[-1] == "lease-held, outside-window"
    assert third[-1] == "deferred until acme/agent-2.32"


def test_without_a_coordinator_the_table_says_that_leases_are_not_shown(hub: Hub) -> None:
    code, seen = on_a_terminal(hub, "hagroup", "list")

    assert code == 0
    assert "WAITS FOR" not in seen
    assert "No coordinator is reachable (AGBOT_URL), so leases and waits are not shown." in seen
    assert "empty, or none of its nodes is yours" in seen


def test_a_terminal_gets_json_when_it_asks_for_it(hub: Hub) -> None:
    _, seen = on_a_terminal(hub, "hagroup", "list", "--json")

    assert seen == '[\n  "o1/g1",\n  "o1/g2",\n  "o1/gu"\n]\n'


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", ["n1", "n2", "n3"]), (b"y\n", ["n2", "n4"])])
def test_a_person_is_asked_before_a_group_is_replaced(
    hub: Hub, tmp_path: Path, coordinator: str, answer: bytes, left: list[str]
) -> None:
    file = tmp_path / "g1.json"
    file.write_text('{"name": "g1", "description": "group one", "members": ["n2", "n4"]}', encoding="utf-8")

    code, seen = on_a_terminal(hub, "hagroup", "add", "-f", str(file), coordinator=coordinator, types=answer)

    assert code == 0
    assert "would add:    n4\n  would remove: n1, n3\n" in seen
    assert "o1/n1 is upgrading (agent upgrade acme/agent-2.32, initiated): it continues outside the group" in seen
    assert "Replace HA group o1/g1? [y/N]:" in seen
    assert hub.members("g1") == left


def test_yes_replaces_without_asking(hub: Hub, tmp_path: Path) -> None:
    file = tmp_path / "g1.json"
    file.write_text('{"name": "g1", "description": "group one", "members": ["n2"]}', encoding="utf-8")

    code, seen = on_a_terminal(hub, "hagroup", "add", "-f", str(file), "--yes")

    assert (code, hub.members("g1")) == (0, ["n2"])
    assert "[y/N]" not in seen


def test_what_follows_is_reported_before_a_group_in_use_goes(hub: Hub, coordinator: str) -> None:
    code, seen = on_a_terminal(hub, "hagroup", "remove", "g1", coordinator=coordinator, types=b"n\n")

    assert code == 0
    assert "the lease of o1/g1 ends as left-group\n" in seen
    assert "o1/n2 waits for its turn: once outside the group it upgrades without asking, within a minute" in seen
    assert "o1/n3 is still in the middle of acme/agent-2.32" in seen
    assert "nothing has changed" in seen
    assert hub.has("g1")


def test_a_move_says_what_it_means_for_the_upgrade(hub: Hub, coordinator: str) -> None:
    words = ("hagroup", "member", "move", "g2", "-m", "n1", "-m", "n2")
    code, seen = on_a_terminal(hub, *words, coordinator=coordinator, types=b"y\n")

    assert code == 0
    assert "it continues in o1/g2, deferred there until it has ended" in seen
    assert "o1/n2 waits for its turn: it continues to ask, in o1/g2" in seen
    assert hub.members("g2") == ["n1", "n2"]
