"""Secrets do not show themselves."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from agbot.settings import load, secret
from agbot.settings.secret import Secret, SecretError


def test_a_secret_shows_itself_nowhere_but_on_demand() -> None:
    hidden = Secret("hunter2")

    assert hidden.reveal() == "hunter2"
    assert "hunter2" not in f"{hidden} {hidden!r} {hidden:>20} {[hidden]} {hidden!s}"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(hidden)


def test_a_changed_secret_is_seen_as_changed() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


@pytest.mark.parametrize(
    ("content", "stated"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"two words", "does not contain a token"),
        (b"two\nlines", "does not contain a token"),
        (b"\xff\xfe", "is not text"),
        (b"x" * 5000, "does not contain a token"),
    ],
)
def test_a_file_that_cannot_be_a_token_is_refused(tmp_path: Path, content: bytes, stated: str) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)

    with pytest.raises(SecretError, match=stated) as refused:
        secret.read(path)

    assert "two" not in str(refused.value)


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="none cannot be read: No such file"):
        secret.read(tmp_path / "none")


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o640, False), (0o604, True), (0o644, True)])
def test_a_file_that_everybody_may_read_is_warned_of(tmp_path: Path, mode: int, is_open: bool) -> None:
    path = tmp_path / "token"
    path.write_text("abc\n", encoding="utf-8")
    path.chmod(mode)

    found = secret.read(path)

    assert found.secret.reveal() == "abc"
    assert bool(found.warning) is is_open


def test_a_named_file_is_stronger_than_a_credential_and_that_than_a_file_beside_the_settings(tmp_path: Path) -> None:
    folder, provided = tmp_path / "settings", tmp_path / "credentials"
    for each in (folder, provided):
        each.mkdir()
        (each / secret.EXCHANGE_TOKEN).write_text("x", encoding="utf-8")
    (folder / secret.OPERATOR_TOKEN).write_text("x", encoding="utf-8")
    environ = {"CREDENTIALS_DIRECTORY": str(provided)}

    assert secret.where(Path("/named"), secret.EXCHANGE_TOKEN, environ, folder) == Path("/named")
    assert secret.where(None, secret.EXCHANGE_TOKEN, environ, folder) == provided / "exchange-token"
    assert secret.where(None, secret.OPERATOR_TOKEN, environ, folder) is None, "systemd has not passed it on"
    assert secret.where(None, secret.OPERATOR_TOKEN, {}, folder) == folder / "operator-token"
    assert secret.where(None, secret.MQTT_PASSWORD, {}, folder) is None
    assert secret.where(None, secret.EXCHANGE_TOKEN, {}, None) is None


def test_an_empty_folder_of_credentials_excuses_no_open_secret_file(tmp_path: Path) -> None:
    settings = tmp_path / "agbot.toml"
    settings.write_text('[exchange]\nurl = "https://hub/v1"\nidentity = "IBM/c"\n', encoding="utf-8")
    (tmp_path / secret.EXCHANGE_TOKEN).write_text("s3cret", encoding="utf-8")
    (tmp_path / secret.EXCHANGE_TOKEN).chmod(0o644)

    warnings = load.load(settings, {"CREDENTIALS_DIRECTORY": ""}).warnings

    assert "exchange.token_file" in [each.key for each in warnings]
