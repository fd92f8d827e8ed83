"""The command that deletes one row of the real agbot, and no other row.

The agbot's local API deletes by group: all agent rows of a group, and the service rows of a group
or of one policy there, whichever node holds them by then (A4). A deployment policy has a slash in
its name, which no path of that API accepts (W14). So the API is the cure only if it would delete
nothing else; otherwise the cure is one statement for the agbot's database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from agbot.rules import ids
from agbot.rules.facts import Row
from agbot.rules.lease import Kind

_ROUTES = {Kind.SERVICE: "upgradingwlu", Kind.AGENT: "upgradingnode"}
TABLES = {Kind.SERVICE: "ha_workload_upgrade", Kind.AGENT: "ha_group_updates"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """How one row is deleted."""

    command: str
    """For people: a command for a shell, or an SQL statement."""
    url: str = ""
    """The address to send DELETE to; empty if the API would delete other rows too."""


def columns(row: Row) -> dict[str, str]:
    """Return the row's columns in its table: bare names for an agent, qualified for a service."""
    org, group = ids.org_of(row.group), ids.name_of(row.group)
    if row.kind is Kind.AGENT:
        return {
            "org_id": org,
            "group_name": group,
            "node_id": ids.name_of(row.node),
            "nmp_id": ids.name_of(row.subject),
        }
    return {"org_id": org, "group_name": group, "node_id": row.node, "policy_name": row.subject}


def cure(row: Row, listed: Iterable[Row], url: str) -> Cure:
    """Return the cure of a row.

    `listed` are all rows, or those of its group. `url` is the local API that listed them, empty if
    it does not answer.
    """
    route = _route(row, [each for each in listed if each != row and each.group == row.group])
    if url and route:
        address = f"{url}{route}"
        return Cure(command=f"curl -X DELETE '{address}'", url=address)
    where = " AND ".join(f"{name} = {_literal(value)}" for name, value in columns(row).items())
    return Cure(command=f"DELETE FROM {TABLES[row.kind]} WHERE {where};")  # noqa: S608 - for a person; each value is quoted


def _route(row: Row, others: list[Row]) -> str:
    """Return the path that deletes this row alone; empty if there is none."""
    of_kind = [each for each in others if each.kind is row.kind]
    names = [ids.org_of(row.group), ids.name_of(row.group)]
    # the path with the policy; a deployment policy's slash is a 404 there, also as %2F (W14)
    if row.kind is Kind.SERVICE and "/" not in row.subject:
        names.append(row.subject)
        of_kind = [each for each in of_kind if each.subject == row.subject]
    # without the policy the path deletes every row of the group and kind: only if this is the one
    path = "/".join(quote(name, safe="") for name in names)
    return "" if of_kind else f"/ha/{_ROUTES[row.kind]}/{path}"


def _literal(text: str) -> str:
    """Quote a text as SQL does, whatever `standard_conforming_strings` is."""
    doubled = text.replace("'", "''")
    escaped = doubled.replace("\\", "\\\\")
    return f"E'{escaped}'" if "\\" in doubled else f"'{doubled}'"
