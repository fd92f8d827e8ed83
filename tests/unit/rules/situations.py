"""Situations of a group that several tests of one question look at."""

from __future__ import annotations

from dataclasses import replace
from datetime import time

from agbot.rules.decide import Decision, Wait
from agbot.rules.facts import Ask
from agbot.rules.group import Group
from agbot.rules.reasons import Code
from agbot.rules.records import Hold
from agbot.rules.window import Window
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    OTHER_NMP,
    ask,
    at,
    brake,
    claim,
    deferral,
    doubt,
    ended,
    group,
    held,
    limits,
    member,
)

CLOSED = (Window(weekdays=frozenset({2}), opens=time(13), closes=time(14)),)
NOBODY = group(member(ANNA), member(BERT, ago=9000), member(CARL, ago=None))


def paused(scope: str = "*", until: float | None = None) -> Hold:
    return Hold(scope=scope, since=at(900), by="eva", why="fair", until=None if until is None else at(-until))


def codes(decision: Decision) -> list[Code]:
    assert isinstance(decision, Wait)
    return [reason.code for reason in decision.reasons]


def everything() -> tuple[Ask, Group]:
    """Put a question against which every rule speaks that can speak at the same time."""
    facts = group(
        member(ANNA, ago=900),
        member(BERT, ago=900),
        member(CARL, ago=900),
        doubts=(doubt(), doubt(Code.VIEW_STALE)),
        deferrals={BERT: deferral(BERT, OTHER_NMP)},
        lease=replace(held(), last_end=ended(ago=1, by=claim(CARL)).last_end),
        brakes=(brake(),),
        holds=(paused(),),
        limits=limits(windows=CLOSED, agent_soak_seconds=60),
    )
    return ask(), facts
