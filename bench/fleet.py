"""The other side of `python -m bench scale`, in one process: the Exchange, its fleet, the agents.

Agents here are cheap, so that 40,000 fit next to the simulated Exchange: reports of nodes are
written without a socket, and questions go over one, as those of a real agent do. Groups are pairs,
twenty to an organisation. The process reads commands from standard input and writes results to
standard output, one JSON object per line. The rows of the nodes are older than the feed, as in a
fleet that has existed for a long time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from agbot.sim.clock import ScaledClock
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.exchange.server import serve
from bench import load

GROUPS_IN_ORG = 20
POLICY = "up1"
OLD, NEW = "2.31.0", "2.32.0"
UPGRADE_SECONDS = 600.0
"""How long an upgrade takes. The number of groups over this number of seconds is the rate of
ends."""
ASK_SECONDS = 60.0
"""The time between two questions of an agent."""
_HEARTBEAT_SECONDS = 20.0
_HEARTBEAT_SLICES = 100
_KEPT = timedelta(hours=6)
_IN_FLIGHT = 16
_STRIDE = 7919
"""A prime that divides no number of groups here: every group asks once in each round."""
_SILENT_SECONDS = 30.0


@dataclass(slots=True, kw_only=True)
class Results:
    """The results of some questions."""

    statuses: Counter[int] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    """The first reason of each, by its code."""
    latencies: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    """The delays before questions were sent, which this process causes."""
    failures: Counter[str] = field(default_factory=Counter)
    """Questions without an answer: connections that were reset, refused or silent."""
    seconds: float = 0.0
    """From the first question that is asked at a steady pace to the last answer."""

    def as_json(self) -> dict[str, object]:
        """Return it for the measuring process."""
        return {
            "statuses": {str(status): number for status, number in self.statuses.items()},
            "refusals": dict(self.refusals.most_common(5)),
            "latencies": self.latencies,
            "lags": self.lags,
            "failures": dict(self.failures),
            "seconds": self.seconds,
        }


class Fleet:
    """The nodes, by group: member `a` upgrades first, member `b` waits."""

    def __init__(self, exchange: SimExchange, groups: int) -> None:
        self.exchange = exchange
        self.groups = [(f"o{number // GROUPS_IN_ORG:04d}", f"g{number:05d}") for number in range(groups)]
        self.orgs = sorted({org for org, _ in self.groups})
        self.ended: dict[str, float] = {}
        """When the end of a group's upgrade was reported, in seconds since the epoch."""
        self.gateway_port = 0

    def seed(self, upgrading: int) -> None:
        """Create the fleet, and make the rows about this older than the feed keeps them.

        In the last `upgrading` groups the upgrade of member `a` is under way.
        """
        exchange = self.exchange
        seed.agbot(exchange, "IBM", "coordinator")
        for org in self.orgs:
            seed.org(exchange, org)
            seed.management_policy(exchange, org, POLICY)
        for org, group in self.groups:
            members = [f"{group}a", f"{group}b"]
            for member in members:
                seed.node(exchange, org, member, version=OLD)
            seed.group(exchange, org, group, members)
        for org, group in self.groups[len(self.groups) - upgrading :]:
            self.report(org, f"{group}a", "downloaded")
        for at in (exchange.now(), exchange.now() + _KEPT):
            exchange.world.log.purge(at)

    async def send_heartbeats(self) -> None:
        """Keep every heartbeat young. A heartbeat makes no change row, so no more is needed."""
        nodes = list(self.exchange.world.nodes.values())
        size = -(-len(nodes) // _HEARTBEAT_SLICES)
        while True:
            for start in range(0, len(nodes), size):
                stamp = self.exchange.world.stamps.fine(self.exchange.now())
                for node in nodes[start : start + size]:
                    node.doc["lastHeartbeat"] = stamp
                await asyncio.sleep(_HEARTBEAT_SECONDS / _HEARTBEAT_SLICES)

    def report(self, org: str, node: str, status: str) -> None:
        """Report a status of a node's upgrade; after its success the node runs the new version."""
        if status == "successful":
            body = {"softwareVersions": {"horizon": NEW, "certificate": "1.0.0", "config": "1.0.0"}}
            seed.send(self.exchange, "PATCH", f"/orgs/{org}/nodes/{node}", body, caller=f"{org}/{node}")
        seed.upgrade_status(self.exchange, org, node, POLICY, status, version=NEW)

    async def ask_all(self, member: str, most: int) -> Results:
        """Ask once for one member of each of the first groups, a few at a time."""
        asked, supply = Results(), iter(self.groups[:most])

        async def one_after_the_other() -> None:
            for org, group in supply:
                await self.ask(org, group, group + member, asked)

        await asyncio.gather(*(one_after_the_other() for _ in range(_IN_FLIGHT)))
        return asked

    async def ask_evenly(self, member: str, seconds: float, per_second: float) -> Results:
        """Ask for one member of each group in turn, at a steady pace, regardless of answers.

        When an agent asks has nothing to do with when a peer's upgrade ends, so the groups ask in
        another order than that of `end_evenly`.
        """
        asked, began, tasks = Results(), time.perf_counter(), set[asyncio.Task[None]]()
        for number, due in enumerate(_pace(began, seconds, per_second)):
            await _sleep_until(due)
            asked.lags.append(time.perf_counter() - due)
            org, group = self.groups[number * _STRIDE % len(self.groups)]
            task = asyncio.create_task(self.ask(org, group, group + member, asked))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        asked.seconds = time.perf_counter() - began
        return asked

    async def end_evenly(self, seconds: float, per_second: float) -> None:
        """End upgrades successfully, one after the other at a steady pace."""
        left = iter([each for each in self.groups if each[1] not in self.ended])
        for due in _pace(time.perf_counter(), seconds, per_second):
            await _sleep_until(due)
            org, group = next(left, ("", ""))
            if group:
                self.report(org, f"{group}a", "successful")
                self.ended[group] = time.time()

    async def ask(self, org: str, group: str, node: str, asked: Results) -> None:
        """Ask one question, and begin the upgrade after a grant."""
        question = load.question(org, group, node, POLICY, seed.token_of(node))
        began = time.perf_counter()
        try:
            answer = await self._answer(question)
        except OSError as error:  # a TimeoutError is one
            asked.failures[type(error).__name__] += 1
            return
        asked.latencies.append(time.perf_counter() - began)
        status = int(answer[9:12])
        asked.statuses[status] += 1
        if status == 201:
            self.report(org, node, "download started")
        else:
            message: str = json.loads(answer.partition(b"\r\n\r\n")[2])["msg"]
            asked.refusals[message.partition("Waits for: ")[2].partition(":")[0] or message[:90]] += 1

    async def _answer(self, question: bytes) -> bytes:
        """Return the whole answer to a question.

        Raises:
            OSError: the connection failed, or nothing came for half a minute.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway_port)
        try:
            writer.write(question)
            answer = b""
            while not answer.endswith((b"}\n", b'"\n')):
                received = await asyncio.wait_for(reader.read(65_536), _SILENT_SECONDS)
                if not received:
                    raise ConnectionResetError
                answer += received
            return answer
        finally:
            writer.close()


def _pace(began: float, seconds: float, per_second: float) -> Iterator[float]:
    return (began + number / per_second for number in range(int(seconds * per_second)))


async def _sleep_until(due: float) -> None:
    await asyncio.sleep(max(due - time.perf_counter(), 0))


async def _carry_out(fleet: Fleet, command: dict[str, Any]) -> object:
    match command["do"]:
        case "ask_all":
            return (await fleet.ask_all(command["member"], command["most"])).as_json()
        case "ask_evenly":
            return (await fleet.ask_evenly(command["member"], command["seconds"], command["per_second"])).as_json()
        case "roll":
            asking = fleet.ask_evenly("b", command["seconds"], command["per_second"])
            ending = fleet.end_evenly(command["seconds"], len(fleet.groups) / UPGRADE_SECONDS)
            asked, _ = await asyncio.gather(asking, ending)
            return asked.as_json()
        case "ended":
            return fleet.ended
        case "requests":
            return fleet.exchange.report()["requests"]
        case _:
            message = f"no such command: {command}"
            raise ValueError(message)


async def main(groups: int, upgrading: int, gateway_port: int) -> None:
    """Serve until standard input ends."""
    fleet = Fleet(SimExchange(clock=ScaledClock(epoch=datetime.now(UTC)), root_password="rootpw"), groups)  # noqa: S106 - a made-up secret
    fleet.seed(upgrading)
    fleet.gateway_port = gateway_port
    server = await serve(fleet.exchange)
    heartbeats = asyncio.create_task(fleet.send_heartbeats())
    _write({"port": server.port, "orgs": fleet.orgs, "upgrading": fleet.groups[groups - upgrading :]})
    loop = asyncio.get_running_loop()
    read: Callable[[], str] = sys.stdin.readline
    while line := await loop.run_in_executor(None, read):
        _write(await _carry_out(fleet, json.loads(line)))
    heartbeats.cancel()
    await server.close()


def _write(result: object) -> None:
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
