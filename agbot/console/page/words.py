"""The written form of moments, ages, numbers and links on the page. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from agbot.rules import ids
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.words import clock as clock  # noqa: PLC0414 - templates find it here, with the rest
from agbot.rules.words import count as count  # noqa: PLC0414 - as above
from agbot.rules.words import percent as percent  # noqa: PLC0414 - as above
from agbot.rules.words import span

_MINUTE: Final = 60


def length(duration: timedelta) -> str:
    """Write a duration in its two largest units, without seconds from a minute on: `2 h 5 min`.

    A view is as old as its last event, or 15 s.
    """
    seconds = abs(duration).total_seconds()
    return span(seconds if seconds < _MINUTE else seconds // _MINUTE * _MINUTE)


def relative(moment: datetime, now: datetime) -> str:
    """Write a moment by its distance: `5 min ago`, `in 2 h`."""
    distance = moment - now
    return f"in {length(distance)}" if distance > timedelta() else f"{length(distance)} ago"


def short_clock(moment: datetime, now: datetime) -> str:
    """Write a moment of today by its time alone, and any other with its date."""
    own = moment.astimezone(UTC)
    return f"{own:%H:%M}" if own.date() == now.astimezone(UTC).date() else f"{own:%d %b %H:%M}"


def spoken(moment: datetime, now: datetime) -> str:
    """Write a moment as `short_clock` does, with the zone: it is part of a sentence."""
    return f"{short_clock(moment, now)} UTC"


def sentence(text: str) -> str:
    """Begin a text with a capital, unless it begins with a name."""
    first = text.partition(" ")[0]
    return text if "/" in first or not first.isalpha() else text[:1].upper() + text[1:]


def bare(name: str | None) -> str:
    """Write a name without its organisation, as in a table of that organisation."""
    # what is upgraded may be words, such as `a service of org/node`, of which a node would be left
    if not name or " " in name.partition("/")[0]:
        return name or "an upgrade"
    return ids.name_of(name) or name


def scope(of: str) -> str:
    """Write the scope of a hold or an approval."""
    node = ids.node_of_scope(of)
    if node is not None:
        return f"node {node}"
    if of == "*":
        return "the whole fleet"
    return f"group {of}" if "/" in of else f"organisation {of}"


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


def group_url(group: GroupId) -> str:
    """Return the address of a group's view."""
    return _path("groups", ids.org_of(group), ids.name_of(group))


def node_url(node: NodeId) -> str:
    """Return the address of a node's view."""
    return _path("nodes", ids.org_of(node), ids.name_of(node))


def rollout_url(kind: Kind, policy: PolicyId, standing: str = "") -> str:
    """Return the address of a rollout's view, of all groups or those with one standing."""
    path = _path("rollouts", str(kind), ids.org_of(policy), ids.name_of(policy))
    return f"{path}?{urlencode({'standing': standing})}" if standing else path


def scope_url(of: str) -> str:
    """Return the address of a scope: a group, a node, or the groups of an organisation."""
    node = ids.node_of_scope(of)
    if node is not None:
        return node_url(node)
    if of == "*":
        return "/groups"
    return group_url(GroupId(of)) if "/" in of else f"/groups?{urlencode({'org': of})}"


def order_url(action: str, **given: str | int | None) -> str:
    """Return the address of the form of an operator's action, with what is known of it."""
    known = {name: str(value) for name, value in given.items() if value is not None}
    return f"/act/{action}?{urlencode(known)}" if known else f"/act/{action}"
