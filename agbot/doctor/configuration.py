"""Checks the settings: the findings of `agbot check-config`."""

from __future__ import annotations

from typing import Final

from agbot.doctor.finding import Finding, ok, warning, wrong
from agbot.settings.load import Reading
from agbot.settings.problems import Problem

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
