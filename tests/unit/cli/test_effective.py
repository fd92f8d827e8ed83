"""What holds for one group, as `agbot check-config --effective` shows it at a given moment."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

from agbot.cli import effective
from agbot.rules.ids import GroupId
from agbot.rules.limits import Limits
from agbot.settings.model import Scope, Settings
from agbot.settings.problems import Origin
from agbot.settings.windows import parse

NOON = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)
"""A Saturday; the clocks of Berlin are put back in the night that follows."""
GROUP = GroupId("o1/g1")


def windowed(*windows: str) -> Settings:
    where = {'scope."o1/*".windows': Origin(file="agbot.toml", table='scope."o1/*"', line=9)}
    return Settings(
        scopes=(Scope(pattern="o1/*", values={"windows": tuple(parse(each) for each in windows)}),), origins=where
    )


def test_every_rule_is_a_row_with_its_unit_in_the_key_and_its_origin() -> None:
    rows = effective.rows(windowed("sat 22:00-04:00 Europe/Berlin"), GROUP, NOON)

    assert [key for key, _, _ in rows] == [each.name for each in fields(Limits)]
    assert ("lease_seconds", "600", "default") in rows
    window = "sat 22:00-04:00 Europe/Berlin (opens 2026-10-24 20:00:00 UTC)"
    assert ("windows", window, '[scope."o1/*"] line 9') in rows


def test_each_window_is_a_row_with_its_own_next_opening() -> None:
    settings = windowed("sun 02:30-04:00 Europe/Berlin", "sat 11:00-13:00", "mon 01:00-02:00")

    shown = [value for key, value, _ in effective.rows(settings, GROUP, NOON) if key == "windows"]

    assert shown == [
        "sun 02:30-04:00 Europe/Berlin (opens 2026-10-25 00:30:00 UTC)",
        "sat 11:00-13:00 (open now)",
        "mon 01:00-02:00 (opens 2026-10-26 01:00:00 UTC)",
    ]


def test_without_windows_it_is_always_open() -> None:
    rows = effective.rows(Settings(), GROUP, NOON)
    plain = effective.plain(Settings(), GROUP, NOON)

    assert ("windows", "always open", "default") in rows
    assert (plain["may_start_now"], plain["next_opening"]) == (True, None)


def test_json_has_the_values_as_they_are_and_the_openings_in_utc() -> None:
    plain = effective.plain(windowed("sun 02:30-04:00 Europe/Berlin", "mon 01:00-02:00"), GROUP, NOON)

    assert plain["group"] == GROUP
    assert plain["rules"]["lease_seconds"]["value"] == 600.0
    assert plain["rules"]["windows"]["origin"] == '[scope."o1/*"] line 9'
    assert (plain["rules"]["windows"]["file"], plain["rules"]["windows"]["line"]) == ("agbot.toml", 9)
    assert [each["next_opening"] for each in plain["windows"]] == [
        "2026-10-25T00:30:00+00:00",
        "2026-10-26T01:00:00+00:00",
    ]
    assert (plain["may_start_now"], plain["next_opening"]) == (False, "2026-10-25T00:30:00+00:00")


def test_json_says_that_an_upgrade_may_start_while_a_window_is_open() -> None:
    plain = effective.plain(windowed("sat 11:00-13:00"), GROUP, NOON)

    assert (plain["may_start_now"], plain["next_opening"]) == (True, NOON.isoformat())
