"""Certificates with their keys: loaded without asking anyone, or refused in plain words."""

from __future__ import annotations

import ssl
from pathlib import Path


class PairError(OSError):
    """A certificate and its key cannot be used; `step` is what to do about it."""

    def __init__(self, problem: str, step: str) -> None:
        super().__init__(problem)
        self.step = step


def load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Load a certificate and its key.

    Raises:
        PairError: they cannot be used.
    """
    try:
        # Without the empty password OpenSSL would ask for that of an encrypted key on the terminal,
        # and the daemon would stand still until it has one.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise PairError(*_why_not(certificate, key, error)) from error


def _why_not(certificate: Path, key: Path, error: Exception) -> tuple[str, str]:
    """Return in plain words what OpenSSL does not take, and what to do."""
    texts = []
    for file in (certificate, key):
        try:
            texts.append(file.read_text(encoding="utf-8", errors="replace"))
        except OSError as unreadable:
            return f"{file} cannot be read: {unreadable.strerror}", "files that the coordinator's user may read"
    # first, because OpenSSL reports a wrong password, and none was asked for
    if "ENCRYPTED" in texts[1]:
        step = f"the key without a password: openssl pkey -in {key} -out NEW_FILE"
        return f"the key {key} is encrypted, and a start cannot ask for its password", step
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return f"the key {key} does not belong to the certificate {certificate}", "the two files of one certificate"
    if "-----BEGIN CERTIFICATE-----" not in texts[0]:
        return f"{certificate} contains no certificate", "a PEM file with a certificate"
    if "PRIVATE KEY-----" not in texts[1]:
        return f"{key} contains no private key", "the PEM file with the key of that certificate"
    step = f"files that `openssl x509 -in {certificate} -noout` and `openssl pkey -in {key} -noout` accept"
    return "certificate and key cannot be read: one of the files is damaged", step
