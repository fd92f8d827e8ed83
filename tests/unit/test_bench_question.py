"""The bench asks with the bytes of a real agent: another head would cost the servers another time."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from bench import load

RECORDED = Path(__file__).parents[1] / "recorded" / "agent-permission.jsonl"
DIFFERENT = ("Host",)
"""Whose value says where a server listens; the name and its place are compared."""
REQUESTS = [
    each["request_raw"] for each in map(json.loads, RECORDED.read_text("utf-8").splitlines()) if each["ev"] == "request"
]
QUESTIONS = sorted({raw for raw in REQUESTS if "/nodemanagement/" in raw.partition("\r\n")[0]})


def comparable(raw: str) -> str:
    return re.sub(rf"\r\n({'|'.join(DIFFERENT)}): [^\r]*", r"\r\n\1: ", raw)


def secret_in(raw: str) -> str:
    found = re.search(r"\r\nAuthorization: Basic (\S+)", raw)
    assert found is not None
    return base64.b64decode(found[1]).decode().partition(":")[2]


@pytest.mark.parametrize("recorded", QUESTIONS, ids=lambda raw: raw.split()[1])
def test_the_bench_asks_as_a_real_agent_did(recorded: str) -> None:
    _, _, org, _, group, _, node, policy = recorded.split()[1].split("/")

    asked = load.question(org, group, node, policy, secret_in(recorded)).decode()

    assert comparable(asked) == comparable(recorded)


def test_more_than_one_agent_was_recorded_asking() -> None:
    assert len(QUESTIONS) > 1
