"""Every setting: its name, unit, default and when to change it.

These classes are the truth; the documented sample `config/agbot.toml`, the page `docs/settings.md` and the checks derive
from them. A section of the file is a class, a key is a field, the text under a field is its documentation, and its
annotations say what it may be. `[rules]` is `agbot.rules.limits.Limits`. Durations carry their unit in the name. Secrets
are given as files (or systemd credentials), never as values in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta

from agbot.rules.limits import Count, Limits, Seconds, SecondsOrNone
from agbot.settings.checks import (
    CERTIFICATES,
    EXCHANGE_URL,
    HOST,
    IDENTITY,
    LISTEN,
    LOCAL_APIS,
    ORGANISATIONS,
    PEM,
    TOPIC_PREFIX,
    URL,
    WEBHOOKS,
    Example,
    one_of,
)
from agbot.settings.origin import Origin

SCOPE: Final = "scope"
"""The table of the file whose sub-tables are scopes."""

AGENT_PATIENCE_SECONDS: Final = 20
"""Agents give up a question after this long (`HTTPRequestTimeoutS`, cut to 20 s) and then ask in a loop."""

AtLeastOne = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSettings:
    """`[exchange]`: the hub whose nodes are coordinated."""

    url: Annotated[str, EXCHANGE_URL, Example("https://hub.example.com/edge-exchange/v1")] = ""
    """Base URL of the Exchange, ending in `/v1`. Environment: HZN_EXCHANGE_URL. Required."""
    identity: Annotated[str, IDENTITY, Example("IBM/upgrade-coordinator")] = ""
    """The coordinator's own agbot identity, `org/name`; in org `IBM` it sees every organisation. Do not share the real agbot's: reading the
    change feed counts as a heartbeat. Required."""
    token_file: Annotated[Path | None, Example("/etc/agbot/exchange-token")] = None
    """File with the token of that identity. Default: the systemd credential `exchange-token`. Environment: AGBOT_EXCHANGE_TOKEN_FILE."""
    ca_file: Annotated[Path | None, CERTIFICATES, Example("/etc/agbot/hub.crt")] = None
    """PEM file that signs the Exchange's certificate, if not a public one. Environment: HZN_MGMT_HUB_CERT_PATH."""
    organisations: Annotated[tuple[str, ...], ORGANISATIONS] = ("*",)
    """Organisations to look after; nodes of others are refused (`org-excluded`). `*`: whatever the change feed shows, the real agbot serves
    (`[agbot] identity`), and nodes ask about."""
    poll_seconds: Seconds = 10.0
    """Time between two reads of the change feed while nothing is held and nobody waits."""
    busy_poll_seconds: Seconds = 2.0
    """The same while a lease is held or somebody waits; it bounds the hand-off."""
    heartbeat_seconds: Seconds = 30.0
    """How often the heartbeats of groups with a lease or a waiter are read."""
    resync_seconds: Seconds = 3600.0
    """How often everything is read anew, against drift; spread by a quarter either way."""
    view_max_age_seconds: Seconds = 60.0
    """A picture of the Exchange older than this grants nothing."""
    request_seconds: Seconds = 10.0
    """Longest time of one background request."""
    max_requests_open: AtLeastOne = 8
    """How many background requests may be under way at once. The Exchange serves about 400 node reads per second to everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgbotSettings:
    """`[agbot]`: the real agbot beside which this one works."""

    secure_api: Annotated[str, URL] = ""
    """Base URL of its secure API, to which every route but the two of ours is passed. Empty: those routes answer 502."""
    secure_api_ca_file: Annotated[Path | None, CERTIFICATES, Example("/etc/agbot/hub.crt")] = None
    """PEM file that signs the certificate of its secure API."""
    api: Annotated[tuple[str, ...], LOCAL_APIS] = ()
    """Base URLs of its local API (`APIListen`; 127.0.0.1:8080 in the packaged agbot), tried in order: one for each agbot that shares the
    database. The upgrades that it has begun by itself are known from there, and looked at again before every grant. Empty: of a
    member whose agreement ends it is only known that its service is down. Recommended."""
    identity: Annotated[str, IDENTITY] = ""
    """Its identity in the Exchange, `org/name`: the organisations that it serves are looked after too."""
    request_seconds: Seconds = 1.0
    """Longest time of one look at its local API, for both lists and all addresses together. A question waits for it, so it is less than
    `[gateway] answer_seconds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """`[gateway]`: the listener that the agents' HZN_AGBOT_URL names."""

    listen: Annotated[str, LISTEN] = "0.0.0.0:8083"
    """Host and port."""
    certificate_file: Annotated[Path | None, PEM, Example("/etc/agbot/tls.crt")] = None
    """TLS certificate chain (PEM). With `key_file`; without both, plain HTTP."""
    key_file: Annotated[Path | None, PEM, Example("/etc/agbot/tls.key")] = None
    """TLS private key (PEM)."""
    answer_seconds: Annotated[float, Meta(gt=0, lt=AGENT_PATIENCE_SECONDS)] = 3.0
    """A question is answered within this time, whatever the Exchange does. An agent gives up after 20 s and then asks every 10 s."""
    quiet_refusals: bool = False
    """Answer "not yet" as HTTP 201 with code "409": the only form that writes no error line on the node. Only for unmodified agents."""
    remember_seconds: SecondsOrNone = 300.0
    """How long a node's authentication is remembered for refusals. A grant always asks the Exchange."""
    max_open: AtLeastOne = 2000
    """How many questions may be open at once, and half as many of those that are passed on; each client has a fair share. More are told to
    ask again."""
    questions_per_minute: AtLeastOne = 120
    """How many questions of one node go to the Exchange in a minute; more are told to ask again. An agent asks once a minute for each
    policy that it has downloaded; a refusal from memory is not counted."""
    request_seconds: Seconds = 10.0
    """A request must have arrived completely within this time; as long may a TLS handshake take, and a client to take a piece of its
    answer."""
    max_body_bytes: Count = 10_485_760
    """Largest body that is passed through. A question has none."""
    max_header_bytes: Annotated[int, Meta(ge=1024)] = 16_384
    """Largest request line or header field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings:
    """`[console]`: the operators' listener."""

    listen: Annotated[str, LISTEN] = "127.0.0.1:8084"
    """Host and port for health, metrics and the API."""
    token_file: Annotated[Path | None, Example("/etc/agbot/operator-token")] = None
    """File with the token that writing needs. Default: the systemd credential `operator-token`. Without one, writing is off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """`[store]`: where leases live."""

    path: Path = Path("/var/lib/agbot/agbot.db")
    """The SQLite file. A lock beside it refuses a second daemon. Environment: AGBOT_STORE_PATH."""
    journal_days: Annotated[float, Meta(gt=0)] = 30.0
    """How long decisions are kept, and with them what an absent broker or webhook has not been told yet."""
    journal_megabytes: Annotated[float, Meta(ge=0)] = 256.0
    """How much room they may take at any moment: the oldest go first. 0: no limit. The file does not shrink; what is freed is reused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """`[mqtt]`: the broker that is told every event and the state of every group. Off while `host` is empty."""

    host: Annotated[str, HOST] = ""
    """Name or address of the broker. Empty: nothing is told over MQTT."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 1883
    """Port of the broker; with TLS usually 8883."""
    tls: bool = False
    """Speak TLS and check the broker's certificate."""
    ca_file: Annotated[Path | None, CERTIFICATES, Example("/etc/agbot/hub.crt")] = None
    """PEM file that signs the broker's certificate, if not a public one."""
    certificate_file: Annotated[Path | None, PEM, Example("/etc/agbot/mqtt.crt")] = None
    """Client certificate chain (PEM), where the broker asks for one. With `key_file`."""
    key_file: Annotated[Path | None, PEM, Example("/etc/agbot/mqtt.key")] = None
    """Private key (PEM) of the client certificate."""
    username: str = ""
    """User name at the broker. Empty: none is sent."""
    password_file: Annotated[Path | None, Example("/etc/agbot/mqtt-password")] = None
    """File with the password of that user. Default: the systemd credential `mqtt-password`."""
    protocol: Annotated[str, one_of("5", "3.1.1")] = "5"
    """Version of MQTT: `5` or `3.1.1`."""
    prefix: Annotated[str, TOPIC_PREFIX] = "agbot"
    """What every topic begins with. Two coordinators on one broker need different ones."""
    client_id: str = ""
    """Client id at the broker, which must be the coordinator's alone. Empty: the prefix and the host's name."""
    keepalive_seconds: Annotated[int, Meta(ge=1, le=65535)] = 30
    """A broker that is silent for longer than this is taken for gone, and takes us for gone after half as long again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """`[webhook]`: addresses to which every event is posted, signed. Off while `urls` is empty."""

    urls: Annotated[tuple[str, ...], WEBHOOKS] = ()
    """Addresses without user, password or query. Each gets every event in order, however the others do."""
    secret_file: Annotated[Path | None, Example("/etc/agbot/webhook-secret")] = None
    """File with the secret that signs. Default: the systemd credential `webhook-secret`. Required with `urls`."""
    ca_file: Annotated[Path | None, CERTIFICATES, Example("/etc/agbot/hub.crt")] = None
    """PEM file that signs the receivers' certificates, if not public ones."""
    timeout_seconds: Seconds = 10.0
    """An attempt that has not been answered within this time has failed and is repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """`[log]`: what is written to standard error."""

    level: Annotated[str, one_of("debug", "info", "warning", "error")] = "info"
    """debug, info, warning or error."""
    format: Annotated[str, one_of("auto", "json", "console")] = "auto"
    """`json`, `console`, or `auto`: console on a terminal, JSON lines otherwise (with a priority prefix under journald)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """`[scope."…"]`: keys of `[rules]`, each optional, for the organisations or groups that the name matches.

    An organisation is named by itself (`o1`, `east-*`), a group with its organisation (`o1/edge-*`, `*/canary-*`); `*` stands for any
    characters, `?` for one. Organisations are stronger than `[rules]` and its environment, groups stronger than organisations, and of
    two of the same kind the later in the file, key by key. `agbot check-config FILE --effective ORG/GROUP` shows what comes of it.
    """

    pattern: str
    values: Mapping[str, Any]
    """What is written there, and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration. A field whose type is a class above is a section."""

    exchange: ExchangeSettings = field(default_factory=ExchangeSettings)
    agbot: AgbotSettings = field(default_factory=AgbotSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    rules: Limits = field(default_factory=Limits)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    webhook: WebhookSettings = field(default_factory=WebhookSettings)
    scopes: tuple[Scope, ...] = ()
    """In the order of the file."""
    log: LogSettings = field(default_factory=LogSettings)
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False)
    """Where each value was written, by `section.key`; a default is not among them."""
