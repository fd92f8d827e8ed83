"""Who asks: secrets stay out of sight, and headers are read as the Exchange reads them."""

from __future__ import annotations

import base64

import pytest

from agbot.exchange.credentials import Credentials, parse_basic


def encoded(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def test_the_secret_shows_in_neither_repr_nor_str() -> None:
    credentials = Credentials(identity="o1/n1", secret="very-private")

    assert "very-private" not in f"{credentials!r} {credentials} {[credentials]}"
    assert str(credentials) == "o1/n1"


def test_the_organisation_is_what_stands_before_the_first_slash() -> None:
    assert Credentials(identity="o1/a/b", secret="x").org == "o1"


@pytest.mark.parametrize("identity", ["o1/n1", "o1/jörg@werk.example", "o1/a/b", "o1/100%"])
@pytest.mark.parametrize("secret", ["s", "with:colon", "ключ"])
def test_a_header_is_read_back_as_it_was_written(identity: str, secret: str) -> None:
    credentials = Credentials(identity=identity, secret=secret)

    assert parse_basic(credentials.basic()) == credentials


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Bearer abc",
        encoded("o1/n1"),
        encoded("o1/n1:"),
        encoded("n1:secret"),
        encoded("/n1:secret"),
        encoded("o1/:secret"),
        encoded("o1/n 1:secret"),
        encoded(b"o1/n1:\xff\xfe"),
    ],
)
def test_what_is_no_identity_with_a_secret_is_none(header: str) -> None:
    assert parse_basic(header) is None


def test_the_scheme_may_be_written_in_any_case() -> None:
    assert parse_basic(encoded("o1/n1:s").replace("Basic", "bAsIc")) == Credentials(identity="o1/n1", secret="s")
