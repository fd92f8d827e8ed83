"""Whether what an operator names is known, and which known name is near if not."""

from __future__ import annotations

from collections.abc import Iterable

from agbot.coordinator.listings import Noun
from agbot.coordinator.operators.rollouts import subjects
from agbot.coordinator.situation import Situation
from agbot.rules import ids
from agbot.rules.facts import Sight
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
    picture, node = situation.picture, NodeId(name) if noun is Noun.NODE else ids.node_of_scope(name)
    if node is not None:
        is_known = not isinstance(picture.node(node), Sight)
        return "" if is_known else f"no node {node} is known{did_you_mean(node, _known(Noun.NODE, situation))}"
    if noun is Noun.POLICY:
        policies = _known(noun, situation)
        is_known = name in policies or picture.is_reported(PolicyId(name))
        return "" if is_known else f"no policy {name} is known{did_you_mean(name, policies)}"
    group, orgs = GroupId(name), picture.orgs()
    if picture.exists(group) or (noun is Noun.GROUP and group in situation.ledger.leases):
        return ""
    if noun is Noun.GROUP:
        return f"no HA group {name} is known{did_you_mean(name, _known(noun, situation))}"
    if name in {"*", *orgs}:
        return ""
    near = did_you_mean(name, (*orgs, *picture.groups()))
    return f"{name} is not known{near or ('' if ids.org_of(name) in orgs else _listed(orgs))}"


def _listed(orgs: tuple[str, ...]) -> str:
    more = f" and {len(orgs) - _ORGANISATIONS} more" if len(orgs) > _ORGANISATIONS else ""
    return f" (organisations: {', '.join(orgs[:_ORGANISATIONS]) or 'none yet'}{more})"
