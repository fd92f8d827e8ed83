"""Checks the settings: the findings of `agbot check-config`, and scopes that match no HA group.

Such a scope has probably a mistyped name, which only the groups that exist can show.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from agbot.doctor.finding import Finding, ok, warning, wrong
from agbot.rules.ids import GroupId
from agbot.settings.load import Reading
from agbot.settings.model import Settings
from agbot.settings.problems import Problem
from agbot.settings.scopes import table_of, unmatched

_CHECK: Final = "configuration"


def check(file: str, reading: Reading) -> tuple[Finding, ...]:
    """Return every mistake and warning."""
    found = [
        *(wrong(_CHECK, _text(each), tried=_place(each), next_step=_next(each, file)) for each in reading.mistakes),
        *(warning(_CHECK, _text(each), tried=_place(each), next_step=_next(each, file)) for each in reading.warnings),
    ]
    return tuple(found) or (ok(_CHECK, f"{file or 'the environment'} is good"),)


def _place(problem: Problem) -> str:
    """Return where the value is; empty if it is missing."""
    return problem.place if problem.file or problem.variable else ""


def _text(problem: Problem) -> str:
    return f"{problem.key}: {problem.problem}" if problem.key else problem.problem


def _next(problem: Problem, file: str) -> str:
    if problem.expected:
        return f"{'set' if problem.key else 'give'} {problem.expected}"
    if problem.sample_line and file:
        return f"`agbot check-config {file}` names the line of the documented sample that explains it"
    return "correct the file" if problem.file else ""


def unmatched_scopes(settings: Settings, orgs: Collection[str], groups: Collection[GroupId]) -> Iterator[Finding]:
    """Warn of each scope that matches nothing of these organisations and all of their groups."""
    for scope in settings.scopes if orgs else ():
        text = unmatched(scope, orgs, groups)
        if text:
            origin = settings.origins.get(table_of(scope))
            tried = f"{origin.file}:{origin.line}" if origin is not None and origin.file else ""
            step = "correct the name; ignore this if the group or organisation is yet to be created"
            yield warning("scopes", text, tried=tried, next_step=step)
