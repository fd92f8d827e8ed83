"""The gateway's decisions as values: no socket, no event loop, no clock."""

from __future__ import annotations

import base64

import pytest

from agbot.clock import SystemClock
from agbot.coordinator.permission import Answer, Confirm, Ended, Granted, Refused
from agbot.exchange.errors import Forbidden
from agbot.gateway.answers import Reply
from agbot.gateway.core import Ask, Core, Elsewhere, Need, new_core
from agbot.gateway.reads import NodeAbsent
from agbot.gateway.target import PassThrough
from agbot.rules import facts
from agbot.rules.facts import Node
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.reasons import Code, Reason
from agbot.settings.model import GatewaySettings

AGENT = "/org/o1/hagroup/g1/nodemanagement/n1/p1"
SERVICE = "/org/o1/hagroup/g1/deployment/n1/o1%2Fdp1"
HELD = Refused(reasons=(Reason(code=Code.LEASE_HELD, text="o1/n2 upgrades o1/p1"),))
NO_MEMBER = Refused(reasons=(Reason(code=Code.NOT_A_MEMBER, text="it is in another group"),), is_final=True)


class Remembering:
    """A coordinator that has this refusal in memory."""

    def __init__(self, refused: Refused | None = None) -> None:
        self.refused = refused
        self.asks: list[facts.Ask] = []

    def refuse_from_memory(self, ask: facts.Ask) -> Refused | None:
        self.asks.append(ask)
        return self.refused

    async def ask(self, ask: facts.Ask, confirm: Confirm) -> Answer:
        raise NotImplementedError

    async def report_end(self, ask: facts.Ask, *, succeeded: bool, who: str, token: int | None = None) -> Ended:
        raise NotImplementedError


def basic(identity: str) -> str:
    return "Basic " + base64.b64encode(f"{identity}:tok".encode()).decode()


def core(refused: Refused | None = None, *, per_minute: int = 120) -> Core:
    return new_core(GatewaySettings(questions_per_minute=per_minute), Remembering(refused), SystemClock())


def asked(gateway: Core, target: str = AGENT, identity: str = "o1/n1", method: str = "POST") -> Ask:
    found = gateway.answer(method, target, basic(identity), 0.0)
    assert isinstance(found, Ask)
    return found


def status(found: Reply | Ask | PassThrough | Elsewhere) -> int:
    assert isinstance(found, Reply)
    return found.status


def test_what_is_no_question_is_passed_through() -> None:
    assert core().answer("GET", "/deploycheck?a=b", None, 0.0) == PassThrough(target="/deploycheck?a=b")


def test_a_caller_without_credentials_or_with_another_nodes_causes_no_read() -> None:
    assert status(core().answer("POST", AGENT, None, 0.0)) == 401
    assert status(core().answer("POST", AGENT, basic("o1/n2"), 0.0)) == 400


def test_a_stranger_learns_nothing_from_memory() -> None:
    gateway = core(HELD)
    assert asked(gateway).needs is Need.ANSWER


def test_a_node_that_was_accepted_is_refused_from_memory() -> None:
    gateway = core(HELD)
    gateway.memory.accept(asked(gateway).key, 0.0)
    found = gateway.answer("POST", AGENT, basic("o1/n1"), 1.0)
    assert isinstance(found, Reply)
    assert (found.status, b"lease-held" in found.body) == (409, True)


def test_what_memory_cannot_answer_is_asked_for_although_the_node_was_accepted() -> None:
    gateway = core()
    gateway.memory.accept(asked(gateway).key, 0.0)
    assert asked(gateway).needs is Need.ANSWER


def test_credentials_that_were_rejected_are_rejected_again_without_a_read() -> None:
    gateway = core(HELD)
    gateway.memory.refuse(asked(gateway).key, 0.0)
    assert status(gateway.answer("POST", AGENT, basic("o1/n1"), 1.0)) == 401


@pytest.mark.parametrize(("group", "code"), [("o1/g2", 400), (None, 400), ("o1/g1", 409)])
def test_a_node_that_is_no_member_is_answered_with_the_group_that_was_read_lately(group: str | None, code: int) -> None:
    gateway = core(NO_MEMBER)
    node = Node(id=NodeId("o1/n1"), group=GroupId(group) if group else None)
    gateway.memory.accept(asked(gateway).key, 0.0, node)
    assert status(gateway.answer("POST", AGENT, basic("o1/n1"), 1.0)) == code


def test_the_group_of_a_node_that_is_no_member_is_read_when_the_last_read_is_old() -> None:
    gateway = core(NO_MEMBER)
    gateway.memory.accept(asked(gateway).key, 0.0, Node(id=NodeId("o1/n1"), group=None))
    found = gateway.answer("POST", AGENT, basic("o1/n1"), 60.0)
    assert isinstance(found, Ask)
    assert found.needs is Need.GROUP


def test_an_answer_changes_no_budget_until_it_is_carried_out() -> None:
    gateway = core(per_minute=1)
    asks = [asked(gateway) for _ in range(10)]
    assert [gateway.may_ask(each, 0.0) for each in asks[:2]] == [True, False]


def test_an_agbot_has_a_budget_for_each_node_and_a_node_one_for_all_its_policies() -> None:
    gateway = core()
    of_n1, of_n2 = (asked(gateway, SERVICE.replace("n1", node), "IBM/agbot").budget for node in ("n1", "n2"))
    assert of_n1 != of_n2
    assert asked(gateway).budget == asked(gateway, AGENT.replace("p1", "p2")).budget


def test_an_agbot_must_be_proven_first_and_is_known_by_its_name_then() -> None:
    gateway = core(HELD)
    first = asked(gateway, SERVICE, "IBM/agbot")
    assert first.needs is Need.PROOF
    assert first.question().by == "IBM/agbot"
    assert status(gateway.proof(first, 0.0, is_agbot=False)) == 401
    assert status(gateway.proof(first, 0.0, is_agbot=True)) == 409


def test_an_agbot_of_another_organisation_causes_no_read() -> None:
    assert status(core().answer("POST", SERVICE, basic("o2/agbot"), 0.0)) == 403


def test_the_end_of_an_upgrade_is_never_taken_on_a_remembered_proof() -> None:
    gateway = core()
    first = asked(gateway, SERVICE, "IBM/agbot", "DELETE")
    gateway.memory.accept(first.key, 0.0)
    again = asked(gateway, SERVICE, "IBM/agbot", "DELETE")
    assert again.needs is Need.PROOF
    proven = gateway.proof(again, 0.0, is_agbot=True)
    assert isinstance(proven, Ask)
    assert proven.needs is Need.END


def test_the_same_credentials_are_remembered_apart_as_a_nodes_and_as_an_agbots() -> None:
    gateway = core()
    assert asked(gateway).key != asked(gateway, SERVICE, "o1/n1").key


def test_the_token_of_a_granted_service_upgrade_goes_with_the_answer() -> None:
    gateway = core()
    found = gateway.answered(asked(gateway, SERVICE, "IBM/agbot"), Granted(token=7), 0.0)
    assert isinstance(found, Reply)
    assert (found.status, found.token) == (201, 7)


def test_what_the_exchange_rejects_is_answered_in_the_words_of_the_route() -> None:
    gateway = core()
    agent, service = asked(gateway), asked(gateway, SERVICE, "IBM/agbot")
    absent = NodeAbsent("GET", "/orgs/o1/nodes/n1", "no such node", "", status=404)
    forbidden = Forbidden("GET", "/orgs/o1/nodes/n1", "403", "", status=403)
    assert [gateway.rejected(each, absent).status for each in (agent, service)] == [401, 404]
    assert [gateway.rejected(each, forbidden).status for each in (agent, service)] == [401, 403]
