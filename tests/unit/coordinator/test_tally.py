"""What is counted with every change is what a scan of the ledger finds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as some

from agbot.coordinator.memory.ledger import Ledger
from agbot.rules import lease as leases
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId, org_of
from agbot.rules.lease import Claim, Kind, State
from agbot.rules.reasons import Cause
from agbot.rules.records import Brake, Deferral, Waiter
from agbot.rules.seen_time import Now, SeenTime
from agbot.store.contract import Lost, Writes
from agbot.store.memory import MemoryStore
from agbot.store.records import key_of
from tests.support.clocks import NOON

GROUPS = [GroupId(name) for name in ("o1/g1", "o1/g2", "o2/g1")]
POLICY = PolicyId("o1/up1")
CHANGES = ("grant", "suspect", "release", "lose", "wait", "go", "defer", "begin", "brake", "lift", "load")


def ask(group: GroupId) -> Ask:
    return Ask(group=group, claim=Claim(holder=NodeId(f"{group}-a"), kind=Kind.AGENT, subject=POLICY))


async def change(ledger: Ledger, group: GroupId, what: str) -> None:  # noqa: C901 - a line for each change
    now = Now.unblinded(NOON)
    lease, waiter = ledger.lease(group), Waiter(ask=ask(group), since=SeenTime(NOON), asked_at=SeenTime(NOON))
    deferral = Deferral(group=group, node=NodeId(f"{group}-b"), subject=POLICY, since=NOON, status="x", overlaps=True)
    failed = NodeId(f"{group}-a")
    brake = Brake(
        group=group, kind=Kind.AGENT, subject=POLICY, revision="", since=NOON, cause=Cause.FAILED, node=failed, token=1
    )
    match what:
        case "grant" if lease.state is State.FREE:
            await ledger.swap(lease, leases.grant(lease, ask(group).claim, now, timedelta(hours=1)))
        case "suspect" if lease.state is State.HELD:
            await ledger.swap(lease, leases.suspect(lease))
        case "release" if lease.tenure is not None:
            await ledger.swap(lease, leases.release(lease, Cause.SUCCEEDED, now))
        case "lose" if lease.state is State.FREE:
            outdated = replace(lease, token=lease.token + 7)
            assert isinstance(
                await ledger.swap(outdated, leases.grant(outdated, ask(group).claim, now, timedelta(hours=1))), Lost
            )
        case "wait":
            ledger.note(waiter)
        case "go":
            await ledger.write(Writes(drop=[key_of(waiter)]))
        case "defer":
            await ledger.write(Writes(put=[deferral]))
        case "begin":
            await ledger.write(Writes(drop=[key_of(deferral)]))
        case "brake":
            await ledger.write(Writes(put=[brake]))
        case "lift":
            await ledger.write(Writes(drop=[key_of(brake)]))
        case "load":
            await ledger.load()


def check(ledger: Ledger) -> None:
    tally = ledger.tally
    held = [lease for lease in ledger.leases.values() if lease.state is not State.FREE]
    assert set(tally.occupied) == {lease.group for lease in held}
    assert tally.states[State.HELD] == sum(lease.state is State.HELD for lease in held)
    assert tally.states[State.SUSPECT] == sum(lease.state is State.SUSPECT for lease in held)
    assert set(tally.ended) == {each.group for each in ledger.leases.values() if each.last_end and not each.tenure}
    waited = {group for group, each in ledger.waiters.items() if each}
    deferred = {group for group, each in ledger.deferrals.items() if each}
    assert set(tally.mattering) == {*tally.occupied, *waited, *deferred}
    assert tally.waiting == sum(len(each) for each in ledger.waiters.values())
    assert (tally.deferred, tally.overlaps) == (len(deferred), len(deferred)), "each of them is an overlap here"
    assert tally.brakes == sum(len(each) for each in ledger.brakes.values())
    braked = {group for group, each in ledger.brakes.items() if each}
    assert {group for groups in tally.braked.values() for group in groups} == braked
    busy = {*tally.occupied, *ledger.granting}
    assert tally.busy_in_fleet == len(busy)
    assert tally.busy[OrgId("o1")] == sum(org_of(group) == "o1" for group in busy)


@given(some.lists(some.tuples(some.sampled_from(GROUPS), some.sampled_from(CHANGES)), max_size=30))
async def test_whatever_changes_the_tally_is_what_a_scan_finds(changes: list[tuple[GroupId, str]]) -> None:
    store = MemoryStore()
    await store.open()
    ledger = Ledger(store)
    await ledger.load()
    for group, what in changes:
        await change(ledger, group, what)
        check(ledger)
