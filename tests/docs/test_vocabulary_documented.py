"""Reasons, causes, events, routes and commands: what the pages say against what the code has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agbot.cli.failure import Exit
from agbot.cli.main import COMMANDS, main
from agbot.console.routes import ROUTES
from agbot.events.catalogue import EVENTS, table
from agbot.rules.reasons import BRAKING, Cause, Code
from agbot.rules.rulebook import RULES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCES = sorted(path for path in (ROOT / "agbot").rglob("*.py") if "sim" not in path.relative_to(ROOT).parts)
WRITTEN_ELSEWHERE = {"sim", "hagroup", "node", "nmp", "store", "guard"}  # groups of commands


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(name: str, heading: str = "") -> list[list[str]]:
    """Return the cells of the tables below a heading, first cell in backticks."""
    text = page(name).partition(heading)[2] if heading else page(name)
    text = re.split(r"^## ", text, flags=re.MULTILINE)[0] if heading else text
    lines = re.findall(r"^\| (.*) \|$", text, flags=re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines if line.startswith("`")]


def test_every_reason_to_wait_is_explained_in_order() -> None:
    explained = [row[0].strip("`") for row in rows("reasons.md", "## Why a node waits")]

    assert explained == [code.value for code in Code]


def test_every_rule_is_explained_in_the_order_in_which_they_speak() -> None:
    explained = [(row[0].strip("`"), row[1]) for row in rows("reasons.md", "## The rules, in order")]

    assert explained == [(rule.name, rule.passes) for rule in RULES]


def test_every_cause_of_an_end_is_explained_in_order() -> None:
    explained = rows("reasons.md", "## How a lease ends")

    assert [row[0].strip("`") for row in explained] == [cause.value for cause in Cause]
    assert {row[0].strip("`") for row in explained if "brake" in row[2]} == {cause.value for cause in BRAKING}


def test_the_page_of_events_is_the_table_of_the_code() -> None:
    assert table() in page("events.md"), "run: python -m agbot.events.catalogue"


def test_no_event_is_promised_that_the_program_does_not_make() -> None:
    """An event is made where its class is called.

    That of the libraries' lines is made by the log itself.
    """
    called = re.compile(r"(?<!class )\b([A-Z]\w+)(?:\(| if )|else ([A-Z]\w+)\b")
    made = {name for path in SOURCES for found in called.findall(path.read_text(encoding="utf-8")) for name in found}

    assert {event.__name__ for event in EVENTS.values()} - made == {EVENTS["library.logged"].__name__}


def test_the_page_of_the_api_lists_every_route_as_it_is() -> None:
    listed = re.findall(r"^\| (GET|POST) \| `(.*?)` \| (.*?) \| (yes)? ?\|$", page("api.md"), flags=re.MULTILINE)

    assert listed == [(each.method, each.path, each.does, "yes" if each.needs_token else "") for each in ROUTES]


def test_the_page_of_the_api_names_every_key_of_a_query_and_of_a_body() -> None:
    bullets = re.split(r"^- ", page("api.md").partition("## Reading")[2].partition("## Writing")[0], flags=re.MULTILINE)
    written = {row[0].strip("`"): row[1] for row in rows("api.md", "## Writing")}
    for each in ROUTES:
        if each.is_api and each.query:
            (text,) = [bullet for bullet in bullets if bullet.startswith(f"`GET {each.path}`")]
            assert [key for key in each.query if f"?{key}=" not in text] == [], each.path
        if each.is_api and each.body is not None and each.path in written:
            keys = re.findall(r'"(\w+)": ', written[each.path])
            assert set(keys) == set(each.body.__struct_fields__), each.path
    assert set(written) == {each.path for each in ROUTES if each.body} - {"/v1/receivers/test"}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WRITTEN_ELSEWHERE))
def test_a_command_is_documented_with_every_option(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    row = next(cells for cells in rows("cli.md") if cells[0].startswith(f"`agbot {name}"))
    options = {"/".join(each.opts) for each in command.params if isinstance(each, click.Option) and not each.hidden}

    assert set(re.findall(r"`(-.*?)`", row[2])) == options
    assert command.get_short_help_str(200).rstrip(".") == COMMANDS[name][1].rstrip(".")


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Walk down to the commands that do something."""
    if isinstance(command, click.Group):
        for below, each in command.commands.items():
            yield from leaves(each, f"{name} {below}")
    else:
        yield name, command


@pytest.mark.parametrize("top", ["store", "guard"])
def test_the_commands_of_a_group_are_documented_with_every_option(top: str) -> None:
    group = main.get_command(click.Context(main), top)
    assert group is not None
    found = {
        name: {"/".join(each.opts) for each in command.params if isinstance(each, click.Option)}
        for name, command in leaves(group, f"agbot {top}")
    }
    documented = [row for row in rows("cli.md") if row[0].startswith(f"`agbot {top}")]
    written = {
        row[0].strip("`").removesuffix(" FILE").removesuffix(" FROM TO"): set(re.findall(r"`(-.*?)`", row[2]))
        for row in documented
    }

    assert written == found


def test_the_commands_of_hzn_are_documented_with_every_option() -> None:
    context = click.Context(main)
    groups = {name: main.get_command(context, name) for name in ("hagroup", "node", "nmp", "version")}
    found = {
        name: {"/".join(each.opts) for each in command.params if isinstance(each, click.Option)}
        for top, group in groups.items()
        if group is not None
        for name, command in leaves(group, top)
    }
    common = set.intersection(*found.values())
    written = {row[0].strip("`"): set(re.findall(r"`(-.*?)`", row[-1])) for row in rows("hagroup.md", "## Options")}

    assert written == {name: given - common for name, given in found.items()}
    assert common == set(re.findall(r"`(-.*?)`", page("hagroup.md").partition("## Options")[2].partition("\n|")[0]))


def test_the_exit_codes_are_documented() -> None:
    listed = re.findall(r"^\| (\d) \|", page("cli.md"), flags=re.MULTILINE)

    assert [int(each) for each in listed] == [code.value for code in Exit]
