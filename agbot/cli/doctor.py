"""`agbot doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from click.core import ParameterSource
from rich.console import Console

from agbot.cli import options, screen, settings_file
from agbot.cli.client import Client
from agbot.cli.failure import Exit, Failure
from agbot.clock import SystemClock
from agbot.console import api
from agbot.coordinator.contract import GroupView
from agbot.doctor import configuration
from agbot.doctor import doctor as examining
from agbot.doctor.curing import Outcome
from agbot.doctor.doctor import Doctor, Patient
from agbot.doctor.finding import Finding, Report, Slot, Standing, Verdict, wrong
from agbot.doctor.listeners import Daemon, own_url
from agbot.rules.words import count
from agbot.settings import load
from agbot.settings.load import Loaded

_WORD: Final = 9
"""The width of what each line begins with."""
_NAME: Final = 15
"""The least width of the names of checks."""
_COLOURS: Final = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.WRONG: "red"}
_CHECK_SECONDS: Final = 5.0


@click.command(
    "doctor",
    epilog="Exit codes: 0 nothing is wrong (there may be warnings), 1 something is wrong or a slot is stuck, "
    "2 wrong usage, 7 a cure was not carried out.",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, readable=False), required=False)
@click.option("--cure", "cures", is_flag=True, help="Delete the stuck rows, one at a time, each after a confirmation.")
@click.option("--yes", is_flag=True, help="With --cure: do not ask, for programs.")
@options.url
@options.as_json
def doctor(file: Path | None, *, cures: bool, yes: bool, url: str, as_json: bool) -> None:
    """Check what the coordinator depends on, and find stuck slots of the real agbot.

    FILE is /etc/agbot/agbot.toml unless given; the environment counts too. It reads the Exchange
    and the agbot itself, so the coordinator need not run. Nothing is changed without --cure, which
    reads the evidence again immediately before it deletes a row, and never deletes two.
    """
    if yes and not cures:
        raise click.UsageError("--yes goes with --cure.")
    if cures and not yes and (as_json or not options.is_person()):
        raise click.UsageError("--cure asks before each row; with --json, or without a terminal, give --yes too.")
    found = settings_file.find(file)
    settings_read = load.read(found, os.environ, may_lack_secrets=True)
    # neither --url nor AGBOT_URL: the settings under examination say where their coordinator is
    is_default = click.get_current_context().get_parameter_source("url") is ParameterSource.DEFAULT
    if is_default and settings_read.loaded is not None:
        url = own_url(settings_read.loaded.settings.console.listen)
    daemon, groups = _daemon(url)
    patient = Patient(
        file=str(found) if found else "",
        settings_read=settings_read,
        daemon=daemon,
        groups=groups,
        groups_now=lambda: _daemon(url)[1],
    )
    raise SystemExit(_run(patient, cures=cures, yes=yes, as_json=as_json))


def _run(patient: Patient, *, cures: bool, yes: bool, as_json: bool) -> int:
    loaded = patient.settings_read.loaded
    if loaded is None:
        findings = configuration.check(patient.file, patient.settings_read)
        report = Report(findings=findings if patient.file else (_no_file(), *findings))
        screen.print_json(_plain(report, [])) if as_json else _write(screen.console(), report)
        return Exit.BAD_INPUT
    with _opened(loaded, patient) as (runner, opened):
        report = runner.run(opened.examine())
        if not as_json:
            _write(screen.console(), report, cures=cures)
        outcomes = list(_cured(runner, opened, report, yes=yes, quiet=as_json)) if cures else []
    if as_json:
        screen.print_json(_plain(report, outcomes))
    if any(not each.is_cured for each in outcomes):
        return Exit.REFUSED
    # what was deleted is no reason for exit code 1, and what was declined is
    cured = {each.slot.row for each in outcomes}
    left = Report(findings=report.findings, slots=tuple(each for each in report.slots if each.row not in cured))
    return Exit.BAD_INPUT if left.verdict is Verdict.WRONG else Exit.OK


def _no_file() -> Finding:
    found = f"there is no {settings_file.DEFAULT}, and the environment is not enough"
    next_step = "`agbot install-units` writes the file; `agbot doctor FILE` reads another one"
    return wrong("configuration", found, next_step=next_step)


@contextmanager
def _opened(loaded: Loaded, patient: Patient) -> Iterator[tuple[asyncio.Runner, Doctor]]:
    """Open a doctor, with a loop that stands still while a person is asked: Ctrl-C ends that."""
    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        try:
            yield runner, runner.run(stack.enter_async_context(examining.opened(loaded, patient, SystemClock())))
        finally:
            runner.run(stack.aclose())


def _cured(runner: asyncio.Runner, opened: Doctor, report: Report, *, yes: bool, quiet: bool) -> Iterator[Outcome]:
    """Offer the cures, one after the other."""
    for slot in report.curable:
        effect = screen.clean(f"This deletes the row of {slot.row.node} for {slot.subject} in {slot.row.group}.")
        if not options.agrees(f"\n{effect}", "Delete it?", yes=yes):
            continue  # no is for this row; Ctrl-C ends the command
        outcome = runner.run(opened.cure(slot))
        if not quiet:
            mark = ("cured", "green") if outcome.is_cured else ("not cured", "red")
            text = f": {slot.row.node} for {slot.subject}: {outcome.text}"
            screen.say(screen.console(), mark, text, indent=2)
        yield outcome


def _daemon(url: str) -> tuple[Daemon, Sequence[GroupView]]:
    """Return what the running daemon shows, or why it shows nothing."""
    client = Client(url=url, seconds=_CHECK_SECONDS)
    try:
        daemon = Daemon(overview=client.read(api.HEALTHZ), url=url)
    except Failure as failure:
        return Daemon(overview=None, url=url, problem=failure.problem), ()
    try:
        return Daemon(overview=client.read(api.OVERVIEW), url=url), client.read(api.GROUPS).groups
    except Failure:  # it stands by, and the leader, which knows the fleet, does not answer
        return daemon, ()


def _plain(report: Report, outcomes: list[Outcome]) -> dict[str, Any]:
    return {
        "verdict": str(report.verdict),
        "findings": [msgspec.to_builtins(each) for each in report.findings],
        "slots": [_plain_slot(each) for each in report.slots],
        "cures": [{**_plain_slot(each.slot), "cured": each.is_cured, "outcome": each.text} for each in outcomes],
    }


def _plain_slot(slot: Slot) -> dict[str, Any]:
    row = slot.row
    return {
        "group": row.group,
        "node": row.node,
        "kind": str(row.kind),
        "subject": slot.subject,
        "standing": str(slot.standing),
        "defect": slot.defect,
        "why": slot.why,
        "doubled": slot.doubled,
        "cure": slot.cure,
    }


def _write(out: Console, report: Report, *, cures: bool = False) -> None:
    width = max([_NAME, *(len(each.check) for each in report.findings)])
    for each in report.findings:
        _line(out, str(each.verdict), each.check.ljust(width), each.found, _COLOURS[each.verdict])
        if each.verdict is not Verdict.OK:
            _details(out, tried=each.tried, next=each.next_step)
    if report.slots:
        problems = report.problems
        quiet = len(report.slots) - len(problems)
        out.print()
        as_it_should = "is as it should be" if quiet == 1 else "are as they should be"
        screen.say(out, (f"Slots of the agbot: {len(report.slots)}, of which {quiet} {as_it_should}", "bold"))
        for slot in problems:
            _write_slot(out, slot, width)
    out.print()
    screen.say(out, (_summary(report, cures=cures), "bold"), indent=2)


def _write_slot(out: Console, slot: Slot, width: int) -> None:
    is_stuck = slot.standing is Standing.STUCK
    word = str(slot.standing) if is_stuck or slot.standing is Standing.UNKNOWN else "doubled"
    row, defect = slot.row, f" ({slot.defect})" if slot.defect else ""
    out.print()
    text = f"{row.group}: {row.node} for {slot.subject}{defect}"
    _line(out, word, f"{row.kind} slot".ljust(width), text, "red" if is_stuck else "yellow")
    _details(out, evidence=slot.why, doubled=f"{slot.doubled} (W14)" if slot.doubled else "")
    if slot.cure:  # whole, to be copied
        click.echo(f"{' ' * _WORD}cure:\n  {screen.clean(slot.cure)}")


def _summary(report: Report, *, cures: bool) -> str:
    stuck = sum(each.standing is Standing.STUCK for each in report.slots)
    bad = sum(each.verdict is Verdict.WRONG for each in report.findings)
    odd = sum(each.verdict is Verdict.WARNING for each in report.findings)
    counts = [count(bad, "check") + " failed" if bad else "", count(odd, "warning") if odd else ""]
    how = "" if cures else " (`agbot doctor --cure` deletes them one at a time)"
    counts.append(count(stuck, "stuck slot") + how if stuck else "")
    found = ", ".join(each for each in counts if each)
    return found or f"{count(len(report.findings), 'check')}: nothing is wrong"


def _line(out: Console, word: str, check: str, text: str, colour: str) -> None:
    screen.say(out, (word.ljust(_WORD), colour), f"{check} {text}", indent=_WORD + len(check) + 1)


def _details(out: Console, **texts: str) -> None:
    """Print what there is of these, each behind its name."""
    for name, text in texts.items():
        if text:
            screen.say(out, f"{' ' * _WORD}{name + ':':<10}{text}", indent=_WORD + 10)
