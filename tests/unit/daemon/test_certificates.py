"""When certificates end, held against what OpenSSL says."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agbot.daemon.certificates import first_end
from tests.support.authority import made, openssl
from tests.support.mosquitto import CERTIFICATE


def reported_by_openssl(file: Path) -> datetime:
    command = [openssl(), "x509", "-enddate", "-noout", "-in", str(file)]
    stated = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().partition("=")[2]
    return datetime.strptime(stated, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)


@pytest.mark.parametrize("days", [1, 90, 9000, 40_000], ids=["tomorrow", "a quarter", "decades", "past 2050"])
def test_the_end_is_what_openssl_says(tmp_path: Path, days: int) -> None:
    pair = made(tmp_path, "some", days=days)

    assert first_end(pair.certificate.read_bytes()) == reported_by_openssl(pair.certificate)


def test_of_several_the_first_end_counts_and_a_key_between_them_does_not_matter(tmp_path: Path) -> None:
    long, short = made(tmp_path, "long", days=300), made(tmp_path, "short", days=3)
    bundle = b"a comment\n" + b"".join(file.read_bytes() for file in (long.certificate, long.key, short.certificate))

    assert first_end(bundle) == reported_by_openssl(short.certificate)


def test_an_rsa_certificate_is_read_too() -> None:
    assert first_end(CERTIFICATE.read_bytes()) == reported_by_openssl(CERTIFICATE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_certificate_has_no_end(content: bytes) -> None:
    assert first_end(content) is None
