"""The deployment policies of an organisation."""

from __future__ import annotations

from dataclasses import replace

from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import Change, Read, What
from agbot.fleet.picture import Picture
from agbot.rules.facts import Policy, Sight
from agbot.rules.ids import OrgId, PolicyId
from agbot.rules.lease import Kind
from tests.support.values import DEPLOYMENT, NOW, at, deployment

ORG = OrgId("o1")
ALL = Read(what=What.DEPLOYMENT_POLICIES, id=ORG)
FIRST = replace(deployment(), versions=("2.0.0",))


def learn(picture: Picture, *policies: Policy) -> None:
    found = {policy.id: policy for policy in policies}
    picture.policies.learn_deployment(ORG, found, begun=picture.begin(), now=NOW)


def test_the_list_is_out_of_date_once_the_feed_tells_of_a_policy_or_all_is_read_anew() -> None:
    picture = Picture()
    learn(picture, FIRST)
    assert picture.is_current(ALL)

    picture.apply(Change(org=ORG, resource="policy", id="x", operation="modified", at=at(3)), NOW)
    assert not picture.is_current(ALL)
    learn(picture, FIRST)
    assert picture.is_current(ALL)
    picture.outdate_org(ORG)
    assert not picture.is_current(ALL)


def test_a_policy_that_is_not_in_the_list_any_more_is_gone_and_those_of_others_stay() -> None:
    picture = Picture()
    learn(picture, FIRST)
    foreign = PolicyId("o2/flow")
    read = Read(what=What.DEPLOYMENT_POLICY, id=foreign)
    picture.policies.learn(read, replace(FIRST, id=foreign), begun=picture.begin(), now=NOW)

    learn(picture)
    assert isinstance(picture.policies.get(Kind.SERVICE, DEPLOYMENT), Policy)  # one list without it is no evidence

    picture.policies.learn_deployment(ORG, {}, begun=picture.begin(), now=NOW + CONFIRM_AFTER)

    assert picture.policies.get(Kind.SERVICE, DEPLOYMENT) is Sight.ABSENT
    assert isinstance(picture.policies.get(Kind.SERVICE, foreign), Policy)
