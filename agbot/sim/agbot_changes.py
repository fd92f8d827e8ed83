"""How the simulated agbot follows the Exchange: changes of policies, nodes and HA groups."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from agbot.sim.agbot_account import AgbotAccount
from agbot.sim.agbot_matching import AgbotMatching
from agbot.sim.agbot_rows import AgbotRows
from agbot.sim.agent_lock import AgentLock
from agbot.sim.clock import Clock
from agbot.sim.deployment import Ledger, deployment
from agbot.sim.links import segment

_POLL_SECONDS = 5.0
_FEED_RECORDS = 1000


class AgbotChanges:
    """One agbot's reader of the change feed."""

    def __init__(
        self,
        account: AgbotAccount,
        ledger: Ledger,
        *,
        matching: AgbotMatching,
        rows: AgbotRows,
        agent_lock: AgentLock,
        clock: Clock,
    ) -> None:
        """Take the agbot's account and database, and the parts that use the changes."""
        self._account = account
        self._ledger = ledger
        self._matching = matching
        self._rows = rows
        self._agent_lock = agent_lock
        self._clock = clock
        self._next_change = 0
        self.has_started = asyncio.Event()
        """Set when it follows the feed. The rows that it found before that are checked."""

    async def follow(self) -> None:
        """Follow the feed forever.

        What has changed while the agbot was down is not in it. Of the rows, those of services of
        nodes that are no members are deleted at its start; those of agents stay (A17).
        """
        self.has_started.clear()
        for org, group in dict.fromkeys((row.org, row.group) for row in self._rows.services):
            await self._keep_members(org, group)
        answer = await self._account.attempt("GET", "/changes/maxchangeid")
        self._next_change = max(self._next_change, answer.json()["maxChangeId"] + 1 if answer else 0)
        for policy in tuple(self._ledger.deployments):
            await self.read_policy(policy)
        self.has_started.set()
        while True:
            await self._clock.sleep(_POLL_SECONDS)
            await self._read_changes()

    async def _read_changes(self) -> None:
        body = {"changeId": self._next_change, "maxRecords": _FEED_RECORDS, "orgList": ["*"]}
        answer = await self._account.attempt("POST", f"/orgs/{segment(self._account.spec.org)}/changes", body)
        news = answer.json() if answer else None
        if not isinstance(news, dict):
            return
        self._next_change = max(self._next_change, news["mostRecentChangeId"] + 1)
        for change in news["changes"]:
            name = f"{change['orgId']}/{change['id']}"
            if change["resource"] == "policy":
                await self.read_policy(name)
            elif change["resource"] == "nodepolicies":
                await self._matching.check_again(node=name)
            elif change["resource"] == "node":
                self._agent_lock.forget(name)
            elif change["resource"] == "ha_group":
                await self._group_changed(change["operation"], change["orgId"], change["id"])

    async def _group_changed(self, operation: str, org: str, group: str) -> None:
        """Update the rows of a group as the real agbot does after the last of its changes.

        If the group was deleted, its rows are deleted. If it was changed, only members keep their
        service rows. If it has any, its agent row is deleted too, even if the holder is in the
        middle of an upgrade (A5). If it was created, nothing is deleted, so that its rows stay if
        it was deleted and created again between two polls (W15).
        """
        if operation == "deleted":
            self._rows.delete_services(org, group)
            self._rows.delete_agents(org, group)
        elif operation == "modified" and self._rows.list_services(org, group):
            await self._keep_members(org, group)
            self._rows.delete_agents(org, group)

    async def _keep_members(self, org: str, group: str) -> None:
        """Delete the service rows of a group whose node is no member, if the group can be read."""
        answer = await self._account.attempt("GET", f"/orgs/{segment(org)}/hagroups/{segment(group)}", good=(200, 404))
        body = answer.json() if answer else None
        if isinstance(body, dict):
            members = {f"{org}/{member}" for shown in body["nodeGroups"] for member in shown["members"]}
            self._rows.keep_services(lambda row: (row.org, row.group) != (org, group) or row.node in members)

    async def read_policy(self, name: str) -> None:
        """Read a policy, and add an upgrade for every member that needs one."""
        org, _, policy = name.partition("/")
        path = f"/orgs/{segment(org)}/business/policies/{segment(policy)}"
        answer = await self._account.attempt("GET", path, good=(200, 404))
        body = answer.json() if answer else None
        if answer is None or not isinstance(body, dict):
            return
        if answer.status == HTTPStatus.NOT_FOUND:
            await self._matching.drop(name)
        if name not in body.get("businessPolicy", {}):
            return
        self._ledger.deployments[name] = deployment(name, body["businessPolicy"][name])
        await self._matching.check_again(policy=name)
        self._ledger.plan(name)
