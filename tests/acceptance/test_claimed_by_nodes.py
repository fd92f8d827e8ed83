"""What a node claims forever keeps nothing forever, and what it claims against its own version stops the release.

Limits are seconds here; what lasts for an hour elsewhere is over soon.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

from agbot.sim.agent_state import Word
from tests.acceptance.hub import NEW, NMP, OLD, Hub, auth_of
from tests.acceptance.programs import Program
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.support.patience import until

A_YEAR_SECONDS = 31_536_000
SAID = f"o1/anna reported success with agent version {NEW} but runs {OLD}"


async def started(site: Site, **rules: float) -> Program:
    """Start the daemon with these limits."""
    site.tables["rules"] |= rules
    site.write()
    return await site.start_ready()


def emitted(daemon: Program, event: str, **facts: str) -> list[dict[str, Any]]:
    """Return the lines of one event that say this."""
    return [line for line in daemon.events(event) if all(line.get(key) == value for key, value in facts.items())]


async def test_a_status_that_is_written_again_forever_keeps_no_lease_forever(hub: Hub, site: Site) -> None:
    await hub.publish()
    await hub.group("g1", "anna", "ben")
    await hub.group("g2", "dora", "emil")
    daemon = await started(site, lease_seconds=2.0, max_upgrade_seconds=4.0)
    for node, group in (("anna", "g1"), ("dora", "g2")):
        await granted(site, node, group=group)

    async def repeat(node: str, *words: Word) -> None:
        while True:
            for word in words:
                await hub.report(node, word)
                await hub.heartbeat(node)
                await asyncio.sleep(0.3)

    repeating = [
        asyncio.create_task(repeat("anna", Word.INITIATED)),
        asyncio.create_task(repeat("dora", Word.DOWNLOADED, Word.INITIATED)),
    ]
    await until("the end of patience", lambda: len(emitted(daemon, "lease.suspected")) == 2)
    await asyncio.sleep(1.0)  # they go on, and nothing is renewed by it
    for each in repeating:
        each.cancel()

    assert {name: lease["state"] for name, lease in (await site.leases()).items()} == {"g1": "suspect", "g2": "suspect"}
    assert len(emitted(daemon, "lease.suspected")) == 2


async def test_whoever_claims_to_be_received_once_a_year_is_missed_after_seconds_as_a_peer_and_as_a_holder(
    hub: Hub, site: Site
) -> None:
    await hub.publish()
    await hub.node("anna")
    await hub.node("yearly", claims_seconds=A_YEAR_SECONDS)
    await hub.group("g1", "anna", "yearly", exists=True)
    await hub.node("slow", claims_seconds=A_YEAR_SECONDS)
    await hub.node("emil")
    await hub.group("g2", "slow", "emil", exists=True)
    daemon = await started(
        site, heartbeat_stale_seconds=1.0, dead_after_seconds=1.5, lease_seconds=1.0, max_upgrade_seconds=2.0
    )

    async def is_granted() -> bool:
        for node in ("slow", "emil"):
            await hub.heartbeat(node)
        return (await ask(site, "slow", group="g2"))[0] == 201

    await until("a yes", is_granted)
    await hub.report("slow", Word.INITIATED)

    await until("the holder is missed", lambda: emitted(daemon, "lease.released", cause="expired"))
    assert (await site.leases())["g2"]["state"] == "free"
    await hub.heartbeat("anna")
    status, message = await ask(site, "anna")  # whose peer was received last before that
    assert (status, "peers-unavailable" in message, "o1/yearly (last heartbeat" in message) == (409, True, True), (
        message
    )


async def test_a_success_against_the_node_s_own_version_stops_the_release_with_both_versions_shown(
    hub: Hub, site: Site
) -> None:
    await group_of_three(hub)
    daemon = await started(site, version_proof_seconds=3.0)
    await granted(site, "anna")
    await hub.report("anna", Word.INITIATED)
    await hub.report("anna", Word.SUCCESSFUL, runs=OLD)

    seen: list[str] = []

    async def is_stopped() -> bool:
        for node in ("anna", "ben", "carl"):
            await hub.heartbeat(node)
        status, message = await ask(site, "ben")
        seen.append(message)
        assert status == 409, "while the versions contradict each other nobody begins"
        return bool(emitted(daemon, "brake.set"))

    await until("the brake", is_stopped)

    status, message = await ask(site, "ben")
    assert (status, "brake" in message, SAID in message) == (409, True, True), message
    assert any("soaking" in each and SAID in each for each in seen), seen
    assert [line["why"] for line in emitted(daemon, "brake.set")] == [SAID]
    explained = await site.operate("explain", "o1/ben")
    assert SAID in explained.out
    assert SAID in (await site.operate("history", "--in", "o1")).out
    lease = (await site.leases())["g1"]
    assert (lease["last_cause"], lease["last_detail"]) == ("failed", SAID)


async def test_a_version_that_is_reported_late_or_not_at_all_lets_the_next_member_begin(hub: Hub, site: Site) -> None:
    await hub.publish()
    await hub.group("g1", "anna", "ben")
    await hub.group("g2", "dora", "emil")
    await started(site)
    for node, group, runs in (("anna", "g1", OLD), ("dora", "g2", "")):
        await granted(site, node, group=group)
        await hub.report(node, Word.INITIATED)
        await hub.report(node, Word.SUCCESSFUL, runs=runs)
    waited: list[str] = []

    async def may_begin(node: str, group: str) -> bool:
        for each in ("anna", "ben", "dora", "emil"):
            await hub.heartbeat(each)
        status, message = await ask(site, node, group=group)
        waited.append(message)
        return status == 201

    await until("the member behind one that tells no version", lambda: may_begin("emil", "g2"))
    await until("the contradiction", lambda: says(may_begin("ben", "g1"), waited, SAID))
    versions = {"softwareVersions": {"horizon": NEW, "certificate": "1.0.0", "config": "1.0.0"}}
    await hub.send("PATCH", "/orgs/o1/nodes/anna", versions, auth_of("anna"))
    await until("the member behind one that tells it late", lambda: may_begin("ben", "g1"))
    assert not [entry for entry in await site.journal() if entry["event"] == "brake.set"]


async def test_the_brakes_of_a_deleted_group_and_of_a_deleted_policy_go_away(hub: Hub, site: Site) -> None:
    await hub.publish()
    await hub.publish("up2")
    await hub.group("g1", "anna", "ben")
    await hub.group("g2", "dora", "emil")
    daemon = await started(site, org_brake_groups=0)
    for node, group, nmp in (("anna", "g1", "up1"), ("dora", "g2", "up2")):
        await granted(site, node, group=group, nmp=nmp)
        await hub.report(node, Word.INITIATED, nmp)
        await hub.report(node, Word.ROLLBACK_SUCCESSFUL, nmp)
    await until("both brakes", lambda: len(emitted(daemon, "brake.set")) == 2)

    await hub.admin("DELETE", "/hagroups/g1")
    await hub.admin("DELETE", "/managementpolicies/up2")
    # two looks, ten seconds apart, make sure that a group is gone
    await until("no brake", lambda: len(emitted(daemon, "brake.lifted")) == 2)

    assert {line["group"]: line["why"] for line in emitted(daemon, "brake.lifted")} == {
        "o1/g1": "the group was deleted",
        "o1/g2": "the policy was deleted",
    }
    assert "agbot_brakes 0.0" in (await site.get("/metrics"))[1]


async def test_policies_that_a_node_makes_up_make_no_waiters_and_few_reads(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    for number in range(12):
        await hub.publish(f"real{number}")
    site.tables["gateway"]["questions_per_minute"] = 30
    daemon = await started(site)
    await granted(site, "anna")
    await hub.report("anna", Word.INITIATED)
    odd = {"kind": "status", "status": 414, "path": "managementpolicies/made-up"}
    await hub.break_down(odd, {"kind": "latency", "path": "managementpolicies/"})

    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(80):
        assert (await ask(site, "carl", nmp=f"made-up-{number}"))[0] == 409
    made_up, more = (await hub.faults())[0]["hits"], (loop.time() - began) / 60 * 30
    assert 0 < made_up <= 30 + more, "reads of one node in a minute"
    for number in range(12):
        assert (await ask(site, "ben", nmp=f"real{number}"))[0] == 409

    async def waiting() -> list[str]:
        _, text = await site.get("/v1/groups/o1/g1")
        return sorted(each["subject"] for each in json.loads(text)["waiting"])

    newest = sorted(f"o1/real{number}" for number in range(4, 12))
    await until("the last eight alone", lambda: same(waiting(), newest))
    await until("what was forgotten", lambda: len(emitted(daemon, "wait.ended")) == 4)
    assert {line["node"] for line in emitted(daemon, "wait.changed")} == {"o1/ben"}
    assert "o1/made-up" not in site.store_file.read_bytes().decode("latin-1")
    await granted(site, "anna", nmp=NMP)


async def test_a_cluster_node_that_asks_without_pause_is_granted_and_little_of_it_is_written(
    hub: Hub, site: Site
) -> None:
    for number in range(12):
        await hub.publish(f"real{number}")
    await hub.node("clara", node_type="cluster")
    await hub.group("g1", "clara", exists=True)
    daemon = await started(site)

    for number in range(60):
        await granted(site, "clara", nmp=f"real{number % 12}")

    assert len(emitted(daemon, "lease.exempted")) <= 8
    assert len([entry for entry in await site.journal() if entry["node"] == "o1/clara"]) <= 8


async def says(asked: Coroutine[Any, Any, bool], received: list[str], words: str) -> bool:
    """Ask, and report whether the answer was no, with these words."""
    return not await asked and words in received[-1]


async def same(found: Any, expected: list[str]) -> bool:
    """Whether what is found is what is expected."""
    return bool(await found == expected)
