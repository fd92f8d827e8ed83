"""The commands against a console on a real socket, which runs beside the test in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agbot.cli.main import main
from agbot.console.metrics import Metrics
from agbot.console.server import Console
from agbot.delivery.receiver import Receiver
from agbot.delivery.sinks import Deliveries
from agbot.settings.secret import Secret
from tests.integration.console.scripted import NOW, Scripted
from tests.support.clocks import HandClock
from tests.support.loop_thread import LoopThread

OPERATOR = "let-me-in-0123456789"


@dataclass
class Shell:
    """An operator before a terminal."""

    url: str
    operations: Scripted
    token_file: Path
    deliveries: Receivers

    def run(self, *words: str, stdin: str = "", **environ: str) -> Result:
        environment = {"AGBOT_URL": self.url, "HZN_ORG_ID": None, "AGBOT_OPERATOR_TOKEN_FILE": None, **environ}
        return CliRunner().invoke(main, words, input=stdin, env=environment, prog_name="agbot")

    def act(self, *words: str, stdin: str = "") -> Result:
        return self.run(*words, "--token-file", str(self.token_file), stdin=stdin)


class Receivers(Deliveries):
    """Receivers that a test has written down."""

    def __init__(self) -> None:
        self.found: Sequence[Receiver] = ()

    def receivers(self) -> list[Receiver]:
        return list(self.found)

    async def test(self, who: str) -> int:
        return 0  # the journal cannot be written


@contextmanager
def console_of(operations: Scripted, deliveries: Deliveries | None = None, *, token: str = OPERATOR) -> Iterator[str]:
    """Run the operators' listener in a thread, and give its URL."""

    async def start() -> Console:
        console = Console(
            listen="127.0.0.1:0",
            operations=operations,
            metrics=Metrics(),
            clock=HandClock(NOW),
            operator_token=lambda: Secret(token),
            deliveries=deliveries,
        )
        await console.start()
        return console

    loop = LoopThread()
    console = loop.run(start())
    yield console.url
    loop.run(console.stop())
    loop.close()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with shell_with(tmp_path, OPERATOR) as found:
        yield found


@contextmanager
def shell_with(folder: Path, token: str) -> Iterator[Shell]:
    """Give a shell whose coordinator has this operator token."""
    token_file = folder / "operator-token"
    token_file.write_text(f"{token}\n", encoding="utf-8")
    token_file.chmod(0o600)
    operations, deliveries = Scripted(), Receivers()
    with console_of(operations, deliveries, token=token) as url:
        yield Shell(url, operations, token_file, deliveries)
