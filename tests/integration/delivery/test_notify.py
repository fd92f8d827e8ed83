"""Notifications: a real service gets the events that a person has to see, few messages, and a test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from agbot.cli.main import main
from agbot.console.metrics import Metrics
from agbot.console.server import Console
from agbot.delivery.notify import Notify, message
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Deliveries, Outcome
from agbot.events.catalogue import EVENTS
from agbot.settings import addresses
from agbot.settings.secret import Secret, SecretError
from agbot.store.contract import Entry, JournalQuery
from tests.contract.values import ANNA, BERT, GROUP, NOW
from tests.integration.console.scripted import Scripted
from tests.integration.delivery.conftest import HASTY, Counted, Journal, delivering
from tests.support.clocks import HandClock
from tests.support.events import example_of
from tests.support.patience import until


@dataclass
class Chat:
    """A service that takes messages, or answers as a test says."""

    port: int = 0
    status: int = 200
    messages: list[dict[str, Any]] = field(default_factory=list)
    attempts: int = 0

    @property
    def address(self) -> Secret:
        return Secret(f"json://anna:s3cretw0rd@127.0.0.1:{self.port}/hooks")

    async def post(self, request: web.Request) -> web.Response:
        self.attempts += 1
        if self.status == 200:
            self.messages.append(json.loads(await request.read()))
        return web.Response(status=self.status)


@asynccontextmanager
async def chat() -> AsyncIterator[Chat]:
    service = Chat()
    app = web.Application()
    app.router.add_post("/{path:.*}", service.post)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.port = runner.addresses[0][1]
    yield service
    await runner.cleanup()


def notified(service: Chat, counted: Counted, *, quiet_seconds: float = 0.05, events: tuple[str, ...] = ()) -> Notify:
    return Notify(service.address, events, counted.count, quiet_seconds=quiet_seconds, backoff=HASTY)


def bad(name: str) -> Entry:
    return Entry.of(example_of(EVENTS[name]), NOW)


async def test_what_a_person_has_to_see_is_sent_in_words_and_nothing_else(journal: Journal, counted: Counted) -> None:
    async with chat() as service, delivering(journal, notified(service, counted)):
        await journal.upgrade(GROUP, ANNA)
        await journal.report(bad("brake.set"))
        (sent,) = await until("a message", lambda: service.messages)
        await until("its outcome", lambda: counted[Kind.NOTIFY, Outcome.DELIVERED])

    assert sent["title"].startswith("agbot: ")
    assert sent["message"].startswith("2026-")
    assert counted[Kind.NOTIFY, Outcome.DELIVERED] == 1


async def test_events_that_the_settings_name_are_sent_too(journal: Journal, counted: Counted) -> None:
    async with chat() as service, delivering(journal, notified(service, counted, events=("lease.granted",))):
        await journal.upgrade(GROUP, BERT)
        (sent,) = await until("a message", lambda: service.messages)

    assert BERT in sent["message"]


async def test_many_events_are_one_message(journal: Journal, counted: Counted) -> None:
    async with chat() as service:
        await journal.report(bad("brake.set"))
        async with delivering(journal, notified(service, counted)):
            await journal.report(*(bad("lease.suspected") for _ in range(30)))
            await until("a message", lambda: service.messages)

    assert service.messages[0]["title"] == "agbot: 30 events need attention"
    assert service.messages[0]["message"].splitlines()[-1] == "and 10 more: agbot history --since 1d"


async def test_a_message_without_quiet_time_left_takes_one_read_of_the_journal(
    journal: Journal, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, read = [], journal.store.journal

    async def counting(query: JournalQuery) -> Sequence[Entry]:
        queries.append(query)
        return await read(query)

    monkeypatch.setattr(journal.store, "journal", counting)
    async with chat() as service, delivering(journal, notified(service, counted)):
        await journal.report(bad("brake.set"))
        await until("a message", lambda: service.messages)

    assert len(queries) == 1


async def test_a_service_that_fails_gets_everything_in_one_message_when_it_is_back(
    journal: Journal, counted: Counted
) -> None:
    async with chat() as service:
        service.status = 500
        sink = notified(service, counted)
        with capture_logs() as logged:
            async with delivering(journal, sink) as deliveries:
                await journal.report(bad("brake.set"))
                await until("two attempts", lambda: service.attempts >= 2)
                (receiver,) = deliveries.receivers()
                await journal.report(bad("lease.suspected"))
                service.status = 200
                await until("a message", lambda: service.messages)
                await until("all is confirmed", lambda: not sink.outage.is_on)

    assert "500" in receiver.error
    assert receiver.behind >= 1
    assert [each["event"] for each in logged if each["event"].startswith("notify")] == [
        "notify.failed",
        "notify.recovered",
    ]
    assert "s3cretw0rd" not in str(logged)
    assert sum(each["message"].count("\n") + 1 for each in service.messages) == 2


async def test_a_test_event_reaches_every_receiver_and_is_confirmed(journal: Journal, counted: Counted) -> None:
    async with (
        chat() as one,
        chat() as other,
        delivering(journal, notified(one, counted), notified(other, counted)) as deliveries,
    ):
        number = await deliveries.test("anna")
        await until("both have it", lambda: all(each.confirmed >= number for each in deliveries.receivers()))

    assert [each.messages[0]["title"] for each in (one, other)] == [
        "agbot: this is a test by anna; nothing has happened"
    ] * 2


def test_a_message_about_one_event_has_it_as_its_title() -> None:
    title, body = message([bad("brake.set")])

    assert title.removeprefix("agbot: ") in body


def test_a_file_of_addresses_is_read_line_by_line_and_a_wrong_one_is_named_without_its_secret(tmp_path: Path) -> None:
    file = tmp_path / "addresses"
    file.write_text("# the team's chat\njson://localhost/s3cretw0rd\n\nslck://s3cretw0rd/x\n", encoding="utf-8")

    found, wrong = addresses.read(file)

    assert [each.reveal() for each in found] == ["json://localhost/s3cretw0rd"]
    assert wrong == [f"{file}, line 4: slck://… is not an address of Apprise, or lacks a part"]


def test_a_file_without_an_address_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "addresses"
    with pytest.raises(SecretError, match="cannot be read"):
        addresses.read(file)
    file.write_text("", encoding="utf-8")

    assert addresses.read(file) == ([], [f"{file} has no address"])


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("0perator", encoding="utf-8")
    file.chmod(0o600)
    return file


async def commanded(deliveries: Deliveries, token_file: Path, *words: str) -> Result:
    """Run `agbot notify` against a console that serves these deliveries."""
    console = Console(
        listen="127.0.0.1:0",
        operations=Scripted(),
        metrics=Metrics(),
        clock=HandClock(NOW),
        operator_token=lambda: Secret("0perator"),
        deliveries=deliveries,
    )
    await console.start()
    asked = ["notify", *words, "--url", console.url, "--token-file", str(token_file)]
    try:
        return await asyncio.to_thread(CliRunner().invoke, main, asked, prog_name="agbot")
    finally:
        await console.stop()


async def test_the_command_waits_until_every_receiver_has_the_test_event(
    journal: Journal, counted: Counted, token_file: Path
) -> None:
    async with chat() as service, delivering(journal, notified(service, counted)) as deliveries:
        result = await commanded(deliveries, token_file, "--test")

    assert result.exit_code == 0, result.output
    assert "has the test event" in result.output
    assert len(service.messages) == 1


async def test_the_command_shows_an_error_as_it_comes_and_then_the_success(
    journal: Journal, counted: Counted, token_file: Path
) -> None:
    async with chat() as service:
        service.status = 403
        async with delivering(journal, notified(service, counted)) as deliveries:
            await journal.report(bad("brake.set"))
            await until("it fails", lambda: deliveries.receivers()[0].error)
            asked = asyncio.create_task(commanded(deliveries, token_file, "--test", "--wait", "600"))
            name = deliveries.receivers()[0].receiver
            attempts = service.attempts
            await until("the test event is tried", lambda: service.attempts > attempts + 2)
            service.status = 200
            result = await asked

    assert result.exit_code == 0, result.output
    shown = [line for line in result.output.splitlines() if line.startswith(f"notify {name}: ")]
    assert shown[0].startswith(f"notify {name}: fails, and is tried again: ")
    assert "403" in shown[0]
    assert shown[-1] == f"notify {name}: has the test event"


async def test_the_command_ends_with_the_error_of_each_receiver_that_lacks_the_event(
    journal: Journal, counted: Counted, token_file: Path
) -> None:
    async with chat() as service:
        service.status = 403
        async with delivering(journal, notified(service, counted)) as deliveries:
            result = await commanded(deliveries, token_file, "--test", "--wait", "3")

    assert result.exit_code == 7
    [last] = [line for line in result.output.splitlines() if "does not have the test event after 3 s: " in line]
    assert "403" in last


async def test_the_command_names_the_receiver_that_does_not_get_it_with_its_error(
    journal: Journal, counted: Counted, token_file: Path
) -> None:
    async with chat() as service:
        service.status = 403
        async with delivering(journal, notified(service, counted)) as deliveries:
            await journal.report(bad("brake.set"))
            await until("it fails", lambda: deliveries.receivers()[0].error)
            result = await commanded(deliveries, token_file, "--test", "--wait", "0", "--json")

    assert result.exit_code == 7
    (receiver,) = json.loads(result.stdout)["receivers"]
    assert receiver["confirmed"] < json.loads(result.stdout)["event"]
    assert "403" in receiver["error"]


async def test_without_a_receiver_the_test_is_refused(journal: Journal, token_file: Path) -> None:
    async with delivering(journal) as deliveries:
        listed = await commanded(deliveries, token_file)
        refused = await commanded(deliveries, token_file, "--test")

    assert (listed.exit_code, refused.exit_code) == (0, 7)
    assert "there is no receiver" in listed.output
    assert "there is no receiver" in refused.stderr
