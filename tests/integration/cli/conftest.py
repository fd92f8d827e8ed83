"""The commands against a console on a real socket, which runs beside the test in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agbot.cli.main import main
from agbot.console.metrics import Metrics
from agbot.console.server import Console
from agbot.settings.secret import Secret
from tests.integration.console.scripted import Scripted, StandingClock

OPERATOR = "let-me-in-0123456789"


@dataclass
class Shell:
    """An operator before a terminal."""

    url: str
    operations: Scripted
    token_file: Path

    def run(self, *words: str, **environ: str) -> Result:
        environment = {"AGBOT_URL": self.url, "HZN_ORG_ID": None, "AGBOT_OPERATOR_TOKEN_FILE": None, **environ}
        return CliRunner().invoke(main, words, env=environment, prog_name="agbot")

    def act(self, *words: str) -> Result:
        return self.run(*words, "--token-file", str(self.token_file))


class Background:
    """An event loop with a console, in a thread."""

    def __init__(self, operations: Scripted) -> None:
        self._operations = operations
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self.url = ""

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        console = Console(
            listen="127.0.0.1:0",
            operations=self._operations,
            metrics=Metrics(),
            clock=StandingClock(),
            operator_token=lambda: Secret(OPERATOR),
        )
        await console.start()
        self.url = console.url
        self._started.set()
        await self._over.wait()
        await console.stop()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    token_file = tmp_path / "operator-token"
    token_file.write_text(f"{OPERATOR}\n", encoding="utf-8")
    token_file.chmod(0o600)
    operations = Scripted()
    background = Background(operations)
    background.start()
    yield Shell(background.url, operations, token_file)
    background.stop()
