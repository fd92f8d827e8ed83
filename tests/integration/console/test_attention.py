"""What on the page needs a person, and the link beside it that leads to the order which helps."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from agbot.coordinator.contract import Explanation
from agbot.coordinator.listings import GroupProgress, MemberProgress
from agbot.rules.ids import GroupId
from agbot.rules.lease import Kind
from agbot.rules.records import Allowance, Approval, Hold
from tests.integration.console.conftest import Desk
from tests.integration.console.scripted import (
    ALPHA,
    BETA,
    GROUPS,
    MILLS,
    NMP,
    NO_ORDERS,
    NOW,
)


async def test_what_is_allowed_or_approved_needs_no_one(desk: Desk) -> None:
    desk.operations.ordered = replace(
        NO_ORDERS,
        allowances=[Allowance(node=BETA, subject=NMP, since=NOW, until=NOW, by="ada", why="now")],
        approvals=[Approval(scope="acme", kind=Kind.AGENT, subject=NMP, since=NOW, by="ada", why="yes")],
    )

    urgent, _, in_order = (await desk.get("/")).text.partition("Ordered by operators")

    assert "Allowance of" not in urgent
    assert in_order.count("Allowance of acme/beta") == in_order.count("Approval of acme/agent-2.32") == 1


async def test_a_hold_needs_a_person_only_if_it_does_not_end_by_itself(desk: Desk) -> None:
    ends, stays = (
        Hold(scope=scope, since=NOW, by="ada", why="floods", until=until)
        for scope, until in (("acme", NOW + timedelta(hours=2)), ("umbra", None))
    )
    desk.operations.ordered = replace(NO_ORDERS, holds=[ends, stays])

    urgent, _, in_order = (await desk.get("/")).text.partition("Ordered by operators")

    assert "Hold on organisation umbra" in urgent
    assert "Hold on organisation acme" not in urgent
    assert "Hold on organisation acme" in in_order


async def test_a_suspect_group_of_a_rollout_can_be_released_from_there(desk: Desk) -> None:
    members = [MemberProgress(node=ALPHA, is_gated=True)]
    desk.operations.far[Kind.AGENT, NMP] = [
        GroupProgress(group=MILLS, members=members, holder=ALPHA, is_suspect=True, token=7),
        GroupProgress(group=GroupId("acme/busy"), members=members, holder=ALPHA, token=8),
    ]

    shown = (await desk.get("/rollouts/agent/acme/agent-2.32")).text

    assert "/act/release?group=acme%2Fmills&amp;token=7" in shown
    assert "/act/release?group=acme%2Fbusy" not in shown


async def test_a_node_with_a_suspect_lease_or_a_failed_upgrade_leads_to_what_helps(desk: Desk) -> None:
    lost = replace(GROUPS[0].lease, state="suspect")
    desk.operations.explained[ALPHA] = Explanation(node=ALPHA, group=MILLS, answer="It is lost.", lease=lost)

    assert '<a href="/act/release?group=acme%2Fmills&amp;token=7">' in (await desk.get("/nodes/acme/alpha")).text
    assert (
        '<a href="/act/resume?scope=acme%2Fpumps&amp;subject=acme%2Fagent-2.32">'
        in (await desk.get("/nodes/acme/gamma")).text
    )
