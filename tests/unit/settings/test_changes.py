"""What a reload reports of changed settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agbot.rules.limits import Limits
from agbot.settings import windows
from agbot.settings.changes import changes
from agbot.settings.model import GatewaySettings, Scope, Settings
from agbot.settings.receiving import WebhookSettings

SETTINGS = Settings(scopes=(Scope(pattern="o1/*", values={"min_available": 1}),))


def test_each_changed_setting_is_named_with_its_old_and_new_value() -> None:
    new = replace(
        SETTINGS,
        rules=Limits(lease_seconds=900.0, approval=True),
        gateway=GatewaySettings(key_file=Path("/etc/agbot/tls.key")),
        scopes=(Scope(pattern="o1/*", values={"min_available": 2}), Scope(pattern="o2", values={"order": "name"})),
    )

    assert changes(SETTINGS, new) == {
        "gateway.key_file": ("unset", "/etc/agbot/tls.key"),
        "rules.lease_seconds": ("600", "900"),
        "rules.approval": ("false", "true"),
        'scope."o1/*".min_available': ("1", "2"),
        "scope.o2.order": ("unset", "name"),
    }


def test_no_maintenance_window_is_called_always_open_as_by_check_config() -> None:
    night = windows.parse("daily 22:00-04:00")
    old = replace(SETTINGS, rules=Limits(windows=(night,)))

    assert changes(old, SETTINGS) == {"rules.windows": ("daily 22:00-04:00", "always open")}


def test_nothing_is_reported_of_settings_that_are_equal() -> None:
    assert changes(SETTINGS, SETTINGS) == {}


def test_the_path_of_a_webhook_which_may_be_a_secret_is_not_shown() -> None:
    new = replace(SETTINGS, webhook=WebhookSettings(urls=("https://chat.example.com/hooks/T0/s3cret",)))

    assert changes(SETTINGS, new) == {"webhook.urls": ("unset", "https://chat.example.com/…")}
