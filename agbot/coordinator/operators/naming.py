"""Whether what an operator names is known, and which known name is near if not."""

from __future__ import annotations

from collections.abc import Iterable

from agbot.coordinator.listings import Noun
from agbot.coordinator.operators.rollouts import subjects
from agbot.coordinator.situation import Situation
from agbot.rules import ids
from agbot.rules.facts import Node, Sight
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.nearest import closest, did_you_mean

_ORGANISATIONS = 5


def nearest(noun: Noun, name: str, situation: Situation) -> str:
    """Return the known group, node or policy that is nearest to a name; empty if none is."""
    return closest(name, _known(noun, situation))


def _known(noun: Noun, situation: Situation) -> Iterable[str]:
    picture = situation.picture
    if noun is Noun.POLICY:
        return sorted({*picture.policies.names(), *(each.policy for each in subjects(situation))})
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
    return f"{name} is not known{near or ('' if ids.org_of(name) in orgs else _listed(orgs))}"


def _is_node(node: Node) -> str:
    """Say what the name stands for: the nearest group is wider, and not what was meant."""
    which = f"a node of {node.group}" if node.group is not None else "a node"
    alone = f"`agbot explain {node.id}` shows it, and `agbot hold --node {node.id}` holds it alone"
    return f"{node.id} is {which}, not an HA group: {alone}"


def _listed(orgs: tuple[str, ...]) -> str:
    more = f" and {len(orgs) - _ORGANISATIONS} more" if len(orgs) > _ORGANISATIONS else ""
    return f" (organisations: {', '.join(orgs[:_ORGANISATIONS]) or 'none yet'}{more})"
