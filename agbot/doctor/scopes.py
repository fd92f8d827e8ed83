"""Checks the scopes of the settings: one that matches no HA group is probably a mistyped name."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from agbot.doctor.finding import Finding, warning
from agbot.rules.ids import GroupId, group_id
from agbot.settings import globs
from agbot.settings.model import Settings
from agbot.settings.scopes import table_of

_CHECK: Final = "scopes"
_MOST_NAMED: Final = 3


def check(settings: Settings, orgs: Collection[str], groups: Collection[GroupId]) -> Iterator[Finding]:
    """Warn of each scope that matches nothing of these organisations and all of their groups."""
    named = ", ".join(sorted(orgs)[:_MOST_NAMED]) + (", …" if len(orgs) > _MOST_NAMED else "")
    for scope in settings.scopes if orgs else ():
        of_groups = globs.is_of_groups(scope.pattern)
        known = groups if of_groups else [group_id(org, "any") for org in orgs]
        if any(globs.matches(scope.pattern, each) for each in known):
            continue
        table = table_of(scope)
        origin = settings.origins.get(table)
        tried = f"{origin.file}:{origin.line}" if origin is not None and origin.file else ""
        text = f"[{table}] matches no {'HA group in' if of_groups else 'organisation; known are'} {named}"
        step = "correct the name; if the group or organisation is to come, nothing has to be done"
        yield warning(_CHECK, text, tried=tried, next_step=step)
