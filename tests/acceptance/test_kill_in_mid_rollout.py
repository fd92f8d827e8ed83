"""`kill -9` of the whole daemon in the middle of a rollout, again and again: no one is granted twice, no lease is lost, all get there."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

from tests.acceptance import fleet as fleets
from tests.acceptance.fleet import Fleet, Witness
from tests.acceptance.hub import ORG, Hub
from tests.acceptance.programs import Program
from tests.acceptance.site import Site
from tests.support.patience import until

GROUPS, MEMBERS = 6, 3
KILLS = 5


class Story:
    """A rollout with kills in it, and what must hold at each."""

    def __init__(self, site: Site, fleet: Fleet, chance: random.Random) -> None:
        self.site = site
        self.fleet = fleet
        self.chance = chance
        self.tokens: Counter[str] = Counter()
        self.survived = 0
        """How often a lease was seen in the hand of its upgrading holder after a kill."""

    async def kill(self, daemon: Program) -> Program:
        """Kill the daemon a little after the next grants, start it again and look at every lease."""
        witness = self.fleet.witness
        goal = min(witness.begun + self.chance.randint(0, 4), GROUPS * MEMBERS)
        await until("more upgrades", lambda: witness.begun >= goal)
        # a seeded moment, not a wait for anything
        await asyncio.sleep(self.chance.uniform(0.0, 0.15))
        self.take_down(await self.site.leases())
        daemon.kill()
        down = dict(witness.down)
        again = await self.start_again()
        leases = await self.site.leases()
        self.take_down(leases)
        self.check_holders(leases, down, witness)
        return again

    async def start_again(self) -> Program:
        """Start the daemon, now and then killing it in the middle of its start as well."""
        if self.chance.random() < 0.5:
            half_started = self.site.start()
            await asyncio.sleep(self.chance.uniform(0.0, 0.6))  # a seeded moment of its start
            half_started.kill()
        began_at = asyncio.get_running_loop().time()
        daemon = await self.site.start_ready()
        self.fleet.install_for(asyncio.get_running_loop().time() - began_at)
        return daemon

    def take_down(self, leases: dict[str, dict[str, Any]]) -> None:
        """See that no token has gone back."""
        for group, lease in leases.items():
            assert lease["token"] >= self.tokens[group], f"{group}'s token went back to {lease['token']}"
            self.tokens[group] = lease["token"]

    def check_holders(self, leases: dict[str, dict[str, Any]], down: dict[str, int], witness: Witness) -> None:
        """See that whoever was upgrading at the kill and still is holds the lease of its group."""
        for node, upgrade in down.items():
            if witness.down.get(node) != upgrade:
                continue  # over meanwhile, so its lease may be free
            lease = leases[witness.group_of[node]]
            assert (lease["state"], lease["holder"]) == ("held", node), f"{node} has lost its lease: {lease}"
            self.survived += 1


async def test_killed_in_mid_rollout_it_grants_no_one_twice_and_loses_no_lease(hub: Hub, site: Site) -> None:
    seed = 20261123
    await hub.publish()
    began_at = asyncio.get_running_loop().time()
    daemon = await site.start_ready()
    start_seconds = asyncio.get_running_loop().time() - began_at
    async with fleets.living(hub, site.gateway, seed=seed) as fleet:
        fleet.install_for(
            start_seconds
        )  # an upgrade has to outlast the daemon's way back, however slow this machine is
        for number in range(GROUPS):
            await fleet.add_group(f"g{number}", MEMBERS)
        story = Story(site, fleet, random.Random(seed))
        for _ in range(KILLS):
            daemon = await story.kill(daemon)
        while story.survived <= KILLS and fleet.witness.begun < GROUPS * MEMBERS:
            daemon = await story.kill(daemon)
        await until("the whole rollout", fleet.are_upgraded)
        await until("free leases", lambda: all_free(site))
        leases, journal = await site.leases(), await site.journal()

    witness = fleet.witness
    assert witness.together == []
    assert len(witness.ended) == witness.begun == GROUPS * MEMBERS
    assert story.survived > KILLS, "the kills fell into moments without upgrades: this proves nothing"
    assert set(witness.answers) <= {0, 201, 409}, "0: the daemon was dead"
    assert {group: lease["token"] for group, lease in leases.items()} == {f"g{n}": MEMBERS for n in range(GROUPS)}
    emitted = Counter((entry["event"], entry["node"]) for entry in journal if entry["event"].startswith("lease."))
    assert {key: count for key, count in emitted.items() if key[0] in {"lease.granted", "lease.released"}} == {
        (event, node): 1 for event in ("lease.granted", "lease.released") for node in fleet.nodes
    }
    assert all(entry["facts"]["cause"] == "succeeded" for entry in journal if entry["event"] == "lease.released")
    assert all(node.startswith(f"{ORG}/") for node in fleet.nodes)


async def all_free(site: Site) -> bool:
    """Whether every lease is free."""
    return all(lease["state"] == "free" for lease in (await site.leases()).values())
