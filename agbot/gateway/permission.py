"""The permission route: may this node upgrade its agent now?

In this order: credentials, that they are the asking node's own, then the coordinator. The real agbot asks the Exchange first; comparing
first costs no read and gives nothing away. A policy that does not exist or is disabled is 409 like every other "not now": agents treat 400
and 409 alike, and ask again in 60 s.
"""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from agbot.clock import Clock
from agbot.coordinator.contract import Permission, Refused
from agbot.coordinator.stages import Stage
from agbot.exchange import errors
from agbot.exchange.credentials import Credentials
from agbot.gateway import answers, authentication, question
from agbot.gateway.answers import Reply
from agbot.gateway.authentication import Memory, Unproven
from agbot.gateway.budget import Budget
from agbot.gateway.reads import Reads
from agbot.gateway.target import AgentQuestion
from agbot.rules import ids
from agbot.rules.reasons import Code

_log = structlog.get_logger()

_KIND = "nodes"


class PermissionRoute:
    """Answers agents."""

    def __init__(
        self,
        permission: Permission,
        reads: Reads,
        memory: Memory,
        clock: Clock,
        *,
        budget: Budget,
        answer_seconds: float,
        quiet_refusals: bool,
    ) -> None:
        self._permission = permission
        self._reads = reads
        self._memory = memory
        self._budget = budget
        self._seconds = clock.real_seconds(answer_seconds)
        self._quiet = quiet_refusals

    async def answer(self, asked: AgentQuestion, authorization: str | None, now: float) -> Reply:
        """Answer one question, asked at `now` of the event loop. Never raises, but for cancellation."""
        caller = authentication.read(authorization, _KIND)
        if isinstance(caller, Unproven):
            return answers.unauthenticated(caller.text)
        if caller.identity != asked.node_id:
            return answers.MISMATCH
        key = self._memory.key(caller)
        if self._memory.is_refused(key, now):
            return answers.wrong_credentials(_KIND)
        try:
            return await self._ask(asked, caller, key, now)
        except (errors.Refused, errors.Forbidden):
            return answers.wrong_credentials(_KIND)
        except Exception:  # noqa: BLE001 - no question goes without an answer; the log has the traceback
            _log.exception("question.failed", node=asked.node_id)
            return self._refusal(asked, question.failed())

    def busy(self, asked: AgentQuestion) -> Reply:
        """Answer a question for which there is no room."""
        return self._refusal(asked, question.busy())

    async def _ask(self, asked: AgentQuestion, caller: Credentials, key: bytes, now: float) -> Reply:
        ask, deadline = asked.ask(), now + self._seconds
        heard = question.from_memory(self._permission, ask) if self._memory.is_accepted(key, now) else None
        if heard is None:
            if not self._budget.spend(key, now):
                return self._refusal(asked, question.too_often())
            read = partial(self._reads.own_node, key, caller)
            heard = await question.put(self._permission, ask, read, deadline=deadline)
        if not isinstance(heard.answer, Refused):
            return answers.agent_granted(asked.node_id, asked.policy)
        if any(reason.code is Code.NOT_A_MEMBER for reason in heard.reasons):
            return await self._not_a_member(asked, caller, key, deadline)
        return self._refusal(asked, heard)

    async def _not_a_member(self, asked: AgentQuestion, caller: Credentials, key: bytes, deadline: float) -> Reply:
        """Name the group that the node is really in.

        A refusal from memory may be older than the membership (A14), so the node is read unless it was within the last seconds.
        """
        node = self._memory.fresh_node(key, asyncio.get_running_loop().time())
        if node is None:
            try:
                async with asyncio.timeout_at(deadline):
                    node = await self._reads.own_node(key, caller)
            except (errors.Refused, errors.Forbidden):
                raise
            except errors.ExchangeError as error:
                return self._refusal(asked, question.failed_at(Stage.CONFIRM, error))
            except TimeoutError:
                return self._refusal(asked, question.too_late(Stage.CONFIRM))
        if node.group == ids.group_id(asked.org, asked.group):
            return self._refusal(asked, question.view_stale())
        return answers.other_group(ids.name_of(node.group) if node.group else "", asked.group)

    def _refusal(self, asked: AgentQuestion, heard: question.Heard) -> Reply:
        """Say "not yet" in the configured form."""
        return answers.agent_refused(
            asked.node_id,
            asked.policy,
            heard.reasons,
            quiet=self._quiet,
            outcome=heard.outcome,
        )
