"""The settings of a store on PostgreSQL: an address without a password, and the password from a file or a credential."""

from __future__ import annotations

from pathlib import Path

import pytest

from agbot.settings import load

GOOD = "postgresql://agbot@db.example.com/agbot?sslmode=verify-full"


def read(folder: Path, text: str, **environ: str) -> load.Reading:
    file = folder / "agbot.toml"
    exchange = '[exchange]\nurl = "http://127.0.0.1:1/v1"\nidentity = "IBM/agbot"\n'
    leadership = '[leadership]\ngateway_url = "http://127.0.0.1:8083"\nconsole_url = "http://127.0.0.1:8084"\n'
    file.write_text(f"{exchange}{leadership}[store]\n{text}\n", encoding="utf-8")
    return load.read(file, environ, may_lack_secrets=True)


def wrong(reading: load.Reading) -> list[tuple[str, str]]:
    return [(each.key, each.problem) for each in reading.mistakes]


def test_the_address_is_taken_as_it_is_and_the_password_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n", encoding="utf-8")
    (tmp_path / "password").chmod(0o600)
    reading = read(tmp_path, f'url = "{GOOD}"\nschema = "upgrades"\npassword_file = "password"')

    assert reading.loaded is not None, wrong(reading)
    store = reading.loaded.settings.store
    assert (store.url, store.where, store.schema) == (GOOD, GOOD, "upgrades")
    assert reading.loaded.secrets.store_password is not None
    assert reading.loaded.secrets.store_password.reveal() == "hunter2"


def test_the_password_comes_from_systemd_as_well(tmp_path: Path) -> None:
    (tmp_path / "store-password").write_text("hunter2", encoding="utf-8")
    (tmp_path / "exchange-token").write_text("s3cret", encoding="utf-8")
    reading = read(tmp_path, f'url = "{GOOD}"', CREDENTIALS_DIRECTORY=str(tmp_path))

    assert reading.loaded is not None, wrong(reading)
    assert reading.loaded.secrets.store_password is not None


def test_without_an_address_the_store_is_the_file(tmp_path: Path) -> None:
    reading = read(tmp_path, 'path = "/var/lib/agbot/agbot.db"')

    assert reading.loaded is not None
    assert reading.loaded.settings.store.where == "/var/lib/agbot/agbot.db"


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ('url = "postgresql://agbot:hush7@db/agbot"', "store.url", "contains a password"),
        ('url = "postgresql://agbot@db/agbot?password=hush7"', "store.url", "contains a password"),
        ('url = "postgresql://agbot@db/agbot?sslpassword=hush7"', "store.url", "contains a password"),
        ('url = "mysql://db/agbot"', "store.url", "does not begin with postgresql://"),
        (f'url = "{GOOD}"\nschema = "Agbot; DROP"', "store.schema", "is not a name of lower-case letters"),
        ('password_file = "password"', "store.url", "it is not set, but a password is set"),
    ],
)
def test_what_cannot_be_is_named_and_no_password_repeated(text: str, key: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2", encoding="utf-8")
    found = wrong(read(tmp_path, text))

    assert [each for each in found if each[0] == key and problem in each[1]], found
    assert not any("hush7" in each for _, each in found)


def test_a_missing_driver_is_named_with_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agbot.settings.consistency.find_spec", lambda _name: None)
    reading = read(tmp_path, f'url = "{GOOD}"')

    assert ("store.url", "the package psycopg is not installed, which the store on PostgreSQL needs") in wrong(reading)
