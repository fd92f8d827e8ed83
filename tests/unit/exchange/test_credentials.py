"""Who asks: secrets stay out of sight, and headers hold what the Exchange reads."""

from __future__ import annotations

import base64

import pytest

from agbot.exchange.credentials import Credentials


def test_the_secret_shows_in_neither_repr_nor_str() -> None:
    credentials = Credentials(identity="o1/n1", secret="very-private")

    assert "very-private" not in f"{credentials!r} {credentials} {[credentials]}"
    assert str(credentials) == "o1/n1"


def test_the_organisation_is_what_stands_before_the_first_slash() -> None:
    assert Credentials(identity="o1/a/b", secret="x").org == "o1"


@pytest.mark.parametrize("identity", ["o1/n1", "o1/jörg@werk.example", "o1/a/b", "o1/100%"])
@pytest.mark.parametrize("secret", ["s", "with:colon", "ключ"])
def test_the_header_holds_identity_and_secret_as_they_are(identity: str, secret: str) -> None:
    scheme, _, encoded = Credentials(identity=identity, secret=secret).basic().partition(" ")

    assert scheme == "Basic"
    assert base64.b64decode(encoded).decode() == f"{identity}:{secret}"
