"""Resolves what `core.py` cannot answer from memory: reads the Exchange and asks the coordinator.

The rule kept here: a question always gets an answer, within the agent's time. Each failure, timeout
and unreadable reply is a refusal with its reason (P4). A bug is a refusal too, and only the log has
the traceback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agbot import log
from agbot.clock import Clock
from agbot.coordinator.permission import Permission
from agbot.coordinator.questions import stages
from agbot.coordinator.questions.stages import Current, Stage
from agbot.events.listeners import QuestionFailed, QuestionUnconfirmed
from agbot.exchange import errors
from agbot.gateway import core, refusals
from agbot.gateway.answers import Reply
from agbot.gateway.core import Ask, Core, Need
from agbot.gateway.reads import Reads
from agbot.gateway.refusals import Refusal
from agbot.gateway.target import AgentQuestion, ServiceEnd
from agbot.rules.facts import Node
from agbot.store.contract import StoreError

T = TypeVar("T")

ANSWER_SHARE = 0.9
"""The part of the time for an answer in which it must be found; the rest is for writing it."""


async def in_time(work: Callable[[Current], Awaitable[T]], deadline: float, failed: QuestionFailed) -> T | Refusal:
    """Return what the work on a question finds until `deadline` of the event loop, or a refusal.

    `failed` is logged for a bug.

    Raises:
        errors.Refused: the Exchange rejects the caller's credentials.
        errors.Forbidden: it does so for this node.
    """
    current = stages.follow()
    try:
        async with asyncio.timeout_at(deadline):
            return await work(current)
    except (errors.Refused, errors.Forbidden):
        raise  # an answer about the caller, and no failure of the Exchange
    except errors.ExchangeError as error:
        log.write(QuestionUnconfirmed(node=failed.node or "", error=str(error)))
        return refusals.failed_at(current.stage, error)
    except StoreError as error:
        return refusals.failed_at(Stage.STORE, error)
    except TimeoutError:
        return refusals.too_late(current.stage)
    except Exception:  # noqa: BLE001 - every question gets an answer; the log has the traceback
        log.write_with_traceback(failed)
        return refusals.FAILED


class Resolver:
    """Resolves questions that memory cannot answer."""

    def __init__(
        self, gateway: Core, permission: Permission, reads: Reads, clock: Clock, *, answer_seconds: float
    ) -> None:
        self._core = gateway
        self._permission = permission
        self._reads = reads
        self._seconds = clock.real_seconds(answer_seconds)

    async def reply(self, ask: Ask, now: float) -> Reply:
        """Answer a question that arrived at `now` of the event loop; raises only if cancelled."""
        asked = ask.asked

        async def resolve(current: Current) -> Reply:
            found: Reply | Ask = ask
            while isinstance(found, Ask):
                found = await self._step(found, current)
            return found

        failed = QuestionFailed(node=asked.node_id, group=asked.group, subject=asked.policy)
        try:
            found = await in_time(resolve, now + self._seconds, failed)
        except (errors.Refused, errors.Forbidden) as error:
            return self._core.rejected(ask, error)
        return self._core.own_refusal(asked, found) if isinstance(found, Refusal) else found

    async def _step(self, ask: Ask, current: Current) -> Reply | Ask:
        """Resolve the next need of the question."""
        match ask.needs, ask.asked:
            case Need.PROOF, _:
                current.stage = Stage.AGBOT_IDENTITY
                is_agbot = await self._reads.is_agbot(ask.key, ask.caller)
                return self._core.proof(ask, _now(), is_agbot=is_agbot)
            case Need.GROUP, AgentQuestion():
                current.stage = Stage.CONFIRM
                return self._core.in_group(ask.asked, await self._reads.own_node(ask.key, ask.caller))
            case Need.END, ServiceEnd():
                current.stage = Stage.STORE
                return await self._end(ask, ask.asked)
            case _:
                return await self._put(ask, current)

    async def _put(self, ask: Ask, current: Current) -> Reply | Ask:
        """Ask the coordinator."""
        if not self._core.may_ask(ask, _now()):
            return self._core.own_refusal(ask.asked, refusals.TOO_OFTEN)
        current.stage = Stage.STORE
        confirmed: list[Node] = []

        async def confirm() -> Node:
            # a refusal names the stage that took too long; the coordinator goes on with its own
            before, current.stage = current.stage, Stage.CONFIRM
            node = await self._read(ask)
            current.stage = before
            confirmed.append(node)
            return node

        answer = await self._permission.ask(ask.question(), confirm)
        if not confirmed:
            await confirm()  # a caller with unproven credentials gets no reason
        return self._core.answered(ask, answer, _now())

    async def _read(self, ask: Ask) -> Node:
        """Read the asking node with the caller's credentials.

        Raises:
            ExchangeError: as `Reads` does.
        """
        if isinstance(ask.asked, AgentQuestion):
            return await self._reads.own_node(ask.key, ask.caller)
        return await self._reads.node_for_agbot(ask.key, ask.asked.node_id, ask.caller)

    async def _end(self, ask: Ask, asked: ServiceEnd) -> Reply:
        given = {} if asked.token is None else {"token": asked.token}
        end = await self._permission.report_end(
            ask.question(), succeeded=asked.succeeded, who=ask.caller.identity, **given
        )
        return core.ended(asked, end)


def _now() -> float:
    return asyncio.get_running_loop().time()
