"""The listener's certificate, which may be renewed while it listens.

A context that listens cannot be given another pair safely: a key that does not fit would leave it with half of each. So each pair gets a
context of its own, and every handshake takes the latest one that could be loaded. Connections that are open go on.
"""

from __future__ import annotations

import ssl
from pathlib import Path


class Certificate:
    """A certificate chain with its key."""

    def __init__(self, certificate_file: Path, key_file: Path) -> None:
        """Load the pair.

        Raises:
            OSError: a file cannot be read, or the two are no pair.
        """
        self._files = (certificate_file, key_file)
        self._current = self._loaded()
        self.context = self._current
        """What the listener is to be started with."""
        self.context.sni_callback = self._choose

    def renew(self) -> None:
        """Load the pair again for the handshakes to come; when that fails, the former one stays.

        Raises:
            OSError: as above.
        """
        self._current = self._loaded()

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Take the latest pair; OpenSSL asks at every handshake, also where the client names no host."""
        connection.context = self._current

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(*self._files)
        except OSError as error:  # ssl.SSLError is one
            certificate, key = self._files
            message = f"[gateway] certificate_file {certificate} and key_file {key} cannot be used: {error}"
            raise OSError(message) from error
        return context
