"""A real broker for the tests: a mosquitto of their own on a free port, started, frozen, stopped and killed as they want."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.acceptance.programs import free_port
from tests.support.patience import PATIENCE_SECONDS, until

TLS = Path(__file__).parent / "tls"
CERTIFICATE, KEY = TLS / "certificate.pem", TLS / "key.pem"
"""Made up; signs itself, and serves as the certificate of broker and client and as the authority
behind both."""
USER, PASSWORD = "agbot", "hush7broker7hush"
OVER_TLS = (f"cafile {CERTIFICATE}", f"certfile {CERTIFICATE}", f"keyfile {KEY}")
CLIENT_CERTIFICATE = (*OVER_TLS, "require_certificate true")


def program(name: str) -> str:
    """Find one of mosquitto's programs, without which a test is skipped; Debian keeps the broker where only root looks."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
    if found is None:
        pytest.skip(f"{name} is missing: install the Debian package mosquitto")
    return found


@dataclass
class Mosquitto:
    """One broker. It forgets everything when it ends: nothing is written to disk."""

    folder: Path
    lines: tuple[str, ...] = ()
    """Of its configuration, for its one listener."""
    passwords: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text(encoding="utf-8")

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self._launch()
        await until("the broker", self._accepts)

    def _launch(self) -> None:
        access = ["allow_anonymous true"]
        if self.passwords:
            access = ["allow_anonymous false", f"password_file {self._password_file()}"]
        # as root it would become another user, who may not read the test's files
        text = ["user root", "persistence false", f"listener {self.port} 127.0.0.1", *access, *self.lines]
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(text) + "\n", encoding="utf-8")
        with (self.folder / "mosquitto.log").open("ab") as log:
            command = [program("mosquitto"), "-c", str(config), "-v"]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as its service does: it says goodbye to whoever is connected."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE_SECONDS)
            self.process = None

    def freeze(self) -> None:
        """Let it keep its connections and do nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def reload(self) -> None:
        """Let it read its access rules again."""
        self._signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _accepts(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _password_file(self) -> Path:
        path = self.folder / "passwords"
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        for user, password in self.passwords.items():
            command = [program("mosquitto_passwd"), "-b", str(path), user, password]
            subprocess.run(command, check=True, capture_output=True)
        return path
