"""`agbot history`: what happened, who did it, and why; `agbot history replay`: would the rules of today decide the same?"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

import click
import msgspec
from rich.console import Console
from rich.text import Text

from agbot.cli import options, screen, times
from agbot.cli.client import Client, decode
from agbot.clock import SystemClock
from agbot.coordinator.history import HistoryView
from agbot.coordinator.replaying import DECISIONS, Difference, Replay, Said, replay

SHOWN: Final = 100
_PAGE: Final = 250
"""An entry can hold kilobytes of facts: so many at once keep each answer small."""
_DIFFERENT: Final = 1


class _Page(msgspec.Struct):
    entries: list[HistoryView]


@click.command("history")
@click.argument("action", type=click.Choice(["replay"]), required=False, metavar="[replay]")
@click.option("-o", "--org", help="Only what concerns this organisation; also that of a name given without one.")
@click.option("--group", help="Only this group.")
@click.option("--node", help="Only this node.")
@click.option("--since", help="Only what is younger: 2h, 3d, or since a time such as 2026-01-31T18:00 (local) or …Z.")
@click.option(
    "--event", "kinds", multiple=True, help="Only this kind: a name (lease.granted) or a noun (lease). Repeatable."
)
@click.option(
    "--limit", type=click.IntRange(min=1), help=f"At most so many, the newest.  [default: {SHOWN}; for replay: all]"
)
@options.url
@options.as_json
@click.pass_context
def history(
    ctx: click.Context,
    *,
    action: str | None,
    org: str | None,
    group: str | None,
    node: str | None,
    since: str | None,
    kinds: tuple[str, ...],
    limit: int | None,
    url: str,
    as_json: bool,
) -> None:
    """Tell what happened, the newest first: grants, changed reasons, releases, holds, forced actions.

    With `replay` the decisions among them are derived again from the facts that were written down with them, by the rules of this program.
    What differs is printed, and the exit code is 1 if anything does.
    """
    filters: dict[str, Any] = {
        "org": org,
        "group": _qualified(group, org, "group"),
        "node": _qualified(node, org, "node"),
        "since": times.past(since, SystemClock().now(), "--since").isoformat() if since else None,
        "event": list(kinds or (DECISIONS if action else ())),
    }
    query = {name: value for name, value in filters.items() if value}
    if action:
        found = replay(_entries(url, query, limit))
        _write_replay(found, as_json=as_json)
        ctx.exit(_DIFFERENT if found.different else 0)
    elif as_json:
        pages = _pages(url, query, limit or SHOWN)
        entries = [entry for content, _ in pages for entry in json.loads(content)["entries"]]
        screen.print_json({"entries": entries})
    else:
        _write(screen.console(), list(_entries(url, query, limit or SHOWN)), limit or SHOWN)


def _qualified(name: str | None, org: str | None, noun: str) -> str | None:
    return "/".join(options.qualified(name, org or os.environ.get("HZN_ORG_ID"), noun)) if name is not None else None


def _entries(url: str, query: dict[str, Any], limit: int | None) -> Iterator[HistoryView]:
    return (entry for _, entries in _pages(url, query, limit) for entry in entries)


def _pages(url: str, query: dict[str, Any], limit: int | None) -> Iterator[tuple[bytes, list[HistoryView]]]:
    """Read back from the newest entry, a page at a time: each as it came, and as it reads."""
    client, left, wanted = Client(url=url), limit, dict(query)
    while left is None or left > 0:
        wanted["limit"] = _PAGE if left is None else min(_PAGE, left)
        content = client.get("v1", "history", query=f"?{urlencode(wanted, doseq=True)}")
        entries = decode(content, _Page, url).entries
        yield content, entries
        if len(entries) < wanted["limit"]:
            return
        left = None if left is None else left - len(entries)
        wanted["before"] = entries[-1].id


def _write(out: Console, entries: list[HistoryView], limit: int) -> None:
    if not entries:
        out.print("the journal has nothing like that")
        return
    rows = [
        (
            screen.moment(entry.at),
            entry.group or "",
            entry.node or "",
            entry.what,
            str(entry.token) if entry.token is not None else "",
            entry.who,
            entry.why,
        )
        for entry in entries
    ]
    screen.table(out, ("TIME", "GROUP", "NODE", "WHAT", "TOKEN", "WHO", "WHY"), rows)
    if len(entries) == limit:
        out.print(f"the newest {limit} are shown; there may be older ones: --limit {10 * limit}")


def _write_replay(found: Replay, *, as_json: bool) -> None:
    if as_json:
        screen.print_json(msgspec.to_builtins(found))
        return
    out = screen.console()
    for each in found.different:
        _write_difference(out, each)
    for unread in found.unreadable:
        out.print(f"entry {unread.id}: {screen.clean(unread.problem)}")
    same = found.derived - len(found.different)
    out.print(f"{found.derived} decisions derived again: {same} the same, {len(found.different)} different")
    if found.unreadable:
        out.print(f"{len(found.unreadable)} hold facts that this program cannot read")
    if found.without_facts:
        out.print(f"{len(found.without_facts)} have no facts: an earlier version wrote them, or no rule made them")
    if found.unreviewed:
        out.print(f"{len(found.unreviewed)} releases came of no review: forced, reported, or taken over")


def _write_difference(out: Console, found: Difference) -> None:
    head = f"entry {found.id}  {screen.moment(found.at)}  {found.group or ''}  {found.node or ''}  {found.event}"
    out.print(Text(screen.clean(head), style="bold"))
    for label, said in (("then", found.then), ("now", found.now)):
        out.print(Text(f"  {label:<4}  {screen.clean(_sentence(said))}"))


def _sentence(said: Said) -> str:
    reasons = "; ".join(f"{each.code}: {each.text}" for each in said.reasons)
    return f"{said.answer}: {reasons}" if reasons else said.answer
