"""What each rule shows of the facts that it has used: `explain`, the journal and the API show that, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import time

import pytest
from msgspec import structs

from agbot.rules.decide import judge
from agbot.rules.facts import Ask, Row
from agbot.rules.group import Group, Rollout, Traffic
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Code
from agbot.rules.records import Approval, Hold
from agbot.rules.window import Window
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    GROUP,
    NEW,
    NMP,
    OTHER_NMP,
    agreement,
    ask,
    at,
    brake,
    busy,
    case,
    deferral,
    doubt,
    ended,
    group,
    held,
    limits,
    member,
    seen_at,
    service_ask,
    status,
    suspected,
    turn,
    waiter,
)


def facts_of(rule: str, facts: Group, question: Ask | None = None) -> Mapping[str, object]:
    findings = judge(case(question or ask(BERT), facts)).findings()
    return next(each.evidence.facts for each in findings if each.rule.name == rule)


def approval(scope: str, subject: PolicyId = NMP) -> Approval:
    return Approval(scope=scope, kind=Kind.AGENT, subject=subject, since=at(60), by="eva", why="tested")


OVERLAP = replace(deferral(CARL), overlaps=True)
ROW = Row(kind=Kind.SERVICE, group=GROUP, node=NodeId("o1/dora"), subject=NMP)
REPORTED = member(BERT, {NMP: status("ha node waiting")})
WEEKEND = Window(weekdays=frozenset({5, 6}), opens=time(22), closes=time(4))
STARTED, UNPROVEN = frozenset({GROUP, GroupId("o1/fans")}), frozenset({GroupId("o1/fans")})


@pytest.mark.parametrize(
    ("rule", "facts", "shown"),
    [
        ("trust", group(), {}),
        ("trust", group(doubts=(doubt(),)), {"doubts": ["store-unavailable"]}),
        ("member", group(), {"members": 3}),
        ("no-other-upgrade", group(), {}),
        (
            "no-other-upgrade",
            group(deferrals={BERT: deferral(BERT)}),
            {"deferred_for": NMP, "since": at(100)},
        ),
        ("policy", group(), {"revision": "r1"}),
        ("policy", group(policies={}), {}),
        ("lease-free", group(lease=held(token=9)), {"token": 9, "state": "held"}),
        ("no-overlap", group(deferrals={ANNA: deferral(ANNA)}), {}),
        ("no-overlap", group(deferrals={CARL: OVERLAP}, rows=(ROW,)), {"overlapping": [CARL], "listed": ["o1/dora"]}),
        ("agbot-known", group(agbot_doubt=doubt(Code.AGBOT_UNAVAILABLE)), {"agbot": "it cannot be trusted"}),
        ("lease-certain", group(), {"token": 0, "state": "free"}),
        ("lease-certain", group(lease=held()), {"token": 7, "state": "held"}),
        (
            "lease-certain",
            group(member(ANNA, ago=20), member(BERT), lease=suspected()),
            {"token": 7, "state": "suspect", "holder": ANNA, "heartbeat_at": at(20)},
        ),
        ("lease-certain", group(member(BERT), lease=suspected()), {"token": 7, "state": "suspect", "holder": ANNA}),
        ("no-brake", group(REPORTED), {"revision": "r1"}),
        ("no-brake", group(REPORTED, brakes=(brake(),)), {"revision": "r1", "brings": NEW}),
        ("no-brake", group(member(BERT), brakes=(brake(),)), {"revision": "r1"}),
        (
            "no-org-brake",
            group(org_brakes=(brake(), brake(OTHER_NMP), brake(kind=Kind.SERVICE)), org_groups=40),
            {"failed_groups": 1, "groups": 40},
        ),
        ("not-paused", group(), {}),
        ("not-paused", group(holds=(Hold(scope="o1", since=at(60), by="eva", why="holiday"),)), {"scopes": ["o1"]}),
        ("window-open", group(limits=limits(windows=(WEEKEND,))), {"windows": [str(WEEKEND)]}),
        (
            "not-busy",
            group(busy={BERT: busy()}),
            {"busy_since": at(600), "busy_until": at(-600), "says": "a batch runs"},
        ),
        (
            "not-busy",
            group(busy={BERT: busy()}, limits=limits(max_busy_seconds=500)),
            {"busy_since": at(600), "busy_until": at(-600), "says": "a batch runs", "ignored_since": at(100)},
        ),
        ("not-busy", group(busy={BERT: busy(left=-1)}), {}),
        ("approved", group(), {}),
        ("approved", group(approvals=(approval("*"), approval("o1", OTHER_NMP))), {"approved_in": ["*"]}),
        (
            "canary",
            group(rollouts={(Kind.AGENT, NMP): Rollout(started=STARTED, unfinished={GROUP: "it rests"})}),
            {"started": 2, "unfinished": 1},
        ),
        (
            "canary",
            group(rollouts={(Kind.AGENT, NMP): Rollout(started=STARTED, unproven=UNPROVEN)}),
            {"started": 1, "unfinished": 0, "unproven": 1},
        ),
        ("pace", group(traffic=Traffic(busy_in_org=2, busy_in_fleet=5)), {}),
        (
            "pace",
            group(traffic=Traffic(busy_in_org=2, busy_in_fleet=5), limits=limits(max_groups_in_fleet=9)),
            {"busy_in_org": 2, "busy_in_fleet": 5},
        ),
        (
            "peers",
            group(member(ANNA, ago=900), REPORTED, member(CARL, ago=5)),
            {
                "available": 1,
                "others": 2,
                "required": 1,
                "oldest_heartbeat_of": ANNA,
                "heartbeat_at": at(900),
                "services": [],
            },
        ),
        (
            "peers",
            group(member(ANNA, ago=None), REPORTED, member(CARL, ago=5), limits=limits(services_must_run=False)),
            {"available": 1, "others": 2, "required": 1, "oldest_heartbeat_of": ANNA, "heartbeat_at": None},
        ),
        ("peers", group(member(BERT)), {"others": 0, "required": 0}),
        ("rested", group(), {}),
        ("turn", group(waiters=(waiter(ANNA), waiter(BERT))), {"waiting": 1}),
        ("turn", group(turns={BERT: turn(BERT, ago=50)}), {"waiting": 0, "last_turn_ended": at(50)}),
    ],
)
def test_a_rule_shows_the_facts_that_it_has_used(rule: str, facts: Group, shown: Mapping[str, object]) -> None:
    assert facts_of(rule, facts) == shown


def test_a_service_is_not_shown_what_does_not_concern_it() -> None:
    """A node is busy for its agent alone, and no offline peer blocks a service that has an agreement."""
    facts = group(busy={BERT: busy()})

    assert facts_of("not-busy", facts, service_ask()) == {}
    assert facts_of("peers", facts, service_ask()) == {"others": 2, "required": 0}


def test_the_services_that_stop_with_the_asker_are_shown_with_the_oldest_read_of_its_peers() -> None:
    peers = [member(ANNA, agreements=(), agreements_read_at=seen_at(70)), member(CARL)]
    facts = group(*peers, member(BERT, agreements=(agreement("a1"),)))

    (found,) = [each for each in judge(case(ask(BERT), facts)).findings() if each.rule.name == "peers"]

    assert found.evidence.facts["services"] == ["o1/flow-meter"]
    assert found.evidence.read_at == seen_at(70)


def test_a_group_that_rests_shows_whose_end_it_rests_after_and_by_which_read() -> None:
    read = replace(member(ANNA, ago=5), read_at=seen_at(4))
    facts = group(read, member(BERT), lease=ended(), limits=limits(agent_soak_seconds=60))

    (found,) = [each for each in judge(case(ask(BERT), facts)).findings() if each.rule.name == "rested"]

    assert found.evidence.facts == {"last_end": "succeeded", "holder": ANNA, "ended_at": at(30), "heartbeat_at": at(5)}
    assert found.evidence.read_at == seen_at(4)
    gone = structs.replace(facts, members={BERT: member(BERT)})
    assert facts_of("rested", gone) == {"last_end": "succeeded", "holder": ANNA, "ended_at": at(30)}


def test_a_host_is_not_shown_rules_about_policies() -> None:
    host = ask(BERT, Kind.HOST)
    shown = {each.rule.name for each in judge(case(host, group())).findings()}

    assert "policy" not in shown
    assert {"policy"} == {each.rule.name for each in judge(case(ask(BERT), group())).findings()} - shown
