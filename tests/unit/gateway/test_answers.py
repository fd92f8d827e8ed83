"""The words of answers, where the recordings do not reach."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agbot.gateway import answers
from agbot.gateway.answers import Outcome
from agbot.rules.reasons import Code, Reason

HELD = Reason(code=Code.LEASE_HELD, text="o1/n1 upgrades o1/p1")
SOAKING = Reason(code=Code.SOAKING, text="until 10:00")


def test_all_reasons_follow_the_recorded_sentence_first_one_first() -> None:
    reply = answers.agent_refused("o1/n2", "p1", (HELD, SOAKING))
    assert reply.status == 409
    assert reply.body == (
        b'{"code":"409","msg":"Node o1/n2 can not start executing nmp p1. '
        b'Waits for: lease-held: o1/n1 upgrades o1/p1; soaking: until 10:00"}\n'
    )


def test_a_quiet_refusal_is_a_201_that_says_409() -> None:
    reply = answers.agent_refused("o1/n2", "p1", (), quiet=True)
    assert (reply.status, reply.body) == (201, b'{"code":"409","msg":"Node o1/n2 can not start executing nmp p1."}\n')


def test_text_is_escaped_as_gos_encoder_escapes_it() -> None:
    stated = answers.quoted('<a>&"\\\n\u2028\u2029\u0001é\U0001f600/')
    assert stated == '"\\u003ca\\u003e\\u0026\\"\\\\\\n\\u2028\\u2029\\u0001é\U0001f600/"'


@given(st.text())
def test_every_answer_is_json_with_a_code_that_is_a_string(text: str) -> None:
    reply = answers.coded(409, text, Outcome.REFUSED)
    assert reply.body.endswith(b"\n")
    read = json.loads(reply.body)
    assert read["code"] == "409"
    assert read["msg"] == text.encode("utf-8", "replace").decode()


def test_the_end_of_a_service_upgrade_that_freed_nothing_says_so() -> None:
    reply = answers.service_ended("o1/n1", "o1/dp1", released=False, succeeded=True)
    assert reply.status == 200
    assert (
        json.loads(reply.body)["msg"] == "Node o1/n1 holds no lease for deployment policy o1/dp1. Nothing was released."
    )


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (Code.STORE_UNAVAILABLE, "could not write /var/lib/agbot/agbot.db: SQLITE_FULL; free space on its disk"),
        (Code.STORE_CHANGED, "the lease store is not the one that was used last: /var/lib/agbot/agbot.db is older"),
        (Code.EXCHANGE_UNAVAILABLE, "GET /orgs/o1/nodes: Cannot connect to host hub.internal:8443 ssl:default"),
        (Code.AGBOT_UNAVAILABLE, "the agbot's local API cannot be read: http://10.0.0.5:8080/agreement"),
    ],
)
def test_a_node_is_not_reported_of_the_hubs_files_and_hosts(code: Code, text: str) -> None:
    reasons = (Reason(code=code, text=text), Reason(code=Code.SOAKING, text="the group rests"))
    for reply in (answers.agent_refused("o1/n1", "up", reasons), answers.service_refused("o1/n1", "o1/up", reasons)):
        emitted = reply.body.decode()
        assert code.value in emitted
        assert "soaking: the group rests" in emitted
        assert [word for word in ("/var", "agbot.db", "hub.internal", "10.0.0.5", "SQLITE") if word in emitted] == []
