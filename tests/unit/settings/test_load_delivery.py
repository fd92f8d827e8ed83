"""What the settings of broker and webhooks mean together, and where their secrets come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from agbot.settings import load
from tests.support.warned import warned

TLS = Path(__file__).parents[2] / "support" / "tls"
GOOD = """
[exchange]
url = "https://hub.example.com/edge-exchange/v1"
identity = "IBM/coordinator"
token_file = "token"
"""


def read(folder: Path, text: str, *, may_lack_secrets: bool = False, **environ: str) -> load.Reading:
    for name, content in (("token", "s3cret"), ("password", "hunter2"), ("secret", "signs")):
        (folder / name).write_text(content, encoding="utf-8")
        (folder / name).chmod(0o600)
    path = folder / "agbot.toml"
    path.write_text(GOOD + text, encoding="utf-8")
    return load.read(path, environ, may_lack_secrets=may_lack_secrets)


def mistaken(reading: load.Reading) -> list[str]:
    return [each.key for each in reading.mistakes]


def test_a_broker_with_a_password_over_tls_is_read_without_a_word(tmp_path: Path) -> None:
    ca = TLS / "certificate.pem"
    text = f'[mqtt]\nhost = "broker"\ntls = true\nca_file = "{ca}"\nusername = "agbot"\npassword_file = "password"\n'

    reading = read(tmp_path, text)

    assert (reading.mistakes, warned(reading.warnings)) == ((), [])
    assert reading.loaded is not None
    assert reading.loaded.secrets.mqtt_password is not None
    assert reading.loaded.secrets.mqtt_password.reveal() == "hunter2"


def test_systemd_hands_over_password_and_signing_secret(tmp_path: Path) -> None:
    handed_over = tmp_path / "credentials"
    handed_over.mkdir()
    (handed_over / "mqtt-password").write_text("from-systemd", encoding="utf-8")
    (handed_over / "webhook-secret").write_text("also-from-systemd", encoding="utf-8")
    text = '[mqtt]\nhost = "localhost"\nusername = "agbot"\n[webhook]\nurls = ["https://example.com/hook"]\n'

    reading = read(tmp_path, text, CREDENTIALS_DIRECTORY=str(handed_over))

    assert reading.loaded is not None
    found = reading.loaded.secrets.mqtt_password, reading.loaded.secrets.webhook_secret
    assert [each.reveal() for each in found if each] == ["from-systemd", "also-from-systemd"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f'tls = true\ncertificate_file = "{TLS / "certificate.pem"}"', "mqtt.key_file"),
        (f'key_file = "{TLS / "key.pem"}"', "mqtt.certificate_file"),
        (f'ca_file = "{TLS / "certificate.pem"}"', "mqtt.ca_file"),
        ('password_file = "password"', "mqtt.username"),
    ],
)
def test_what_does_not_go_together_is_a_mistake(tmp_path: Path, text: str, key: str) -> None:
    assert mistaken(read(tmp_path, f'[mqtt]\nhost = "broker"\n{text}\n')) == [key]


def test_webhooks_without_a_secret_are_a_mistake_and_a_warning_before_systemd_hands_it_over(tmp_path: Path) -> None:
    text = '[webhook]\nurls = ["https://example.com/hook"]\n'

    assert mistaken(read(tmp_path, text)) == ["webhook.secret_file"]
    early = read(tmp_path, text, may_lack_secrets=True)
    assert (mistaken(early), [each.key for each in warned(early.warnings)]) == ([], ["webhook.secret_file"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[mqtt]\nhost = "broker"\nusername = "agbot"', ["mqtt.tls"]),
        ('[mqtt]\nhost = "2001:db8::1"\nusername = "agbot"', ["mqtt.tls"]),
        ('[mqtt]\nhost = "::1"\nusername = "agbot"', []),
        ('[mqtt]\nhost = "broker"', []),
        (
            '[webhook]\nsecret_file = "secret"\nurls = ["http://127.0.0.1:9/a", "http://example.com/b"]',
            ["webhook.urls"],
        ),
        ('[webhook]\nsecret_file = "secret"\nurls = ["http://127.0.0.1:9/a"]', []),
    ],
)
def test_what_everybody_on_the_way_could_read_is_warned_of(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert [each.key for each in warned(read(tmp_path, text + "\n").warnings)] == expected


@pytest.mark.parametrize("name", ["webhook-secret", "mqtt-password", "store-password"])
def test_a_file_that_is_left_beside_the_settings_is_no_mistake_where_nothing_uses_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("", encoding="utf-8")  # empty: it could not be used

    assert read(tmp_path, "").mistakes == ()
