"""Certificates made in the test: each signs itself, is for 127.0.0.1, and is its own authority."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


def openssl() -> str:
    """Find the program; without it a test is skipped."""
    found = shutil.which("openssl")
    if found is None:
        pytest.skip("openssl is missing: install the Debian package openssl")
    return found


@dataclass(frozen=True)
class Pair:
    """Files of a certificate and its key."""

    certificate: Path
    key: Path

    @property
    def der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text(encoding="ascii"))

    def put_at(self, certificate: Path, key: Path) -> None:
        """Renew files in place, as certbot's hooks and configuration management do."""
        for content, file in ((self.certificate, certificate), (self.key, key)):
            new = file.with_suffix(".new")
            new.write_bytes(content.read_bytes())
            new.chmod(0o600)
            new.replace(file)

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def client(self) -> ssl.SSLContext:
        """Trust this certificate alone."""
        return ssl.create_default_context(cafile=self.certificate)


def made(folder: Path, name: str, *, days: int = 90) -> Pair:
    """Make a certificate that ends in so many days, or has ended before as many."""
    folder.mkdir(exist_ok=True)
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    command = [openssl(), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += [
        "-days",
        str(max(days, 1)),
        "-subj",
        f"/O=agbot test/CN={name}",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    command += ["-keyout", str(pair.key), "-out", str(pair.certificate)]
    subprocess.run(command, check=True, capture_output=True)
    if days <= 0:  # `req` makes none that is over
        again = [openssl(), "x509", "-in", str(pair.certificate), "-signkey", str(pair.key), "-days", str(days)]
        pair.certificate.write_bytes(subprocess.run(again, check=True, capture_output=True).stdout)
    return pair
