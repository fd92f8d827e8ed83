"""Small hubs for forecasts, and the forecast of a rollout on them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from agbot.exchange.policy_mapping import Aim
from agbot.forecast import following
from agbot.forecast.course import Course, GroupCourse
from agbot.forecast.durations import Durations
from agbot.forecast.running import Running
from agbot.forecast.snapshot import Orders, Snapshot
from agbot.rules.facts import Agreement, Node, Policy
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId, group_id, node_id
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits

ORG = OrgId("o1")
NMP, SERVICE = PolicyId("o1/up1"), PolicyId("o1/web")
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LASTS = 300.0
LONG_AGO = NOON - timedelta(days=2)


def hub(
    groups: int, members: int = 2, *, aim: Mapping[str, Any] | None = None, orders: Orders | None = None
) -> Snapshot:
    """Return a hub of groups `g0`, `g1`, … whose members `g0-0`, … are alive and run a service."""
    of_group = {group_id(ORG, f"g{each}"): _members(each, members) for each in range(groups)}
    policy = Policy(id=NMP, revision="r1", revised_at=NOON - timedelta(minutes=5))
    web = Policy(id=SERVICE, service="o1/web", top_version="2.0", versions=("2.0", "1.0"), revision="r1")
    agreements = {
        name: (
            Agreement(
                id=f"a-{name}",
                service="o1/web",
                finalized=True,
                version="1.0",
                containers=("running",),
                updated_at=LONG_AGO,
            ),
        )
        for names in of_group.values()
        for name in names
    }
    return Snapshot(
        org=ORG,
        taken_at=NOON,
        exchange="http://exchange/v1",
        aims={NMP: Aim(policy=policy, **(aim or {}))},
        services={SERVICE: web},
        groups=of_group,
        nodes={name: _node(name, group) for group, names in of_group.items() for name in names},
        statuses={},
        agreements=agreements,
        properties={},
        orders=orders or Orders(),
    )


def _members(group: int, members: int) -> tuple[NodeId, ...]:
    return tuple(node_id(ORG, f"g{group}-{each}") for each in range(members))


def _node(name: NodeId, group: GroupId) -> Node:
    heartbeat_at = NOON - timedelta(seconds=20)
    return Node(id=name, group=group, heartbeat_at=heartbeat_at, registered=True, agent_version="2.31.0")


def silent(known: Snapshot, *names: str) -> Snapshot:
    """Return the hub with these members long dead."""
    dead = {
        node_id(ORG, name): structs.replace(known.nodes[node_id(ORG, name)], heartbeat_at=LONG_AGO) for name in names
    }
    return replace(known, nodes={**known.nodes, **dead})


def forecast(known: Snapshot, limits: Limits | None = None, *, policy: bool = False, lasts: float = LASTS) -> Course:
    """Forecast the agent upgrade, or with `policy` the service upgrade."""
    rules = limits or Limits()
    plan = (
        following.of_services(known, known.services[SERVICE], lambda _group: rules, NOON)
        if policy
        else following.of_agents(known, known.aims[NMP], lambda _group: rules, NOON)
    )
    durations = Durations(of={Kind.AGENT: [lasts], Kind.SERVICE: [lasts]})
    return asyncio.run(Running(known, plan, lambda _group: rules, durations).run())


def of(course: Course, name: str) -> GroupCourse:
    """Return one group."""
    return next(each for each in course.groups if each.group == f"o1/{name}")


def codes(course: Course) -> dict[str, str]:
    """Return the reason of each member that is left."""
    return {left.node.removeprefix("o1/"): left.code for each in course.groups for left in each.left}
