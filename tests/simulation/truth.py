"""What the simulated Exchange really held, and when: the history of every fact that can be evidence. Times are the loop's."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from agbot.sim.exchange.world import Write

Times = dict[str, list[float]]


class Truth:
    """Give `see` to the Exchange's `subscribe`. Nodes are `org/id`, groups and policies `org/name`."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self.words: defaultdict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
        """(node, policy) -> statuses in order."""
        self.groups: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
        """Node -> groups in order; the empty string is none."""
        self.deleted: defaultdict[str, list[float]] = defaultdict(list)
        self.unregistered: defaultdict[str, list[float]] = defaultdict(list)
        self.policy_gone: defaultdict[str, list[float]] = defaultdict(list)
        """Policy -> when it was deleted or disabled."""
        self.policies: dict[str, bool] = {}
        """Node management policy -> whether it exists and is enabled."""
        self.ran: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
        """Node -> agreements whose containers were all reported running."""

    def see(self, write: Write) -> None:
        """Take one write in, after it took effect."""
        now, name = asyncio.get_running_loop().time(), f"{write.org}/{write.id}"
        match write.resource, write.operation:
            case "node", "deleted":
                self.deleted[name].append(now)
                self._moved(name, "", now)
                self._tell(name, "is deleted from the Exchange")
            case "node", "heartbeat":
                pass
            case "node", _:
                self._moved(name, f"{write.org}/{write.data['ha_group']}" if write.data["ha_group"] else "", now)
                if not write.data["publicKey"]:
                    self.unregistered[name].append(now)
            case "nodemgmtpolstatus", "deleted":
                self.words[name, write.data["policy"]].append((now, ""))
                self._tell(name, f"status of {write.data['policy']} deleted")
            case "nodemgmtpolstatus", _:
                self.words[name, write.data["policy"]].append((now, write.data["status"]))
                self._tell(name, f"the Exchange holds {write.data['status']!r} for {write.data['policy']}")
            case "mgmtpolicy", operation:
                exists = operation != "deleted" and bool(write.data["enabled"])
                self.policies[name] = exists
                if not exists:
                    self.policy_gone[name].append(now)
            case "nodestatus", "created/modified":
                self._services(name, write, now)

    def since(self, node: str, policy: str, begin: float) -> list[tuple[float, str]]:
        """Return the statuses of a policy on a node that were held at or after a time."""
        known = self.words[node, policy]
        before = [one for one in known if one[0] < begin]
        return [*before[-1:], *(one for one in known if one[0] >= begin)]

    def was_in(self, node: str, group: str, begin: float) -> bool:
        """Say whether the node was in this group at some time since."""
        return group in self._held(self.groups[node], begin)

    def was_out(self, node: str, group: str, begin: float) -> bool:
        """Say whether the node was somewhere else at some time since."""
        return any(one != group for one in self._held(self.groups[node], begin))

    def _held(self, history: list[tuple[float, str]], begin: float) -> list[str]:
        before = [value for at, value in history if at < begin]
        return [*before[-1:], *(value for at, value in history if at >= begin)]

    def _moved(self, node: str, group: str, now: float) -> None:
        known = self.groups[node]
        if not known or known[-1][1] != group:
            known.append((now, group))
            self._tell(node, f"is in {group}" if group else "is in no group")

    def _services(self, node: str, write: Write, now: float) -> None:
        for service in write.data.get("services", []):
            states = {container["state"] for container in service["containerStatus"]}
            if states == {"running"}:
                self.ran[node].append((now, service["agreementId"]))
