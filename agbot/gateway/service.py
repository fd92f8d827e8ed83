"""The service upgrade route: an agbot asks before it cancels an agreement to upgrade a service, and reports the end.

The same lease, the same shape of answer as for agents. Who may ask: an agbot, with its own credentials, of org `IBM` (which serves every
organisation) or of the node's own. That it is one is remembered for refusals; a grant reads the node with the agbot's credentials, and a
reported end, which frees a lease, asks the Exchange anew, and is taken from whoever was granted it, or with the token of that grant.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
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
from agbot.gateway.reads import NodeAbsent, Reads
from agbot.gateway.target import ServiceEnd, ServiceQuestion
from agbot.store.contract import StoreError

_log = structlog.get_logger()

_KIND = "agbots"
_EVERY_ORG = "IBM"
"""Agbots of this organisation serve all others (Exchange, access rules)."""


class ServiceRoute:
    """Answers agbots."""

    def __init__(
        self,
        permission: Permission,
        reads: Reads,
        memory: Memory,
        clock: Clock,
        *,
        budget: Budget,
        answer_seconds: float,
    ) -> None:
        self._permission = permission
        self._reads = reads
        self._memory = memory
        self._budget = budget
        self._seconds = clock.real_seconds(answer_seconds)

    async def answer(self, asked: ServiceQuestion | ServiceEnd, authorization: str | None, now: float) -> Reply:
        """Answer one question, or take one end down, at `now` of the event loop. Never raises, but for cancellation."""
        upgrade = asked.upgrade if isinstance(asked, ServiceEnd) else asked
        caller = authentication.read(authorization, _KIND)
        if isinstance(caller, Unproven):
            return answers.unauthenticated(caller.text)
        try:
            if caller.org in {_EVERY_ORG, upgrade.org}:
                return await self._proven(asked, upgrade, caller, now)
        except NodeAbsent:
            return answers.service_not_found(upgrade.node_id)
        except errors.Refused:
            return answers.wrong_credentials(_KIND)
        except errors.Forbidden:
            pass
        except Exception:  # noqa: BLE001 - no question goes without an answer; the log has the traceback
            _log.exception("question.failed", node=upgrade.node_id)
            return _reply(upgrade, question.failed())
        return answers.service_forbidden(caller.identity, upgrade.org)

    async def _proven(
        self, asked: ServiceQuestion | ServiceEnd, upgrade: ServiceQuestion, caller: Credentials, now: float
    ) -> Reply:
        deadline = now + self._seconds
        try:
            async with asyncio.timeout_at(deadline):
                is_agbot = await self._is_agbot(caller, now, is_anew=isinstance(asked, ServiceEnd))
        except errors.ExchangeError as error:
            return _reply(upgrade, question.failed_at(Stage.AGBOT_IDENTITY, error))
        except TimeoutError:
            return _reply(upgrade, question.too_late(Stage.AGBOT_IDENTITY))
        if not is_agbot:
            return answers.wrong_credentials(_KIND)
        if isinstance(asked, ServiceEnd):
            return await self._end(asked, caller, deadline)
        return await self._ask(asked, caller, deadline)

    def busy(self, asked: ServiceQuestion | ServiceEnd) -> Reply:
        """Answer a question for which there is no room."""
        return _reply(asked.upgrade if isinstance(asked, ServiceEnd) else asked, question.busy())

    async def _is_agbot(self, caller: Credentials, now: float, *, is_anew: bool) -> bool:
        key = self._key(caller)
        if self._memory.is_refused(key, now):
            return False
        if not is_anew and self._memory.is_accepted(key, now):
            return True
        return await self._reads.is_agbot(key, caller)

    async def _ask(self, asked: ServiceQuestion, caller: Credentials, deadline: float) -> Reply:
        key = self._key(caller)
        ask = replace(asked.ask(), by=caller.identity)
        heard = question.from_memory(self._permission, ask)  # that it is an agbot was made sure of before
        if heard is None:
            # an agbot asks for thousands of nodes, for each of them as seldom as the node itself
            if not self._budget.spend((key, asked.node_id), asyncio.get_running_loop().time()):
                return _reply(asked, question.too_often())
            read = partial(self._reads.node_for_agbot, key, asked.node_id, caller)
            heard = await question.put(self._permission, ask, read, deadline=deadline)
        return _reply(asked, heard)

    async def _end(self, asked: ServiceEnd, caller: Credentials, deadline: float) -> Reply:
        upgrade = asked.upgrade
        report = partial(self._permission.report_end, upgrade.ask(), succeeded=asked.succeeded, who=caller.identity)
        try:
            async with asyncio.timeout_at(deadline):
                ended = await (report() if asked.token is None else report(token=asked.token))
        except StoreError as error:
            return _reply(upgrade, question.failed_at(Stage.STORE, error))
        except TimeoutError:
            return _reply(upgrade, question.too_late(Stage.STORE))
        if ended.refused:
            return answers.service_end_refused(upgrade.node_id, upgrade.policy, ended.refused)
        return answers.service_ended(
            upgrade.node_id,
            upgrade.policy,
            released=ended.released,
            succeeded=asked.succeeded,
        )

    def _key(self, caller: Credentials) -> bytes:
        # apart from a node's: the same credentials may be accepted as one and refused as the other
        return b"agbot:" + self._memory.key(caller)


def _reply(asked: ServiceQuestion, heard: question.Heard) -> Reply:
    if isinstance(heard.answer, Refused):
        return answers.service_refused(asked.node_id, asked.policy, heard.reasons, heard.outcome)
    return answers.service_granted(asked.node_id, asked.policy, heard.answer.token)
