"""The root cron job of a node, and the script that installs a new agent (`agbot-ha.md` 1.6).

It runs beside the agent: it survives the agent's restarts, reports through the agent, and starts
only what is `downloaded`. While it installs, the agent is down and the node sends no heartbeat.
"""

from __future__ import annotations

import asyncio

from agbot.sim.agent_state import Entry, Word
from agbot.sim.habits import Fate, Range
from agbot.sim.machine import Machine
from agbot.sim.node_services import NodeServices

_ROLLED_BACK = {Fate.ROLLS_BACK: Word.ROLLBACK_SUCCESSFUL, Fate.ROLLBACK_FAILS: Word.ROLLBACK_FAILED}


class UpgradeScript:
    """One node's cron job."""

    def __init__(self, node: Machine, services: NodeServices) -> None:
        """Take the machine that it installs on, and the services whose start it waits for."""
        self._node = node
        self._services = services
        self._at_once = asyncio.Event()

    def start_now(self) -> None:
        """Start without waiting for cron, as the worker of a cluster's agent does."""
        self._at_once.set()

    async def cron(self) -> None:
        """Run forever."""
        node = self._node
        self._at_once = asyncio.Event()
        await node.clock.sleep(node.habits.cron_seconds * node.draw_seconds(node.habits.cron_phase))
        while True:
            entry = node.notebook.next_job()
            if entry is not None and node.agent_runs and not self._services.is_starting:
                node.installing = entry
                try:
                    await self._run(entry)
                finally:
                    node.installing = None
            await self._until_next()

    async def _until_next(self) -> None:
        node = self._node
        if node.spec.node_type == "cluster":
            await self._at_once.wait()
            self._at_once.clear()
        else:
            await node.clock.sleep(node.habits.cron_seconds)

    async def _run(self, entry: Entry) -> None:
        node = self._node
        fate = node.fate_of(entry.nmp)
        await node.clock.sleep(node.draw_seconds(node.habits.precheck_seconds))
        if fate is Fate.PRECHECK_FAILS:
            await self._end(entry, Word.PRECHECK_FAILED, "precheck failed")
            return
        entry.word, entry.started_at = Word.INITIATED, node.clock.now()
        await node.report(entry)
        node.installs.append(entry.version)
        if fate is Fate.HANGS:
            await asyncio.Event().wait()
        if fate in _ROLLED_BACK:
            await self._fail(entry, _ROLLED_BACK[fate])
            return
        await self._install(node.habits.install_seconds, entry.version, dies=fate is Fate.DIES_INSTALLING)
        if fate is Fate.LOSES_REPORT:
            node.come_up("its report was lost")
            return
        entry.ended_at = node.clock.now()
        await self._end(entry, Word.SUCCESSFUL)

    async def _fail(self, entry: Entry, last: Word) -> None:
        node = self._node
        await self._install(node.habits.install_seconds, node.version)
        await self._set_word(entry, Word.FAILED, "install failed")
        await node.clock.sleep(node.draw_seconds(node.habits.failed_shows_seconds))
        await self._set_word(entry, Word.ROLLBACK_STARTED, "install failed")
        await self._install(node.habits.rollback_seconds, node.version)
        await self._end(entry, last, "install failed")

    async def _install(self, seconds: Range, version: str, *, dies: bool = False) -> None:
        """Stop the agent, install, start it again and wait for it."""
        node = self._node
        node.stop_agent()
        duration = node.draw_seconds(seconds)
        await node.clock.sleep(duration / 2 if dies else duration)
        if dies:
            node.die()
            await asyncio.sleep(0)  # ends this task
        node.version = version
        if not node.registered:
            return
        node.start_agent()
        await node.clock.sleep(max(node.habits.boot_seconds) + node.draw_seconds(node.habits.settle_seconds))

    async def _set_word(self, entry: Entry, word: Word, error: str) -> None:
        entry.word, entry.error = word, error
        if self._is_known(entry):
            await self._node.report(entry)

    async def _end(self, entry: Entry, word: Word, error: str = "") -> None:
        # the machine is up before any server can learn of it
        self._node.come_up(word.value)
        await self._set_word(entry, word, error)

    def _is_known(self, entry: Entry) -> bool:
        """Return whether the agent still has the policy; it reports no status of a dropped one."""
        return self._node.notebook.entries.get(entry.nmp) is entry
