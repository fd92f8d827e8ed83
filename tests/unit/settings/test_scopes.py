"""What holds for one group is put together key by key, and each value knows where it was written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agbot.rules.ids import GroupId
from agbot.rules.maintenance import outside_window
from agbot.rules.seen_time import Now
from agbot.settings import document, load, sample
from agbot.settings.model import Settings
from agbot.settings.problems import Problem
from agbot.settings.scopes import Effective, effective, limits_of
from tests.support.values import ask, case, group
from tests.support.warned import warned

GOOD = """[exchange]
url = "https://hub.example.com/edge-exchange/v1"
identity = "IBM/coordinator"
token_file = "token"
[rules]
min_available = 5
windows = ["daily 01:00-02:00"]
"""
FIRST = len(GOOD.splitlines()) + 1
"""The line on which a test's own text begins."""
RULES = document.sections()["rules"].keys


@pytest.fixture
def config(tmp_path: Path) -> Path:
    token = tmp_path / "token"
    token.write_text("s3cret\n", encoding="utf-8")
    token.chmod(0o600)
    return tmp_path / "agbot.toml"


def read(config: Path, text: str, **environ: str) -> Settings:
    config.write_text(GOOD + text, encoding="utf-8")
    return load.load(config, environ).settings


def mistakes(config: Path, text: str) -> list[Problem]:
    config.write_text(GOOD + text, encoding="utf-8")
    return list(load.read(config, {}).mistakes)


def warnings(config: Path, text: str) -> list[Problem]:
    config.write_text(GOOD + text, encoding="utf-8")
    reading = load.read(config, {})
    assert reading.mistakes == ()
    return warned(reading.warnings)


def origin(found: Effective, name: str) -> str:
    return str(found.origins[name])


def test_groups_are_stronger_than_organisations_and_those_than_rules_whatever_stands_first(config: Path) -> None:
    text = '[scope."o1/edge-*"]\nmin_available = 1\n[scope."o*"]\nmin_available = 2\n'
    settings = read(config, text)

    held = {name: effective(settings, GroupId(name)).rules.min_available for name in ("o1/edge-1", "o1/g", "x/edge-1")}

    assert held == {"o1/edge-1": 1, "o1/g": 2, "x/edge-1": 5}


@pytest.mark.parametrize(("one", "other"), [("o*", "*1"), ("o1/edge-*", "*/*-1")])
def test_of_two_scopes_of_a_kind_the_later_in_the_file_wins(config: Path, one: str, other: str) -> None:
    for first, second in ((one, other), (other, one)):
        settings = read(config, f'[scope."{first}"]\nmin_available = 1\n[scope."{second}"]\nmin_available = 2\n')

        assert effective(settings, GroupId("o1/edge-1")).rules.min_available == 2


def test_a_group_takes_each_key_from_the_strongest_place_that_has_it_and_knows_the_place(config: Path) -> None:
    text = """[scope.o1]
windows = ["sat 22:00-04:00 Europe/Berlin"]
lease_seconds = 700
[scope."o1/edge-*"]
min_available = 2
lease_seconds = 800
"""
    found = effective(read(config, text, AGBOT_RULES_CONFIRM_SECONDS="200"), GroupId("o1/edge-7"))

    assert (tuple(map(str, found.rules.windows)), origin(found, "windows")) == (
        ("sat 22:00-04:00 Europe/Berlin",),
        f"[scope.o1] line {FIRST + 1}",
    )
    assert (found.rules.min_available, origin(found, "min_available")) == (2, f'[scope."o1/edge-*"] line {FIRST + 4}')
    assert (found.rules.lease_seconds, origin(found, "lease_seconds")) == (800, f'[scope."o1/edge-*"] line {FIRST + 5}')
    assert (found.rules.confirm_seconds, origin(found, "confirm_seconds")) == (
        200,
        "environment AGBOT_RULES_CONFIRM_SECONDS",
    )
    assert origin(found, "dead_after_seconds") == "default"
    elsewhere = effective(read(config, text), GroupId("o2/edge-7"))
    assert origin(elsewhere, "windows") == "[rules] line 7"


def test_the_environment_overrides_rules_and_no_scope(config: Path) -> None:
    settings = read(config, "[scope.o1]\nmin_available = 2\n", AGBOT_RULES_MIN_AVAILABLE="7")

    assert effective(settings, GroupId("o1/g")).rules.min_available == 2
    assert effective(settings, GroupId("o2/g")).rules.min_available == 7


def test_a_scope_may_take_the_windows_away_again(config: Path) -> None:
    settings = read(config, '[scope."o1/lab"]\nwindows = []\n')

    assert effective(settings, GroupId("o1/lab")).rules.windows == ()
    assert effective(settings, GroupId("o1/g")).rules.windows != ()


@pytest.mark.parametrize("name", RULES)
def test_every_key_of_rules_may_stand_in_a_scope(config: Path, name: str) -> None:
    line = next(line for line in sample.toml().splitlines() if line.startswith(f"#{name} = "))
    text = line.removeprefix("#")

    found = effective(read(config, f"[scope.o1]\n{text}\n"), GroupId("o1/g"))

    assert origin(found, name) == f"[scope.o1] line {FIRST + 1}"


def test_every_mistake_in_a_scope_is_reported_with_key_line_and_the_line_of_the_sample(config: Path) -> None:
    text = """[scope."o1/a/b"]
min_available = -1
[scope."o1/edge-*"]
min_avalable = 1
lease_seconds = "long"
windows = ["son 22:00-04:00"]
"""
    found = mistakes(config, text)
    lines = sample.toml().splitlines()

    assert [(each.line, each.key) for each in found] == [
        (FIRST, 'scope."o1/a/b"'),
        (FIRST + 1, 'scope."o1/a/b".min_available'),
        (FIRST + 3, 'scope."o1/edge-*".min_avalable'),
        (FIRST + 4, 'scope."o1/edge-*".lease_seconds'),
        (FIRST + 5, 'scope."o1/edge-*".windows'),
    ]
    assert 'did you mean "min_available"?' in found[2].problem
    assert [lines[each.sample_line - 1].partition(" ")[0] for each in found if each.sample_line] == [
        '#[scope."east-*"]',
        "#min_available",
        "#min_available",
        "#lease_seconds",
        "#windows",
    ]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[scope.""]\nmin_available = 1', 'scope.""'),
        ("[scope]\nmin_available = 1", "scope.min_available"),
        ("[scope.my.org]\nmin_available = 1", "scope.my.org"),
        ("[[scope]]\nmin_available = 1", "scope"),
        ("[scopes.o1]\nmin_available = 1", "scopes"),
    ],
)
def test_what_is_not_a_scope_is_a_mistake_at_its_line(config: Path, text: str, key: str) -> None:
    (found,) = mistakes(config, text)

    assert found.key == key
    assert found.line in {FIRST, FIRST + 1}
    assert found.sample_line


def test_a_name_without_its_quotes_is_reported_with_the_right_form(config: Path) -> None:
    found = mistakes(config, "[scope.o1/edge-*]\nmin_available = 1\n")[0]

    assert found.line == FIRST
    assert '[scope."o1/edge-*"]' in found.expected


def test_a_scope_may_be_written_in_a_line(config: Path) -> None:
    settings = read(config, '[scope]\n"o1/edge-*" = { min_available = 2 }\n')

    found = effective(settings, GroupId("o1/edge-1"))
    assert (found.rules.min_available, origin(found, "min_available")) == (2, f'[scope."o1/edge-*"] line {FIRST + 1}')


def test_a_scope_that_changes_nothing_is_a_warning(config: Path) -> None:
    assert [each.key for each in warnings(config, "[scope.o1]\n")] == ["scope.o1"]


def test_values_of_a_scope_that_do_not_go_with_those_of_rules_are_a_mistake_in_the_scope(config: Path) -> None:
    found = mistakes(config, "[scope.o1]\nlease_seconds = 5\n[scope.o2]\nheartbeat_stale_seconds = 2000\n")

    assert [(each.line, each.key) for each in found] == [
        (FIRST + 1, "scope.o1.lease_seconds"),
        (FIRST + 3, "scope.o2.heartbeat_stale_seconds"),
    ]
    assert found[1].problem == "dead_after_seconds: 1800 is less than heartbeat_stale_seconds (2000)"


def test_values_of_two_scopes_that_do_not_go_together_are_a_mistake_where_the_scopes_can_meet(config: Path) -> None:
    text = '[scope."o*"]\nheartbeat_stale_seconds = 900\n[scope."{}/g"]\ndead_after_seconds = 600\n'

    (found,) = mistakes(config, text.format("o1"))

    assert found.key == 'scope."o1/g".dead_after_seconds'
    assert 'where [scope."o*"] and [scope."o1/g"] meet' in found.problem
    assert mistakes(config, text.format("x1")) == []


def test_a_mistake_in_rules_is_not_reported_again_for_every_scope(config: Path) -> None:
    found = mistakes(config, "dead_after_seconds = 200\n[scope.o1]\nmin_available = 1\n")

    assert [each.key for each in found] == ["rules.dead_after_seconds"]


def test_a_scope_that_lets_the_last_member_go_down_is_warned_of(config: Path) -> None:
    assert [each.key for each in warnings(config, "[scope.o1]\nmin_available = 0\n")] == ["scope.o1.min_available"]


@pytest.mark.parametrize(
    ("name", "now", "until"),
    [
        # Berlin skips the hour from two to three on 2026-03-29, at 01:00 UTC; New York did so on
        # 2026-03-08.
        ("berlin/g", "2026-03-29T00:00", "2026-03-29T01:00"),
        ("new-york/g", "2026-03-29T00:00", "2026-03-29T06:30"),
        ("new-york/g", "2026-03-08T00:00", "2026-03-08T07:00"),
        ("berlin/g", "2026-03-29T01:00", None),
        ("berlin/g", "2026-03-29T02:00", "2026-04-05T00:30"),
        # Berlin repeats the hour from two to three on 2026-10-25, at 01:00 UTC.
        ("berlin/g", "2026-10-25T00:00", "2026-10-25T00:30"),
        ("berlin/g", "2026-10-25T01:10", "2026-10-25T01:30"),
        ("new-york/g", "2026-10-25T01:10", "2026-10-25T06:30"),
        # through the night, from the scope of the group
        ("berlin/night", "2026-03-29T01:59", None),
        ("berlin/night", "2026-03-29T02:00", "2026-04-04T20:00"),
        ("berlin/night", "2026-10-25T02:59", None),
        ("berlin/night", "2026-10-25T03:00", "2026-10-31T21:00"),
        # what no scope names keeps the windows of [rules]
        ("o1/g", "2026-03-29T01:10", None),
    ],
)
def test_each_scope_s_window_follows_the_clocks_of_its_own_place(
    config: Path, name: str, now: str, until: str | None
) -> None:
    settings = read(
        config,
        """[scope.berlin]
windows = ["sun 02:30-04:00 Europe/Berlin"]
[scope."new-york"]
windows = ["sun 02:30-04:00 America/New_York"]
[scope."berlin/night"]
windows = ["sat 22:00-04:00 Europe/Berlin"]
""",
    )
    limits = limits_of(settings)(GroupId(name))

    reason = outside_window(
        case(ask(), group(limits=limits), Now.unblinded(datetime.fromisoformat(now).replace(tzinfo=UTC)))
    )

    assert (reason.until if reason else None) == (datetime.fromisoformat(until).replace(tzinfo=UTC) if until else None)
