"""Finds the scopes of the settings that match nothing in the fleet: probably mistyped names.

The check of a settings file cannot know the groups. It is known once every organisation has been
read, and reported once for each scope, and once more when it matches.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from agbot.coordinator.event_loop import Slices
from agbot.coordinator.intake.organisations import Organisations
from agbot.coordinator.situation import Situation
from agbot.events.process import SettingsMatched, SettingsUnmatched
from agbot.rules.ids import OrgId
from agbot.rules.seen_time import SeenTime
from agbot.settings.model import Scope
from agbot.settings.scopes import table_of, unmatched

_PACE: Final = timedelta(minutes=1)
"""A look goes through the names of all groups."""


class UnmatchedScopes:
    """Looks after a cycle."""

    def __init__(self, situation: Situation, organisations: Organisations, scopes: Sequence[Scope]) -> None:
        self._situation = situation
        self._organisations = organisations
        self._scopes = scopes
        self._seen: object = None
        """What the last look was about, of what can change it."""
        self._next_at: SeenTime | None = None
        self._found: dict[str, str] = {}
        """A sentence for each scope that matches nothing, by its table."""

    @property
    def sentences(self) -> Sequence[str]:
        """One sentence for each scope that matches nothing."""
        return tuple(self._found.values())

    def use(self, scopes: Sequence[Scope]) -> None:
        """Look for these scopes from now on, which another reading of the settings has."""
        self._scopes, self._next_at = scopes, None

    async def look(self) -> None:
        """Look again, if groups or scopes have changed and the whole fleet is known."""
        if not (self._scopes or self._found) or not self._is_due():
            return
        picture, orgs = self._situation.picture, tuple(self._organisations.states)
        groups, found, slices = picture.groups(), dict[str, str](), Slices()
        for scope in self._scopes:
            text = unmatched(scope, orgs, groups)
            if text:
                found[table_of(scope)] = text
            await slices.end()
        self._report(found)

    def _is_due(self) -> bool:
        situation, orgs = self._situation, self._organisations.states
        now, seen = situation.now().seen, (tuple(orgs), situation.picture.membership.groups_revision)
        is_early = self._next_at is not None and (seen == self._seen or now < self._next_at)
        if is_early or not orgs or not all(self._is_known(org) for org in orgs):
            return False
        self._seen, self._next_at = seen, now + _PACE
        return True

    def _is_known(self, org: OrgId) -> bool:
        return self._situation.picture.org_read_at(org) is not None and not self._organisations.states[org].failing

    def _report(self, found: dict[str, str]) -> None:
        before, self._found = self._found, found
        for table in [each for each in found if each not in before]:
            self._situation.report_event(SettingsUnmatched(scope=table, problem=found[table]))
        present = {table_of(scope) for scope in self._scopes}
        for table in [each for each in before if each in present and each not in found]:
            self._situation.report_event(SettingsMatched(scope=table))
