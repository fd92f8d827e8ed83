"""What needs a person, the same in every view, and on the page the link to what helps."""

from __future__ import annotations

import re
from dataclasses import replace

from agbot.coordinator.contract import Explanation, FailedView
from agbot.coordinator.listings import AwaitedApproval, GroupProgress, MemberProgress, WaitingMember
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause, Code
from agbot.rules.records import Allowance, Approval, Brake, Hold
from agbot.rules.statuses import Phase
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


def stopped_in_each_way(desk: Desk) -> None:
    """Let four groups of one rollout wait for a person, each for another reason, and one for a hold."""
    members = [MemberProgress(node=ALPHA, is_gated=True)]
    brake = Brake(
        group=GroupId("acme/braked"), kind=Kind.AGENT, subject=NMP, revision="", since=NOW, cause=Cause.FAILED, node=ALPHA, token=1
    )  # fmt: skip
    bad = [MemberProgress(node=ALPHA, is_gated=True, status="rollback successful", phase=Phase.ENDED_BADLY)]

    def waits(group: str, code: Code) -> GroupProgress:
        waiter = WaitingMember(node=ALPHA, since=NOW, code=code, text="it waits")
        return GroupProgress(group=GroupId(group), members=members, waiting=[waiter])

    desk.operations.far[Kind.AGENT, NMP] = [
        GroupProgress(group=MILLS, members=members, holder=ALPHA, is_suspect=True, token=7),
        GroupProgress(group=brake.group, members=members, brake=brake),
        GroupProgress(group=GroupId("acme/left"), members=bad),
        waits("acme/approved", Code.NOT_APPROVED),
        waits("acme/held", Code.PAUSED),
    ]
    desk.operations.known = [replace(GROUPS[0], lease=replace(GROUPS[0].lease, state="suspect"))]
    awaited = AwaitedApproval(kind=Kind.AGENT, subject=NMP, groups=1, example=GroupId("acme/approved"))
    desk.operations.ordered = replace(NO_ORDERS, brakes=[brake], awaited=[awaited])
    failed = [FailedView(subject=NMP, members=1, named=[ALPHA])]
    desk.operations.seen = replace(desk.operations.seen, suspect=1, failed=1, failed_by_policy=failed)


async def test_whatever_a_rollout_needs_a_person_for_is_named_in_every_view(desk: Desk) -> None:
    stopped_in_each_way(desk)

    rollout = (await desk.get("/v1/rollouts/acme/agent-2.32?kind=agent")).json
    found = await views(desk)

    assert rollout["end"]["why"] == "the 5 groups left wait for a person (4) or for the end of a hold (1)"
    titles = [each["title"] for each in rollout["attention"]]
    assert titles == [
        f"Suspect lease in {MILLS}",
        f"{NMP} is stopped in acme/braked",
        f"{NMP} waits for an approval in acme/approved",
        f"1 member failed its last upgrade by {NMP}",
    ]
    assert all(title in text for title in titles for text in found.values()), found


async def test_a_rollout_names_its_own_suspect_leases_however_many_others_have(desk: Desk) -> None:
    lost = replace(GROUPS[0].lease, state="suspect", subject=PolicyId("acme/other"))
    others = [replace(GROUPS[0], id=GroupId(f"acme/a{number}"), lease=lost) for number in range(5)]
    mine = replace(GROUPS[0], lease=replace(lost, subject=NMP))
    desk.operations.known = [*others, mine]

    page = (await desk.get("/rollouts/agent/acme/agent-2.32")).text
    fleet = (await desk.get("/")).text

    assert [name for name in ("acme/a0", f"{MILLS}") if f"Suspect lease in {name}" in page] == [MILLS]
    assert [name for name in ("acme/a0", f"{MILLS}") if f"Suspect lease in {name}" in fleet] == ["acme/a0"]


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
