"""What `check-config` finds in the settings of the leadership."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agbot.settings.consistency import mismatches
from agbot.settings.model import GatewaySettings, LeadershipSettings, Settings, StoreSettings

SHARED = StoreSettings(url="postgresql://agbot@db.example.com/agbot")
GOOD = LeadershipSettings(
    name="hub-1", gateway_url="https://hub-1.example.com:8083", console_url="https://hub-1.example.com:8444"
)
PEMS = Path(__file__).parents[2] / "support" / "tls"
TLS = GatewaySettings(certificate_file=PEMS / "certificate.pem", key_file=PEMS / "key.pem")


def found(
    leadership: LeadershipSettings, *, store: StoreSettings = SHARED, gateway: GatewaySettings = TLS
) -> dict[str, bool]:
    """Return the keys of the section that are reported, and whether each is only a warning."""
    settings = Settings(store=store, gateway=gateway, leadership=leadership)
    return {each.key: each.is_warning for each in mismatches(settings) if each.key.startswith("leadership.")}


def test_addresses_of_this_host_over_tls_are_good() -> None:
    assert found(GOOD) == {}


def test_without_addresses_a_second_coordinator_could_forward_nothing() -> None:
    assert found(LeadershipSettings()) == {"leadership.gateway_url": True, "leadership.console_url": True}
    assert found(LeadershipSettings(), store=StoreSettings()) == {}


@pytest.mark.parametrize(
    ("ttl_seconds", "renew_seconds", "fits"), [(9.0, 3.0, True), (8.0, 3.0, False), (2.0, 2.0, False)]
)
def test_a_leader_renews_at_least_three_times_in_its_time(ttl_seconds: float, renew_seconds: float, fits: bool) -> None:
    wrong = found(replace(GOOD, ttl_seconds=ttl_seconds, renew_seconds=renew_seconds))
    assert wrong == ({} if fits else {"leadership.renew_seconds": False})


def test_an_address_in_clear_text_to_another_machine_is_warned_of() -> None:
    clear = replace(GOOD, gateway_url="http://10.0.0.1:8083", console_url="http://10.0.0.1:8084")
    assert found(clear, gateway=GatewaySettings()) == {"leadership.gateway_url": True, "leadership.console_url": True}


def test_an_address_that_does_not_fit_the_listener_is_warned_of() -> None:
    assert found(GOOD, gateway=GatewaySettings()) == {"leadership.gateway_url": True}
