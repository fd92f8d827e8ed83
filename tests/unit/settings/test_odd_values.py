"""Values that Python itself takes, or fails on, are mistakes of the file like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.settings.test_load import add, config, mistakes

__all__ = ["config"]

MANY = "1" * 400


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("rules", f"lease_seconds = {MANY}"),
        ("rules", "max_upgrade_seconds = 1e12"),
        ("rules", "agent_soak_seconds = 1e300"),
        ("store", "journal_days = 1e6"),
        ("mqtt", f"port = {MANY}"),
        ("rules", 'order = "asked\\n"'),
        ("store", 'schema = "agbot\\n"'),
    ],
)
def test_a_number_that_no_date_can_be_moved_by_or_a_newline_at_the_end_is_a_mistake_at_its_key(
    config: Path, section: str, text: str
) -> None:
    add(config, f"[{section}]\n{text}\n")

    assert list(mistakes(config)) == [f"{section}.{text.partition(' ')[0]}"]


def test_so_it_is_in_the_environment(config: Path) -> None:
    assert list(mistakes(config, AGBOT_MQTT_PORT=MANY)) == ["mqtt.port"]


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        (f"[mqtt]\nport = {MANY * 13}\n", "a number has too many digits"),
        (f"a = {'[' * 5000}\n", "it is nested too deeply"),
    ],
)
def test_what_the_parser_of_toml_fails_on_is_a_mistake_of_the_file(config: Path, text: str, stated: str) -> None:
    add(config, text)

    assert stated in mistakes(config)[""].problem
