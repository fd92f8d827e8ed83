"""What needs a person, the same in every view, and on the page the link to what helps."""

from __future__ import annotations

import re
from dataclasses import replace

from agbot.coordinator.contract import Explanation
from agbot.coordinator.listings import AwaitedApproval, GroupProgress, MemberProgress
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


async def views(desk: Desk) -> dict[str, str]:
    """Return what each view says of what needs a person, and of nothing else."""
    status, probe = await desk.get("/v1/status"), await desk.get("/readyz?verbose")
    page = (await desk.get("/")).text.partition(">Needs a person")[2]
    return {
        "status": "\n".join(each["title"] for each in status.json["attention"] if each["needs_a_person"]),
        "page": re.split(r"<h2>To know|</section>", page)[0],
        "probe": "\n".join(line for line in probe.text.splitlines() if line.startswith("[-]")),
    }


async def test_every_view_names_an_approval_that_members_wait_for(desk: Desk) -> None:
    awaited = AwaitedApproval(kind=Kind.AGENT, subject=NMP, groups=1, example=MILLS)
    desk.operations.ordered = replace(NO_ORDERS, awaited=[awaited])

    found = await views(desk)
    found["rollout"] = (await desk.get("/rollouts/agent/acme/agent-2.32")).text
    found["/v1/rollouts"] = str((await desk.get("/v1/rollouts/acme/agent-2.32?kind=agent")).json["attention"])

    assert all(f"{NMP} waits for an approval in {MILLS}" in text for text in found.values()), found
    approve = "/act/approve?scope=acme%2Fmills&amp;subject=acme%2Fagent-2.32&amp;kind=agent"
    assert approve in found["rollout"]
    assert approve in (await desk.get("/orders")).text


async def test_every_view_names_a_reload_that_was_refused(desk: Desk) -> None:
    desk.operations.seen = replace(desk.operations.seen, settings_refused=("agbot.toml:3: no such key",))

    found = await views(desk)

    assert all("Changed settings are not used" in text for text in found.values()), found
    assert (await desk.get("/readyz")).text == "ready\n", "grants go on"


async def test_what_is_ordered_or_may_be_as_it_should_needs_no_one_in_any_view(desk: Desk) -> None:
    desk.operations.seen = replace(desk.operations.seen, unmatched_scopes=['[scope."acme/mils"] matches nothing'])
    desk.operations.ordered = replace(
        NO_ORDERS,
        holds=[Hold(scope="umbra", since=NOW, by="ada", why="floods", until=None)],
        allowances=[Allowance(node=BETA, subject=NMP, since=NOW, until=NOW, by="ada", why="now")],
        approvals=[Approval(scope="acme", kind=Kind.AGENT, subject=NMP, since=NOW, by="ada", why="yes")],
    )

    found, page = await views(desk), (await desk.get("/")).text

    for title in (
        "A scope of the settings has no effect",
        "Hold on organisation umbra",
        "Allowance of acme/beta",
        "Approval of acme/agent-2.32",
    ):
        assert page.count(title) == 1
        assert not any(title in text for text in found.values()), title


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
