"""`agbot rollout`: how far every rollout is, or one of them in all groups: the same as the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import click
from rich.console import Console

from agbot.cli import options, screen, watching
from agbot.cli.client import Client
from agbot.console import api
from agbot.console.rollout_views import (
    EndView,
    PointView,
    RolloutLine,
    RolloutList,
    RolloutView,
    StandView,
    SummaryView,
)
from agbot.rules.words import apart, count, percent, span

_STYLES: Final[Mapping[str, str]] = {"failed": "bold red", "suspect": "bold red", "running": "green", "done": "dim"}
_STANDINGS: Final = ("done", "running", "partly", "waiting", "suspect", "failed", "untouched")
_WORDS: Final[Mapping[str, str]] = {"partly": "partly done"}
_BAR: Final = 30
_NAME: Final = 30
_WIDEST: Final = len("partly done")


@click.command("rollout")
@click.argument("policy", required=False)
@click.option(
    "--kind", type=click.Choice(["agent", "service"]), help="Which one, if a policy of each kind has that name."
)
@click.option("--standing", type=click.Choice(_STANDINGS), help="Only groups with this standing.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Show at most this many groups."
)
@options.watch
@options.interval
@options.org
@options.url
@options.as_json
def rollout(
    *,
    policy: str | None,
    kind: str | None,
    standing: str | None,
    limit: int,
    watch: bool,
    interval: float,
    org: str | None,
    url: str,
    as_json: bool,
) -> None:
    """Show how far a rollout is in all groups, or list running and recent ones.

    POLICY is org/name, or a name with -o: a node management policy, a deployment policy or a
    pattern.
    """
    if policy is None:
        options.refuse_without("a POLICY", "kind", "standing", "limit")
    client = Client(url=url)
    names = options.qualified(policy, org, "policy") if policy is not None else None

    def ask() -> bytes:
        if names is None:
            return client.get(api.ROLLOUTS)
        return client.get(api.ROLLOUT, *names, kind=kind, standing=standing, limit=limit)

    def draw(out: Console) -> None:
        if names is None:
            _write_list(out, client.decoded(ask(), api.ROLLOUTS))
        else:
            _write(out, client.decoded(ask(), api.ROLLOUT))

    if watch:
        watching.watch_json(ask, interval) if as_json else watching.watch(draw, interval)
    elif as_json:
        screen.print_answer(ask())
    else:
        draw(screen.console())


def _write_list(out: Console, found: RolloutList) -> None:
    screen.lack(out, found.lack)
    for each in found.rollouts:
        _write_line(out, each, found.at)
    if found.total > len(found.rollouts):
        screen.say(out, f"{len(found.rollouts)} of {found.total} rollouts are shown: name one", indent=2)
    if not found.rollouts:
        out.print("no upgrade has been asked for yet")


def _write_line(out: Console, line: RolloutLine, now: datetime) -> None:
    last = f", last event {screen.ago(line.last_at, now)}" if line.last_at else ""
    state = "" if line.is_active else ", not active"
    screen.say(out, (line.policy, "bold"), f"  {line.kind} upgrade{last}{state}", indent=2)
    if line.summary is not None and line.summary.expected:
        _write_summary(out, line.summary)
        if line.end is not None:
            _write_end(out, line.end, now)
    elif line.is_active:
        counts = (("running", line.running), ("waiting", line.waiting), ("failed", line.stopped))
        screen.labelled(out, "groups", ", ".join(f"{number} {name}" for name, number in counts if number))


def _write(out: Console, found: RolloutView) -> None:
    screen.lack(out, found.lack)
    begun = f", begun {screen.ago(found.begun_at, found.at)}" if found.begun_at else ""
    screen.say(out, (found.policy, "bold"), f"  {found.kind} upgrade{begun}", indent=2)
    _write_summary(out, found.summary)
    others = found.summary.groups - found.summary.expected
    if others:
        text = f"{others} of {found.summary.groups} groups have no member that is known to follow it"
        screen.labelled(out, "others", text)
    _write_end(out, found.end, found.at)
    if found.accuracy and found.end.likely:
        screen.labelled(out, "", found.accuracy)
    # a line for each minute, with the last of its points: two of one label would contradict
    by_minute = {f"{point.at.astimezone():%d %b %H:%M}": point for point in found.over_time}
    if len(by_minute) > 1:  # a rollout of a minute has no course
        screen.say(out, f"  over time ({found.at.astimezone():%Z}): # done, - begun")
        for minute, point in by_minute.items():
            screen.say(out, f"  {minute} ", _bar(point, found.summary.expected))
    for item in found.attention:
        screen.item(out, item)
    _write_groups(out, found.groups)
    if found.total > len(found.groups):
        screen.say(out, f"{len(found.groups)} of {found.total} groups are shown: --limit, --standing", indent=2)


def _write_summary(out: Console, of: SummaryView) -> None:
    done = of.counts.get("done", 0)
    screen.labelled(
        out,
        "done",
        f"{done} of {count(of.expected, 'group')} ({percent(done, of.expected)}), {of.members_done} of {of.members} members",
    )
    for standing, number in of.counts.items():
        if number and standing not in {"done", "waiting"}:
            screen.labelled(out, _word(standing), count(number, "group"), _STYLES.get(standing, ""))
    if of.counts.get("waiting"):
        why = ", ".join(f"{number} {code}" for code, number in of.reasons.items())
        screen.labelled(out, "waiting", f"{count(of.counts['waiting'], 'group')}: {why}")


def _write_end(out: Console, end: EndView, now: datetime) -> None:
    if end.likely is None or end.earliest is None or end.latest is None:
        known = f". {end.known}" if end.known else ""
        screen.labelled(out, "end", f"not known: {end.why}{known}")
        return
    pace = f"{count(end.remaining, 'group')} left that need no person, one every {span(end.pace_seconds)}"
    earliest, latest = (screen.short_moment(each, now) for each in (end.earliest, end.latest))
    screen.labelled(
        out, "end", f"in {apart(now, end.likely)}, from {earliest} to {latest} in four of five cases; {pace}"
    )
    if end.shut:
        opens = f", which opens at {screen.short_moment(end.opens_at, now)}" if end.opens_at else ""
        screen.labelled(out, "later", f"{count(end.shut, 'group')} for a maintenance window{opens}")


def _bar(point: PointView, groups: int) -> str:
    """Draw how many groups were done (#) and had begun (-)."""
    done, begun = (round(_BAR * min(number, groups) / max(groups, 1)) for number in (point.done, point.begun))
    drawn = ("#" * done).ljust(begun, "-").ljust(_BAR)
    return f"|{drawn}| {point.done} done of {point.begun} begun"


def _write_groups(out: Console, groups: Sequence[StandView]) -> None:
    """Print a line for each group, those first that need a look."""
    if not groups:
        return
    out.print()
    width = min(max(len(each.group) for each in groups), _NAME)
    for each in groups:
        code = f" [{each.code}]" if each.code else ""
        word, members = _word(each.standing).ljust(_WIDEST), f"{each.done}/{each.members}".ljust(5)
        style = _STYLES.get(each.standing, "")
        screen.say(
            out, (each.group.ljust(width), "bold"), "  ", (word, style), f" {members} {each.text}{code}", indent=4
        )


def _word(standing: str) -> str:
    return _WORDS.get(standing, standing)
