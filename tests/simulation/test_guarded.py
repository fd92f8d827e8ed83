"""A guarded hub in which everything fails upgrades one member at a time, and the judges notice a guard or a coordinator that is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.simulation import guarded
from tests.simulation.guard_site import guard_sql
from tests.support.examples import ALL_EXAMPLES
from tests.support.postgres import Postgres

SEED = 0


def test_whatever_fails_around_the_guard_one_member_upgrades_at_a_time_and_all_get_there(
    postgres_server: Postgres,
) -> None:
    outcome = guarded.play(SEED, postgres_server)
    assert outcome.broken == []
    assert outcome.upgrades >= guarded.GROUPS * guarded.MEMBERS
    assert {"kill", "depose", "cut", "agbot loses", "a node dies"} <= outcome.deeds.keys(), "this proves little"


def triggers_ignore_the_lease(_patch: pytest.MonkeyPatch) -> str:
    sql = guard_sql()
    for right, wrong in (
        ("RETURN CASE WHEN decided.granted THEN new END", "RETURN new"),
        ("IF decided.granted THEN", "IF true THEN"),
    ):
        assert right in sql
        sql = sql.replace(right, wrong)
    return sql


def rows_of_dead_members_stay(patch: pytest.MonkeyPatch) -> str:
    patch.setattr("agbot.coordinator.guarded.guarded.why_deleted", lambda *_args, **_more: None)
    return guard_sql()


DEFECTS = {
    triggers_ignore_the_lease: "one at a time",
    rows_of_dead_members_stay: "has not got its service",
}
PLAYED = list(DEFECTS.items())[: None if os.environ.get(ALL_EXAMPLES) else 1]
"""`make simulate` plays all: the second one is noticed only after everything had its time."""


@pytest.mark.parametrize(("plant", "noticed"), PLAYED)
def test_the_judges_notice_what_is_wrong_with_the_guard(
    postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], str], noticed: str
) -> None:
    outcome = guarded.play(SEED, postgres_server, plant(monkeypatch))
    assert any(noticed in each for each in outcome.broken)
