"""What the settings mean together: each value may be fine alone and the whole still not work.

Mistakes stop the start; warnings are for what works but is probably not meant.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, combinations
from pathlib import Path
from urllib.parse import urlsplit

from agbot.rules.limits import Limits
from agbot.settings.globs import can_meet
from agbot.settings.model import (
    AgbotSettings,
    ExchangeSettings,
    GatewaySettings,
    MqttSettings,
    Scope,
    Settings,
    WebhookSettings,
)
from agbot.settings.scopes import layered, table_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonsense:
    """What does not go together, told at the key that is to be changed."""

    key: str
    problem: str
    expected: str = ""
    is_warning: bool = False
    other: str = ""
    """The key of `[rules]` that it was measured against, when there is one."""


def nonsense(settings: Settings) -> Iterator[Nonsense]:
    """Find everything that does not go together."""
    yield from _exchange(settings.exchange, settings.agbot)
    yield from _agbot(settings)
    yield from _gateway(settings.gateway)
    yield from _rules(settings.rules, settings.exchange)
    yield from _scopes(settings)
    yield from _mqtt(settings.mqtt)
    yield from _webhook(settings.webhook)
    if _same_socket(settings.gateway.listen, settings.console.listen):
        problem = f"{settings.console.listen} is the gateway's address as well"
        yield Nonsense(key="console.listen", problem=problem, expected="a port of its own")


def _exchange(exchange: ExchangeSettings, agbot: AgbotSettings) -> Iterator[Nonsense]:
    if not exchange.url:
        yield Nonsense(
            key="exchange.url",
            problem="it is not set",
            expected="the hub's Exchange, or HZN_EXCHANGE_URL in the environment",
        )
    if not exchange.identity:
        yield Nonsense(
            key="exchange.identity",
            problem="it is not set",
            expected="org/name of an agbot identity of the coordinator's own",
        )
    if exchange.identity and exchange.identity == agbot.identity:
        yield Nonsense(
            key="exchange.identity",
            problem="it is the real agbot's own: reading the change feed would count as that agbot's heartbeat",
            expected="an agbot identity of the coordinator's own",
        )
    if exchange.busy_poll_seconds > exchange.poll_seconds:
        yield Nonsense(
            key="exchange.busy_poll_seconds",
            problem=f"{exchange.busy_poll_seconds:g} is more than poll_seconds ({exchange.poll_seconds:g})",
            expected="poll_seconds or less",
        )
    if exchange.view_max_age_seconds <= exchange.poll_seconds:
        yield Nonsense(
            key="exchange.view_max_age_seconds",
            problem=f"{exchange.view_max_age_seconds:g} is not more than poll_seconds ({exchange.poll_seconds:g}): "
            "nothing would be granted",
            expected="several times poll_seconds",
        )
    if not exchange.organisations and not agbot.identity:
        yield Nonsense(
            key="exchange.organisations",
            problem="it is empty and [agbot] identity is not set",
            expected='an organisation, "*", or [agbot] identity',
        )
    if goes_in_clear(exchange.url):
        yield Nonsense(
            key="exchange.url",
            problem="http:// to another machine: every node's token would cross the network readable",
            expected="https://",
            is_warning=True,
        )


def _agbot(settings: Settings) -> Iterator[Nonsense]:
    agbot, gateway = settings.agbot, settings.gateway
    if goes_in_clear(agbot.secure_api):
        yield Nonsense(
            key="agbot.secure_api",
            problem="http:// to another machine: credentials that are passed on would cross the network readable",
            expected="https://",
            is_warning=True,
        )
    yield from _ours("agbot.secure_api", [agbot.secure_api], settings)
    yield from _ours("agbot.api", agbot.api, settings)
    if agbot.secure_api and not agbot.api:
        yield Nonsense(
            key="agbot.api",
            problem="it is not set: upgrades that the agbot begins by itself are seen late, and without their policy",
            expected='its local API, such as ["http://127.0.0.1:8080"]; for each agbot that shares the database one',
            is_warning=True,
        )
    if agbot.secure_api and agbot.secure_api.rstrip("/") in {each.rstrip("/") for each in agbot.api}:
        problem = f"{agbot.secure_api} is its secure API, which knows nothing of upgrades under way"
        yield Nonsense(key="agbot.api", problem=problem, expected="its local API (APIListen)")
    in_clear = next((each for each in agbot.api if goes_in_clear(each)), None)
    if in_clear:
        yield Nonsense(
            key="agbot.api",
            problem=f"{in_clear} is on another machine: that API asks for no credentials, so whoever reaches it can "
            "empty the agbot's lists",
            expected="a network of their own, or a tunnel",
            is_warning=True,
        )
    if agbot.api and agbot.request_seconds >= gateway.answer_seconds:
        yield Nonsense(
            key="agbot.request_seconds",
            problem=f"{agbot.request_seconds:g} is not less than gateway.answer_seconds ({gateway.answer_seconds:g}): "
            "a hanging agbot would be told as a slow Exchange",
            expected="less than gateway.answer_seconds",
        )


def _ours(key: str, urls: Iterable[str], settings: Settings) -> Iterator[Nonsense]:
    """Find addresses that lead back to our own listeners."""
    for url in urls:
        parts = urlsplit(url)
        if not parts.hostname:
            continue
        named = f"{_bracketed(parts.hostname)}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        for listener, listen in (("gateway", settings.gateway.listen), ("console", settings.console.listen)):
            if _leads_to(named, listen):
                problem = f"{url} is our own {listener}.listen ({listen}): we would ask ourselves"
                yield Nonsense(key=key, problem=problem, expected="an address of the real agbot")


def _leads_to(named: str, listen: str) -> bool:
    """Tell whether this address reaches a listener of ours; a name other than localhost may be any machine."""
    host, _, _ = named.rpartition(":")
    return _same_socket(named.replace("localhost:", "127.0.0.1:") if host == "localhost" else named, listen)


def _gateway(gateway: GatewaySettings) -> Iterator[Nonsense]:
    yield from _pair("gateway", gateway.certificate_file, gateway.key_file, "both, or neither for plain HTTP")


def _pair(section: str, certificate: Path | None, key: Path | None, expected: str) -> Iterator[Nonsense]:
    if certificate is None or key is None:
        if certificate or key:
            missing = "key_file" if certificate else "certificate_file"
            problem = "it is not set, but the other half of the pair is"
            yield Nonsense(key=f"{section}.{missing}", problem=problem, expected=expected)
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # The empty password keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        yield Nonsense(
            key=f"{section}.key_file",
            problem=f"certificate and key cannot be used together: {error}",
            expected="the unencrypted key of that certificate",
        )


def _rules(rules: Limits, exchange: ExchangeSettings) -> Iterator[Nonsense]:
    for key, value, least, other in (
        ("lease_seconds", rules.lease_seconds, exchange.heartbeat_seconds, "exchange.heartbeat_seconds"),
        ("confirm_seconds", rules.confirm_seconds, exchange.poll_seconds, "exchange.poll_seconds"),
        ("dead_after_seconds", rules.dead_after_seconds, rules.heartbeat_stale_seconds, "heartbeat_stale_seconds"),
        ("max_upgrade_seconds", rules.max_upgrade_seconds, rules.lease_seconds, "lease_seconds"),
    ):
        if value < least:
            problem = f"{value:g} is less than {other} ({least:g})"
            yield Nonsense(key=f"rules.{key}", problem=problem, expected=f"{other} or more", other=other)
    if rules.confirm_seconds < rules.ask_period_seconds:
        yield Nonsense(
            key="rules.confirm_seconds",
            problem=f"{rules.confirm_seconds:g} is less than ask_period_seconds ({rules.ask_period_seconds:g}): "
            "a slow agent would lose its turn before it has begun",
            expected="about three times ask_period_seconds",
            is_warning=True,
            other="ask_period_seconds",
        )
    if rules.min_available == 0:
        yield Nonsense(
            key="rules.min_available",
            problem="0: an agent upgrade may take down the last member that is available",
            expected="1 or more",
            is_warning=True,
        )


def _scopes(settings: Settings) -> Iterator[Nonsense]:
    """Judge each scope over `[rules]`, and any two that can hold for the same group: a rule compares no more than two values."""
    alone = ((scope,) for scope in settings.scopes)
    for scopes in chain(alone, combinations(settings.scopes, 2)):
        yield from _together(settings, scopes)


def _together(settings: Settings, scopes: tuple[Scope, ...]) -> Iterator[Nonsense]:
    """Find what goes wrong only where all of these scopes hold, and tell it at a key that stands in one of them."""
    rules, winners = layered(settings.rules, scopes)
    for found in _rules(rules, settings.exchange):
        name = found.key.removeprefix("rules.")
        setters = {each: winners[each] for each in (name, found.other) if each in winners}
        if {id(scope) for scope in setters.values()} != {id(scope) for scope in scopes}:
            continue
        if not all(can_meet(*(scope.pattern for scope in pair)) for pair in combinations(scopes, 2)):
            continue
        told_at = next(iter(setters))
        tables = [f"[{table_of(scope)}]" for scope in scopes]
        where = f" where {' and '.join(tables)} meet" if len(tables) > 1 else ""
        yield replace(
            found,
            key=f"{table_of(setters[told_at])}.{told_at}",
            problem=f"{'' if told_at == name else f'{name}: '}{found.problem}{where}",
            expected=f"{'' if told_at == name else f'{name}: '}{found.expected}",
        )


def _mqtt(mqtt: MqttSettings) -> Iterator[Nonsense]:
    yield from _pair("mqtt", mqtt.certificate_file, mqtt.key_file, "both, or neither")
    if not mqtt.host:
        return
    for key, value in (("ca_file", mqtt.ca_file), ("certificate_file", mqtt.certificate_file)):
        if value and not mqtt.tls:
            yield Nonsense(key=f"mqtt.{key}", problem="it is set, but tls is off", expected="tls = true")
    if mqtt.password_file and not mqtt.username:
        yield Nonsense(key="mqtt.username", problem="it is not set, but a password is", expected="the password's user")
    if mqtt.username and not mqtt.tls and goes_in_clear(f"http://{_bracketed(mqtt.host)}"):
        problem = "off: the password would cross the network readable"
        yield Nonsense(key="mqtt.tls", problem=problem, expected="true", is_warning=True)


def _webhook(webhook: WebhookSettings) -> Iterator[Nonsense]:
    in_clear = [url for url in webhook.urls if goes_in_clear(url)]
    if in_clear:
        problem = f"{in_clear[0]} goes to another machine: everybody on the way could read what happens"
        yield Nonsense(key="webhook.urls", problem=problem, expected="https://", is_warning=True)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def goes_in_clear(url: str) -> bool:
    """Tell whether this is plain HTTP to another machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme != "http" or not host or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


def _same_socket(one: str, other: str) -> bool:
    one_host, _, one_port = one.rpartition(":")
    other_host, _, other_port = other.rpartition(":")
    everywhere = {"0.0.0.0", "[::]"}  # noqa: S104 - compared with, not listened on
    return one_port == other_port != "0" and (one_host == other_host or bool({one_host, other_host} & everywhere))
