"""Checks across settings: each value may be valid by itself and the whole still not work.

A mistake stops the start. A warning is for what works but is probably not intended.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from agbot.settings import pairs
from agbot.settings.hosts import bracketed, goes_in_clear, is_same_socket
from agbot.settings.model import AgbotSettings, ConsoleSettings, ExchangeSettings, GatewaySettings, Settings
from agbot.settings.receiving import MqttSettings, WebhookSettings
from agbot.settings.rule_consistency import Mismatch, of_rules
from agbot.settings.secret import closed, why_open


def mismatches(settings: Settings) -> Iterator[Mismatch]:
    """Find all values that do not fit together."""
    yield from _exchange(settings.exchange, settings.agbot)
    yield from _secure_api(settings)
    yield from _local_api(settings)
    if settings.run.mode != "shadow":
        yield from _gateway(settings.gateway)
    yield from _console(settings.console)
    yield from of_rules(settings)
    yield from _leadership(settings)
    yield from _store(settings)
    yield from _mqtt(settings.mqtt)
    yield from _webhook(settings.webhook)
    if is_same_socket(settings.gateway.listen, settings.console.listen):
        problem = f"{settings.console.listen} is the gateway's address too"
        yield Mismatch(key="console.listen", problem=problem, expected="another port", other="gateway.listen")


def _exchange(exchange: ExchangeSettings, agbot: AgbotSettings) -> Iterator[Mismatch]:
    own = "org/name of an agbot identity for the coordinator alone"
    if not exchange.url:
        hint = "the hub's Exchange, or HZN_EXCHANGE_URL in the environment"
        yield Mismatch(key="exchange.url", problem="it is not set", expected=hint)
    if not exchange.identity:
        yield Mismatch(key="exchange.identity", problem="it is not set", expected=own)
    elif exchange.identity == agbot.identity:
        problem = "this is the real agbot's identity: reading the change feed would count as that agbot's heartbeat"
        yield Mismatch(key="exchange.identity", problem=problem, expected=own)
    if not exchange.organisations and not agbot.identity:
        problem = "it is empty and [agbot] identity is not set"
        hint = 'an organisation, "*", or [agbot] identity'
        yield Mismatch(key="exchange.organisations", problem=problem, expected=hint)
    if goes_in_clear(exchange.url):
        problem = "http:// to another machine: every node's token would cross the network in clear text"
        yield Mismatch(key="exchange.url", problem=problem, expected="https://", is_warning=True)
    yield from _polling(exchange)


def _polling(exchange: ExchangeSettings) -> Iterator[Mismatch]:
    poll_seconds, busy_seconds, age_seconds = (
        exchange.poll_seconds,
        exchange.busy_poll_seconds,
        exchange.view_max_age_seconds,
    )
    if busy_seconds > poll_seconds:
        problem = f"{busy_seconds:g} is more than poll_seconds ({poll_seconds:g})"
        yield Mismatch(key="exchange.busy_poll_seconds", problem=problem, expected="poll_seconds or less")
    # a view is as old as the interval at the end of each, and `view-stale` would refuse all
    if age_seconds <= poll_seconds:
        problem = f"{age_seconds:g} is not more than poll_seconds ({poll_seconds:g}): nothing would be granted"
        yield Mismatch(key="exchange.view_max_age_seconds", problem=problem, expected="several times poll_seconds")


def _secure_api(settings: Settings) -> Iterator[Mismatch]:
    agbot, is_shadow = settings.agbot, settings.run.mode == "shadow"
    if goes_in_clear(agbot.secure_api):
        yield Mismatch(
            key="agbot.secure_api",
            problem="http:// to another machine: credentials that are passed through would cross the network in clear text",
            expected="https://",
            is_warning=True,
        )
    if not agbot.secure_api and not is_shadow:
        yield Mismatch(
            key="agbot.secure_api",
            problem="it is not set: every request that is not a question is answered with 502",
            expected="the secure API of the real agbot, such as https://127.0.0.1:8082",
            is_warning=True,
        )
    if not is_shadow:  # there the gateway does not listen
        yield from _ours("agbot.secure_api", [agbot.secure_api], settings)
    yield from _same_listener(agbot)


def _local_api(settings: Settings) -> Iterator[Mismatch]:
    agbot, gateway, is_shadow = settings.agbot, settings.gateway, settings.run.mode == "shadow"
    yield from _ours("agbot.api", agbot.api, settings)
    # without an agbot behind the gateway there is none that could begin an upgrade by itself
    if (agbot.secure_api or is_shadow) and not agbot.api and not agbot.database:
        yield Mismatch(
            key="agbot.api",
            problem="it is not set: upgrades that the agbot begins by itself are noticed late, and without their policy",
            expected='a local API, such as ["http://127.0.0.1:8080"]; one address for each agbot that shares the database',
            is_warning=True,
        )
    in_clear = next((each for each in agbot.api if goes_in_clear(each)), None)
    if in_clear:
        yield Mismatch(
            key="agbot.api",
            problem=f"{in_clear} is on another machine: that API asks for no credentials, so anyone who reaches it can "
            "clear the agbot's lists",
            expected="a separate network, or a tunnel",
            is_warning=True,
        )
    # a grant reads the lists, and whatever it waits for must leave time to answer within 20 s: an
    # agent that gives up asks every 10 s
    if agbot.api and agbot.request_seconds >= gateway.answer_seconds:
        yield Mismatch(
            key="agbot.request_seconds",
            problem=f"{agbot.request_seconds:g} is not less than gateway.answer_seconds ({gateway.answer_seconds:g}): "
            "a hanging agbot would be reported as a slow Exchange",
            expected="less than gateway.answer_seconds",
        )


def _same_listener(agbot: AgbotSettings) -> Iterator[Mismatch]:
    if agbot.secure_api and agbot.secure_api.rstrip("/") in {each.rstrip("/") for each in agbot.api}:
        # the local API has no TLS
        is_local = agbot.secure_api.startswith("http://")
        yield Mismatch(
            key="agbot.secure_api" if is_local else "agbot.api",
            problem=f"{agbot.secure_api} is set as secure_api and in api; the agbot has a listener for each",
            expected="the secure API (SecureAPIListenHost and port)" if is_local else "the local API (APIListen)",
        )


def _leadership(settings: Settings) -> Iterator[Mismatch]:
    leadership, gateway = settings.leadership, settings.gateway
    if leadership.renew_seconds > leadership.ttl_seconds / 3:
        problem = f"{leadership.renew_seconds:g} is more than a third of ttl_seconds ({leadership.ttl_seconds:g})"
        expected = "a third of ttl_seconds or less, so that one lost renewal changes nothing"
        yield Mismatch(key="leadership.renew_seconds", problem=problem, expected=expected)
    if not settings.store.url:
        return
    if not leadership.gateway_url:
        problem = "it is not set: a second coordinator on this store could forward no question to this one"
        expected = "the address of this coordinator's [gateway] listen for the others"
        yield Mismatch(key="leadership.gateway_url", problem=problem, expected=expected, is_warning=True)
    elif leadership.gateway_url.startswith("https://") != (gateway.certificate_file is not None):
        has = "has a" if gateway.certificate_file else "has no"
        problem = f"{leadership.gateway_url} does not fit: [gateway] listen {has} certificate"
        expected = "https:// with certificate_file and key_file, http:// without"
        yield Mismatch(key="leadership.gateway_url", problem=problem, expected=expected, is_warning=True)
    if not leadership.console_url:
        problem = "it is not set: while this coordinator leads, operators' requests to the others are not forwarded"
        expected = "the address of this coordinator's [console] listen for the others"
        yield Mismatch(key="leadership.console_url", problem=problem, expected=expected, is_warning=True)
    for key, url, what in (
        ("gateway_url", leadership.gateway_url, "nodes' tokens"),
        ("console_url", leadership.console_url, "the operator token"),
    ):
        if goes_in_clear(url):
            problem = f"http:// to another machine: {what} would cross the network in clear text"
            yield Mismatch(key=f"leadership.{key}", problem=problem, expected="https://", is_warning=True)


def _ours(key: str, urls: Iterable[str], settings: Settings) -> Iterator[Mismatch]:
    """Find addresses that lead back to the coordinator's own listeners."""
    for url in urls:
        parts = urlsplit(url)
        if not parts.hostname:
            continue
        named = f"{bracketed(parts.hostname)}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        for listener, listen in (("gateway", settings.gateway.listen), ("console", settings.console.listen)):
            if _leads_to(named, listen):
                problem = f"{url} is the coordinator's own {listener}.listen ({listen}): it would ask itself"
                yield Mismatch(key=key, problem=problem, expected="an address of the real agbot")


def _leads_to(named: str, listen: str) -> bool:
    """Whether this address is surely one of our listeners; another host may have the same port."""
    # a listener on 0.0.0.0 has this port on this machine only
    local = f"127.0.0.1:{named.rpartition(':')[2]}" if named.startswith("localhost:") else named
    return local == listen or (not goes_in_clear(f"http://{named}") and is_same_socket(local, listen))


def _gateway(gateway: GatewaySettings) -> Iterator[Mismatch]:
    yield from _pair("gateway", gateway.certificate_file, gateway.key_file, "both, or neither for plain HTTP")
    if not gateway.certificate_file and goes_in_clear(f"http://{gateway.listen}"):
        yield Mismatch(
            key="gateway.certificate_file",
            problem=f"{gateway.listen} is open to other machines over plain HTTP: agents send the tokens of their nodes",
            expected="certificate_file and key_file, or a listen address that only a TLS proxy reaches",
            is_warning=True,
            other="gateway.listen",
        )


def _console(console: ConsoleSettings) -> Iterator[Mismatch]:
    if goes_in_clear(f"http://{console.listen}"):
        yield Mismatch(
            key="console.listen",
            problem=f"{console.listen} is open to other machines without TLS: anyone who reaches it can read the state, "
            "and the operator token would cross the network in clear text",
            expected='"127.0.0.1:8084", behind a proxy with TLS',
            is_warning=True,
        )


def _pair(section: str, certificate: Path | None, key: Path | None, expected: str) -> Iterator[Mismatch]:
    if certificate is None or key is None:
        if certificate or key:
            missing = "key_file" if certificate else "certificate_file"
            problem = "it is not set, but the other half of the pair is set"
            yield Mismatch(key=f"{section}.{missing}", problem=problem, expected=expected)
        return
    if open_key := why_open(key):
        yield Mismatch(key=f"{section}.key_file", problem=open_key, expected=closed(key), is_warning=True)
    try:
        pairs.load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key)
    except pairs.PairError as error:
        yield Mismatch(key=f"{section}.key_file", problem=str(error), expected=error.step)


def _store(settings: Settings) -> Iterator[Mismatch]:
    store = settings.store
    if store.url and find_spec("psycopg") is None:
        yield Mismatch(
            key="store.url",
            problem="the package psycopg is not installed, which the store on PostgreSQL needs",
            expected="pip install 'agbot[postgres]', or no url",
        )
    if settings.agbot.database and not settings.agbot.api and find_spec("psycopg") is None:
        yield Mismatch(
            key="agbot.database",
            problem="the package psycopg is not installed, which the agbot's database needs",
            expected="pip install 'agbot[postgres]', or [agbot] api in place of it",
        )
    if settings.guard.enabled and not store.url:
        yield Mismatch(
            key="store.url", problem="it is not set, but the guard is enabled", expected="the agbot's database"
        )
    if store.password_file and not store.url:
        yield Mismatch(key="store.url", problem="it is not set, but a password is set", expected="the database")


def _mqtt(mqtt: MqttSettings) -> Iterator[Mismatch]:
    yield from _pair("mqtt", mqtt.certificate_file, mqtt.key_file, "both, or neither")
    if not mqtt.host:
        return
    for key, value in (("ca_file", mqtt.ca_file), ("certificate_file", mqtt.certificate_file)):
        if value and not mqtt.tls:
            yield Mismatch(key=f"mqtt.{key}", problem="it is set, but tls is off", expected="tls = true")
    if mqtt.password_file and not mqtt.username:
        yield Mismatch(
            key="mqtt.username", problem="it is not set, but a password is set", expected="the password's user"
        )
    if mqtt.username and not mqtt.tls and goes_in_clear(f"http://{bracketed(mqtt.host)}"):
        problem = "off: the password would cross the network in clear text"
        yield Mismatch(key="mqtt.tls", problem=problem, expected="true", is_warning=True)


def _webhook(webhook: WebhookSettings) -> Iterator[Mismatch]:
    in_clear = [url for url in webhook.urls if goes_in_clear(url)]
    if in_clear:
        problem = f"{in_clear[0]} goes to another machine over plain HTTP: events could be read on the way"
        yield Mismatch(key="webhook.urls", problem=problem, expected="https://", is_warning=True)
