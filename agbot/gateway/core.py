"""The gateway's decisions, without I/O: from a request and the memory to an answer or an open need.

`Core.answer` decides on nearly all requests: it reads the target, the credentials and the memory of
both. If memory has no answer, it returns an `Ask`, which names the next need, the caller's key in
memory and the budget to spend. `asking.py` resolves it and returns the result to this module.
Nothing here waits, reads a clock, logs or uses a socket.

The rule kept here: a caller whose credentials the Exchange has not accepted gets no grant and no
reason. A policy that does not exist is 409 like every other refusal: agents treat 400 and 409
alike.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

import msgspec

from agbot.clock import Clock
from agbot.coordinator.permission import Answer, Ended, Permission, Refused
from agbot.exchange import errors
from agbot.exchange.credentials import Credentials
from agbot.gateway import answers, authentication, refusals
from agbot.gateway.answers import Outcome, Reply
from agbot.gateway.authentication import Memory, Unproven
from agbot.gateway.budget import Budget
from agbot.gateway.reads import NodeAbsent
from agbot.gateway.refusals import Refusal
from agbot.gateway.target import AgentQuestion, BadTarget, PassThrough, ServiceEnd, ServiceQuestion, parse
from agbot.rules import facts, ids
from agbot.rules.facts import Node
from agbot.rules.leadership import Whereabouts
from agbot.rules.reasons import Code, Reason
from agbot.settings.model import GatewaySettings

NODES, AGBOTS = "nodes", "agbots"
"""The kinds of callers, as the real agbot names them."""
_ROOT_ORG = "IBM"
"""Agbots of this organisation serve all others (Exchange, access rules)."""


Question = AgentQuestion | ServiceQuestion | ServiceEnd


class Need(Enum):
    """What an `Ask` needs next."""

    PROOF = auto()
    """Whether the caller is an agbot, from the Exchange."""
    ANSWER = auto()
    """The coordinator's answer, based on a read of the node with the caller's credentials. Spends
    from the budget."""
    GROUP = auto()
    """The node, read with its own credentials: it is no member of the named group, and the answer
    names the right one."""
    END = auto()
    """The coordinator's record of the end of a service upgrade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question that memory cannot answer."""

    asked: Question
    caller: Credentials
    key: bytes
    """The key of the caller in `Memory`."""
    needs: Need

    @property
    def budget(self) -> Hashable:
        """The budget that it spends.

        An agbot asks for thousands of nodes, and for each as seldom as the node itself would.
        """
        return self.key if isinstance(self.asked, AgentQuestion) else (self.key, self.asked.node_id)

    def question(self) -> facts.Ask:
        """Return the question as the rules define it."""
        ask = self.asked.ask()
        return replace(ask, by=self.caller.identity) if isinstance(self.asked, ServiceQuestion) else ask


class Known(msgspec.Struct, kw_only=True, gc=False):
    """An agent's question that was read before, and refused from memory. It holds no secret."""

    ask: facts.Ask
    key: bytes
    """The key of the caller in `Memory`."""
    reasons: tuple[Reason, ...] = ()
    """The reasons of the last refusal."""
    body: bytes = b""
    """That refusal as it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A question for the leader: this coordinator stands by."""

    asked: Question


class Core:
    """The gateway's decisions. Times are the event loop's, in seconds."""

    def __init__(
        self,
        permission: Permission,
        memory: Memory,
        budget: Budget,
        *,
        quiet_refusals: bool,
        where: Callable[[], Whereabouts] = Whereabouts,
    ) -> None:
        self._where = where
        self._permission = permission
        self.memory = memory
        self.budget = budget
        self._is_quiet = quiet_refusals

    def answer(
        self, method: str, target: str, credentials: str | None, now: float
    ) -> Reply | Ask | PassThrough | Elsewhere:
        """Answer a request from memory, or return what is needed.

        It changes no state except the order in which memory drops entries.

        Args:
            method: in upper case.
            target: as received; see `agbot.gateway.target.parse`.
            credentials: the value of the Authorization header, if there is one.
            now: the event loop's time.
        """
        asked = parse(method, target)
        match asked:
            case PassThrough():
                return asked
            case BadTarget():
                return answers.bad_request(asked.message, status=asked.status)
            case _ if not self._where().leads:
                return Elsewhere(asked=asked)
            case AgentQuestion():
                return self._agent(asked, credentials, now)
            case _:
                return self._service(asked, credentials, now)

    def known(self, target: str, credentials: str) -> Known | None:
        """Return an agent's question with its own credentials, to be refused again; else None."""
        asked, caller = parse("POST", target), authentication.read(credentials, NODES)
        if not isinstance(asked, AgentQuestion) or isinstance(caller, Unproven) or caller.identity != asked.node_id:
            return None
        return Known(ask=asked.ask(), key=self.memory.key(caller))

    def refuse_again(self, known: Known, now: float) -> Reply | None:
        """Refuse a question that was read before; None if it is to be read like any other.

        The whole decision is made. Only its text is kept, as long as the reasons stay the same.
        """
        if not self._where().leads or not self.memory.is_accepted(known.key, now):
            return None
        refused = self._permission.refuse_from_memory(known.ask)
        if refused is None or (refused.is_final and _is_no_member(refused)):
            return None  # the latter answer is another one: see `answered`
        if refused.reasons != known.reasons or not known.body:
            node, policy = known.ask.node, ids.name_of(known.ask.claim.subject)
            known.body = answers.agent_refused(node, policy, refused.reasons, quiet=self._is_quiet).body
        known.reasons = refused.reasons  # the same object as the waiter's
        return answers.refused_again(known.body, quiet=self._is_quiet)

    def failed(self, method: str, target: str) -> Reply:
        """Answer a request on which `answer` has raised an exception."""
        asked = parse(method, target)
        if isinstance(asked, PassThrough | BadTarget):  # not a question
            return answers.bad_request("The request cannot be answered.")
        return self.own_refusal(asked, refusals.FAILED)

    def _agent(self, asked: AgentQuestion, credentials: str | None, now: float) -> Reply | Ask:
        caller = authentication.read(credentials, NODES)
        if isinstance(caller, Unproven):
            return answers.unauthenticated(caller.text, asked.node_id)
        # before any read, unlike the real agbot: it compares what the caller itself has sent
        if caller.identity != asked.node_id:
            return answers.mismatch(asked.node_id, caller.identity)
        key = self.memory.key(caller)
        if self.memory.is_refused(key, now):
            return answers.wrong_credentials(NODES, caller.identity)
        refused = self._permission.refuse_from_memory(asked.ask()) if self.memory.is_accepted(key, now) else None
        if refused is not None and not (refused.is_final and _is_no_member(refused)):
            # nearly all questions end here
            return self.refusal(asked, refused.reasons)
        ask = Ask(asked=asked, caller=caller, key=key, needs=Need.ANSWER)
        return ask if refused is None else self.answered(ask, refused, now)

    def _service(self, asked: ServiceQuestion | ServiceEnd, credentials: str | None, now: float) -> Reply | Ask:
        caller = authentication.read(credentials, AGBOTS)
        if isinstance(caller, Unproven):
            return answers.unauthenticated(caller.text, asked.node_id)
        if caller.org not in {_ROOT_ORG, asked.org}:
            return answers.service_forbidden(caller.identity, asked.org)
        # separate from nodes: the same credentials may be accepted as one kind and refused as the
        # other
        key = b"agbot:" + self.memory.key(caller)
        if self.memory.is_refused(key, now):
            return answers.wrong_credentials(AGBOTS, caller.identity)
        ask = Ask(asked=asked, caller=caller, key=key, needs=Need.PROOF)
        # an end frees a lease, so the Exchange must confirm each time that the caller is an agbot
        is_proven = isinstance(asked, ServiceQuestion) and self.memory.is_accepted(key, now)
        return self._proven(ask, now) if is_proven else ask

    def proof(self, ask: Ask, now: float, *, is_agbot: bool) -> Reply | Ask:
        """Continue when the Exchange has answered whether the caller is an agbot."""
        return self._proven(ask, now) if is_agbot else answers.wrong_credentials(AGBOTS, ask.caller.identity)

    def _proven(self, ask: Ask, now: float) -> Reply | Ask:
        if isinstance(ask.asked, ServiceEnd):
            return replace(ask, needs=Need.END)
        ask = replace(ask, needs=Need.ANSWER)
        refused = self._permission.refuse_from_memory(ask.question())
        return ask if refused is None else self.answered(ask, refused, now)

    def may_ask(self, ask: Ask, now: float) -> bool:
        """Spend one token of the asker's budget; False if there is none."""
        return self.budget.spend(ask.budget, now)

    def answered(self, ask: Ask, answer: Answer, now: float) -> Reply | Ask:
        """Write the coordinator's answer in the format of the route."""
        asked = ask.asked
        if not isinstance(answer, Refused):
            if isinstance(asked, AgentQuestion):
                return answers.agent_granted(asked.node_id, asked.policy)
            return answers.service_granted(asked.node_id, asked.policy, answer.token)
        if isinstance(asked, AgentQuestion) and _is_no_member(answer):
            # memory may be out of date (A14), and the answer names the group that the node is in
            node = self.memory.fresh_node(ask.key, now)
            return replace(ask, needs=Need.GROUP) if node is None else self.in_group(asked, node)
        return self.refusal(asked, answer.reasons)

    def in_group(self, asked: AgentQuestion, node: Node) -> Reply:
        """Answer a node that is not in the group it names; the answer names its real group."""
        if node.group == ids.group_id(asked.org, asked.group):
            return self.own_refusal(asked, refusals.VIEW_STALE)
        return answers.other_group(ids.name_of(node.group) if node.group else "", asked.group)

    def own_refusal(self, asked: Question, refusal: Refusal) -> Reply:
        """Refuse for a reason of the gateway itself."""
        return self.refusal(asked, refusal.reasons, refusal.outcome)

    def refusal(self, asked: Question, reasons: Sequence[Reason], outcome: Outcome = Outcome.REFUSED) -> Reply:
        """Write a refusal in the format of the route."""
        if isinstance(asked, AgentQuestion):
            return answers.agent_refused(asked.node_id, asked.policy, reasons, quiet=self._is_quiet, outcome=outcome)
        return answers.service_refused(asked.node_id, asked.policy, reasons, outcome)

    def rejected(self, ask: Ask, error: errors.Refused | errors.Forbidden) -> Reply:
        """Answer a caller whose credentials the Exchange rejects, perhaps only for this node."""
        if isinstance(ask.asked, AgentQuestion):
            return answers.wrong_credentials(NODES, ask.caller.identity)
        if isinstance(error, NodeAbsent):
            return answers.service_not_found(ask.asked.node_id)
        if isinstance(error, errors.Forbidden):
            return answers.service_forbidden(ask.caller.identity, ask.asked.org)
        return answers.wrong_credentials(AGBOTS, ask.caller.identity)


def _is_no_member(refused: Refused) -> bool:
    return any(reason.code is Code.NOT_A_MEMBER for reason in refused.reasons)


def ended(asked: ServiceEnd, end: Ended) -> Reply:
    """Answer the report of an end."""
    if end.refused:
        return answers.service_end_refused(asked.node_id, asked.policy, end.refused)
    return answers.service_ended(asked.node_id, asked.policy, released=end.released, succeeded=asked.succeeded)


def new_core(
    settings: GatewaySettings,
    permission: Permission,
    clock: Clock,
    where: Callable[[], Whereabouts] = Whereabouts,
) -> Core:
    """Create the core for these settings."""
    return Core(
        permission,
        Memory(clock, settings.remember_seconds),
        Budget(settings.questions_per_minute, clock),
        quiet_refusals=settings.quiet_refusals,
        where=where,
    )
