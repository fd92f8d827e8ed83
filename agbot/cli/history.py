"""`agbot history`: what happened, by whom and why.

`agbot history replay`: do the present rules decide the same?
"""

from __future__ import annotations

from typing import Final

import click
import msgspec
from rich.console import Console
from rich.text import Text

from agbot.cli import following, journal, options, screen
from agbot.cli.client import Client
from agbot.coordinator.operators.history import HistoryView, by_time
from agbot.coordinator.operators.replaying import DECISIONS, Derived, Difference, Replay, replay
from agbot.rules.words import count

_SHOWN: Final = 100
_DIFFERENT: Final = 1


@click.command("history")
@click.argument("action", type=click.Choice(["replay"]), required=False, metavar="[replay]")
@click.option("--in", "within", metavar="ORG", help="Only this organisation.")
@journal.group
@journal.node
@journal.since
@click.option(
    "--event", "kinds", multiple=True, help="Only this kind: a name (lease.granted) or a noun (lease). Repeatable."
)
@click.option(
    "--limit", type=click.IntRange(min=1), help=f"Only this many, the newest.  [default: {_SHOWN}; for replay: all]"
)
@click.option(
    "-f", "--follow", is_flag=True, help=f"Show the newest {following.SHOWN}, and then each new one, until Ctrl-C."
)
@options.org
@options.url
@options.as_json
@click.pass_context
def history(
    ctx: click.Context,
    *,
    action: str | None,
    within: str | None,
    group: str | None,
    node: str | None,
    since: str | None,
    kinds: tuple[str, ...],
    limit: int | None,
    follow: bool,
    org: str | None,
    url: str,
    as_json: bool,
) -> None:
    """Show what happened, newest first: grants, changed reasons, releases, holds, forced actions.

    Times are local, and in UTC with --json. With --follow the newest comes last; after a lost
    connection it resumes where it was, so that nothing is missed.

    With `replay`, the decisions among them are derived again from their recorded facts, by the
    rules of this program. Differences are printed, and the exit code is 1 if there are any.
    """
    client = Client(url=url)
    query = {"org": within, **journal.query(client, group, node, since, org, *(kinds or (DECISIONS if action else ())))}
    if follow:
        if action:
            raise click.UsageError("--follow shows what happens; it does not go with replay.")
        following.follow(client, query, limit, as_json=as_json)
    elif action:
        # all of them: a difference in an old decision shows a changed rule as well as a new one
        found = replay(entry for entry, _ in journal.newest_first(client, query, limit))
        _write_replay(found, as_json=as_json)
        ctx.exit(_DIFFERENT if found.different else 0)
    elif as_json:
        screen.print_json({"entries": [raw for _, raw in journal.newest_first(client, query, limit or _SHOWN)]})
    else:
        entries = [entry for entry, _ in journal.newest_first(client, query, limit or _SHOWN)]
        _write(screen.console(), entries, limit or _SHOWN)


def _write(out: Console, entries: list[HistoryView], limit: int) -> None:
    if not entries:
        out.print("no such entry in the journal")
        return
    rows = [
        (
            screen.moment(entry.at),
            entry.group or "",
            entry.what,
            str(entry.token) if entry.token is not None else "",
            entry.who,
            entry.why,
        )
        for entry in by_time(entries)
    ]
    screen.table(out, ("TIME", "GROUP", "WHAT", "TOKEN", "WHO", "WHY"), rows)
    if len(entries) == limit:
        out.print(
            f"the newest {limit} {'is' if limit == 1 else 'are'} shown; there may be older ones: --limit {10 * limit}"
        )


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
    derived = count(found.derived, "decision")
    out.print(f"{derived} derived again: {same} the same, {len(found.different)} different")
    if found.unreadable:
        out.print(
            f"{count(len(found.unreadable), 'decision has', 'decisions have')} facts that this program cannot read"
        )
    if found.without_facts:
        number = count(len(found.without_facts), "decision has", "decisions have")
        out.print(f"{number} no facts: an earlier version wrote them, or no rule made them")
    if found.unreviewed:
        out.print(f"{count(len(found.unreviewed), 'release')} came without a review: forced, reported, or taken over")


def _write_difference(out: Console, found: Difference) -> None:
    head = f"entry {found.id}  {screen.moment(found.at)}  {found.group or ''}  {found.node or ''}  {found.event}"
    out.print(Text(screen.clean(head), style="bold"))
    for label, decision in (("then", found.then), ("now", found.now)):
        out.print(Text(f"  {label:<4}  {screen.clean(_sentence(decision))}"))


def _sentence(decided: Derived) -> str:
    reasons = "; ".join(f"{each.code}: {each.text}" for each in decided.reasons)
    return f"{decided.answer}: {reasons}" if reasons else decided.answer
