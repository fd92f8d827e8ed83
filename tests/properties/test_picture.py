"""Whatever the order in which changes happen, are announced, and answers arrive: what is current is true.

A machine plays an Exchange (`exchange_truth`), its feed, and reads that take their time, are
overtaken and get lost. In the end the feed is read out and everything that is not current is read
again, as the coordinator does; then the picture must equal the truth.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import Read, What
from agbot.fleet.picture import Picture
from agbot.fleet.policies import policy_read
from agbot.rules.facts import NodeType, Sight
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from tests.properties.exchange_truth import ORG, Reading, Truth
from tests.support.examples import examples
from tests.support.values import NOW

NODES = tuple(NodeId(f"{ORG}/n{number}") for number in range(2))
GROUPS = tuple(GroupId(f"{ORG}/g{number}") for number in range(2))
POLICY = PolicyId(f"{ORG}/p1")
ROUNDS = 20

nodes, groups = st.sampled_from(NODES), st.sampled_from(GROUPS)
reads = st.one_of(
    st.just(Read(what=What.ORG, id=ORG)),
    st.builds(Read, what=st.just(What.GROUP), id=groups),
    st.builds(Read, what=st.sampled_from((What.NODE, What.STATUSES)), id=nodes),
    st.just(policy_read(Kind.AGENT, POLICY)),
)
EVERYTHING = [
    *(Read(what=What.GROUP, id=group) for group in GROUPS),
    *(Read(what=what, id=node) for node in NODES for what in (What.NODE, What.STATUSES)),
    policy_read(Kind.AGENT, POLICY),
]


class Interleavings(RuleBasedStateMachine):
    """Any order of changes, rows and reads."""

    def __init__(self) -> None:
        super().__init__()
        self.truth, self.picture = Truth(), Picture()
        self.readings: list[Reading] = []

    @initialize(members=st.lists(groups | st.none(), min_size=len(NODES), max_size=len(NODES)), known=st.booleans())
    def an_exchange_with_groups(self, members: list[GroupId | None], *, known: bool) -> None:
        for made in GROUPS:
            self.truth.create_group(made)
        for node, group in zip(NODES, members, strict=True):
            self.truth.put_node(node, NodeType.DEVICE)
            self.truth.move(node, group)
        if known:
            self.settle()

    @rule(node=nodes, node_type=st.sampled_from(NodeType))
    def put_node(self, node: NodeId, node_type: NodeType) -> None:
        self.truth.put_node(node, node_type)

    @rule(node=nodes)
    def delete_node(self, node: NodeId) -> None:
        self.truth.delete_node(node)

    @rule(node=nodes, group=groups | st.none())
    def move_node(self, node: NodeId, group: GroupId | None) -> None:
        self.truth.move(node, group)

    @rule(group=groups, members=st.sets(nodes))
    def create_group(self, group: GroupId, members: set[NodeId]) -> None:
        self.truth.create_group(group)
        for node in sorted(members):
            self.truth.move(node, group)

    @rule(group=groups)
    def delete_group(self, group: GroupId) -> None:
        self.truth.delete_group(group)

    @rule(node=nodes)
    def report_status(self, node: NodeId) -> None:
        self.truth.report(node, POLICY)

    @rule(exists=st.booleans())
    def change_policy(self, *, exists: bool) -> None:
        if exists:
            self.truth.put_policy(POLICY)
        else:
            self.truth.delete_policy(POLICY)

    @precondition(lambda self: self.truth.feed)
    @rule(rows=st.integers(1, 3) | st.just(99))
    def read_feed(self, rows: int) -> None:
        for _row in range(min(rows, len(self.truth.feed))):
            self.picture.apply(self.truth.feed.popleft(), self.truth.now)

    @rule(read=reads)
    def begin_read(self, read: Read) -> None:
        self.readings.append(Reading(read, self.picture.begin()))

    @rule(read=reads)
    def read_at_once(self, read: Read) -> None:
        Reading(read, self.picture.begin()).learn(self.truth, self.picture)

    @precondition(lambda self: self.readings)
    @rule(which=st.integers(0, 9))
    def exchange_answers(self, which: int) -> None:
        self.readings[which % len(self.readings)].serve(self.truth)

    @precondition(lambda self: self.readings)
    @rule(which=st.integers(0, 9), lost=st.booleans())
    def answer_arrives(self, which: int, *, lost: bool) -> None:
        reading = self.readings.pop(which % len(self.readings))
        if not lost:
            reading.learn(self.truth, self.picture)

    @rule()
    def resync(self) -> None:
        self.picture.outdate_org(ORG)
        self.begin_read(Read(what=What.ORG, id=ORG))

    @rule()
    def forget_policy(self) -> None:
        self.picture.forget_absent(policy_read(Kind.AGENT, POLICY))

    @invariant()
    def a_node_is_in_one_group_at_most(self) -> None:
        listed = [node for group in GROUPS for node in self.picture.members(group)]
        assert len(listed) == len(set(listed))

    @invariant()
    def what_is_current_and_announced_is_true(self) -> None:
        """Every row has been read: then whatever is held for current must be so, groups of nodes aside (two sources report those)."""
        if self.truth.feed:
            return
        for node in NODES:
            if self.picture.is_current(Read(what=What.STATUSES, id=node)):
                assert self.picture.statuses(node) == self.truth.statuses.get(node, {})
            if self.picture.is_current(Read(what=What.NODE, id=node)):
                seen, true = self.picture.node(node), self.truth.nodes.get(node, Sight.ABSENT)
                assert getattr(seen, "agent_version", seen) == getattr(true, "agent_version", true)
        if self.picture.is_current(policy_read(Kind.AGENT, POLICY)):
            assert self.picture.policies.get(Kind.AGENT, POLICY) == self.truth.policies.get(POLICY, Sight.ABSENT)

    def teardown(self) -> None:
        """Let the feed and the reads run dry, and the late answers come.

        Twice the picture must equal the truth.
        """
        self.settle()
        for reading in self.readings:
            reading.learn(self.truth, self.picture)
        self.settle()

    def settle(self) -> None:
        while self.truth.feed:
            self.picture.apply(self.truth.feed.popleft(), self.truth.now)
        for _round in range(ROUNDS):
            missing = {read for group in GROUPS for read in self.picture.unread(group)} | set(self.picture.eager())
            if not missing and not self.picture.second_reads((self.truth.now + CONFIRM_AFTER).seen):
                break
            for read in sorted(missing | set(self.picture.second_reads(self.truth.now.seen)), key=str):
                Reading(read, self.picture.begin()).learn(self.truth, self.picture)
            self.truth.now += CONFIRM_AFTER
        else:
            message = "reading what is not current does not come to an end"
            raise AssertionError(message)
        self.picture_equals_truth()

    def picture_equals_truth(self) -> None:
        picture, truth = self.picture, self.truth
        assert set(picture.groups()) == truth.groups
        for group in GROUPS:
            assert dict(picture.members(group)) == {node: truth.nodes[node] for node in truth.members(group)}
            for node in truth.members(group):
                if truth.nodes[node].node_type is NodeType.DEVICE:
                    assert picture.statuses(node) == truth.statuses[node]
        self.what_is_current_and_announced_is_true()


Interleavings.TestCase.settings = settings(max_examples=examples(200), stateful_step_count=40)
TestInterleavings = Interleavings.TestCase


def act(machine: Interleavings, chance: random.Random) -> None:
    """Take one step, each kind as likely as the others.

    The machine's own draws favour short histories.
    """
    node, group, which = chance.choice(NODES), chance.choice(GROUPS), chance.randrange(9)
    read = chance.choice([*EVERYTHING, Read(what=What.ORG, id=ORG)])
    steps: list[Callable[[], None]] = [
        lambda: machine.put_node(node=node, node_type=chance.choice(list(NodeType))),
        lambda: machine.delete_node(node=node),
        lambda: machine.move_node(node=node, group=chance.choice([*GROUPS, None])),
        lambda: machine.create_group(group=group, members={node}),
        lambda: machine.delete_group(group=group),
        lambda: machine.report_status(node=node),
        lambda: machine.change_policy(exists=chance.random() < 0.5),
        machine.forget_policy,
    ]
    steps += [lambda: machine.begin_read(read=read), lambda: machine.read_at_once(read=read)] * 4
    steps += [lambda: machine.read_feed(rows=chance.choice([1, 2, 99]))] * 4
    if machine.readings:
        steps += [lambda: machine.exchange_answers(which=which)] * 4
        steps += [lambda: machine.answer_arrives(which=which, lost=chance.random() < 0.2)] * 3
    chance.choice(steps)()


@pytest.mark.parametrize("seed", range(examples(250)))
def test_a_long_history_ends_in_the_truth(seed: int) -> None:
    machine, chance = Interleavings(), random.Random(seed)
    machine.an_exchange_with_groups(members=[chance.choice(GROUPS) for _node in NODES], known=seed % 2 == 0)
    for _step in range(chance.randrange(10, 60)):
        act(machine, chance)
        machine.a_node_is_in_one_group_at_most()
        machine.what_is_current_and_announced_is_true()
    machine.teardown()


def test_everything_that_can_be_read_is_current_once_it_has_been_read() -> None:
    truth, picture = Truth(), Picture()
    truth.create_group(GROUPS[0])
    for node in NODES:
        truth.put_node(node, NodeType.DEVICE)
        truth.move(node, GROUPS[0])
    while truth.feed:
        picture.apply(truth.feed.popleft(), NOW)

    for read in EVERYTHING:
        assert not picture.is_current(read)
        Reading(read, picture.begin()).learn(truth, picture)

    assert [read for read in EVERYTHING if not picture.is_current(read)] == []
    assert picture.unread(GROUPS[0]) == ()
