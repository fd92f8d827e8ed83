"""Certificates, authorities and secrets that are renewed in place: a reload of the real daemon takes them over, over real TLS sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.hub import COORDINATOR, ROOT, Hub
from tests.acceptance.programs import Program, free_port
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.support.authority import Pair, made
from tests.support.listening import listening
from tests.support.mosquitto import Mosquitto
from tests.support.patience import until


@dataclass
class Renewed:
    """Two pairs, and the files that the settings name."""

    folder: Path
    first: Pair = field(init=False)
    second: Pair = field(init=False)

    def __post_init__(self) -> None:
        self.first, self.second = made(self.folder, "first"), made(self.folder, "second")
        self.first.put_at(self.certificate, self.key)

    @property
    def certificate(self) -> Path:
        return self.folder / "used.pem"

    @property
    def key(self) -> Path:
        return self.folder / "used.key"

    def renew(self) -> None:
        self.second.put_at(self.certificate, self.key)


@pytest.fixture
def files(tmp_path: Path) -> Renewed:
    return Renewed(tmp_path / "tls")


async def reloaded(daemon: Program) -> dict[str, Any]:
    """Reload and return what the log says of it."""
    before = len(daemon.events("settings.reloaded"))
    daemon.reload()
    return (await until("the reload", lambda: daemon.events("settings.reloaded")[before:]))[0]


async def certificate_of(port: int, trusted: Pair) -> bytes:
    """Return the certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted.client())
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()
    return found


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Ask over an open connection, and return the status line."""
    writer.write(b"POST /org/o1/hagroup/g1/nodemanagement/anna/up1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    status = await reader.readline()
    while (await reader.readline()).strip():
        pass
    await reader.readline()
    return status


async def days_left(site: Site) -> dict[str, float]:
    families = text_string_to_metric_families((await site.get("/metrics"))[1])
    samples = [sample for family in families for sample in family.samples]
    return {each.labels["use"]: each.value for each in samples if each.name == "agbot_certificate_days_left"}


async def test_the_listener_shows_the_renewed_certificate_and_open_connections_go_on(
    hub: Hub, site: Site, files: Renewed
) -> None:
    site.tables["gateway"] |= {"certificate_file": str(files.certificate), "key_file": str(files.key)}
    site.write()
    await hub.publish()
    daemon = await site.start_ready()
    assert await certificate_of(site.gateway_port, files.first) == files.first.der
    reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway_port, ssl=files.first.client())
    assert b" 401 " in await asked(reader, writer)

    files.renew()
    assert await certificate_of(site.gateway_port, files.first) == files.first.der, "not before the reload"
    line = await reloaded(daemon)
    assert (line["renewed"], line["needs_restart"]) == (["gateway"], [])
    assert await certificate_of(site.gateway_port, files.second) == files.second.der
    assert b" 401 " in await asked(reader, writer), "a connection that is open goes on"
    writer.close()
    assert (await reloaded(daemon))["renewed"] == [], "the same contents are not renewed again"


@pytest.mark.parametrize("what", ["another key", "no certificate", "half a file", "no file"])
async def test_a_renewed_pair_that_is_none_leaves_the_former_one_in_use_and_is_reported(
    hub: Hub, site: Site, files: Renewed, what: str
) -> None:
    site.tables["gateway"] |= {"certificate_file": str(files.certificate), "key_file": str(files.key)}
    site.write()
    await hub.publish()
    daemon = await site.start_ready()
    breaks: dict[str, Callable[[], object]] = {
        "another key": lambda: files.key.write_bytes(files.second.key.read_bytes()),
        "no certificate": lambda: files.certificate.write_text("nonsense", encoding="utf-8"),
        "half a file": lambda: files.certificate.write_bytes(files.second.certificate.read_bytes()[:300]),
        "no file": files.certificate.unlink,
    }
    breaks[what]()
    daemon.reload()
    (line,) = await until(
        "the refusal", lambda: daemon.events("certificate.refused") + daemon.events("settings.refused")
    )
    assert "gateway.certificate_file" in str(line) or "gateway.key_file" in str(line), "it names the setting"
    assert await certificate_of(site.gateway_port, files.first) == files.first.der
    files.renew()
    assert (await reloaded(daemon))["renewed"] == ["gateway"]
    assert await certificate_of(site.gateway_port, files.second) == files.second.der


IN_FRONT = """
import asyncio, contextlib, ssl, sys

certificate, key, own_port, port = sys.argv[1:]

async def copy(reader, writer):
    with contextlib.suppress(OSError):
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    writer.close()

async def pass_on(reader, writer):
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", int(port))
    await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(pass_on, "127.0.0.1", int(own_port), ssl=context)
    await server.serve_forever()

asyncio.run(main())
"""


@asynccontextmanager
async def tls_before(port: int, pair: Pair, own_port: int) -> AsyncIterator[None]:
    """Speak TLS for a server that does not, as a process: its connections end with it."""
    command = [sys.executable, "-c", IN_FRONT, str(pair.certificate), str(pair.key), str(own_port), str(port)]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def test_a_renewed_authority_of_the_exchange_is_trusted_after_a_reload(
    hub: Hub, site: Site, files: Renewed
) -> None:
    port = free_port()
    site.tables["exchange"] |= {"url": f"https://127.0.0.1:{port}/v1", "ca_file": str(files.certificate)}
    site.write()
    await group_of_three(hub)
    async with tls_before(hub.port, files.first, port):
        daemon = await site.start_ready()
        await granted(site, "anna")
    files.renew()
    assert (await reloaded(daemon))["renewed"] == ["exchange-ca"]
    async with tls_before(hub.port, files.second, port):
        await until("the new authority", lambda: daemon.events("exchange.recovered") or is_silent(daemon))
        await site.until_ready()
        assert (await ask(site, "ben"))[0] == 409


def is_silent(daemon: Program) -> bool:
    """Whether no request has failed in between."""
    return not daemon.events("exchange.failed")


@asynccontextmanager
async def serving(handler: Handler, pair: Pair) -> AsyncIterator[int]:
    """Answer every request over TLS; yields the port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    plain, port = free_port(), free_port()
    await web.TCPSite(runner, "127.0.0.1", plain).start()
    try:
        async with tls_before(plain, pair, port):
            yield port
    finally:
        await runner.cleanup()


async def test_a_renewed_authority_of_the_real_agbot_is_trusted_after_a_reload(
    hub: Hub, site: Site, files: Renewed
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="the agbot's own")

    await hub.publish()
    async with serving(answer, files.second) as port:
        site.tables["agbot"] = {"secure_api": f"https://127.0.0.1:{port}", "secure_api_ca_file": str(files.certificate)}
        site.write()
        daemon = await site.start_ready()
        await until("a certificate that is not trusted", lambda: shows(site, HTTPStatus.BAD_GATEWAY, ""))
        files.renew()
        assert (await reloaded(daemon))["renewed"] == ["upstream-ca"]
        await until("the real agbot", lambda: shows(site, HTTPStatus.OK, "the agbot's own"))


async def shows(site: Site, status: int, text: str) -> bool:
    """Whether a request that is passed on is answered so."""
    async with site.session.get(f"{site.gateway}/status") as got:
        return got.status == status and text in await got.text()


async def test_a_broker_s_renewed_authority_and_our_renewed_certificate_are_used_after_a_reload(
    hub: Hub, site: Site, files: Renewed, broker: Mosquitto
) -> None:
    def lines(pair: Pair) -> tuple[str, ...]:
        own = (f"certfile {pair.certificate}", f"keyfile {pair.key}")
        return (f"cafile {pair.certificate}", *own, "require_certificate true")

    broker.lines = lines(files.first)
    await broker.start()
    own = {"certificate_file": str(files.certificate), "key_file": str(files.key), "ca_file": str(files.certificate)}
    site.tables["mqtt"] = {"host": "127.0.0.1", "port": broker.port, "tls": True, **own}
    site.write()
    await group_of_three(hub)
    daemon = await site.start_ready()
    context = files.first.client()
    context.load_cert_chain(files.first.certificate, files.first.key)
    async with listening(broker.port, tls=context) as listener:
        await until("that it is there", lambda: listener.on("agbot/status"))
    broker.stop()
    broker.lines = lines(files.second)
    await broker.start()
    await until("the failure", lambda: daemon.events("mqtt.failed"))
    await granted(site, "anna")
    context = files.second.client()
    context.load_cert_chain(files.second.certificate, files.second.key)
    async with listening(broker.port, tls=context) as listener:
        await until("it listens", lambda: listener.is_connected)
        files.renew()
        assert (await reloaded(daemon))["renewed"] == ["mqtt", "mqtt-ca"]
        await until("the event", lambda: listener.on("agbot/o1/g1/event"))
        failures = len(daemon.events("mqtt.failed"))
        files.first.put_at(files.certificate, files.key)
        await reloaded(daemon)
        await until("a new connection, which fails", lambda: daemon.events("mqtt.failed")[failures:])
        files.renew()
        await reloaded(daemon)
        assert (await ask(site, "ben"))[0] == 409
        await until("the next event", lambda: any(each["node"] == "o1/ben" for each in listener.events()))


async def test_a_webhook_s_renewed_authority_and_secret_are_used_after_a_reload(
    hub: Hub, site: Site, files: Renewed
) -> None:
    posts: list[tuple[dict[str, str], bytes]] = []

    async def receive(request: web.Request) -> web.Response:
        posts.append((dict(request.headers), await request.read()))
        return web.Response(status=204)

    secret_file = site.folder / "webhook-secret"
    secret_file.write_text("hush7before7hush", encoding="utf-8")
    secret_file.chmod(0o600)
    await group_of_three(hub)
    async with serving(receive, files.second) as port:
        site.tables["webhook"] = {
            "urls": [f"https://127.0.0.1:{port}/hook"],
            "ca_file": str(files.certificate),
            "secret_file": "webhook-secret",
        }
        site.write()
        daemon = await site.start_ready()
        await granted(site, "anna")
        await until("the failure", lambda: daemon.events("webhook.failed"))
        files.renew()
        secret_file.write_text("hush7after7hush", encoding="utf-8")
        assert (await reloaded(daemon))["renewed"] == ["webhook secret", "webhook-ca"]
        headers, body = (await until("the event", lambda: posts[:1]))[0]
    sealed = f"{headers['X-Agbot-Timestamp']}.".encode() + body
    seal = hmac.new(b"hush7after7hush", sealed, hashlib.sha256).hexdigest()
    assert headers["X-Agbot-Signature"] == f"sha256={seal}"


async def test_a_renewed_token_of_the_exchange_is_used_after_a_reload(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    daemon = await site.start_ready()
    agbot = {"token": "hush7other7hush", "name": COORDINATOR, "msgEndPoint": "", "publicKey": "QUdCT1Q="}
    await hub.send("PUT", f"/orgs/IBM/agbots/{COORDINATOR}", agbot, ROOT)
    await until("the refusal", lambda: daemon.events("exchange.failed"))
    (site.folder / "exchange-token").write_text("hush7other7hush", encoding="utf-8")
    line = await reloaded(daemon)
    assert (line["renewed"], line["needs_restart"]) == (["exchange token"], [])
    await until("the recovery", lambda: daemon.events("exchange.recovered"))
    await site.until_ready()
    await granted(site, "anna")


async def test_what_systemd_has_handed_over_is_named_as_a_copy(hub: Hub, site: Site, tmp_path: Path) -> None:
    handed = tmp_path / "credentials"
    handed.mkdir()
    for name in ("exchange-token", "operator-token"):
        (site.folder / name).rename(handed / name)
    del site.tables["exchange"]["token_file"], site.tables["console"]["token_file"]
    site.write()
    await hub.publish()
    daemon = await site.start_ready(CREDENTIALS_DIRECTORY=str(handed))
    assert (await reloaded(daemon))["copied_at_start"] == ["exchange-token", "operator-token"]


async def test_a_certificate_that_ends_soon_is_reported_at_the_start_and_measured(
    hub: Hub, site: Site, tmp_path: Path
) -> None:
    short, long = made(tmp_path / "tls", "short", days=5), made(tmp_path / "tls", "long", days=300)
    used = Pair(tmp_path / "used.pem", tmp_path / "used.key")
    short.put_at(used.certificate, used.key)
    site.tables["gateway"] |= {"certificate_file": str(used.certificate), "key_file": str(used.key)}
    site.tables["exchange"]["ca_file"] = str(long.certificate)
    site.write()
    await hub.publish()
    daemon = await site.start_ready()
    (line,) = await until("the warning", lambda: daemon.events("certificate.expiring"))
    assert (line["use"], line["level"]) == ("gateway", "warning")
    assert line["files"] == [str(used.certificate), str(used.key)]
    assert 4 < line["days_left"] <= 5
    left = await days_left(site)
    assert (round(left["gateway"]), round(left["exchange-ca"])) == (5, 300)
    long.put_at(used.certificate, used.key)
    await reloaded(daemon)
    assert round((await days_left(site))["gateway"]) == 300
