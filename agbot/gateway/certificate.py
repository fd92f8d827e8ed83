"""The listener's certificate, which can be renewed while the listener runs.

A context in use cannot safely load another pair: a key that does not match would leave half of each
in it. So each pair gets its own context, and each handshake uses the latest pair that has been
loaded. Open connections continue.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from agbot.settings import pairs


class Certificate:
    """A certificate chain with its key."""

    def __init__(self, certificate_file: Path, key_file: Path) -> None:
        """Load the pair.

        Raises:
            OSError: a file cannot be read, or the two do not match.
        """
        self._files = (certificate_file, key_file)
        self._current = self._loaded()
        self.context = self._current
        """The context with which the listener starts."""
        self.context.sni_callback = self._choose

    def renew(self) -> None:
        """Load the pair again for future handshakes; on failure the former pair stays.

        Raises:
            OSError: as for the first pair.
        """
        self._current = self._loaded()

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Use the latest pair. OpenSSL calls this in each handshake, also without a host name."""
        connection.context = self._current

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            pairs.load(context, *self._files)
        except pairs.PairError as error:
            certificate, key = self._files
            message = f"[gateway] certificate_file {certificate} and key_file {key} cannot be used: {error}"
            raise OSError(message) from error
        return context
