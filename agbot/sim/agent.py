"""The agent process of a simulated node: heartbeat, node management policies, questions.

One lock guards policies and statuses, as `statusUpdateLock` does in a real agent. While an answer
makes the agent repeat its question (`agent_reply`), everything else about its policies is blocked.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from http import HTTPStatus

from agbot.sim.actions import Act
from agbot.sim.agent_reply import Reaction, react
from agbot.sim.agent_state import PAST_THE_GATE, Entry, Move, Wanted, Word, wanted
from agbot.sim.habits import Fate
from agbot.sim.links import Answered, Doc, Kind, Question, Unanswered, segment
from agbot.sim.machine import Machine
from agbot.sim.node_services import NodeServices
from agbot.sim.process import Process
from agbot.sim.upgrade_script import UpgradeScript

_FEED_RECORDS = 1000


class Agent:
    """One node's agent; `run` is its main thread."""

    def __init__(self, node: Machine, services: NodeServices, script: UpgradeScript) -> None:
        """Take the agent's machine, the services that it reports, and its upgrade script."""
        self._node = node
        self._services = services
        self._script = script
        self._lock = asyncio.Lock()
        self._group: str | None = None
        self._next_change = 0
        self._has_postponed_policy = False
        """A policy was changed during its upgrade; it is read again after the upgrade."""
        self._reported_version = node.spec.version
        self._delayed_versions: set[str] = set()
        """Versions that a policy has requested while this node waited with another one."""

    async def run(self, process: Process) -> None:
        """Start up, as after a boot or a restart, then start the loops."""
        node = self._node
        self._lock = asyncio.Lock()
        self._group = None
        await node.clock.sleep(node.draw_seconds(node.habits.boot_seconds))
        self._give_up_interrupted()
        await self._report_version()
        for entry in tuple(node.notebook.entries.values()):
            if entry.restart():
                await node.report(entry)
        process.start(self._heartbeats(process))
        process.start(self.work(process))
        process.start(self._services.read_mail())
        await self._services.report()

    def _give_up_interrupted(self) -> None:
        """End an upgrade whose script was lost with the machine.

        An upgrade that has not begun to install will still be started.
        """
        node = self._node
        if node.down_for is None or node.installing is not None:
            return
        entry = node.notebook.entries.get(node.down_for.partition("/")[2])
        if entry is None or entry.word is not Word.DOWNLOADED:
            node.come_up("interrupted")

    async def _report_version(self) -> None:
        node = self._node
        if node.version != self._reported_version:
            answer = await node.send_until_answered(
                "PATCH", node.path(), {"softwareVersions": {"horizon": node.version}}
            )
            self._reported_version = node.version if answer.ok else self._reported_version

    async def _heartbeats(self, process: Process) -> None:
        node = self._node
        answer = await node.send_until_answered("GET", "/changes/maxchangeid")
        self._next_change = answer.json()["maxChangeId"] if answer.ok else 0
        process.start(self._read_policies())
        while True:
            await self._heartbeat(process)
            await node.clock.sleep(node.habits.heartbeat_seconds)

    async def _heartbeat(self, process: Process) -> None:
        node = self._node
        body = {"changeId": self._next_change, "maxRecords": _FEED_RECORDS}
        answer = await node.send_until_answered("POST", f"/orgs/{segment(node.spec.org)}/changes", body)
        news = answer.json()
        if answer.status != HTTPStatus.CREATED or not isinstance(news, dict):
            # a deleted node, or a body that is not JSON: the next heartbeat reads the changes
            return
        self._next_change = max(self._next_change, news["mostRecentChangeId"] + 1)
        resources = {change["resource"] for change in news["changes"]}
        if "node" in resources:
            self._group = None
        if "mgmtpolicy" in resources:
            process.start(self._read_policies())
        if "nodemgmtpolstatus" in resources:
            process.start(self._read_resets())

    async def _read_policies(self) -> None:
        node = self._node
        async with self._lock:
            path = f"/orgs/{segment(node.spec.org)}/managementpolicies"
            answer = await node.send_until_answered("GET", path)
            body = answer.json()
            if answer.status not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND) or not isinstance(body, dict):
                return
            policies = wanted(body.get("managementPolicy", {}), node.properties)
            for entry in tuple(node.notebook.entries.values()):
                if entry.nmp not in policies:
                    await self._drop(entry)
            for policy in policies.values():
                await self._take_up(policy)

    async def _take_up(self, policy: Wanted) -> None:
        node = self._node
        known = node.notebook.entries.get(policy.nmp)
        if known is not None and known.version == policy.version:
            return
        if known is not None and known.word in PAST_THE_GATE:
            self._has_postponed_policy = True
            return
        if known is not None and known.word is Word.HA_WAITING and await self._delays_revision(policy):
            return
        entry = Entry(
            nmp=policy.nmp, version=policy.version, manifest=policy.manifest, scheduled_at=self._begin(policy.start)
        )
        node.notebook.entries[policy.nmp] = entry
        await node.report(entry)

    async def _delays_revision(self, policy: Wanted) -> bool:
        """Keep asking under the old download after a new revision, if this node's habits say so.

        Its status has the old version, and a grant in that time installs it.
        """
        if policy.version in self._delayed_versions or not max(self._node.habits.revision_seconds):
            return False
        self._delayed_versions.add(policy.version)
        self._node.run_aside(self._read_policies_later())
        return True

    async def _read_policies_later(self) -> None:
        node = self._node
        await node.clock.sleep(node.draw_seconds(node.habits.revision_seconds))
        if node.agent_runs:
            await self._read_policies()

    def _begin(self, start: str) -> datetime:
        now = self._node.clock.now()
        return now if start in ("", "now") else datetime.fromisoformat(start)

    async def _drop(self, entry: Entry) -> None:
        """Remove a policy that was deleted; a script that already installs for it continues."""
        node = self._node
        del node.notebook.entries[entry.nmp]
        await node.send_until_answered("DELETE", node.path(f"/managementStatus/{segment(entry.nmp)}"))
        if entry is not node.installing:
            self._came_up(entry, "the policy is gone")

    async def _read_resets(self) -> None:
        """Put an entry back to `waiting` if a person has reset it in the Exchange."""
        node = self._node
        async with self._lock:
            answer = await node.send_until_answered("GET", node.path("/managementStatus"))
            if answer.status != HTTPStatus.OK:
                return
            for name, doc in answer.json()["managementStatus"].items():
                entry = node.notebook.entries.get(name.split("/", 1)[1])
                if entry and doc["agentUpgradePolicyStatus"]["status"] == Word.RESET:
                    entry.word, entry.attempts = Word.WAITING, 0
                    await node.report(entry)
                    if entry is not node.installing:
                        self._came_up(entry, "reset")

    def _came_up(self, entry: Entry, how: str) -> None:
        if self._node.down_for == f"{self._node.spec.org}/{entry.nmp}":
            self._node.come_up(how)

    async def work(self, process: Process) -> None:
        """Run as the management worker forever: one run, then a wait of 60 s."""
        node = self._node
        while True:
            await node.clock.sleep(node.habits.ask_seconds)
            if self._has_postponed_policy and node.down_for is None:
                self._has_postponed_policy = False
                await self._read_policies()
            if not node.notebook.is_idle():
                await self._run_once(process)

    async def _run_once(self, process: Process) -> None:
        node = self._node
        async with self._lock:
            group = await self._own_group()
            if group is None or not node.registered:
                return
            for move, entry in node.notebook.moves(group, node.clock.now()):
                if move is Move.DOWNLOAD:
                    process.start(self._download(entry))
                elif move is Move.PROCEED or await self._ask(entry, group):
                    await self._act_on_permission(entry)

    async def _own_group(self) -> str | None:
        """Return the node's group from a cache, which a change of the node empties."""
        if self._group is None:
            self._group = await self._node.own_group()
        return self._group

    async def _download(self, entry: Entry) -> None:
        node = self._node
        entry.word = Word.DOWNLOADING
        await node.report(entry)
        await node.clock.sleep(node.draw_seconds(node.habits.download_seconds))
        if node.fate_of(entry.nmp) is Fate.DOWNLOAD_FAILS:
            entry.fail_download()
            await node.report(entry)
            return
        if entry.version == node.version:
            entry.word = Word.NO_ACTION
            await node.report(entry)
            return
        await self._downloaded(entry)

    async def _downloaded(self, entry: Entry) -> None:
        node = self._node
        group = await self._own_group()
        if group is None:
            return  # a real agent stays at `download started` until it restarts
        if group:
            entry.word = Word.HA_WAITING
            await node.report(entry)
        if node.spec.node_type == "cluster":
            # the cluster worker starts at the end of a download, with or without a gate
            # (`agbot-ha.md` 8)
            entry.word = Word.DOWNLOADED
            node.go_down(entry.nmp)
            self._script.start_now()
        elif not group:
            await self._act_on_permission(entry)

    async def _ask(self, entry: Entry, group: str) -> bool:
        node = self._node
        question = Question(
            kind=Kind.AGENT,
            org=node.spec.org,
            group=group,
            node=node.spec.id,
            policy=entry.nmp,
            identity=node.name,
            secret=node.spec.token,
        )
        while True:
            answer = await _answer(node, question)
            reaction = react(answer)
            self._notify_answer(entry, answer, granted=reaction is Reaction.GO)
            if reaction is not Reaction.REPEAT:
                return reaction is Reaction.GO
            await node.clock.sleep(node.habits.retry_seconds)

    def _notify_answer(self, entry: Entry, answer: Answered | Unanswered, *, granted: bool) -> None:
        node = self._node
        subject = f"{node.spec.org}/{entry.nmp}"
        if isinstance(answer, Unanswered):
            node.notify(Act.ASKED, subject=subject, detail=str(answer))
        else:
            node.notify(Act.ASKED, subject=subject, detail=_msg(answer.json()), status=answer.status, granted=granted)

    async def _act_on_permission(self, entry: Entry) -> None:
        node = self._node
        entry.word = Word.DOWNLOADED
        node.go_down(entry.nmp)
        fate = node.fate_of(entry.nmp)
        if fate is Fate.DIES_ON_GRANT:
            node.die()
            await asyncio.sleep(0)  # ends this task before it can report
        await node.report(entry)
        if fate is Fate.DIES_DOWNLOADED:
            node.die()


async def _answer(node: Machine, question: Question) -> Answered | Unanswered:
    try:
        return await node.environment.gateway.ask(question)
    except Unanswered as error:
        return error


def _msg(body: Doc | object) -> str:
    return str(body.get("msg", "")) if isinstance(body, dict) else str(body)
