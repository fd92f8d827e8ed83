"""What the gateway needs of the coordinator: it puts questions, and decides nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from agbot.rules.facts import Ask, Node
from agbot.rules.reasons import Reason

Confirm = Callable[[], Awaitable[Node]]
"""Reads the node again from the Exchange with the asker's own credentials.

It raises an `agbot.exchange.errors.ExchangeError`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A grant. `token` is None for a node that is exempt and holds no lease."""

    token: int | None
    exempt: Reason | None = None
    repeated: bool = False


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal.

    `is_final`: another question cannot help before something changes (not a member, no such
    policy).
    """

    reasons: tuple[Reason, ...]
    is_final: bool = False


Answer = Granted | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The answer to the report of a service upgrade's end.

    `released` is False if the node held no such lease, so that none was freed.
    """

    released: bool
    token: int | None = None
    refused: str = ""
    """Why the report was refused although the node holds that lease.

    The grant was to another identity, or it is another grant.
    """


class Permission(Protocol):
    """What the gateway needs."""

    def refuse_from_memory(self, ask: Ask) -> Refused | None:
        """Refuse without I/O; None if a grant is possible, or could be after a read.

        Only for an asker whose credentials the Exchange has accepted lately. Nearly all questions
        of agents are answered here.
        """

    async def ask(self, ask: Ask, confirm: Confirm) -> Answer:
        """Answer a question, after a `confirm`.

        Raises:
            ExchangeError: `confirm` failed; nothing was granted.
        """

    async def report_end(self, ask: Ask, *, succeeded: bool, who: str, token: int | None = None) -> Ended:
        """Note that a service upgrade has ended: it frees only that node's lease for that policy.

        It is accepted only from the identity that got the grant, or with the token of that grant.
        """
