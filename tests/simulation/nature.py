"""Carries out what `wild` draws beyond faults of single requests: clocks, deletions that no row reports of, backups, the agbot's lists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agbot.sim.exchange import seed
from tests.simulation.plan import Deed, Event
from tests.simulation.stage import ORG, Stage, group_name, members, nmp_name

_LEAVER = "leaver"


class Nature:
    """Deeds of no one in particular."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._leavers = 0
        self.deeds: dict[Deed, Callable[[Event], None]] = {
            Deed.OUR_CLOCK: self._step,
            Deed.DELETE_NODES_OWNER: self._delete_nodes_owner,
            Deed.DELETE_POLICYS_OWNER: self._delete_policys_owner,
            Deed.RESTORE: self._restore,
            Deed.AGBOT_FAULT: self._agbot_fault,
            Deed.CLEAR_ROWS: self._clear_rows,
            Deed.REPLACE_STORE: self._replace_store,
        }

    def heal(self) -> None:
        """Let the agbot's lists be readable from now on.

        A clock that has stepped stays where it is.
        """
        for api in self._stage.local_apis:
            api.faults.clear()

    def _step(self, event: Event) -> None:
        clock = self._stage.host_clock
        clock.step(event.pick)
        self._later(event.seconds, lambda: clock.step(-event.pick))

    def _delete_nodes_owner(self, event: Event) -> None:
        nodes = members(self._stage, event.group)
        if nodes:
            node = nodes[int(event.pick * len(nodes))]
            self._stage.fleet.exchange.world.nodes[ORG, node.spec.id].owner = self._new_leaver()
            self._delete_leaver(event)
            node.die()

    def _delete_policys_owner(self, event: Event) -> None:
        policy = self._stage.fleet.exchange.world.management_policies.get((ORG, nmp_name(event.group)))
        if policy is not None:
            policy.owner = self._new_leaver()
            self._delete_leaver(event)

    def _new_leaver(self) -> str:
        self._leavers += 1
        seed.user(self._stage.fleet.exchange, ORG, f"{_LEAVER}{self._leavers}")
        return f"{ORG}/{_LEAVER}{self._leavers}"

    def _delete_leaver(self, event: Event) -> None:
        name = f"{_LEAVER}{self._leavers}"
        self._stage.story.report(f"{ORG}/{group_name(event.group)}", f"{name} is deleted with all that is theirs")
        seed.send(self._stage.fleet.exchange, "DELETE", f"/orgs/{ORG}/users/{name}")

    def _restore(self, event: Event) -> None:
        exchange = self._stage.fleet.exchange
        copy = exchange.backup()

        def restore() -> None:
            exchange.restore(copy)
            self._stage.story.report("", "the Exchange is restored from a backup")
            self._stage.judge.peers.shows_the_past()
            self._stage.fleet.observer.reread(exchange.world)

        self._later(event.seconds, restore)

    def _agbot_fault(self, event: Event) -> None:
        if event.fault is None:
            return
        for api in self._stage.local_apis:
            handle = api.faults.add(event.fault)
            self._later(event.seconds, lambda api=api, handle=handle: api.faults.remove(handle))  # type: ignore[misc]  # binds the loop's values

    def _clear_rows(self, event: Event) -> None:
        rows = self._stage.fleet.rows
        rows.delete_services(ORG, group_name(event.group))
        rows.delete_agents(ORG, group_name(event.group))

    def _replace_store(self, event: Event) -> None:
        """Copy the store, and later put the copy in its place: all that was written in between is lost."""
        sight = self._stage.judge.peers.sight
        copy, saved = self._stage.disk.copy(), sight.saved

        def replace() -> None:
            daemon = self._stage.daemon()
            if daemon is not None:
                daemon.kill()
            self._stage.disk.replace(copy)
            sight.saved = saved
            self._stage.story.report("", "an old copy of the store takes its place")

        self._later(event.seconds, replace)

    def _later(self, seconds: float, act: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(min(seconds, 1e6), act)
