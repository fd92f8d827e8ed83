"""The limits of one group: `[rules]`, overridden by scopes of its organisation, then its own.

They are merged key by key: a group may take its windows from its organisation and `min_available`
from a scope of its own. Of two scopes of the same kind the later in the file wins: a file reads
from the general to the specific.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Final

from agbot.rules.ids import GroupId
from agbot.rules.limits import Limits, LimitsOf
from agbot.rules.nearest import did_you_mean
from agbot.settings import globs, places
from agbot.settings.model import SCOPE, Scope, Settings
from agbot.settings.problems import DEFAULT, Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """The limits of one group, and the origin of each value, by key."""

    rules: Limits
    origins: Mapping[str, Origin]


_MOST_NAMED: Final = 3
_GROUPS_REMEMBERED: Final = 65_536
"""More than a hub has. It is bounded because a question may name a group that does not exist."""


def limits_of(settings: Settings) -> LimitsOf:
    """Return the function from a group to its limits, which every question needs."""
    if not settings.scopes:
        return lambda _group: settings.rules
    distinct: dict[tuple[str, ...], Limits] = {}

    @lru_cache(maxsize=_GROUPS_REMEMBERED)
    def of(group: GroupId) -> Limits:
        scopes = _matching(settings, group)
        patterns = tuple(each.pattern for each in scopes)
        # groups that the same scopes match share one object
        if patterns not in distinct:
            distinct[patterns], _ = layered(settings.rules, scopes)
        return distinct[patterns]

    return of


def _matching(settings: Settings, group: GroupId) -> list[Scope]:
    """Return the scopes that match a group, in the order of the file."""
    return [each for each in settings.scopes if globs.matches(each.pattern, group)]


def effective(settings: Settings, group: GroupId) -> Effective:
    """Return the limits of a group, with the origin of each."""
    rules, winners = layered(settings.rules, _matching(settings, group))
    tables = {each.name: table_of(winners[each.name]) if each.name in winners else "rules" for each in fields(rules)}
    origins = {name: settings.origins.get(f"{table}.{name}", DEFAULT) for name, table in tables.items()}
    return Effective(rules=rules, origins=origins)


def layered(rules: Limits, scopes: Iterable[Scope]) -> tuple[Limits, Mapping[str, Scope]]:
    """Override the rules by these scopes; return the result, and the scope of each key."""
    winners: dict[str, Scope] = {}
    # The sort is stable: within each kind the order of the file stays.
    for scope in sorted(scopes, key=lambda each: globs.is_of_groups(each.pattern)):
        winners.update(dict.fromkeys(scope.values, scope))
    values: dict[str, Any] = {name: scope.values[name] for name, scope in winners.items()}
    return replace(rules, **values), winners


def unmatched(scope: Scope, orgs: Collection[str], groups: Collection[str]) -> str:
    """State that a scope matches nothing of these organisations and all of their groups.

    Empty if it matches something.
    """
    if globs.matches_any(scope.pattern, orgs, groups):
        return ""
    if globs.is_of_groups(scope.pattern):
        return f"[{table_of(scope)}] matches no HA group{did_you_mean(scope.pattern, groups)}"
    return f"[{table_of(scope)}] matches no organisation{did_you_mean(scope.pattern, orgs) or _listed(orgs)}"


def _listed(orgs: Collection[str]) -> str:
    more = ", …" if len(orgs) > _MOST_NAMED else ""
    return f"; known are {', '.join(sorted(orgs)[:_MOST_NAMED])}{more}"


def table_of(scope: Scope) -> str:
    """Return the header of a scope, without its brackets."""
    return places.dotted(SCOPE, scope.pattern)
