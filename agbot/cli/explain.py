"""`agbot explain NODE`: why does this node not upgrade?

The first line answers; the rest is the evidence.
"""

from __future__ import annotations

from datetime import datetime

import click
from rich.console import Console
from rich.text import Text

from agbot.cli import options, screen
from agbot.cli.client import Client
from agbot.console import api
from agbot.coordinator.contract import Explanation, RuleView
from agbot.rules.words import span

_COLUMN = 90
"""A longer line does not move the column of facts."""


@click.command("explain")
@click.argument("node")
@options.org
@options.url
@options.as_json
def explain(node: str, org: str | None, url: str, as_json: bool) -> None:
    """Explain why a node is not upgrading, rule by rule.

    NODE is org/name, or a name with -o.
    """
    client = Client(url=url)
    content = client.get(api.EXPLAIN, *options.qualified(node, org, "node"))
    if as_json:
        screen.print_answer(content)
        return
    _write(screen.console(), client.decoded(content, api.EXPLAIN), client.now())


def _write(out: Console, found: Explanation, now: datetime) -> None:
    """Print an explanation: the answer, each rule, and what unblocks the node."""
    screen.say(out, (found.answer, "bold"))
    if found.rules:
        out.print()
        width = max(len(each.rule) for each in found.rules)
        lines = [_line(rule, width, now) for rule in found.rules]
        column = max((line.cell_len for line in lines if line.cell_len <= _COLUMN), default=0)
        for rule, line in zip(found.rules, lines, strict=True):
            _write_rule(out, line, _looked_at(rule), column - line.cell_len, indent=width + 6)
    facts = _facts(found, now)
    if facts:
        out.print()
    width = max((len(name) for name, _ in facts), default=0)
    for name, text in facts:
        screen.say(out, (name.ljust(width), "bold"), "  ", text, indent=width + 2)


def _write_rule(out: Console, line: Text, looked_at: str, gap: int, *, indent: int) -> None:
    """Print a rule and what it has looked at: beside it where there is room, else below it."""
    beside = f"{' ' * max(gap, 0)}  {looked_at}" if looked_at else ""
    if not out.is_terminal or line.cell_len + len(beside) <= out.width:
        screen.say(out, line, (beside, "dim"))
        return
    screen.say(out, line, indent=indent)
    if looked_at:
        screen.say(out, (f"{' ' * indent}{looked_at}", "dim"), indent=indent)


def _line(rule: RuleView, width: int, now: datetime) -> Text:
    yes, no = screen.marks()
    mark = (yes, "green") if rule.passes else (no, "bold red")
    code = f"  [{rule.code}]" if rule.code and not rule.passes else ""
    # it may have come since the rule was checked
    left = (rule.until - now).total_seconds() if rule.until and not rule.passes else 0.0
    until = f" (in {span(left)}{' at the latest' if rule.at_latest else ''})" if left > 0 else ""
    name = (rule.rule.ljust(width), "" if rule.passes else "bold")
    text = (f"{screen.clean(rule.text)}{until}", "dim" if rule.passes else "")
    return Text.assemble("  ", mark, " ", name, "  ", text, (code, "dim"))


def _looked_at(rule: RuleView) -> str:
    """Return the facts of a rule, and the age of the oldest read."""
    facts = [
        f"{name.replace('_', ' ')} {_fact(value)}" for name, value in rule.facts.items() if value not in ("", None, [])
    ]
    age = [f"read {span(rule.age_seconds)} ago"] if rule.age_seconds is not None else []
    return screen.clean(", ".join([*facts, *age]))


def _fact(value: object) -> str:
    return "; ".join(str(each) for each in value) if isinstance(value, list) else str(value)


def _facts(found: Explanation, now: datetime) -> list[tuple[str, str]]:
    facts = []
    if found.unblock:
        facts.append(("to go on", found.unblock))
    if found.unblock and found.lease and found.lease.next:
        facts.append(("by itself", f"the lease: {screen.next_of(found.lease, now)}"))
    if found.earliest:
        label, more = ("latest", "; it may be sooner") if found.at_latest else ("earliest", "")
        facts.append((label, f"{_from_now(found.earliest, now)}{more}"))
    if found.subject and found.since:
        facts.append(
            (
                "upgrading" if found.lease and found.lease.holder == found.node else "waiting",
                f"for {found.kind} upgrade {found.subject}, since {screen.moment(found.since)} ({screen.ago(found.since, now)})",
            )
        )
    if found.group:
        facts.append(("group", found.group))
    if found.lease:
        facts.append(("lease", screen.lease(found.lease, now, with_state=True)))
    return facts


def _from_now(at: datetime, now: datetime) -> str:
    left = (at - now).total_seconds()
    return f"{screen.moment(at)}, in {span(left)}" if left > 0 else screen.moment(at)
