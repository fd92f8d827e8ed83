"""What a member's agreements show of an upgrade that no record is left of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agbot.rules import loss
from agbot.rules.facts import Agreement, Sight
from tests.support.values import NOW, SERVICE, agreement, at, member

NONE_REPORTED = replace(agreement("new", ago=60), containers=())
LONG_SILENT = replace(agreement("old", ago=2000), containers=())
SINCE = at(900)
RUNS = agreement("runs", ago=60)


@pytest.mark.parametrize(
    ("agreements", "common", "found"),
    [
        ((RUNS,), {SERVICE}, None),
        ((LONG_SILENT,), {SERVICE}, None),
        ((agreement("old", "1.0.0", "exited", ago=2000),), {SERVICE}, None),
        ((), set(), None),
        (Sight.UNREAD, {SERVICE}, None),
        ((), {SERVICE}, SERVICE),
        ((RUNS,), {SERVICE, "o1/other"}, "o1/other"),
        ((NONE_REPORTED,), {SERVICE}, SERVICE),
        ((replace(NONE_REPORTED, updated_at=None),), {SERVICE}, SERVICE),
        ((agreement("new", "1.0.0", "running", "creating", ago=60),), {SERVICE}, SERVICE),
    ],
)
def test_a_service_may_be_in_an_upgrade_that_does_not_run_or_is_lacking_or_has_just_got_its_agreement(
    agreements: tuple[Agreement, ...] | Sight, common: set[str], found: str | None
) -> None:
    shown = loss.under_way(member(agreements=agreements), common, SINCE, NOW)
    assert (shown[0] if shown is not None else None) == found


def test_the_agreement_of_that_upgrade_is_not_among_those_from_before_it() -> None:
    shown = loss.under_way(member(agreements=(NONE_REPORTED,)), (), SINCE, NOW)
    assert shown is not None
    assert NONE_REPORTED.updated_at is not None
    assert shown[1].at <= NONE_REPORTED.updated_at
