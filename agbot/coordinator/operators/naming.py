"""Whether what an operator names is known or exists, and which known name is near if not.

Names of groups, nodes and policies are looked for in memory. An order about a policy is given only
if that exists, so that a mistyped name is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from agbot.coordinator.contract import NotDone
from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.listings import Noun
from agbot.coordinator.operators import listing
from agbot.coordinator.situation import Situation
from agbot.exchange.errors import Unreachable
from agbot.fleet.reads import Wanted, Why
from agbot.rules import ids
from agbot.rules.facts import Node, Policy, Sight
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import AGENT, OF_POLICIES, SERVICE, Kind
from agbot.rules.nearest import closest, did_you_mean

_ORGANISATIONS: Final = 5
_CHECK_SECONDS: Final = 5.0
"""Half of what a command waits for its answer (`agbot.cli.client.SECONDS`): an order that the
command reports as failed must not be carried out later."""
_NOUNS: Final = {AGENT: "node management policy", SERVICE: "deployment policy"}


def nearest(noun: Noun, name: str, situation: Situation) -> str:
    """Return the known group, node or policy that is nearest to a name; empty if none is."""
    return closest(name, _known(noun, situation))


def _known(noun: Noun, situation: Situation) -> Iterable[str]:
    picture = situation.picture
    if noun is Noun.POLICY:
        return sorted({*picture.policies.names(), *(each.policy for each in listing.subjects(situation))})
    return picture.nodes() if noun is Noun.NODE else picture.groups()


def unknown(noun: Noun, name: str, situation: Situation) -> str:
    """Return a sentence that the name is not known, with the nearest one; empty if it is known."""
    node = NodeId(name) if noun is Noun.NODE else ids.node_of_scope(name)
    if node is not None:
        return _unknown_node(node, situation)
    if noun is Noun.POLICY:
        policies = _known(noun, situation)
        is_known = name in policies or situation.picture.is_reported(PolicyId(name))
        return "" if is_known else f"no policy {name} is known{did_you_mean(name, policies)}"
    return _unknown_scope(noun, name, situation)


def _unknown_node(node: NodeId, situation: Situation) -> str:
    picture = situation.picture
    if not isinstance(picture.node(node), Sight):
        return ""
    if picture.exists(GroupId(node)):
        return f"{node} is an HA group, not a node: `agbot status {node}` shows it and its members"
    return f"no node {node} is known{did_you_mean(node, _known(Noun.NODE, situation))}"


def _unknown_scope(noun: Noun, name: str, situation: Situation) -> str:
    """Return it for a group, or for a scope that is no node."""
    picture, group = situation.picture, GroupId(name)
    orgs, is_scope = picture.orgs(), noun is not Noun.GROUP
    if picture.exists(group) or (group in situation.ledger.leases and not is_scope):
        return ""
    if is_scope and name in {"*", *orgs}:
        return ""
    if isinstance(found := picture.node(NodeId(name)), Node):
        return _is_node(found)
    if not is_scope:
        return f"no HA group {name} is known{did_you_mean(name, _known(noun, situation))}"
    near = did_you_mean(name, (*orgs, *picture.groups()))
    kind = "" if "/" in name else "organisation "  # the page begins a sentence with a capital, and a name has none
    return f"{kind}{name} is not known{near or ('' if ids.org_of(name) in orgs else _listed(orgs))}"


def _is_node(node: Node) -> str:
    """Say what the name stands for: the nearest group is wider, and not what was meant."""
    which = f"a node of {node.group}" if node.group is not None else "a node"
    order = (
        f"`agbot hold` and `agbot resume` take --node {node.id}, and `agbot allow {node.id}` is for its next upgrade"
    )
    return f"{node.id} is {which}, not an HA group: `agbot explain {node.id}` shows it, {order}"


def _listed(orgs: tuple[str, ...]) -> str:
    more = f" and {len(orgs) - _ORGANISATIONS} more" if len(orgs) > _ORGANISATIONS else ""
    return f" (organisations: {', '.join(orgs[:_ORGANISATIONS]) or 'none yet'}{more})"


def named(kind: Kind, subject: PolicyId) -> str:
    """Return what the policy is, with its name."""
    return f"the {_NOUNS[kind]} {subject}"


async def why_not(subject: PolicyId, kinds: tuple[Kind, ...], situation: Situation, reader: Reader) -> NotDone | None:
    """Return why not to order something about a policy of these kinds; None if it may exist."""
    policies = situation.picture.policies
    reads = [policies.read_of(kind, subject) for kind in kinds]
    is_answered = await _is_answered([Wanted(read=read, why=Why.ACTION) for read in reads], reader)
    found = [policies.get(kind, subject) for kind in kinds]
    for read in reads:
        situation.picture.forget_absent(read)
    if any(isinstance(each, Policy) for each in found):
        return None
    if all(each is Sight.ABSENT for each in found):
        may_exist = kinds == (SERVICE,) and _may_be_of_pattern(subject, situation)
        return None if may_exist else _missing(subject, situation, kinds)
    if is_answered:
        return None  # a policy that the Exchange cannot show may exist
    return NotDone(text=f"the Exchange does not answer, so whether {subject} exists is not known; nothing was changed")


async def _is_answered(wanted: list[Wanted], reader: Reader) -> bool:
    """Read the policies, and return whether the Exchange has answered."""
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
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
