"""What happens once is written once although two questions come in the same moment, and a cycle's sentence stays one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import cast

from agbot.cli import screen
from agbot.coordinator.contract import Done, NotDone
from agbot.coordinator.permission import Granted
from agbot.fleet import plan
from agbot.fleet.changes import Read, What
from agbot.fleet.reads import Why
from agbot.rules.ids import PolicyId, group_id, node_id, policy_id
from agbot.rules.lease import Lease
from agbot.rules.limits import Limits
from agbot.rules.records import Allowance, Hold
from agbot.rules.verdict import Renew
from agbot.sim.exchange import seed
from agbot.store.contract import NOTHING, Lost, Writes
from agbot.transitions import reviews
from tests.support.faulty_store import FaultyStore
from tests.support.hub import NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


class SlowStore(FaultyStore):
    """Takes a moment for each write, in which others come."""

    seconds = 0.2
    swap_seconds = 0.2

    async def write(self, writes: Writes) -> None:
        await asyncio.sleep(self.seconds)
        await super().write(writes)

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        await asyncio.sleep(self.swap_seconds)
        return await super().swap(expected, new, writes)


async def started() -> Hub:
    hub = Hub(store=SlowStore())
    hub.group("g1", "n1", "n2", "n3")
    await hub.start()
    return hub


async def resume(hub: Hub, scope: str, who: str, subject: str | None = None) -> Done | NotDone:
    name = policy_id(ORG, subject) if subject else None
    return await hub.coordinator.resume(scope, subject=name, reason=f"{who} has looked", who=who)


async def failed() -> Hub:
    """Return a hub in whose group the policy has failed on n1 and is stopped."""
    hub = await started()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "rollback failed")
    await hub.live("n1", "n2", "n3", seconds=30)
    assert len(hub.events("brake.set")) == 1
    return hub


@in_virtual_time
async def test_a_grant_is_reported_although_its_asker_stops_waiting_in_the_middle_of_its_commit() -> None:
    store = SlowStore()
    hub = Hub(store=store)
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.report("n1", "ha node waiting")
    store.swap_seconds = 2.0

    asking = asyncio.create_task(hub.ask("n1", "g1"))
    await asyncio.sleep(1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert hub.lease("g1").tenure is None, "the store is still writing"
    await asyncio.sleep(2)

    assert hub.lease("g1").tenure is not None
    assert len(hub.events("lease.granted")) == 1


@in_virtual_time
async def test_a_deferral_that_two_questions_find_in_the_same_moment_is_reported_once() -> None:
    hub = Hub(store=SlowStore())
    hub.group("g1", "n1", "n2")
    await hub.start()
    seed.node(hub.exchange, ORG, "n3", version="2.31.0")
    hub.report("n3", "initiated")
    hub.report("n1", "ha node waiting")
    hub.admin("POST", "/hagroups/g1/nodes/n3")

    await asyncio.gather(*(hub.ask(node, "g1") for node in ("n1", "n2", "n3", "n1")))

    assert [entry.node for entry in hub.events("deferral.begun")] == [node_id(ORG, "n3")]
    await hub.stop()


async def waiting(*, silent_seconds: float) -> tuple[Hub, SlowStore]:
    """Return a hub in which n1 holds the lease, and n2 waits and has not asked for so long."""
    hub = await started()
    assert isinstance(hub.store, SlowStore)
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    hub.report("n2", "ha node waiting")
    await hub.live("n1", "n2", "n3", seconds=5)
    assert codes(await hub.ask("n2", "g1")) == ["lease-held"]
    await hub.live("n1", "n2", "n3", seconds=silent_seconds)
    return hub, hub.store


def waits(hub: Hub) -> list[str]:
    view = hub.coordinator.group(hub.lease("g1").group)
    assert view is not None
    return [each.node for each in view.waiting]


@in_virtual_time
async def test_a_waiter_whom_a_grant_takes_away_is_not_ended_by_the_cycle_in_the_same_moment() -> None:
    hub, store = await waiting(silent_seconds=140)
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=30)
    store.swap_seconds = 30

    answer = await asyncio.gather(hub.ask("n2", "g1"), hub.live("n1", "n2", "n3", seconds=40))

    assert isinstance(answer[0], Granted)
    assert hub.events("wait.ended") == []
    assert waits(hub) == []
    await hub.stop()


@in_virtual_time
async def test_who_asks_again_while_it_is_written_that_it_has_stopped_waits_all_the_same() -> None:
    hub, store = await waiting(silent_seconds=170)
    store.seconds = 8
    await hub.live("n1", "n2", "n3", seconds=19)
    assert hub.events("wait.ended") == []  # on its way

    assert codes(await hub.ask("n2", "g1")) == ["lease-held"]
    await hub.live("n1", "n2", "n3", seconds=12)
    assert len(hub.events("wait.ended")) == 1
    assert waits(hub) == [node_id(ORG, "n2")]
    await hub.live("n1", "n2", "n3", seconds=20)
    await hub.crash()
    assert waits(hub) == [node_id(ORG, "n2")]
    await hub.stop()


@in_virtual_time
async def test_a_waiter_that_is_gone_before_it_was_ever_written_is_ended_once() -> None:
    hub, _ = await waiting(silent_seconds=1)
    assert codes(await hub.ask("n3", "g1")) == ["lease-held"]
    hub.admin("DELETE", "/nodes/n3")
    await hub.live("n1", "n2", seconds=60)

    assert [entry.node for entry in hub.events("wait.ended")] == [node_id(ORG, "n3")]
    assert waits(hub) == [node_id(ORG, "n2")]
    await hub.stop()


def cluster_hub() -> Hub:
    hub = Hub(store=SlowStore())
    seed.node(hub.exchange, ORG, "n1", version="2.31.0", node_type="cluster")
    seed.group(hub.exchange, ORG, "g1", ["n1"])
    return hub


def exempted(hub: Hub) -> int:
    return len([entry for entry in hub.emitted if entry.event == "lease.exempted"])


@in_virtual_time
async def test_an_exempt_yes_is_reported_once_for_as_long_as_its_node_goes_on_asking() -> None:
    hub = cluster_hub()
    await hub.start()

    answers = await asyncio.gather(*(hub.ask("n1", "g1") for _ in range(3)))
    for _ in range(60):
        answers.append(await hub.ask("n1", "g1"))
        await asyncio.sleep(60)

    assert all(isinstance(answer, Granted) for answer in answers)
    assert exempted(hub) == 1
    await hub.stop()


@in_virtual_time
async def test_an_exempt_yes_whose_asker_gave_up_during_the_write_is_reported_once() -> None:
    hub = cluster_hub()
    await hub.start()
    cast("SlowStore", hub.store).seconds = 8
    asking = asyncio.create_task(hub.ask("n1", "g1"))
    await asyncio.sleep(5)
    asking.cancel()
    await asyncio.sleep(20)

    assert isinstance(await hub.ask("n1", "g1"), Granted)

    assert exempted(hub) == 1
    await hub.stop()


@in_virtual_time
async def test_an_exempt_yes_after_a_while_without_questions_is_reported_again() -> None:
    hub = cluster_hub()
    await hub.start()

    await hub.ask("n1", "g1")
    await hub.live(seconds=1000)
    await hub.ask("n1", "g1")

    assert exempted(hub) == 2
    await hub.stop()


@in_virtual_time
async def test_a_cluster_node_that_asks_about_ever_more_policies_is_granted_and_few_of_them_are_written() -> None:
    hub = cluster_hub()
    for number in range(50):
        seed.management_policy(hub.exchange, ORG, f"nmp-{number}")
    await hub.start()

    answers = [await hub.ask("n1", "g1", nmp=f"nmp-{number}") for number in range(50)]

    assert all(isinstance(answer, Granted) for answer in answers)
    assert exempted(hub) == 8
    await hub.stop()


@in_virtual_time
async def test_a_cycle_in_which_much_was_done_still_says_one_sentence() -> None:
    hub = Hub()
    for number in range(40):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
        hub.report(f"a{number}", "ha node waiting")
    await hub.start()
    for number in range(40):
        assert isinstance(await hub.ask(f"a{number}", f"g{number}"), Granted)
    for number in range(40):
        hub.report(f"a{number}", "successful")

    sentences = []
    for _ in range(4):
        await asyncio.sleep(1)
        sentences.append(hub.coordinator.overview().sentence)

    busy = max(sentences, key=len)
    assert "and 35 more" in busy
    assert len(busy) < 600
    await hub.stop()


@in_virtual_time
async def test_of_two_operators_who_lift_the_same_hold_one_has_done_it_and_the_other_is_reported_so() -> None:
    hub = await started()
    await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="ada", why="a storm"))

    done = await asyncio.gather(resume(hub, ORG, "ada"), resume(hub, ORG, "bob"))

    assert [type(each) for each in done] == [Done, NotDone]
    assert [entry.who for entry in hub.events("hold.ended")] == ["ada"]
    await hub.stop()


@in_virtual_time
async def test_a_hold_that_a_person_and_its_own_time_end_in_the_same_moment_ends_once() -> None:
    hub = await started()
    until = hub.clock.now() + timedelta(seconds=30)
    await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="ada", why="a storm", until=until))
    await asyncio.sleep((until - hub.clock.now()).total_seconds())

    for _ in range(200):  # whenever the cycle finds it
        await asyncio.sleep(0.1)
        if _is_being_written(hub) or hub.events("hold.ended"):
            await resume(hub, ORG, "ada")

    assert len(hub.events("hold.ended")) == 1
    await hub.stop()


@in_virtual_time
async def test_a_brake_that_two_operators_lift_in_the_same_moment_is_lifted_once() -> None:
    hub = await failed()

    done = await asyncio.gather(resume(hub, ORG, "ada", NMP), resume(hub, "o1/g1", "bob", NMP))

    assert [type(each) for each in done] == [Done, NotDone]
    assert len(hub.events("brake.lifted")) == 1
    await hub.stop()


@in_virtual_time
async def test_a_brake_that_an_operator_lifts_while_the_cycle_finds_its_policy_gone_is_lifted_once() -> None:
    hub = await failed()
    hub.admin("DELETE", f"/managementpolicies/{NMP}")
    for _ in range(60):  # whenever the cycle finds it
        hub.heartbeat("n1")
        await asyncio.gather(resume(hub, ORG, "ada", NMP) if _is_being_written(hub) else asyncio.sleep(0.1))

    assert len(hub.events("brake.lifted")) == 1
    await hub.stop()


def _is_being_written(hub: Hub) -> bool:
    """Whether something that has ended is on its way to the store."""
    return hub.coordinator._situation._one_at_a_time.locked()  # noqa: SLF001 - the very moment shows nowhere else


@in_virtual_time
async def test_an_allowance_that_ends_while_a_grant_spends_it_has_not_lapsed() -> None:
    hub = await started()
    hub.heartbeat("n1")
    store = hub.store
    assert isinstance(store, SlowStore)
    now = hub.clock.now()
    until = now + timedelta(seconds=3)
    given = Allowance(node=node_id(ORG, "n1"), subject=PolicyId(""), since=now, until=until, by="ada", why="urgent")
    await hub.coordinator.allow(given)
    store.seconds = 10

    assert isinstance(await hub.ask("n1", "g1"), Granted)
    store.seconds = 0.2
    await asyncio.sleep(30)

    assert [entry.facts["why"] for entry in hub.events("allowance.ended")] in (
        [],
        ["its upgrade began without needing it"],
    )
    await hub.stop()


@in_virtual_time
async def test_a_rest_that_two_operators_end_in_the_same_moment_is_ended_once() -> None:
    hub = await started()
    hub.limits = Limits(agent_soak_seconds=600)
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=30)

    resting = hub.coordinator.group(group_id(ORG, "g1"))
    assert resting is not None
    assert resting.lease.last_end_at is not None
    assert "succeeded (o1/n1 reports successful); the group rests until " in screen.lease(
        resting.lease, hub.clock.now()
    )
    assert resting.lease.rests_until == resting.lease.last_end_at + timedelta(seconds=600)

    done = await asyncio.gather(resume(hub, "rest:o1/g1", "ada"), resume(hub, "rest:o1/g1", "bob"))

    assert [type(each) for each in done] == [Done, NotDone]
    assert len(hub.events("rest.ended")) == 1
    view = hub.coordinator.group(group_id(ORG, "g1"))
    assert view is not None
    assert (view.lease.last_kind, view.lease.last_rest_ended, view.lease.rests_until) == ("agent", True, None)
    await hub.stop()


@in_virtual_time
async def test_upgrades_begun_unasked_that_several_questions_find_in_the_same_moment_are_reported_once() -> None:
    hub = await started()
    await hub.live("n1", "n2", "n3", seconds=60)
    hub.report("n1", "downloaded")
    hub.report("n2", "downloaded")
    await asyncio.sleep(1.01)

    await asyncio.gather(*(hub.ask("n3", "g1") for _ in range(3)))
    await asyncio.sleep(10)

    counted = {name: len(hub.events(name)) for name in ("lease.observed", "lease.overlapped", "deferral.begun")}
    assert counted == {"lease.observed": 1, "lease.overlapped": 1, "deferral.begun": 1}
    assert len(hub.events("gateway.bypassed")) == 2
    await hub.stop()


@in_virtual_time
async def test_of_two_renewals_from_the_same_sight_of_a_lease_the_second_is_lost() -> None:
    hub = await started()
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    situation = hub.coordinator._situation  # noqa: SLF001 - two reviews in one moment cannot be asked for otherwise
    lease, now = hub.lease("g1"), situation.now()
    assert lease.tenure is not None
    verdict = Renew(progress=lease.tenure.progress, why="n1 reports initiated")
    change = reviews.renew(lease, verdict, Limits(lease_seconds=700), now)

    outcomes = await asyncio.gather(*[situation.commit(change) for _ in range(2)])

    assert outcomes == [True, False]
    assert len(hub.events("lease.renewed")) == 1
    await hub.stop()


@in_virtual_time
async def test_what_a_cycle_has_told_while_a_review_went_on_beside_it_is_not_told_again() -> None:
    hub = await started()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", "n3", seconds=30)
    await hub._cancel()  # noqa: SLF001 - the test plays the cycles
    hub.report("n1", "successful")
    parts = hub.coordinator
    await parts._intake.feed.again()  # noqa: SLF001 - as above
    node = node_id(ORG, "n1")
    await parts._reader.refresh(plan.at_once([Read(what=What.STATUSES, id=node)], Why.REPORT))  # noqa: SLF001 - as above
    reviewing = parts._reviewing  # noqa: SLF001 - the part itself
    reviewing._done_beside.append("released o1/g9")  # noqa: SLF001 - an earlier review's phrase

    review = asyncio.create_task(reviewing.review_reported([node]))
    await asyncio.sleep(0.1)  # the store takes longer
    first = reviewing.take_done_beside()
    await review
    second = reviewing.take_done_beside()

    assert first == ["released o1/g9"]
    assert [each.partition(" (")[0] for each in second] == ["released o1/g1"]


@in_virtual_time
async def test_an_allowance_that_comes_while_a_grant_uses_up_the_one_before_it_is_not_lost() -> None:
    hub = await started()
    store = hub.store
    assert isinstance(store, SlowStore)
    hub.report("n1", "ha node waiting")
    await hub.live("n1", "n2", "n3", seconds=60)
    assert isinstance(await hub.coordinator.allow(_allowance(hub, "the first")), Done)
    store.swap_seconds = 5.0
    asking = asyncio.create_task(hub.ask("n1", "g1"))
    await asyncio.sleep(2)
    assert not asking.done()

    assert isinstance(await hub.coordinator.allow(_allowance(hub, "the second")), Done)
    assert isinstance(await asking, Granted)

    assert [each.why for each in hub.coordinator.orders().allowances] == ["the second"]
    await hub.stop()


@in_virtual_time
async def test_no_grant_uses_an_allowance_that_is_being_withdrawn() -> None:
    hub = await started()
    store = hub.store
    assert isinstance(store, SlowStore)
    hub.report("n1", "ha node waiting")
    await hub.live("n1", seconds=600)
    assert codes(await hub.ask("n1", "g1")) == ["peers-unavailable"]
    assert isinstance(await hub.coordinator.allow(_allowance(hub, "urgent")), Done)
    store.seconds = 5.0
    node = node_id(ORG, "n1")
    withdrawing = asyncio.create_task(hub.coordinator.withdraw_allowance(node, reason="no", who="eva"))
    await asyncio.sleep(1)

    answer = await hub.ask("n1", "g1")

    assert isinstance(await withdrawing, Done)
    assert codes(answer) == ["peers-unavailable"]
    await hub.stop()


def _allowance(hub: Hub, why: str) -> Allowance:
    now = hub.clock.now()
    until, any_upgrade = now + timedelta(hours=1), PolicyId("")
    return Allowance(node=node_id(ORG, "n1"), subject=any_upgrade, since=now, until=until, by="eva", why=why)
