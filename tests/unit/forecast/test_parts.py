"""The parts of a forecast: constraints, durations, the snapshot's file, and the picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from agbot.exchange.policy_mapping import Aim
from agbot.forecast import picture, snapshot
from agbot.forecast.durations import durations
from agbot.forecast.matching import is_for
from agbot.forecast.snapshot import Orders, SnapshotError
from agbot.rules.facts import Node, Policy
from agbot.rules.ids import NodeId
from agbot.rules.lease import Kind
from agbot.rules.words import span
from tests.unit.forecast.hubs import NMP, SERVICE, forecast, hub, silent

_EAST = {"zone": "east", "openhorizon.arch": "amd64", "name": "two words"}


@pytest.mark.parametrize(
    ("constraints", "answer"),
    [
        ((), True),
        (("zone == east",), True),
        (("zone=west",), False),
        (('name == "two words" AND zone == east',), True),
        (("zone == east && openhorizon.arch == arm",), False),
        (("zone == east", "zone == west"), False),
        (("zone in east,west",), None),
        (("zone == west", "zone in east,west"), False),
        (("zone == east || zone == west",), None),
        (("missing == 1",), False),
    ],
)
def test_only_plain_constraints_are_evaluated(constraints: tuple[str, ...], answer: bool | None) -> None:
    aim = Aim(policy=Policy(id=NMP), constraints=constraints)

    assert is_for(aim, Node(id=NodeId("o1/n")), _EAST) is answer


def test_a_policy_with_patterns_is_for_their_nodes() -> None:
    aim = Aim(policy=Policy(id=NMP), patterns=("o1/pat",))

    assert is_for(aim, Node(id=NodeId("o1/n"), pattern="o1/pat"), {}) is True
    assert is_for(aim, Node(id=NodeId("o1/n"), pattern="o1/other"), {}) is False


def test_durations_are_those_of_the_history_by_kind_unless_given() -> None:
    known = hub(1, orders=Orders(held=((NMP, 400.0), (SERVICE, 50.0), (NMP, 200.0), (NMP, 300.0))))

    found, given = durations(known, {}), durations(known, {Kind.AGENT: 60.0})

    assert found.of == {Kind.AGENT: [200.0, 300.0, 400.0], Kind.SERVICE: [50.0]}
    assert found.in_words(Kind.AGENT).startswith("3 min 20 s to 6 min 40 s, half of them up to 5 min: the last 3 agent")
    assert given.of[Kind.AGENT] == [60.0]
    assert given.in_words(Kind.AGENT) == "1 min for each agent upgrade, as given"
    nodes = [NodeId(f"o1/n{number}") for number in range(60)]
    dealt = [found.of_node(Kind.AGENT, node) for node in nodes]
    assert set(dealt) == {200.0, 300.0, 400.0}, "every one of them occurs"
    assert dealt == [found.of_node(Kind.AGENT, node) for node in nodes]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (40, "40 s"), (60, "1 min"), (310, "5 min 10 s"), (7500, "2 h 5 min"), (86_400, "1 d")],
)
def test_a_length_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_snapshot_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    known, file = silent(hub(2, 3), "g0-1"), tmp_path / "hub.json"
    snapshot.save(known, file)

    assert snapshot.load(file) == known
    assert forecast(snapshot.load(file)) == forecast(known)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"org": "o1"}'])
def test_a_file_that_is_no_snapshot_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "hub.json"
    file.write_bytes(content)

    with pytest.raises(SnapshotError, match="not a snapshot"):
        snapshot.load(file)


def test_a_snapshot_of_another_format_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "hub.json"
    snapshot.save(replace(hub(1), format=9), file)

    with pytest.raises(SnapshotError, match="its format is 9"):
        snapshot.load(file)


def test_the_picture_is_one_file_that_loads_nothing_and_has_a_row_for_each_group() -> None:
    course = forecast(silent(hub(3), "g0-0"))

    drawn = picture.draw(course, "Forecast of <o1>")

    root = ET.fromstring(drawn)  # noqa: S314 - our own drawing
    rows = list(root.iter("{http://www.w3.org/2000/svg}rect"))
    assert [each.get("class") for each in rows] == ["bar", "bar", "left"]
    assert root.findtext("{http://www.w3.org/2000/svg}title") == "Forecast of <o1>"
    assert "3 groups, of which 1 cannot end" in drawn
    assert not {"href", "<script", "url(", "@import"} & {
        each for each in ("href", "<script", "url(", "@import") if each in drawn
    }
