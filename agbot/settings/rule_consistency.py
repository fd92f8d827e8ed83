"""Checks across the limits of `[rules]` and its scopes (`consistency` has those of all others)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, combinations

from agbot.rules.limits import Limits
from agbot.settings.globs import can_meet
from agbot.settings.model import ExchangeSettings, Scope, Settings
from agbot.settings.scopes import layered, table_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Values that do not fit together, reported at the key to change."""

    key: str
    problem: str
    expected: str = ""
    is_warning: bool = False
    lacks: bool = False
    """A warning because a service may have what whoever reads this lacks. An empty `problem` is no
    warning either: the unit provides it."""
    other: str = ""
    """The key that it was compared with, if any; of `[rules]` without its section."""


def of_rules(settings: Settings) -> Iterator[Mismatch]:
    """Check `[rules]`, each scope over it, and each two scopes that can apply to the same group."""
    yield from _rules(settings.rules, settings.exchange)
    # two are enough, because no check in `_rules` compares more than two values
    alone = ((scope,) for scope in settings.scopes)
    for scopes in chain(alone, combinations(settings.scopes, 2)):
        yield from _together(settings, scopes)


def _rules(rules: Limits, exchange: ExchangeSettings) -> Iterator[Mismatch]:
    for key, value, least, other in (
        ("lease_seconds", rules.lease_seconds, exchange.heartbeat_seconds, "exchange.heartbeat_seconds"),
        ("confirm_seconds", rules.confirm_seconds, exchange.poll_seconds, "exchange.poll_seconds"),
        ("dead_after_seconds", rules.dead_after_seconds, rules.heartbeat_stale_seconds, "heartbeat_stale_seconds"),
        ("max_upgrade_seconds", rules.max_upgrade_seconds, rules.lease_seconds, "lease_seconds"),
    ):
        if value < least:
            problem = f"{value:g} is less than {other} ({least:g})"
            yield Mismatch(key=f"rules.{key}", problem=problem, expected=f"{other} or more", other=other)
    if rules.confirm_seconds < rules.ask_period_seconds:
        yield Mismatch(
            key="rules.confirm_seconds",
            problem=f"{rules.confirm_seconds:g} is less than ask_period_seconds ({rules.ask_period_seconds:g}): "
            "a slow agent would lose its grant before it has begun",
            expected="about three times ask_period_seconds",
            is_warning=True,
            other="ask_period_seconds",
        )
    if rules.min_available == 0:
        yield Mismatch(
            key="rules.min_available",
            problem="0: an agent upgrade may take down the last available member",
            expected="1 or more",
            is_warning=True,
        )


def _together(settings: Settings, scopes: tuple[Scope, ...]) -> Iterator[Mismatch]:
    """Find mismatches that exist only where all these scopes apply.

    Report each at a key of one of them.
    """
    rules, winners = layered(settings.rules, scopes)
    for found in _rules(rules, settings.exchange):
        name = found.key.removeprefix("rules.")
        setters = {each: winners[each] for each in (name, found.other) if each in winners}
        # one scope alone, or the rules themselves, are wrong already and have been reported
        if {id(scope) for scope in setters.values()} != {id(scope) for scope in scopes}:
            continue
        if not all(can_meet(*(scope.pattern for scope in pair)) for pair in combinations(scopes, 2)):
            continue
        reported_at = next(iter(setters))
        tables = [f"[{table_of(scope)}]" for scope in scopes]
        where = f" where {' and '.join(tables)} meet" if len(tables) > 1 else ""
        yield replace(
            found,
            key=f"{table_of(setters[reported_at])}.{reported_at}",
            problem=f"{'' if reported_at == name else f'{name}: '}{found.problem}{where}",
            expected=f"{'' if reported_at == name else f'{name}: '}{found.expected}",
        )
