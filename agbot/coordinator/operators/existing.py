"""Whether the policy that an operator names exists, so that a mistyped name is refused.

The Exchange is asked for a bounded time, shorter than a command waits for its answer: an order that
the command reports as failed must not be carried out later. What the Exchange does not answer at
all is not known, and the order is refused; a policy that it cannot show may exist.
"""

from __future__ import annotations

import asyncio
from typing import Final

from agbot.coordinator.contract import NotDone
from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.situation import Situation
from agbot.exchange.errors import Unreachable
from agbot.fleet.reads import Wanted, Why
from agbot.rules import ids
from agbot.rules.facts import Node, Policy, Sight
from agbot.rules.ids import PolicyId
from agbot.rules.lease import AGENT, OF_POLICIES, SERVICE, Kind
from agbot.rules.nearest import did_you_mean

CHECK_SECONDS: Final = 5.0
"""Half of what a command waits for its answer (`agbot.cli.client.SECONDS`)."""
_NOUNS: Final = {AGENT: "node management policy", SERVICE: "deployment policy"}


def named(kind: Kind, subject: PolicyId) -> str:
    """Return what the policy is, with its name."""
    return f"the {_NOUNS[kind]} {subject}"


async def why_not(subject: PolicyId, kinds: tuple[Kind, ...], situation: Situation, reader: Reader) -> NotDone | None:
    """Return why not to order something about a policy of these kinds; None if it may exist."""
    policies = situation.picture.policies
    reads = [policies.read_of(kind, subject) for kind in kinds]
    is_answered = await _read([Wanted(read=read, why=Why.ACTION) for read in reads], reader)
    found = [policies.get(kind, subject) for kind in kinds]
    for read in reads:
        situation.picture.forget_absent(read)
    if any(isinstance(each, Policy) for each in found):
        return None
    if all(each is Sight.ABSENT for each in found):
        may_exist = kinds == (SERVICE,) and _may_be_of_pattern(subject, situation)
        return None if may_exist else _missing(subject, situation, kinds)
    if is_answered:
        return None
    return NotDone(text=f"the Exchange does not answer, so whether {subject} exists is not known; nothing was changed")


async def _read(wanted: list[Wanted], reader: Reader) -> bool:
    """Read the policies, and return whether the Exchange has answered."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            failures = await reader.make_current(wanted)
    except TimeoutError:
        return False
    return not any(isinstance(error, Unreachable) for error in failures.values())


def _may_be_of_pattern(subject: PolicyId, situation: Situation) -> bool:
    """Whether a node has a pattern there: its services are in no policy of the Exchange."""
    org, known = ids.org_of(subject), map(situation.picture.node, situation.picture.nodes())
    return any(isinstance(node, Node) and bool(node.pattern) and ids.org_of(node.pattern) == org for node in known)


def _missing(subject: PolicyId, situation: Situation, kinds: tuple[Kind, ...]) -> NotDone:
    policies = situation.picture.policies
    other = next((kind for kind in OF_POLICIES if isinstance(policies.get(kind, subject), Policy)), None)
    near = f"; {subject} is a {_NOUNS[other]}" if other else did_you_mean(subject, policies.names())
    noun = named(kinds[0], subject) if other else subject
    return NotDone(text=f"{noun} does not exist{near}; nothing was changed", not_found=True)
