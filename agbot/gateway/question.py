"""Putting one question to the coordinator, within the time an agent waits, whatever fails underneath.

The rule kept here: a question always has an answer. A store or an Exchange that fails, hangs or answers nonsense is a refusal with its
reason (P4), a bug is a refusal too, with the traceback in the log alone. Only "the Exchange does not know these credentials" leaves as an
error, because it is answered in other words. A refusal is told only to somebody whose credentials have been proven.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from agbot.coordinator import stages
from agbot.coordinator.contract import Answer, Permission, Refused
from agbot.coordinator.stages import Stage
from agbot.exchange import errors
from agbot.gateway.answers import Outcome
from agbot.rules.facts import Ask, Node
from agbot.rules.reasons import Code, Reason
from agbot.store.contract import StoreError

_log = structlog.get_logger()

_BUG_TEXT = "the coordinator could not work out an answer; its log says why"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The answer, and what it was in the metrics."""

    answer: Answer
    outcome: Outcome

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why it is a refusal; empty for a grant."""
        return self.answer.reasons if isinstance(self.answer, Refused) else ()


class _Confirming:
    """Reads the node for one question and knows whether it is reading now, and what it read last."""

    def __init__(self, read: Callable[[], Awaitable[Node]]) -> None:
        self._read = read
        self.is_open = False
        self.node: Node | None = None

    async def __call__(self) -> Node:
        self.is_open = True
        self.node = await self._read()
        self.is_open = False
        return self.node


def from_memory(permission: Permission, ask: Ask) -> Heard | None:
    """Refuse somebody who has been proven lately, at once; None when the question must be put. Nearly all that is ever asked ends here."""
    refused = permission.refuse_from_memory(ask)
    return None if refused is None else Heard(answer=refused, outcome=Outcome.REFUSED)


async def put(permission: Permission, ask: Ask, read: Callable[[], Awaitable[Node]], *, deadline: float) -> Heard:
    """Ask the coordinator and wait until `deadline` (on the event loop's clock) at most.

    Raises:
        errors.Refused: the Exchange does not accept the asker's credentials.
        errors.Forbidden: nor let them read this node.
    """
    confirm, waits = _Confirming(read), stages.follow()
    try:
        async with asyncio.timeout_at(deadline):
            answer = await permission.ask(ask, confirm)
            if confirm.node is None:
                await confirm()  # nothing is told to somebody who may be anybody
    except (errors.Refused, errors.Forbidden):
        raise
    except errors.ExchangeError as error:
        _log.debug("question.unconfirmed", node=ask.node, error=str(error))
        return failed_at(Stage.CONFIRM, error)
    except StoreError as error:
        return failed_at(Stage.STORE, error)
    except TimeoutError:
        return too_late(Stage.CONFIRM if confirm.is_open else waits.stage)
    except Exception:  # noqa: BLE001 - no question goes without an answer; the log has the traceback
        _log.exception("question.failed", node=ask.node, group=ask.group, subject=ask.claim.subject)
        return failed()
    outcome = Outcome.REFUSED if isinstance(answer, Refused) else Outcome.GRANTED
    return Heard(answer=answer, outcome=outcome)


def failed() -> Heard:
    """Return the answer to a question on which the program itself failed: ask again."""
    reason = Reason(code=Code.INTERNAL_ERROR, text=_BUG_TEXT)
    return Heard(answer=Refused(reasons=(reason,)), outcome=Outcome.ERROR)


def too_late(stage: Stage) -> Heard:
    """Return the answer when the time was over while this was waited for."""
    return _unavailable(stage.too_late())


def failed_at(stage: Stage, error: Exception) -> Heard:
    """Return the answer when this failed."""
    return _unavailable(stage.failed(error))


def view_stale() -> Heard:
    """Return the answer to a member of whose membership the picture does not know yet."""
    text = "the node's membership has changed just now and is not in the picture yet"
    return _unavailable(Reason(code=Code.VIEW_STALE, text=text))


def busy() -> Heard:
    """Return the answer while too many requests are open."""
    reason = Reason(code=Code.BUSY, text="too many questions are open at once")
    return Heard(answer=Refused(reasons=(reason,)), outcome=Outcome.BUSY)


def too_often() -> Heard:
    """Return the answer to somebody who has used up what one asker may cost."""
    reason = Reason(code=Code.BUSY, text="this node asks more often than [gateway] questions_per_minute allows")
    return Heard(answer=Refused(reasons=(reason,)), outcome=Outcome.BUSY)


def _unavailable(reason: Reason) -> Heard:
    return Heard(answer=Refused(reasons=(reason,)), outcome=Outcome.UNAVAILABLE)
