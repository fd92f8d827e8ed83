"""Webhooks: a real receiver gets every event, signed, in order and until it has taken it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from agbot.clock import SystemClock
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Backoff, Outcome
from agbot.delivery.webhook import Webhook
from agbot.events.delivering import DeliveryRefused
from agbot.settings.secret import Secret
from agbot.store.contract import Entry
from tests.contract.values import ANNA, BERT, GROUP, NOW, entry
from tests.integration.delivery.conftest import HASTY, Counted, Journal, delivering, firsts
from tests.support.clocks import NOON, HandClock, jump
from tests.support.examples import some
from tests.support.listening import validated
from tests.support.mosquitto import CERTIFICATE, KEY
from tests.support.patience import PATIENCE_SECONDS, until

SECRET = Secret("hush7webhook7hush")
ATTEMPT_SECONDS = PATIENCE_SECONDS / 4
"""So long that a busy machine makes no attempt more than a test counts."""
HANGS = 0
WITHOUT_DATE: dict[str, str] = {"Date": ""}


@dataclass(frozen=True)
class Post:
    """What arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return validated(self.body, "event")


@dataclass
class Receiver:
    """An address that takes events, or answers the next ones as a test says."""

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    """Statuses of the next answers, `HANGS` for none at all; 204 after them."""
    says: Mapping[str, str] = field(default_factory=dict)
    """Headers of every answer that is no 2xx; an empty one is left out."""
    refuses: str = ""
    """The event that it will never take."""
    refuses_with: int = 422
    came_at: list[float] = field(default_factory=list)
    """When each post arrived, by the loop's clock."""
    lets_pass: list[float] = field(default_factory=list)
    """Seconds by which the loop's clock jumps at the next posts that it hangs at or refuses: all that waits is then over."""

    async def receive(self, request: web.Request) -> web.Response:
        post = Post(dict(request.headers), await request.read())
        self.posts.append(post)
        self.came_at.append(asyncio.get_running_loop().time())
        status = self.answers.pop(0) if self.answers else 204
        if post.event["event"] == self.refuses:
            status = self.refuses_with
        if (status == HANGS or status >= 300) and self.lets_pass:
            jump(self.lets_pass.pop(0))
        if status == HANGS:
            await asyncio.Event().wait()
        if status < 300:
            self.taken.append(post.event)
            return web.Response(status=status)
        return web.Response(status=status, headers={"Location": "/elsewhere", **self.says})

    async def leave_out(self, _request: web.Request, reply: web.StreamResponse) -> None:
        """Take the headers away that aiohttp adds by itself and this receiver does not send."""
        for name in [name for name, value in reply.headers.items() if not value]:
            del reply.headers[name]

    async def elsewhere(self, request: web.Request) -> web.Response:
        raise AssertionError("a redirect was followed")


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.on_response_prepare.append(receiver.leave_out)
    app.router.add_post("/hooks/agbot", receiver.receive)
    app.router.add_route("*", "/elsewhere", receiver.elsewhere)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/hooks/agbot"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded(Backoff):
    """Backoff of which a test sees how long each was meant to be."""

    given: list[float] = field(default_factory=list)

    def after(self, failures: int, retry_after_seconds: float = 0.0) -> float:
        self.given.append(Backoff.after(self, failures, retry_after_seconds))
        return self.given[-1]


def webhook(url: str, counted: Counted, **more: Any) -> Webhook:
    given: dict[str, Any] = {"clock": SystemClock(), "timeout_seconds": ATTEMPT_SECONDS, "backoff": HASTY} | more
    return Webhook(url, SECRET, count=counted.count, **given)


def tokens(receiver: Receiver) -> list[tuple[str, int]]:
    return [(event["event"], event["token"]) for event in receiver.taken]


async def test_every_event_is_posted_in_order_with_its_id_and_a_signature_over_time_and_body(
    journal: Journal, receiver: Receiver, counted: Counted
) -> None:
    before = int(datetime.now(UTC).timestamp())
    async with delivering(journal, webhook(receiver.url, counted)):
        for node in (ANNA, BERT):
            await journal.upgrade(GROUP, node)
        await until("all told", lambda: len(receiver.taken) == 4)
        await until("it is counted", lambda: counted == {(Kind.WEBHOOK, Outcome.DELIVERED): 4})

    assert tokens(receiver) == [(event, token) for token in (1, 2) for event in ("lease.granted", "lease.released")]
    for post in receiver.posts:
        stamp, signature = post.headers["X-Agbot-Timestamp"], post.headers["X-Agbot-Signature"]
        expected = hmac.new(SECRET.reveal().encode(), stamp.encode() + b"." + post.body, hashlib.sha256).hexdigest()
        assert signature == f"sha256={expected}"
        assert before <= int(stamp) <= before + 30
        assert post.headers["X-Agbot-Event-Id"] == post.event["id"]
        assert post.headers["Content-Type"] == "application/json"


async def test_what_may_pass_is_tried_again_with_the_same_id_and_reported_once(
    journal: Journal, receiver: Receiver, counted: Counted
) -> None:
    receiver.answers = [500, 502, 503, 408, 425, 429, HANGS]
    receiver.lets_pass = [0.0] * 6 + [ATTEMPT_SECONDS]
    with capture_logs() as log:
        async with delivering(journal, webhook(receiver.url, counted)):
            await journal.upgrade(GROUP, ANNA)
            await until("both told", lambda: counted[Kind.WEBHOOK, Outcome.DELIVERED] == 2)
            await until("it is over", lambda: len(log) == 2)

    *tries, last = receiver.posts
    assert len(tries) == 8
    assert len({(post.body, post.headers["X-Agbot-Event-Id"]) for post in tries}) == 1
    assert last.headers["X-Agbot-Event-Id"] != tries[0].headers["X-Agbot-Event-Id"]
    assert tokens(receiver) == [("lease.granted", 1), ("lease.released", 1)]
    assert counted == {(Kind.WEBHOOK, Outcome.DELIVERED): 2, (Kind.WEBHOOK, Outcome.FAILED): 7}
    assert [(line["event"], line["log_level"]) for line in log] == [
        ("webhook.failed", "warning"),
        ("webhook.recovered", "info"),
    ]


def http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


LONG_AGO = datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)


SECONDS = {"Retry-After": "1"}
BY_ITS_CLOCK = {"Retry-After": http_date(LONG_AGO + timedelta(seconds=1)), "Date": http_date(LONG_AGO)}
BY_OUR_CLOCK = {"Retry-After": http_date(NOON + timedelta(seconds=1)), **WITHOUT_DATE}


@pytest.mark.parametrize(
    ("status", "says"),
    [(429, SECONDS), (503, SECONDS), (408, SECONDS), (500, SECONDS), (503, BY_ITS_CLOCK), (429, BY_OUR_CLOCK)],
    ids=["429", "503", "408", "500", "a date by the receiver's clock", "a date by our clock"],
)
async def test_a_receiver_is_left_alone_for_as_long_as_it_asks(
    journal: Journal, receiver: Receiver, counted: Counted, status: int, says: dict[str, str]
) -> None:
    receiver.answers, receiver.says = [status], says
    backoff = Recorded(first_seconds=0.02, longest_seconds=0.1)
    sink = webhook(receiver.url, counted, clock=HandClock(NOON), backoff=backoff)
    with capture_logs() as log:
        async with delivering(journal, sink):
            await journal.report(entry("a.a"), entry("b.b"))
            await until("all told", lambda: len(receiver.taken) == 2)

    first, again, _following = receiver.came_at
    assert again - first >= 1.0
    assert backoff.given == [1.0], "it asked for one pause, not for one before each event"
    assert log[0]["error"] == f"it answered {status} and asks for 1 s"


@pytest.mark.parametrize("asked", ["86400", "9" * 500, http_date(datetime(2999, 1, 1, tzinfo=UTC))])
async def test_no_one_is_left_alone_for_longer_than_the_bound(
    journal: Journal, receiver: Receiver, counted: Counted, asked: str
) -> None:
    receiver.answers, receiver.says = [503, 503], {"Retry-After": asked}
    bounded = Recorded(first_seconds=0.02, longest_seconds=0.1, longest_retry_after_seconds=0.4)
    async with delivering(journal, webhook(receiver.url, counted, backoff=bounded)):
        await journal.report(entry("a.a"))
        await until("told", lambda: receiver.taken)

    assert bounded.given == [0.4, 0.4]
    assert all(after - before >= 0.4 for before, after in pairwise(receiver.came_at))


@pytest.mark.parametrize(
    ("status", "asked"), [(503, "soon"), (503, "-60"), (503, "60.5"), (429, http_date(LONG_AGO)), (404, "60")]
)
async def test_what_cannot_be_understood_or_is_stated_with_a_no_leaves_the_usual_pause(
    journal: Journal, receiver: Receiver, counted: Counted, status: int, asked: str
) -> None:
    receiver.answers, receiver.says = [status] * 3, {"Retry-After": asked}
    async with delivering(journal, webhook(receiver.url, counted)):
        await journal.report(entry("a.a"))
        await until("told", lambda: receiver.taken)


async def test_a_no_is_reported_once_as_an_error_and_the_event_is_not_skipped(
    journal: Journal, receiver: Receiver, counted: Counted
) -> None:
    receiver.answers = [503, 301, 400, 401, 503, 404, 410, 422]
    with capture_logs() as log:
        async with delivering(journal, webhook(receiver.url, counted)):
            await journal.upgrade(GROUP, ANNA)
            await until("both told", lambda: len(receiver.taken) == 2)
            await until("it is over", lambda: len(log) == 3)

    assert tokens(receiver) == [("lease.granted", 1), ("lease.released", 1)]
    assert counted[Kind.WEBHOOK, Outcome.REFUSED] == 6
    assert counted[Kind.WEBHOOK, Outcome.FAILED] == 2
    assert [line["event"] for line in log] == ["webhook.failed", "webhook.refused", "webhook.recovered"]
    assert log[1]["log_level"] == "error"
    assert "it answered 301 to event 1-" in log[1]["error"]
    assert "hooks" not in str(log), "the path of an address may be as good as a password"


async def test_a_receiver_that_is_away_gets_everything_when_it_is_back(journal: Journal, counted: Counted) -> None:
    with socket.socket() as no_one:
        no_one.bind(("127.0.0.1", 0))  # not listening: connections are refused
        sink = webhook(f"http://127.0.0.1:{no_one.getsockname()[1]}/hooks/agbot", counted)
        with capture_logs() as log:
            async with delivering(journal, sink):
                await journal.upgrade(GROUP, ANNA)
                await until("attempts", lambda: counted[Kind.WEBHOOK, Outcome.FAILED] >= 3)
        assert [line["error"] for line in log] == ["it cannot be reached: Connection refused"]
    await journal.upgrade(GROUP, BERT)
    async with receiving() as receiver:
        back = webhook(receiver.url, counted)
        back.name = sink.name
        async with delivering(journal, back):
            await until("all told", lambda: len(receiver.taken) == 4)

    assert [token for _, token in tokens(receiver)] == [1, 1, 2, 2]


async def test_a_receiver_away_for_longer_than_the_journal_gets_the_later_events_and_one_that_names_the_gap(
    journal: Journal, receiver: Receiver, counted: Counted
) -> None:
    sink = webhook(receiver.url, counted)
    async with delivering(journal, sink):
        await journal.report(entry("a.a"))
        await until("told", lambda: len(receiver.taken) == 1)
    await journal.report(entry("old.old"), entry("old.old"), entry("new.new", minutes=9))
    await journal.store.prune(NOW + timedelta(minutes=5))

    async with delivering(journal, sink):
        await until("all told", lambda: len(receiver.taken) == 3)
        await journal.report(entry("b.b", minutes=9))
        await until("the news", lambda: len(receiver.taken) == 4)

    assert [event["event"] for event in receiver.taken] == ["a.a", "new.new", "delivery.lost", "b.b"]
    assert receiver.taken[2]["facts"] == {"sink": "webhook", "receiver": sink.receiver, "first": 2, "last": 3}
    assert [event["number"] for event in receiver.taken] == [1, 4, 5, 6]
    assert sink.receiver in receiver.url
    assert "hooks" not in sink.receiver, "the path of an address may be as good as a password"


async def test_a_receiver_that_is_away_keeps_its_turn_for_the_events_on_their_way_to_it(
    journal: Journal, receiver: Receiver, counted: Counted
) -> None:
    receiver.answers = [503] * 5
    async with delivering(journal, webhook(receiver.url, counted)):
        await journal.report(entry("a.a"))
        await until("an attempt", lambda: receiver.posts)
        await journal.store.prune(NOW + timedelta(days=1))
        await until("told all the same", lambda: receiver.taken)

    assert journal.lost == []


async def test_an_event_that_is_met_with_a_no_for_longer_than_the_journal_keeps_it_is_lost_and_the_next_is_reported(
    journal: Journal, receiver: Receiver, counted: Counted
) -> None:
    receiver.refuses = "poison.poison"
    with capture_logs() as log:
        async with delivering(journal, webhook(receiver.url, counted)):
            await journal.report(entry("poison.poison"), entry("new.new", minutes=9))
            await until("attempts", lambda: len(receiver.posts) >= 3)
            assert receiver.taken == []
            await journal.store.prune(NOW + timedelta(minutes=5))
            await until("the rest told", lambda: len(receiver.taken) == 2)

    assert [event["event"] for event in receiver.taken] == ["new.new", "delivery.lost"]
    assert [(each.facts["first"], each.facts["last"]) for each in journal.lost] == [(1, 1)]
    assert [line["event"] for line in log] == ["webhook.refused", "webhook.recovered"]


@pytest.mark.parametrize("status", some([301, 308, 400, 401, 403, 404, 410, 413, 422, 431, 500, 503, HANGS]))
async def test_one_event_that_is_never_taken_is_passed_over_when_the_next_one_is(
    journal: Journal, receiver: Receiver, counted: Counted, status: int
) -> None:
    receiver.refuses, receiver.refuses_with = "poison.poison", status
    backoff = replace(HASTY, patience_seconds=0.3)
    with capture_logs() as log:
        receiver.lets_pass = [ATTEMPT_SECONDS] * 2 if status == HANGS else []
        async with delivering(journal, webhook(receiver.url, counted, backoff=backoff)):
            await journal.report(entry("a.a"), entry("poison.poison"), entry("b.b"), entry("c.c"))
            await until("the others told", lambda: len(firsts(receiver.taken)) == 4)

    assert [event["event"] for event in firsts(receiver.taken)] == ["a.a", "b.b", "c.c", "delivery.refused"]
    (note,) = journal.lost
    assert note.facts["numbers"] == [2]
    assert note.facts["sink"] == "webhook"
    assert note.facts["error"]
    assert [line["event"] for line in log][1:] in ([], ["webhook.recovered"]), "told once each, if it took any time"


async def test_a_kind_of_event_that_is_never_taken_is_passed_over_however_many_follow_each_other(
    journal: Journal, receiver: Receiver, counted: Counted
) -> None:
    receiver.refuses = "poison.poison"
    receiver.lets_pass = [ATTEMPT_SECONDS]
    poison = entry("poison.poison")
    patient = replace(HASTY, patience_seconds=ATTEMPT_SECONDS)
    async with delivering(journal, webhook(receiver.url, counted, backoff=patient)):
        await journal.report(entry("a.a"), *[poison] * 5, entry("b.b"), *[poison] * 3, entry("c.c"))
        await until("the others told", lambda: counted[Kind.WEBHOOK, Outcome.DELIVERED] == 5)

    assert [each["event"] for each in receiver.taken if each["number"] <= 11] == ["a.a", "b.b", "c.c"], "in order"
    assert [note.facts["numbers"] for note in journal.lost] == [[2, 3, 4, 5, 6], [8, 9, 10]]
    asked = [post.event["number"] for post in receiver.posts]
    assert asked.count(8) <= 4, "by now it is known to take others, and its no is believed as soon as it has taken one"
    assert len(receiver.taken) == 5


async def test_a_receiver_that_goes_away_after_it_has_taken_a_later_event_has_refused_none(
    journal: Journal, receiver: Receiver, counted: Counted
) -> None:
    receiver.answers = [422, 204, 503]
    async with delivering(journal, webhook(receiver.url, counted, backoff=replace(HASTY, patience_seconds=0.0))):
        await journal.report(entry("a.a"), entry("b.b"))
        await until("both told", lambda: {each["event"] for each in receiver.taken} == {"a.a", "b.b"})

    assert [post.event["event"] for post in receiver.posts[:4]] == ["a.a", "b.b", "a.a", "a.a"]
    assert journal.lost == []


@pytest.mark.parametrize("status", [401, 500])
async def test_a_receiver_that_has_refused_one_event_loses_no_other_when_it_takes_nothing_for_a_while(
    journal: Journal, receiver: Receiver, counted: Counted, status: int
) -> None:
    receiver.refuses = "poison.poison"
    backoff = replace(HASTY, patience_seconds=0.3, selective_patience_seconds=0.0)
    async with delivering(journal, webhook(receiver.url, counted, backoff=backoff)):
        await journal.report(entry("poison.poison"), entry("a.a"))
        await until("the note told", lambda: len(receiver.taken) == 2)
        receiver.answers = [status] * 15
        await journal.report(entry("b.b"), entry("c.c"), entry("d.d"))
        await until("all told", lambda: {each["event"] for each in receiver.taken} >= {"b.b", "c.c", "d.d"})

    assert [note.facts["numbers"] for note in journal.lost] == [[1]]


@pytest.mark.parametrize("status", [301, 401, 404, 500])
async def test_where_the_receiver_takes_nothing_at_all_nothing_is_passed_over(
    journal: Journal, receiver: Receiver, counted: Counted, status: int
) -> None:
    receiver.answers = [status] * 15
    async with delivering(journal, webhook(receiver.url, counted, backoff=replace(HASTY, patience_seconds=0.05))):
        await journal.report(entry("a.a"), entry("b.b"), entry("c.c"))
        await until("all told", lambda: len(receiver.taken) == 3)

    assert {event["event"] for event in receiver.taken} == {"a.a", "b.b", "c.c"}
    assert journal.lost == []


async def test_a_receiver_that_refuses_the_note_of_a_refusal_gets_no_note_of_that(
    journal: Journal, receiver: Receiver, counted: Counted
) -> None:
    receiver.refuses = "delivery.refused"
    backoff = replace(HASTY, patience_seconds=0.1)
    with capture_logs() as log:
        async with delivering(journal, webhook(receiver.url, counted, backoff=backoff)) as deliveries:
            refusal = DeliveryRefused(sink="webhook", receiver="hall", error="no", numbers=(1,))
            await journal.report(Entry.of(refusal, NOW), entry("b.b"))
            await until("the other told", lambda: receiver.taken)
            await until("it is behind nothing", lambda: deliveries.lags()[Kind.WEBHOOK] == 0)

    assert journal.lost == []
    assert [line["event"] for line in log if line["event"].startswith("delivery")] == ["delivery.refused"]


async def test_a_renewed_secret_is_tried_in_the_middle_of_a_pause(
    journal: Journal, receiver: Receiver, counted: Counted
) -> None:
    receiver.answers = [401]
    sink = webhook(receiver.url, counted, backoff=replace(HASTY, refused_seconds=3600.0))
    async with delivering(journal, sink):
        await journal.report(entry("a.a"))
        await until("the no", lambda: counted[Kind.WEBHOOK, Outcome.REFUSED])
        sink.sign_with(Secret("hush7renewed7hush"))
        await until("told", lambda: receiver.taken)

    stamp, seal = (receiver.posts[-1].headers[name] for name in ("X-Agbot-Timestamp", "X-Agbot-Signature"))
    sealed = stamp.encode() + b"." + receiver.posts[-1].body
    assert seal == f"sha256={hmac.new(b'hush7renewed7hush', sealed, hashlib.sha256).hexdigest()}"


async def test_an_answer_that_is_not_http_shows_neither_the_path_nor_the_secret(
    journal: Journal, counted: Counted
) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"denied: " + (await reader.readline()) + SECRET.reveal().encode() + b"\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks/as-good-as-a-password"
    with capture_logs() as log:
        async with delivering(journal, webhook(url, counted)):
            await journal.report(entry("a.a"))
            await until("an attempt", lambda: counted[Kind.WEBHOOK, Outcome.FAILED])
    server.close()
    assert [word for word in ("as-good-as", "password", "hush7") if word in str(log)] == []


async def test_a_receiver_that_hangs_holds_up_no_other(journal: Journal, receiver: Receiver, counted: Counted) -> None:
    async with receiving() as hanging:
        hanging.answers = [HANGS] * 100
        async with delivering(journal, webhook(hanging.url, counted), webhook(receiver.url, counted)):
            await journal.report(*(entry(f"a.{letter}") for letter in "abcdef"))
            await until("the other told", lambda: len(receiver.taken) == 6)
            assert hanging.taken == []


async def test_a_receiver_is_checked_against_the_given_authority(
    journal: Journal, counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE, KEY)
    async with receiving(server) as receiver:
        with capture_logs() as log:
            async with delivering(journal, webhook(receiver.url, counted)):
                await journal.report(entry("a.a"))
                await until("an attempt", lambda: counted[Kind.WEBHOOK, Outcome.FAILED])
        assert "certificate" in log[0]["error"]
        assert receiver.posts == []
        trusting = webhook(receiver.url, counted, tls=ssl.create_default_context(cafile=CERTIFICATE))
        async with delivering(journal, trusting):
            await until("told", lambda: receiver.taken)


def test_two_addresses_are_two_sinks_and_neither_shows_in_the_name() -> None:
    one, other = (webhook(f"https://example.com/hooks/{name}", Counted()) for name in "ab")

    assert one.name != other.name
    assert "example" not in one.name
