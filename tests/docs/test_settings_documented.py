"""The sample and the page of settings say what the model says.

Both are written by `python -m agbot.settings.sample`.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from agbot.rules.ids import group_id
from agbot.settings import document, load, model, sample
from agbot.settings.scopes import effective
from tests.support.warned import warned

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "config" / "agbot.toml"
PAGE = ROOT / "docs" / "settings.md"
KEYS = [key for section in document.sections().values() for key in section.keys.values()]
FREE = {
    "exchange.token_file",  # judged when it is read
    "console.token_file",  # judged when it is read
    "gateway.quiet_refusals",  # yes or no
    "gateway.fleetlock",  # yes or no
    "rules.approval",  # yes or no
    "rules.services_must_run",  # yes or no
    "rules.windows",  # judged when they are read
    "guard.enabled",  # yes or no
    "store.path",  # judged when it is opened
    "store.password_file",  # judged when it is read
    "mqtt.tls",  # yes or no
    "mqtt.busy",  # yes or no
    "mqtt.username",  # the broker's to judge
    "mqtt.password_file",  # judged when it is read
    "mqtt.client_id",  # the broker's to judge
    "webhook.secret_file",  # judged when it is read
    "notify.addresses_file",  # judged when it is read
}


def test_the_sample_is_as_the_model_says() -> None:
    assert SAMPLE.read_text(encoding="utf-8") == sample.toml(), (
        "run: python -m agbot.settings.sample toml > config/agbot.toml"
    )


def test_the_page_is_as_the_model_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == sample.page(), (
        "run: python -m agbot.settings.sample page > docs/settings.md"
    )


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_field_is_documented(key: document.Key) -> None:
    assert key.text.endswith(".")
    assert sample.lines()[key.path] > 0


def test_every_class_of_the_model_is_a_section() -> None:
    assert [each.name for each in fields(model.Settings) if each.name not in {"scopes", "origins"}] == list(
        document.sections()
    )
    assert all(section.text for section in document.sections().values())


def test_the_sample_as_shipped_has_no_mistake() -> None:
    reading = load.read(SAMPLE, {}, may_lack_secrets=True)

    assert reading.mistakes == ()
    assert [each.key for each in warned(reading.warnings)] == ["exchange.token_file"]


def test_every_default_that_the_sample_shows_is_the_model_s() -> None:
    """With every `#` taken away, each shown value is read; those that are defaults equal them."""
    text = re.sub(r"^#(\w+ = |\[)", r"\1", SAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    shown = tomllib.loads(text)
    shown.pop(model.SCOPE)

    assert {section: set(values) for section, values in shown.items()} == {
        name: set(section.keys) for name, section in document.sections().items()
    }
    for key in KEYS:
        if key.default not in (None, ""):
            value = shown[key.section][key.name]
            assert type(key.default)(value) == key.default  # type: ignore[call-arg]  # str, Path, number and tuple take it


def test_the_example_scopes_of_the_sample_work_when_they_are_taken_in(tmp_path: Path) -> None:
    """With the `#` of the scopes taken away the file is good, and a group gets one value from each."""
    before, scopes, after = re.split(r"(?ms)^(#\[scope.*?)(?=^# )", SAMPLE.read_text(encoding="utf-8"))
    path = tmp_path / "agbot.toml"
    path.write_text(before + re.sub(r"^#", "", scopes, flags=re.MULTILINE) + after, encoding="utf-8")

    reading = load.read(path, {}, may_lack_secrets=True)

    assert reading.mistakes == ()
    assert reading.loaded is not None
    shown = effective(reading.loaded.settings, group_id("east-1", "edge-7"))
    from_scopes = {name: shown.origins[name].table for name in shown.origins if shown.origins[name].table != "rules"}
    assert {name: table for name, table in from_scopes.items() if table} == {
        "windows": 'scope."east-*"',
        "min_available": 'scope."east-1/edge-*"',
    }


def test_the_variables_that_a_field_names_are_the_ones_that_are_read() -> None:
    for key in KEYS:
        named = set(re.findall(r"\b(?:HZN|AGBOT)_[A-Z_]+\b", key.text))
        assert named <= set(key.variables), key.path
    assert set(document.HZN_VARIABLES.values()) == {key.path for key in KEYS if "HZN_" in key.text}


def test_every_key_is_checked_or_takes_anything() -> None:
    assert {key.path for key in KEYS if not key.checks} == FREE
