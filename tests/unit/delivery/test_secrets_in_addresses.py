"""What of an address for notifications is hidden where an error repeats a part of it."""

from __future__ import annotations

import pytest

from agbot.delivery.notify import secrets_in
from agbot.settings.secret import Secret


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "TIiajkdnlazkcOXrIdevi7FQ"),
        ("mailto://anna:s3cretw0rd@example.com", "s3cretw0rd"),
        ("mailto://anna:s3%40cret@example.com", "s3@cret"),
        ("jsons://hub.example.com/hook?key=s3cretkey&format=text", "s3cretkey"),
    ],
)
def test_each_part_of_an_address_that_may_be_a_secret_is_hidden(address: str, secret: str) -> None:
    assert secret in secrets_in(Secret(address))
