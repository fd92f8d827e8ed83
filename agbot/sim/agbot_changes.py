"""How the simulated agbot follows the Exchange: policies that change, nodes, and HA groups."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from agbot.sim.deployment import deployment
from agbot.sim.links import segment

if TYPE_CHECKING:
    from agbot.sim.service_upgrades import SimAgbot

CHANGE_POLL_SECONDS = 5.0
_FEED_RECORDS = 1000


class AgbotChanges:
    """One agbot's way to follow the change feed."""

    def __init__(self, agbot: SimAgbot, poll_seconds: float) -> None:
        """Take whose it is, and how often it looks."""
        self._agbot = agbot
        self._poll_seconds = poll_seconds
        self._next_change = 0

    async def follow(self) -> None:
        """Follow the feed for ever."""
        answer = await self._agbot.attempt("GET", "/changes/maxchangeid")
        self._next_change = max(self._next_change, answer.json()["maxChangeId"] if answer else 0)
        for policy in tuple(self._agbot.ledger.deployments):
            await self.read_policy(policy)
        while True:
            await self._agbot.clock.sleep(self._poll_seconds)
            await self._read_changes()

    async def _read_changes(self) -> None:
        body = {"changeId": self._next_change, "maxRecords": _FEED_RECORDS, "orgList": ["*"]}
        answer = await self._agbot.attempt("POST", f"/orgs/{segment(self._agbot.spec.org)}/changes", body)
        news = answer.json() if answer else None
        if not isinstance(news, dict):
            return
        self._next_change = max(self._next_change, news["mostRecentChangeId"] + 1)
        for change in news["changes"]:
            name = f"{change['orgId']}/{change['id']}"
            if change["resource"] == "policy":
                await self.read_policy(name)
            elif change["resource"] == "nodepolicies":
                await self._agbot.matching.look_again(node=name)
            elif change["resource"] == "node":
                self._agbot.agent_lock.forget(name)
            elif change["resource"] == "ha_group":
                await self._group_changed(change["orgId"], change["id"])

    async def _group_changed(self, org: str, group: str) -> None:
        """Do what the real agbot does: a group that is gone has no rows; of one that was changed members alone keep theirs.

        Where it has service rows, its agent row goes too, though its holder may be in the middle of an upgrade (A5).
        """
        answer = await self._agbot.attempt("GET", f"/orgs/{segment(org)}/hagroups/{segment(group)}", good=(200, 404))
        body = answer.json() if answer else None
        if not isinstance(body, dict):
            return
        if not body["nodeGroups"]:
            self._agbot.rows.delete_services(org, group)
            self._agbot.rows.delete_agents(org, group)
        elif self._agbot.rows.list_services(org, group):
            members = {f"{org}/{member}" for member in body["nodeGroups"][0]["members"]}
            self._agbot.rows.keep_services(lambda row: (row.org, row.group) != (org, group) or row.node in members)
            self._agbot.rows.delete_agents(org, group)

    async def read_policy(self, name: str) -> None:
        """Read a policy, and note an upgrade for every member that needs one."""
        org, _, policy = name.partition("/")
        path = f"/orgs/{segment(org)}/business/policies/{segment(policy)}"
        answer = await self._agbot.attempt("GET", path, good=(200, 404))
        body = answer.json() if answer else None
        if answer is None or not isinstance(body, dict):
            return
        if answer.status == HTTPStatus.NOT_FOUND:
            await self._agbot.matching.drop(name)
        if name not in body.get("businessPolicy", {}):
            return
        self._agbot.ledger.deployments[name] = deployment(name, body["businessPolicy"][name])
        await self._agbot.matching.look_again(policy=name)
        self._agbot.ledger.plan(name)
