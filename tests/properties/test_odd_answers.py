"""Whatever single answers are lost, empty or cut: a live holder's lease is kept, and no member is forgotten.

A machine reads one Exchange in which nothing changes, in any order. Any answer may be odd in any
way, as long as a right one to the same question comes before ten seconds have gone by: what is
missing at two looks in a row, a while apart, is rightly believed to be gone.
"""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from agbot.coordinator.memory.group_facts import seen_holder
from agbot.exchange import resources
from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import Read, What
from agbot.fleet.picture import Picture
from agbot.fleet.policies import policy_read
from agbot.rules.facts import Node, Policy, Sight
from agbot.rules.ids import NodeId, OrgId
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits
from agbot.rules.review import review
from agbot.rules.seen_time import Now
from agbot.rules.verdict import Release
from tests.support.examples import examples
from tests.support.values import ANNA, BERT, CARL, GROUP, NMP, NOW, held, node, review_of, status, under_way

ORG = OrgId("o1")
MEMBERS = (ANNA, BERT, CARL)
POLICY = policy_read(Kind.AGENT, NMP)
QUESTIONS = ("org", "group", "policy", *(f"{what} {name}" for what in ("node", "statuses") for name in MEMBERS))
ODD_GROUPS: tuple[tuple[NodeId, ...] | Sight, ...] = (Sight.ABSENT, (), MEMBERS[1:])


class Reader:
    """Asks, and is answered rightly or oddly."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.picture = Picture()
        self.now: Now = NOW
        self.odd: dict[str, Now] = {}
        """Since when a question has had odd answers only."""

    def nodes(self) -> dict[NodeId, Node]:
        return {name: node(name, ago=0) for name in MEMBERS}

    def some(self, whole: dict[NodeId, Node]) -> dict[NodeId, Node]:
        kept = {name: each for name, each in whole.items() if self.chance.random() < 0.5}
        return {name: self.chance.choice([each, node(name, ago=0, group=None)]) for name, each in kept.items()}

    def ask(self, question: str, *, is_odd: bool) -> None:
        picture, begun, now = self.picture, self.picture.begin(), self.now
        what, _, name = question.partition(" ")
        subject = NodeId(name)
        match what:
            case "org":
                groups = {} if is_odd and self.chance.random() < 0.5 else {GROUP: MEMBERS[is_odd:]}
                nodes = self.some(self.nodes()) if is_odd else self.nodes()
                picture.learn_org(ORG, groups, nodes, begun=begun, now=now)
            case "group":
                odd: tuple[NodeId, ...] | Sight = self.chance.choice(ODD_GROUPS)
                picture.learn_group(GROUP, odd if is_odd else MEMBERS, begun=begun, now=now)
            case "policy":
                picture.policies.learn(
                    POLICY, Sight.ABSENT if is_odd else Policy(id=NMP, enabled=False), begun=begun, now=now
                )
            case "node":
                odd_node: Node | Sight = (
                    Sight.ABSENT if self.chance.random() < 0.5 else node(subject, ago=0, group=None)
                )
                picture.learn_node(subject, odd_node if is_odd else node(subject, ago=0), begun=begun, now=now)
            case _:
                here = {NMP: status("initiated", ago=-1)} if subject == ANNA else {}
                picture.learn_statuses(subject, {} if is_odd else here, begun=begun, now=now)

    def right_again(self) -> None:
        """Everything is answered rightly before it has been odd for too long."""
        if any(self.now.seen - since.seen >= CONFIRM_AFTER - timedelta(seconds=3) for since in self.odd.values()):
            for question in ("group", "org", *QUESTIONS):
                self.ask(question, is_odd=False)
            self.odd.clear()

    def step(self) -> None:
        self.now += timedelta(seconds=self.chance.uniform(0, 3))
        self.right_again()
        question, is_odd = self.chance.choice(QUESTIONS), self.chance.random() < 0.4
        self.ask(question, is_odd=is_odd)
        if is_odd:
            self.odd.setdefault(question, self.now)


@pytest.mark.parametrize("seed", range(examples(300)))
def test_no_sequence_of_odd_answers_releases_a_live_holder_or_loses_a_member(seed: int) -> None:
    reader = Reader(random.Random(seed))
    for question in QUESTIONS:
        reader.ask(question, is_odd=False)
    lease = held(progress=under_way("initiated"))

    for _step in range(80):
        reader.step()
        seen = seen_holder(lease, reader.picture, not_before=NOW.seen)
        assert not isinstance(review(review_of(lease, seen, limits=Limits(), now=reader.now)), Release)
        assert set(reader.picture.read_members(GROUP)) == set(MEMBERS)


def test_a_row_about_something_else_makes_no_odd_answer_believed() -> None:
    reader = Reader(random.Random(1))
    for question in QUESTIONS:
        reader.ask(question, is_odd=False)
    reader.picture.apply(resources.change(ORG, "node", "anna", "modified"), NOW)

    reader.picture.learn_node(ANNA, Sight.ABSENT, begun=reader.picture.begin(), now=NOW)

    assert isinstance(reader.picture.node(ANNA), Node)
    assert not reader.picture.is_current(Read(what=What.NODE, id=ANNA))
