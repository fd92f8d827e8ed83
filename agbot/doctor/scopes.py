"""Checks the scopes of the settings: one that matches no HA group is probably a mistyped name."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from agbot.doctor.finding import Finding, warning
from agbot.rules.ids import GroupId
from agbot.settings.model import Settings
from agbot.settings.scopes import table_of, unmatched

_CHECK: Final = "scopes"


def check(settings: Settings, orgs: Collection[str], groups: Collection[GroupId]) -> Iterator[Finding]:
    """Warn of each scope that matches nothing of these organisations and all of their groups."""
    for scope in settings.scopes if orgs else ():
        text = unmatched(scope, orgs, groups)
        if text:
            origin = settings.origins.get(table_of(scope))
            tried = f"{origin.file}:{origin.line}" if origin is not None and origin.file else ""
            step = "correct the name; ignore this if the group or organisation is yet to be created"
            yield warning(_CHECK, text, tried=tried, next_step=step)
