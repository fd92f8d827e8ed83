"""`agbot check-config`: every mistake of a settings file at once, with line and sample line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from agbot import _dist
from agbot.cli import effective, folding, options, screen, settings_file
from agbot.cli.failure import Exit
from agbot.clock import SystemClock
from agbot.doctor import at_start
from agbot.foreign_text import escaped
from agbot.rules.ids import GroupId, group_id
from agbot.rules.words import count
from agbot.settings import load
from agbot.settings.load import Reading
from agbot.settings.problems import Problem


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path, readable=False), default=settings_file.DEFAULT)
@click.option("--effective", "group_name", metavar="ORG/GROUP", help="Show the rules of this group and their origins.")
@options.org
@options.as_json
def check_config(file: Path, group_name: str | None, org: str | None, as_json: bool) -> None:
    """Report every mistake in a settings file.

    FILE is /etc/agbot/agbot.toml unless given. The environment is checked too, as by `agbot run`,
    and what a start needs of this machine: the store's file and the addresses to listen on. What
    systemd will provide, or another user may have, is a warning at most. No connection is made;
    `agbot doctor` does that. With --effective, each rule of one group is shown with its origin, and
    the next opening of each maintenance window; the group need not exist. The exit code is 0 if the
    daemon could start with the file, 4 if it cannot be read, else 1. What it would lack if you
    started it here is stated.
    """
    group = group_id(*options.qualified(group_name, org, "group")) if group_name is not None else None
    # by this machine's clock: a daemon that is started here would judge by it too
    beside = partial(at_start.mismatches, now=SystemClock().now())
    reading = load.read(file, os.environ, may_lack_secrets=True, beside=beside)
    if as_json:
        screen.print_json(_plain(file, reading, group))
    else:
        _write(file, reading, group)
    sys.exit(Exit.OK if reading.loaded else settings_file.bad(reading))


def _plain(file: Path, reading: Reading, group: GroupId | None) -> dict[str, object]:
    shown: dict[str, object] = {
        "file": str(file),
        "ok": reading.loaded is not None,
        "mistakes": [asdict(each) for each in reading.mistakes],
        "warnings": [asdict(each) for each in reading.warnings],
        "lacking": _lacking(reading),
    }
    if group is not None:  # with a mistake there are no limits for any group
        settings = reading.loaded.settings if reading.loaded else None
        shown["effective"] = effective.plain(settings, group, SystemClock().now()) if settings else None
    return shown


def _write(file: Path, reading: Reading, group: GroupId | None) -> None:
    for problem in reading.mistakes:
        _write_problem(problem, "mistake", "red")
    for problem in reading.warnings:
        _write_problem(problem, "warning", "yellow")
    if any(each.sample_line for each in (*reading.mistakes, *reading.warnings)):
        click.echo(f"The documented sample: {_dist.folder('config') / 'agbot.toml'}")
    if group is not None and reading.loaded:
        rows = effective.rows(reading.loaded.settings, group, SystemClock().now())
        screen.table(screen.console(), ("key", "value", "origin"), rows)
        click.echo()
    numbers = ((len(reading.mistakes), "mistake"), (len(reading.warnings), "warning"))
    found = " and ".join(count(number, noun) for number, noun in numbers if number)
    verdict = f"{file} is good" if reading.loaded else f"{file} cannot be used"
    click.secho(f"{verdict}: {found}" if found else verdict, bold=True)
    lacking = _lacking(reading)
    if lacking:
        refuses = f"`agbot run --config {file}` would refuse to start here, because of {', '.join(lacking)}; a service"
        provided = "its unit provides that (LoadCredential=, StateDirectory=), or its user may use the file"
        folding.say(f"{refuses} starts if {provided}")


def _lacking(reading: Reading) -> Sequence[str]:
    """Return the keys for which the daemon would refuse to start, if whoever types this ran it."""
    return reading.lacking if reading.loaded else ()


def _write_problem(problem: Problem, noun: str, colour: str) -> None:
    named, out = f"{problem.key}: " if problem.key else "", screen.console()
    screen.say(out, f"{problem.place}: ", (noun, colour), f": {escaped(named + problem.problem)}", indent=4)
    if problem.expected:
        screen.say(out, f"    expected:  {escaped(problem.expected)}", indent=15)
    if problem.sample_line:
        click.echo(f"    explained: line {problem.sample_line} of the sample")
    click.echo()
