"""All rules, in the order of their reasons (DESIGN, section 5), and what follows from each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from agbot.rules import (
    beside,
    brakes,
    busy,
    consent,
    eligibility,
    exclusion,
    holds,
    maintenance,
    order,
    pace,
    peers,
    reasons,
    soaking,
)
from agbot.rules.reasons import Code, Reason
from agbot.rules.rule import Case, Rule


def _turn(case: Case) -> Reason | None:
    """Refuse while the asker has to yield to a waiter that could upgrade now."""
    return order.turn(case, _could_go)


_TURN = Rule(
    name="turn",
    passes="no other waiter goes before this node",
    unblocks={Code.TURN: "wait until those who go first have had their turn"},
    is_allowable=True,
    check=_turn,
    evidence=order.evidence,
)

RULES: tuple[Rule, ...] = (
    eligibility.TRUST,
    eligibility.MEMBER,
    eligibility.NO_OTHER_UPGRADE,
    eligibility.POLICY,
    exclusion.LEASE_FREE,
    beside.NO_OVERLAP,
    beside.AGBOT_KNOWN,
    exclusion.LEASE_CERTAIN,
    soaking.RESTED,
    brakes.NO_BRAKE,
    brakes.NO_ORG_BRAKE,
    holds.NOT_PAUSED,
    maintenance.WINDOW_OPEN,
    busy.NOT_BUSY,
    consent.APPROVED,
    pace.CANARY,
    pace.PACE,
    peers.PEERS,
    _TURN,
)
"""`_TURN` is the last one, because it asks the other rules about the waiters."""

UNBLOCKS: Mapping[Code, str] = MappingProxyType(
    {**reasons.UNBLOCKS, **{code: text for rule in RULES for code, text in rule.unblocks.items()}}
)
"""What ends each reason."""

FINAL: frozenset[Code] = frozenset({Code.ORG_EXCLUDED}.union(*(rule.final for rule in RULES)))
"""Refusals that make no waiter, because there is nothing to wait for."""


def _could_go(case: Case) -> bool:
    """Return whether only its turn keeps this asker waiting."""
    allowed = consent.allowance(case.ask, case.group, case.at)
    return all(rule.check(case) is None or consent.overrides(allowed, rule, case) for rule in RULES[:-1])
