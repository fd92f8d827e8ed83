"""The incumbent's defects in service upgrades, by their number, as far as the coordinator is asked (deployment route) and each answered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from agbot.coordinator.permission import Ended, Granted
from agbot.rules.lease import Kind, State
from agbot.rules.reasons import Cause
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.support.hub import AGBOT, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

CYCLE = 3.0
POLICY = "dp"
SERVICE = "svc"


async def trio() -> Hub:
    """Start a hub with a group of three whose members run version 1.0.0 of a service.

    Version 1.0.1 is published.
    """
    hub = Hub()
    hub.group("gs", "s1", "s2", "s3")
    seed.deployment_policy(hub.exchange, ORG, POLICY, service=SERVICE, versions=["1.0.1"])
    for node in ("s1", "s2", "s3"):
        agree(hub, node, f"{node}-old", "1.0.0")
    await hub.start()
    return hub


def agree(hub: Hub, node: str, agreement: str, version: str, *containers: str) -> None:
    """Let the node have a finalized agreement whose containers are in these states.

    All running by default.
    """
    caller = f"{ORG}/{node}"
    terms = {
        "agreementService": {"orgid": ORG, "pattern": "", "url": f"{ORG}/{SERVICE}"},
        "state": "Finalized Agreement",
    }
    seed.send(
        hub.exchange,
        "PUT",
        f"/orgs/{ORG}/nodes/{node}/agreements/{agreement}",
        {"services": [], **terms},
        caller=caller,
    )
    states = containers or ("running",)
    service = {
        "agreementId": agreement,
        "serviceUrl": SERVICE,
        "orgid": ORG,
        "version": version,
        "arch": "amd64",
        "containerStatus": [{"name": "c", "image": "i", "created": 1, "state": state} for state in states],
        "operatorStatus": {},
        "configState": "active",
    }
    status = {"connectivity": {}, "services": [service]}
    seed.send(hub.exchange, "PUT", f"/orgs/{ORG}/nodes/{node}/status", status, caller=caller)


def cancel(hub: Hub, node: str, agreement: str) -> None:
    """Let the agbot cancel an agreement."""
    seed.send(hub.exchange, "DELETE", f"/orgs/{ORG}/nodes/{node}/agreements/{agreement}", caller=f"{ORG}/{node}")


async def begin(hub: Hub, node: str = "s1", policy: str = POLICY) -> int:
    """Let the agbot begin a member's upgrade: granted, then the old agreement is cancelled.

    Return the token.
    """
    answer = await hub.ask_as_agbot(hub.question(node, "gs", policy, Kind.SERVICE))
    assert isinstance(answer, Granted)
    assert answer.token is not None
    cancel(hub, node, f"{node}-old")
    await asyncio.sleep(15)
    return answer.token


def end_of(hub: Hub) -> Cause | None:
    end = hub.lease("gs").last_end
    return end.cause if end else None


@in_virtual_time
async def test_a_service_upgrade_ends_when_the_new_version_runs_even_if_no_one_reports_it() -> None:
    hub = await trio()
    await begin(hub)

    agree(hub, "s1", "s1-new", "1.0.1", "created")
    await hub.live("s1", "s2", "s3", seconds=60)
    assert hub.lease("gs").state is State.HELD
    agree(hub, "s1", "s1-new", "1.0.1")
    await hub.live("s1", "s2", "s3", seconds=15)

    assert end_of(hub) is Cause.SUCCEEDED


@in_virtual_time
async def test_w1_a_node_that_dies_after_its_agreement_was_cancelled_does_not_hold_the_group_forever() -> None:
    hub = await trio()
    token = await begin(hub)

    await hub.live("s2", "s3", seconds=700)
    answer = await hub.ask_as_agbot(hub.question("s2", "gs", POLICY, Kind.SERVICE))

    assert isinstance(answer, Granted)
    assert answer.token == token + 1
    assert end_of(hub) is Cause.SUPERSEDED
    assert [entry.event for entry in hub.emitted if entry.event == "lease.taken_over"] == ["lease.taken_over"]


@in_virtual_time
async def test_w1_the_dead_holder_of_a_service_blocks_no_peer_when_no_one_took_over_in_time() -> None:
    hub = await trio()
    await begin(hub)

    await hub.live("s2", "s3", seconds=2500)
    assert end_of(hub) is Cause.EXPIRED

    assert isinstance(await hub.ask_as_agbot(hub.question("s2", "gs", POLICY, Kind.SERVICE)), Granted)


@in_virtual_time
async def test_a_holder_that_is_back_keeps_its_suspect_lease_although_its_last_heartbeat_read_is_old() -> None:
    """Heartbeats make no change records.

    A seed of the simulation took the lease from a node that had been back for nine seconds.
    """
    hub = await trio()
    await begin(hub)
    await hub.live("s2", "s3", seconds=700)
    assert hub.lease("gs").state is State.SUSPECT

    hub.heartbeat("s1")

    assert codes(await hub.ask_as_agbot(hub.question("s2", "gs", POLICY, Kind.SERVICE))) == ["lease-suspect"]


@in_virtual_time
async def test_no_suspect_lease_is_taken_over_while_its_holder_cannot_be_read() -> None:
    hub = await trio()
    await begin(hub)
    await hub.live("s2", "s3", seconds=700)
    question = hub.question("s2", "gs", POLICY, Kind.SERVICE)
    broken = hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=".*/nodes/s1$"))

    assert codes(await hub.ask_as_agbot(question)) == ["exchange-unavailable"]
    hub.exchange.faults.remove(broken)
    assert isinstance(await hub.ask_as_agbot(question), Granted)


@in_virtual_time
async def test_w2_a_policy_published_twice_during_an_upgrade_does_not_deadlock_on_its_own_holder() -> None:
    hub = await trio()
    token = await begin(hub)
    seed.send(
        hub.exchange,
        "PUT",
        f"/orgs/{ORG}/business/policies/{POLICY}",
        seed.policy_body(ORG, SERVICE, ["1.0.2"]),
        caller=f"{ORG}/admin",
    )
    await asyncio.sleep(CYCLE)

    again = await hub.ask_as_agbot(hub.question("s1", "gs", POLICY, Kind.SERVICE))
    assert isinstance(again, Granted)
    assert again.repeated
    assert again.token == token

    agree(hub, "s1", "s1-new", "1.0.2")
    await hub.live("s1", "s2", "s3", seconds=120)
    assert end_of(hub) is Cause.SUCCEEDED
    assert isinstance(await hub.ask_as_agbot(hub.question("s2", "gs", POLICY, Kind.SERVICE)), Granted)


@in_virtual_time
async def test_w3_a_rollback_to_a_lower_version_releases_the_lease_and_the_fix_may_go() -> None:
    hub = await trio()
    await begin(hub)

    agree(hub, "s1", "s1-new", "1.0.0")
    await hub.live("s1", "s2", "s3", seconds=15)
    assert end_of(hub) is Cause.FAILED
    assert codes(await hub.ask_as_agbot(hub.question("s2", "gs", POLICY, Kind.SERVICE))) == ["brake"]

    fixed = seed.policy_body(ORG, SERVICE, ["1.0.2"])
    seed.send(hub.exchange, "PUT", f"/orgs/{ORG}/business/policies/{POLICY}", fixed, caller=f"{ORG}/admin")
    await asyncio.sleep(12)
    assert isinstance(await hub.ask_as_agbot(hub.question("s2", "gs", POLICY, Kind.SERVICE)), Granted)


@in_virtual_time
async def test_w4_a_crash_between_the_grant_and_the_cancellation_leaves_no_lease_behind() -> None:
    """The old agreement still runs: nothing has begun, and the asker may ask again or not."""
    hub = await trio()
    answer = await hub.ask_as_agbot(hub.question("s1", "gs", POLICY, Kind.SERVICE))
    assert isinstance(answer, Granted)

    await hub.crash()
    await hub.live("s1", "s2", "s3", seconds=300)

    assert end_of(hub) is Cause.UNCONFIRMED
    assert isinstance(await hub.ask_as_agbot(hub.question("s2", "gs", POLICY, Kind.SERVICE)), Granted)


@in_virtual_time
async def test_w5_two_policies_share_the_groups_one_lease() -> None:
    hub = await trio()
    seed.deployment_policy(hub.exchange, ORG, "dp2", service="svc2", versions=["2.0.0"])
    await begin(hub)

    assert codes(await hub.ask_as_agbot(hub.question("s2", "gs", "dp2", Kind.SERVICE)))[0] == "lease-held"


@in_virtual_time
async def test_an_offline_peer_never_blocks_the_upgrade_of_a_service_that_has_a_current_agreement() -> None:
    hub = await trio()
    await hub.live("s1", seconds=400)

    assert isinstance(await hub.ask_as_agbot(hub.question("s1", "gs", POLICY, Kind.SERVICE)), Granted)


@in_virtual_time
async def test_a_service_without_a_current_agreement_waits_for_its_peers() -> None:
    hub = await trio()
    await hub.live("s1", seconds=400)
    cancel(hub, "s1", "s1-old")
    await hub.live("s1", seconds=2 * CYCLE)

    assert codes(await hub.ask_as_agbot(hub.question("s1", "gs", POLICY, Kind.SERVICE))) == ["peers-unavailable"]


@in_virtual_time
async def test_a_new_agreement_that_the_feed_does_not_show_keeps_offline_peers_from_blocking_its_service() -> None:
    """An agbot sees only deletions of agreements in the change feed, so that memory cannot know that there is none."""
    hub = await trio()
    await hub.live("s1", seconds=400)
    cancel(hub, "s1", "s1-old")
    await hub.live("s1", seconds=2 * CYCLE)
    question = hub.question("s1", "gs", POLICY, Kind.SERVICE)
    assert codes(await hub.ask_as_agbot(question)) == ["peers-unavailable"]

    agree(hub, "s1", "s1-again", "1.0.0")

    assert hub.coordinator.refuse_from_memory(question) is None
    assert isinstance(await hub.ask_as_agbot(question), Granted)


@in_virtual_time
async def test_a_service_whose_agreements_no_one_has_read_does_not_hear_of_offline_peers() -> None:
    hub = await trio()
    await begin(hub, "s2")
    await hub.live("s1", seconds=400)
    await hub.ask(
        "s1", "gs"
    )  # somebody waits: heartbeats are read again and again, and the next refusal comes from memory

    refused = hub.coordinator.refuse_from_memory(hub.question("s1", "gs", POLICY, Kind.SERVICE))

    assert refused is not None
    assert codes(refused) == ["lease-held"]


@in_virtual_time
async def test_a_service_whose_policy_cannot_be_read_does_not_hear_of_offline_peers() -> None:
    hub = await trio()
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=".*/business/policies"))
    await hub.live("s1", seconds=400)

    assert set(codes(await hub.ask_as_agbot(hub.question("s1", "gs", POLICY, Kind.SERVICE)))) == {
        "exchange-unavailable"
    }


@in_virtual_time
async def test_a_service_upgrade_never_jumps_a_lease_that_a_live_member_holds() -> None:
    hub = await trio()
    await begin(hub)

    await hub.live("s1", "s2", seconds=2000)

    assert codes(await hub.ask_as_agbot(hub.question("s2", "gs", POLICY, Kind.SERVICE)))[0] == "lease-held"


@in_virtual_time
async def test_the_reported_end_frees_only_that_nodes_own_lease_for_that_policy() -> None:
    hub = await trio()
    await begin(hub)
    wrong_node = hub.question("s2", "gs", POLICY, Kind.SERVICE)
    right = hub.question("s1", "gs", POLICY, Kind.SERVICE)

    assert not (await hub.coordinator.report_end(wrong_node, succeeded=True, who=AGBOT)).released
    assert hub.lease("gs").state is State.HELD
    assert (await hub.coordinator.report_end(right, succeeded=True, who=AGBOT)).released
    assert not (await hub.coordinator.report_end(right, succeeded=True, who=AGBOT)).released
    assert end_of(hub) is Cause.SUCCEEDED


@in_virtual_time
async def test_an_end_is_taken_from_the_identity_that_was_granted_or_with_the_token_of_that_grant() -> None:
    hub = await trio()
    right = replace(hub.question("s1", "gs", POLICY, Kind.SERVICE), by="IBM/first")
    granted = await hub.ask_as_agbot(right)
    assert isinstance(granted, Granted)
    assert granted.token is not None

    async def end(who: str, token: int | None = None) -> Ended:
        return await hub.coordinator.report_end(right, succeeded=True, who=who, token=token)

    assert "granted to IBM/first" in (await end("IBM/second")).refused
    assert "token 99" in (await end("IBM/first", 99)).refused
    assert hub.lease("gs").state is State.HELD
    again = await hub.ask_as_agbot(replace(right, by="IBM/second"))
    assert isinstance(again, Granted)
    assert (again.token, again.repeated) == (granted.token, True)
    assert "granted to IBM/second" in (await end("IBM/third")).refused
    assert (await end("IBM/third", granted.token)).released


@in_virtual_time
async def test_a_repeated_end_frees_no_later_grant_for_the_same_upgrade() -> None:
    hub = await trio()
    question = replace(hub.question("s1", "gs", POLICY, Kind.SERVICE), by=AGBOT)
    ended = partial(hub.coordinator.report_end, question, succeeded=True, who=AGBOT)
    assert isinstance(await hub.ask_as_agbot(question), Granted)
    assert (await ended()).released
    await hub.live("s1", "s2", "s3", seconds=90)
    granted = await hub.ask_as_agbot(question)
    assert isinstance(granted, Granted)

    assert "needs the token" in (await ended()).refused
    assert hub.lease("gs").state is State.HELD

    cancel(hub, "s1", "s1-old")
    await hub.live("s1", "s2", "s3", seconds=12)
    assert (await ended()).released
    await hub.stop()


@in_virtual_time
async def test_two_agbots_that_were_both_granted_may_both_report_the_end() -> None:
    for who in ("IBM/first", "IBM/second"):
        hub = await trio()
        question = hub.question("s1", "gs", POLICY, Kind.SERVICE)
        for by in ("IBM/first", "IBM/second"):
            assert isinstance(await hub.ask_as_agbot(replace(question, by=by)), Granted)

        assert (await hub.coordinator.report_end(question, succeeded=True, who=who)).released
        await hub.stop()


@in_virtual_time
async def test_the_group_rests_after_a_successful_service_upgrade() -> None:
    hub = await trio()
    await begin(hub)
    agree(hub, "s1", "s1-new", "1.0.1")
    await hub.coordinator.report_end(hub.question("s1", "gs", POLICY, Kind.SERVICE), succeeded=True, who=AGBOT)
    next_one = hub.question("s2", "gs", POLICY, Kind.SERVICE)

    await hub.live("s1", "s2", "s3", seconds=20)
    assert codes(await hub.ask_as_agbot(next_one)) == ["soaking"]
    await hub.live("s1", "s2", "s3", seconds=75)
    assert isinstance(await hub.ask_as_agbot(next_one), Granted)


@in_virtual_time
async def test_w1_a_node_that_dies_at_once_is_not_taken_for_one_that_never_began() -> None:
    """It still shows its old agreement, while the agbot has cancelled it already."""
    hub = await trio()
    answer = await hub.ask_as_agbot(hub.question("s1", "gs", POLICY, Kind.SERVICE))
    assert isinstance(answer, Granted)

    await hub.live("s2", "s3", seconds=250)

    assert hub.lease("gs").state is State.HELD


@in_virtual_time
async def test_a_holder_that_unregisters_in_the_middle_of_a_service_upgrade_releases() -> None:
    hub = await trio()
    await begin(hub)

    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/s1", {"publicKey": ""}, caller=f"{ORG}/s1")
    await hub.live("s1", "s2", "s3", seconds=15)

    assert end_of(hub) is Cause.UNREGISTERED


@in_virtual_time
async def test_a_node_without_a_key_that_still_has_its_agreement_keeps_the_lease() -> None:
    hub = await trio()
    answer = await hub.ask_as_agbot(hub.question("s1", "gs", POLICY, Kind.SERVICE))
    assert isinstance(answer, Granted)

    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/s1", {"publicKey": ""}, caller=f"{ORG}/s1")
    await hub.live("s1", "s2", "s3", seconds=15)

    assert hub.lease("gs").state is State.HELD


@in_virtual_time
async def test_a_service_upgrade_whose_agreements_cannot_be_read_is_not_granted() -> None:
    """Without what runs now, the old agreement would look like the new one and end the lease at once."""
    hub = await trio()
    broken = hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=".*/agreements"))
    question = hub.question("s1", "gs", POLICY, Kind.SERVICE)

    assert codes(await hub.ask_as_agbot(question)) == ["exchange-unavailable"]
    hub.exchange.faults.remove(broken)
    assert isinstance(await hub.ask_as_agbot(question), Granted)


@in_virtual_time
async def test_an_agbot_that_was_granted_again_has_the_whole_time_to_begin() -> None:
    """The first yes may have been lost."""
    hub = await trio()
    question = hub.question("s1", "gs", POLICY, Kind.SERVICE)
    await hub.ask_as_agbot(question)
    await hub.live("s1", "s2", "s3", seconds=150)
    again = await hub.ask_as_agbot(question)
    assert isinstance(again, Granted)
    assert again.repeated

    await hub.live("s1", "s2", "s3", seconds=120)
    assert hub.lease("gs").state is State.HELD
    await hub.live("s1", "s2", "s3", seconds=120)
    assert end_of(hub) is Cause.UNCONFIRMED
