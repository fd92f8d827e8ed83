"""Questions that are known by the hash of their bytes: only what repeats a refusal, and only while everything still holds."""

from __future__ import annotations

import re

import pytest

from agbot.clock import SystemClock
from agbot.coordinator.permission import Refused
from agbot.exchange.credentials import Credentials
from agbot.gateway.core import Core, new_core
from agbot.gateway.logins import FailedLogins
from agbot.gateway.quick import REPEATED_WITHIN_SECONDS, Quick, Repetitions
from agbot.rules import facts
from agbot.rules.leadership import Position, Whereabouts
from agbot.rules.reasons import Code, Reason
from agbot.settings.model import GatewaySettings
from bench import load

SECRET = "n1-secret"
QUESTION = load.question("o1", "g1", "n1", "p1", SECRET)
KEY_OF = Credentials(identity="o1/n1", secret=SECRET)
HELD = Refused(reasons=(Reason(code=Code.LEASE_HELD, text="o1/n2 upgrades o1/p1"),))
SOAKING = Refused(reasons=(Reason(code=Code.SOAKING, text="the group rests"),))


class Hub:
    """A gateway whose coordinator answers from memory what a test says."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.refused: Refused | None = HELD
        self.asks: list[facts.Ask] = []
        self.leads, self.now = True, 0.0
        settings = GatewaySettings(quiet_refusals=quiet)
        self.core: Core = new_core(settings, self, SystemClock(), self.where)  # type: ignore[arg-type]  # memory is all it needs
        self.core.memory.accept(self.core.memory.key(KEY_OF), 0.0)
        self.quick = Quick(
            self.core, lambda _outcome, _seconds: None, FailedLogins(), lambda: self.now, max_bytes=8192, is_tls=False
        )

    def where(self) -> Whereabouts:
        return Whereabouts(position=Position.LEADING if self.leads else Position.STANDING_BY)

    def refuse_from_memory(self, ask: facts.Ask) -> Refused | None:
        self.asks.append(ask)
        return self.refused

    def body(self, question: bytes = QUESTION) -> bytes | None:
        answer = self.quick.answer(question)
        return None if answer is None else answer.partition(b"\r\n\r\n")[2]


@pytest.fixture
def read_once(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that has refused the question, and can read no request any more."""
    hub = Hub()
    assert hub.body() is not None
    monkeypatch.setattr(Core, "answer", lambda *_: pytest.fail("the request is read again"))
    return hub


def test_a_repeated_question_is_decided_again_and_not_read_again(read_once: Hub) -> None:
    assert b"lease-held: o1/n2 upgrades o1/p1" in (read_once.body() or b"")
    read_once.refused = SOAKING
    assert b"soaking: the group rests" in (read_once.body() or b"")
    assert len(read_once.asks) == 3
    assert len(set(read_once.asks)) == 1


@pytest.mark.parametrize("quiet", [False, True])
def test_a_repeated_refusal_is_written_as_the_first_one(quiet: bool) -> None:
    hub = Hub(quiet=quiet)
    first, again = (re.sub(rb"Date: [^\r]*", b"", hub.quick.answer(QUESTION) or b"") for _ in range(2))
    assert first == again != b""


def test_what_memory_cannot_refuse_any_more_is_left_to_aiohttp(read_once: Hub) -> None:
    read_once.refused = None
    assert read_once.body() is None


def test_credentials_that_the_exchange_rejects_meanwhile_get_no_reason(read_once: Hub) -> None:
    read_once.core.memory.refuse(read_once.core.memory.key(KEY_OF), 1.0)
    assert read_once.body() is None


def test_credentials_that_were_accepted_too_long_ago_get_no_reason(read_once: Hub) -> None:
    read_once.now = GatewaySettings().remember_seconds + 1
    assert read_once.body() is None


def test_a_coordinator_that_stands_by_answers_nothing_from_what_it_knew(read_once: Hub) -> None:
    read_once.leads = False
    assert read_once.body() is None


def test_one_other_byte_is_another_question() -> None:
    hub = Hub()
    assert hub.body() is not None
    wrong = load.question("o1", "g1", "n1", "p1", SECRET + "x")
    assert hub.body(wrong) is None
    assert len(hub.asks) == 1


def test_nothing_is_known_of_a_question_that_was_not_refused_from_memory() -> None:
    hub = Hub()
    hub.refused = None
    assert hub.body() is None
    hub.refused = HELD
    assert hub.quick._repetitions.find(hub.quick._repetitions.hash(QUESTION), 0.0) is None  # noqa: SLF001 - the state is the subject


def test_a_question_that_is_repeated_stays_known_and_another_is_forgotten() -> None:
    hub = Hub()
    known = hub.core.known("/org/o1/hagroup/g1/nodemanagement/n1/p1", _credentials())
    assert known is not None
    repetitions, step = Repetitions(), REPEATED_WITHIN_SECONDS / 2
    repetitions.add(b"once", known, 0.0)
    repetitions.add(b"often", known, 0.0)
    for number in range(6):
        assert repetitions.find(b"often", number * step) is known
        repetitions.add(b"other %d" % number, known, number * step)
    assert repetitions.find(b"once", 6 * step) is None


def test_no_more_questions_are_known_than_allowed() -> None:
    hub = Hub()
    known = hub.core.known("/org/o1/hagroup/g1/nodemanagement/n1/p1", _credentials())
    assert known is not None
    repetitions = Repetitions(max_known=4)
    for number in range(20):
        repetitions.add(b"%d" % number, known, 0.0)
    assert sum(repetitions.find(b"%d" % number, 0.0) is not None for number in range(18)) <= 4
    assert repetitions.find(b"19", 0.0) is known


def _credentials() -> str:
    line = next(each for each in QUESTION.split(b"\r\n") if each.startswith(b"Authorization: "))
    return line.decode().partition(": ")[2]
