"""Names of nodes and groups that would do something to a terminal: no command that shows or changes them lets one through."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.integration.hzn.conftest import Hub, node_body
from tests.integration.hzn.test_terminal import on_a_terminal
from tests.support.examples import some
from tests.support.hostile import HOSTILE

SENT = {what: text for what, text in HOSTILE.items() if what != "is half a pair"}
"""No request can hold the other one."""
OVER_EACH = pytest.mark.parametrize("hostile", some(SENT.values(), every=4), ids=[*SENT])


def harmless(stated: str) -> bool:
    """Whether a terminal has nothing to obey, and no line is one that a name has begun."""
    return all(letter.isprintable() or letter == "\n" for letter in stated) and "\nok: all well" not in stated


def fill(hub: Hub, hostile: str) -> tuple[str, str]:
    """Put a node and its group of such names into the Exchange; return both names."""
    node, group = f"n{hostile}9", f"g{hostile}9"
    for name in (node, f"{node}b"):
        hub.as_admin("PUT", f"/nodes/{quote(name, safe='')}", node_body(name, "device"))
    hub.as_admin("POST", f"/hagroups/{quote(group, safe='')}", {"description": hostile, "members": [node]})
    return node, group


@OVER_EACH
@pytest.mark.parametrize("more", [(), ("--json",), ("--dry-run",), ("-v",)], ids=["text", "json", "dry", "verbose"])
def test_no_control_character_of_a_name_comes_from_a_command_about_the_exchange(
    hub: Hub, hostile: str, more: tuple[str, ...]
) -> None:
    node, group = fill(hub, hostile)
    for words in (
        ("hagroup", "list", "-l"),
        ("hagroup", "list", group),
        ("hagroup", "list", f"{group}x"),
        ("node", "list"),
        ("node", "list", "-l"),
        ("node", "list", node),
        ("node", "list", f"{node}x"),
        ("nmp", "status", "up1"),
        ("nmp", "status", f"up{hostile}"),
        ("hagroup", "member", "add", group, "-m", f"{node}b"),
        ("hagroup", "member", "add", group, "-m", f"{node}x"),
        ("hagroup", "member", "move", "g2", "-m", node, "-f"),
        ("hagroup", "member", "remove", "g2", "-m", node, "-f"),
        ("hagroup", "member", "remove", "g2", "-m", f"{node}x", "-f"),
        ("hagroup", "remove", group, "-f"),
        ("hagroup", "remove", group, "-f"),
        ("version",),
    ):
        stated = hub.run(*words, *more)
        assert harmless(stated.output), words
        assert "Traceback" not in stated.output, words
        assert stated.exception is None or isinstance(stated.exception, SystemExit), words


@OVER_EACH
def test_nor_from_a_file_that_replaces_such_a_group(hub: Hub, hostile: str) -> None:
    node, group = fill(hub, hostile)
    content = json.dumps({"name": group, "description": hostile, "members": [f"{node}b"]})
    for words in (
        ("hagroup", "add", "-f", "-"),
        ("hagroup", "add", "-f", "-", "--json"),
        ("hagroup", "add", "-f", "-"),
    ):
        stated = hub.run(*words, stdin=content)
        assert stated.exit_code == 0
        assert harmless(stated.output), words


@OVER_EACH
def test_a_program_reads_the_names_as_they_are(hub: Hub, hostile: str) -> None:
    node, group = fill(hub, hostile)
    hub.report("n1", "initiated")

    assert f"o1/{group}" in hub.json("hagroup", "list")
    assert f"o1/{node}" in hub.json("node", "list")
    [shown] = hub.json("hagroup", "list", group).values()
    assert (shown["description"], shown["members"]) == (hostile, [node])


def test_the_table_on_a_terminal_holds_none_either(hub: Hub) -> None:
    for hostile in SENT.values():
        fill(hub, hostile)

    code, seen = on_a_terminal(hub, "hagroup", "list", "-l")

    assert code == 0
    assert harmless(seen)
