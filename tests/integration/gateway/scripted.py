"""Collaborators of the gateway for its tests: a scripted coordinator, a scripted Exchange, a stand-in for the real agbot, a raw client."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agbot.clock import SystemClock
from agbot.coordinator.permission import Answer, Confirm, Ended, Granted, Refused
from agbot.exchange import errors
from agbot.exchange.credentials import Credentials
from agbot.gateway.listener import Listener
from agbot.gateway.reads import Exchange
from agbot.rules import ids
from agbot.rules.facts import Ask, Node
from agbot.rules.ids import NodeId
from agbot.rules.reasons import Code, Reason
from agbot.settings.model import AgbotSettings, GatewaySettings

LOOPBACK = Path(__file__).with_name("loopback.pem")
RECORDED = Path(__file__).parents[2] / "recorded"
HELD = Reason(code=Code.LEASE_HELD, text="o1/n1 upgrades o1/p1")
NOT_A_MEMBER = Reason(code=Code.NOT_A_MEMBER, text="it is in another group")


@dataclass
class ScriptedPermission:
    """Keeps the contract of `Permission` with one lease per group; what it says may be scripted."""

    picture: dict[str, str] = field(default_factory=dict)
    """Node -> bare group, as seen some time ago."""
    holders: dict[str, Ask] = field(default_factory=dict)
    says: Callable[[Ask], Awaitable[Answer | None]] | None = None
    asks: list[Ask] = field(default_factory=list)
    ends: list[tuple[Ask, bool, str]] = field(default_factory=list)
    fails: BaseException | None = None

    def refuse_from_memory(self, ask: Ask) -> Refused | None:
        refused = None if self.fails or self.says else self._refuse(ask)
        if refused is not None:
            self.asks.append(ask)
        return refused

    async def ask(self, ask: Ask, confirm: Confirm) -> Answer:
        self.asks.append(ask)
        if self.fails is not None:
            raise self.fails
        if self.says is not None:
            stated = await self.says(ask)
            if stated is not None:
                await confirm()
                return stated
        node = await confirm()
        refused = self._refuse(ask)
        if refused is not None:
            return refused
        if node.group != ask.group:
            return Refused(reasons=(NOT_A_MEMBER,), is_final=True)
        self.holders[ask.group] = ask
        return Granted(token=1)

    def _refuse(self, ask: Ask) -> Refused | None:
        """Refuse by what was seen some time ago."""
        if self.picture.get(ask.node) != ids.name_of(ask.group):
            return Refused(reasons=(NOT_A_MEMBER,), is_final=True)
        holder = self.holders.get(ask.group)
        return Refused(reasons=(HELD,)) if holder is not None and holder.claim != ask.claim else None

    async def report_end(self, ask: Ask, *, succeeded: bool, who: str, token: int | None = None) -> Ended:
        if self.fails is not None:
            raise self.fails
        self.ends.append((ask, succeeded, who))
        holder = self.holders.get(ask.group)
        if holder is None or holder.claim != ask.claim:
            return Ended(released=False)
        if token != 1 and holder.by != who:
            return Ended(released=False, refused=f"it was granted to {holder.by}")
        del self.holders[ask.group]
        return Ended(released=True, token=1)


@dataclass
class ScriptedExchange:
    """Answers as the Exchange does to nodes, agbots and others; counts reads."""

    groups: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    agbots: set[str] = field(default_factory=set)
    reads: list[str] = field(default_factory=list)
    seconds: float = 0.0
    fails: errors.ExchangeError | None = None

    async def node(self, node_id: NodeId, credentials: Credentials | None = None) -> Node | None:
        await self._asked(f"node {node_id}", credentials)
        if node_id not in self.groups:
            return None
        group = self.groups[node_id]
        return Node(id=node_id, group=ids.group_id(ids.org_of(node_id), group) if group else None)

    async def agbot_exists(self, agbot_id: str, credentials: Credentials) -> bool:
        await self._asked(f"agbot {agbot_id}", credentials)
        return agbot_id in self.agbots

    async def _asked(self, what: str, credentials: Credentials | None) -> None:
        self.reads.append(what)
        await asyncio.sleep(self.seconds)
        if self.fails is not None:
            raise self.fails
        assert credentials is not None
        if self.tokens.get(credentials.identity) != credentials.secret:
            raise errors.Refused("GET", what, "401", "check the credentials", status=401)


def hub() -> ScriptedExchange:
    """The hub that the recordings were made with, as far as they show it, and two agbots."""
    groups = {"o1/n1": "g1", "o1/n2": "g1", "o1/n4": "", "o1/n5": "g2"}
    tokens = {node: f"{ids.name_of(node)}tok" for node in groups}
    tokens |= {"o1/admin": "adminpw", "IBM/agbot": "agbottok", "o1/agbot": "agbottok", "o2/agbot": "agbottok"}
    return ScriptedExchange(groups=groups, tokens=tokens, agbots={"IBM/agbot", "o1/agbot", "o2/agbot"})


@dataclass(frozen=True)
class Got:
    """One reply as it was on the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    status_line: str

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def basic(identity: str) -> str:
    """The Authorization header's value of `org/id:secret`."""
    return "Basic " + base64.b64encode(identity.encode()).decode()


def request(method: str, path: str, identity: str | None = None, body: bytes = b"", *, headers: str = "") -> bytes:
    """A request as an agent writes it."""
    authorization = "" if identity is None else f"Authorization: {basic(identity)}\r\n"
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:8083\r\nUser-Agent: Go-http-client/1.1\r\n"
        f"Content-Length: {len(body)}\r\nAccept: application/json\r\n{authorization}"
        f"Content-Type: application/json\r\nAccept-Encoding: gzip\r\n{headers}\r\n"
    )
    return head.encode() + body


async def read_reply(reader: asyncio.StreamReader, *, method: str = "POST") -> Got:
    """Read one reply: by its length, by chunks, or to the end."""
    head = await reader.readuntil(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")[:-2]
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    got = Got(status=int(status_line.split()[1]), headers=headers, body=b"", status_line=status_line)
    if method == "HEAD" or got.status in {204, 304}:
        return got
    if got.header("Transfer-Encoding") == "chunked":
        return replace(got, body=await _chunks(reader))
    length = got.header("Content-Length")
    return replace(got, body=await (reader.read() if length is None else reader.readexactly(int(length))))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


def settings_of(*, tls: bool, **more: Any) -> GatewaySettings:
    """Settings with a certificate or without."""
    pair = LOOPBACK if tls else None
    return GatewaySettings(certificate_file=pair, key_file=pair, **more)


@asynccontextmanager
async def dialled(port: int, *, tls: bool = False) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the gateway."""
    context = ssl.create_default_context(cafile=str(LOOPBACK)) if tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.close()


async def send(port: int, raw: bytes, *, method: str = "POST") -> Got:
    """Send bytes on a connection of their own and read one reply."""
    async with dialled(port) as (reader, writer):
        writer.write(raw)
        return await read_reply(reader, method=method)


@dataclass
class StandIn:
    """A stand-in for the real agbot: answers each request with raw bytes, and keeps what it was sent."""

    replies: Callable[[bytes, bytes], bytes | None]
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _open: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**22)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open.values():
            writer.transport.abort()
        await asyncio.gather(*self._open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lowered = head.lower()
            body = b""
            if b"transfer-encoding: chunked" in lowered:
                body = await _chunks(reader)
            elif b"content-length:" in lowered:
                body = await reader.readexactly(int(lowered.split(b"content-length:")[1].split(b"\r\n")[0]))
            self.heads.append(head)
            self.bodies.append(body)
            reply = self.replies(head, body)
            if reply is None:
                await reader.read()  # silent until the other side goes
            else:
                writer.write(reply)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            del self._open[task]
            writer.close()


@dataclass
class Gateway:
    """A started gateway with its collaborators."""

    listener: Listener
    permission: ScriptedPermission
    exchange: ScriptedExchange
    seen: list[tuple[str, float]]

    @property
    def port(self) -> int:
        return self.listener.port

    async def answering(self, count: int) -> None:
        """Wait until exactly this many requests are being answered."""
        while self.listener.open_requests != count:  # noqa: ASYNC110 - the number is all the listener shows
            await asyncio.sleep(0.001)

    async def ask(self, path: str, identity: str | None, method: str = "POST") -> Got:
        return await send(self.port, request(method, path, identity), method=method)


@asynccontextmanager
async def gateway(
    settings: GatewaySettings | None = None,
    *,
    agbot: AgbotSettings | None = None,
    upstream_seconds: float = 60.0,
    exchange: ScriptedExchange | None = None,
    client: Exchange | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway on a free port, in front of `client` if one is given, else of the scripted Exchange."""
    seen: list[tuple[str, float]] = []
    exchange = exchange or hub()
    permission = ScriptedPermission(picture=dict(exchange.groups))
    listener = Listener(
        replace(settings or GatewaySettings(), listen="127.0.0.1:0"),
        agbot or AgbotSettings(),
        permission,
        client or exchange,
        SystemClock(),
        observe=lambda outcome, seconds: seen.append((outcome, seconds)),
        upstream_seconds=upstream_seconds,
    )
    await listener.start()
    try:
        yield Gateway(listener, permission, exchange, seen)
    finally:
        await listener.stop(0.5)
