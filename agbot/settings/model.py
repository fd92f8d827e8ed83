"""Every setting: its name, unit, default and documentation.

These classes are the source; the documented sample `config/agbot.toml`, the page `docs/settings.md`
and the checks derive from them. A section of the file is a class, a key is a field, the text under
a field is its documentation, and its annotations say what it may be. `[rules]` is
`agbot.rules.limits.Limits`. Durations carry their unit in the name. Secrets are given as files (or
systemd credentials), never as values in the file.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta

from agbot.rules.limits import Count, Limits, Seconds, SecondsOrNone
from agbot.settings.checks import (
    CERTIFICATES,
    DATABASE,
    EXCHANGE_URL,
    IDENTITY,
    LISTEN,
    LOCAL_APIS,
    NAME,
    ORGANISATIONS,
    PEM,
    SCHEMA,
    URL,
    Example,
    one_of,
)
from agbot.settings.problems import Origin
from agbot.settings.receiving import MqttSettings, NotifySettings, WebhookSettings
from agbot.settings.running import LogSettings, RunSettings

SCOPE: Final = "scope"
"""The table whose sub-tables are scopes."""

AGENT_PATIENCE_SECONDS: Final = 20
"""Agents time out a question after this long (`HTTPRequestTimeoutS`, capped at 20 s) and then retry
in a loop."""

_AtLeastOne = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSettings:
    """`[exchange]`: the Exchange of the hub."""

    url: Annotated[str, EXCHANGE_URL, Example("https://hub.example.com/edge-exchange/v1")] = ""
    """Base URL of the Exchange, ending in `/v1`. Environment: HZN_EXCHANGE_URL. Required."""
    identity: Annotated[str, IDENTITY, Example("IBM/upgrade-coordinator")] = ""
    """The coordinator's own agbot identity, `org/name`; in org `IBM` it sees every organisation. Do
    not use the real agbot's identity: reading the change feed counts as its heartbeat. Required."""
    token_file: Annotated[Path | None, Example("/etc/agbot/exchange-token")] = None
    """File with the token of that identity. Default: the systemd credential `exchange-token`.
    Environment: AGBOT_EXCHANGE_TOKEN_FILE."""
    ca_file: Annotated[Path | None, CERTIFICATES, Example("/etc/agbot/hub.crt")] = None
    """PEM file of the authority that signs the Exchange's certificate, if it is not a public one.
    Environment: HZN_MGMT_HUB_CERT_PATH."""
    organisations: Annotated[tuple[str, ...], ORGANISATIONS] = ("*",)
    """Organisations to coordinate; nodes of others are refused (`org-excluded`). `*`: all that
    appear in the change feed, that the real agbot serves (`[agbot] identity`), or that nodes ask
    from."""
    poll_seconds: Seconds = 10.0
    """Interval between two reads of the change feed while no lease is held and no node waits."""
    busy_poll_seconds: Seconds = 2.0
    """The same while a lease is held or a node waits; it bounds the time of a hand-off."""
    heartbeat_seconds: Seconds = 30.0
    """Interval between two reads of the heartbeats of groups with a lease or a waiter."""
    resync_seconds: Seconds = 3600.0
    """Interval between two full reads of an organisation, against drift; randomised by a quarter
    either way."""
    view_max_age_seconds: Seconds = 60.0
    """Nothing is granted on a picture of the Exchange that is older than this."""
    request_seconds: Seconds = 10.0
    """Timeout of one background request."""
    max_requests_open: _AtLeastOne = 8
    """Maximum number of concurrent background requests. An Exchange answers about 400 node reads
    per second in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgbotSettings:
    """`[agbot]`: the real agbot, beside which the coordinator runs."""

    secure_api: Annotated[str, URL] = ""
    """Base URL of its secure API, to which every request that is not a question is passed through.
    Empty: such requests are answered with 502."""
    secure_api_ca_file: Annotated[Path | None, CERTIFICATES, Example("/etc/agbot/hub.crt")] = None
    """PEM file of the authority that signs the certificate of its secure API."""
    api: Annotated[tuple[str, ...], LOCAL_APIS] = ()
    """Base URLs of its local API (`APIListen`; 127.0.0.1:8080 in the packaged agbot), tried in
    order: one for each agbot that shares the database. The coordinator reads there which upgrades
    the agbot has begun by itself, before every grant too. Empty: of a member whose agreement ends
    it is only known that its service is down. Recommended."""
    database: Annotated[str, DATABASE, Example("postgresql://reader@db.example.com/agbot")] = ""
    """Its PostgreSQL database, for hubs on which `api` cannot be reached; with `api` only `agbot
    doctor` uses it. The role needs SELECT on `ha_group_updates` and `ha_workload_upgrade`, and for
    shadow mode on `workload_usages`. libpq finds the password (PGPASSFILE). Needs the extra
    `postgres`."""
    identity: Annotated[str, IDENTITY] = ""
    """Its identity in the Exchange, `org/name`: the organisations that it serves are coordinated
    too."""
    request_seconds: Seconds = 1.0
    """Timeout of one read of its local API, for both lists and all addresses together. Less than
    `[gateway] answer_seconds`, because a question waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """`[gateway]`: the listener for agents (their HZN_AGBOT_URL) and agbots."""

    listen: Annotated[str, LISTEN] = "0.0.0.0:8083"
    """Host and port. `0.0.0.0` is every IPv4 address of this machine, `[::]` every address."""
    certificate_file: Annotated[Path | None, PEM, Example("/etc/agbot/tls.crt")] = None
    """TLS certificate chain (PEM), together with `key_file`. Without both: plain HTTP."""
    key_file: Annotated[Path | None, PEM, Example("/etc/agbot/tls.key")] = None
    """TLS private key (PEM)."""
    answer_seconds: Annotated[float, Meta(gt=0, lt=AGENT_PATIENCE_SECONDS)] = 3.0
    """A question is answered within this time, whatever the Exchange does. An agent times out after
    20 s and then asks every 10 s."""
    quiet_refusals: bool = False
    """Answer a refusal as HTTP 201 with code "409", the only form that does not log an error on the
    node. For unmodified agents only."""
    fleetlock: bool = False
    """Answer FleetLock, by which hosts ask before they reboot for an upgrade of their operating
    system (`/v1/pre-reboot` and `/v1/steady-state`; Zincati and others). A host logs in as its
    node, and a reboot takes the same lease. See docs/fleetlock.md."""
    remember_seconds: SecondsOrNone = 300.0
    """How long the authentication of a node is remembered for refusals. For a grant the Exchange is
    always asked."""
    max_open: _AtLeastOne = 2000
    """Maximum number of open questions; half as many requests may be passed through. Each client
    has a fair share. Further questions are refused as `busy`."""
    questions_per_minute: _AtLeastOne = 120
    """Maximum number of questions of one node per minute that go to the Exchange; further ones are
    refused as `busy`. An agent asks once a minute for each policy that it has downloaded. A refusal
    from memory is not counted."""
    request_seconds: Seconds = 10.0
    """Timeout for a request to arrive completely, for a TLS handshake, and for a client to take a
    part of its answer."""
    max_body_bytes: Count = 10_485_760
    """Maximum size of a body that is passed through. A question has none."""
    max_header_bytes: Annotated[int, Meta(ge=1024)] = 16_384
    """Maximum size of the request line and of a header field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings:
    """`[console]`: the operators' listener."""

    listen: Annotated[str, LISTEN] = "127.0.0.1:8084"
    """Host and port for health, metrics and the API."""
    token_file: Annotated[Path | None, Example("/etc/agbot/operator-token")] = None
    """File with the operator token, which requests that change something need. Default: the systemd
    credential `operator-token`. Without one, such requests are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """`[store]`: the lease store."""

    path: Path = Path("/var/lib/agbot/agbot.db")
    """The SQLite file. A lock file beside it keeps a second daemon out. Not used with `url`.
    Environment: AGBOT_STORE_PATH."""
    url: Annotated[str, DATABASE, Example("postgresql://agbot@db.example.com/agbot?sslmode=verify-full")] = ""
    """Address of a PostgreSQL database (13 to 18) in place of the file, as libpq takes it, with its
    TLS parameters and several hosts; without a password. Several coordinators may share it, and the
    guard needs it. Empty: the file."""
    schema: Annotated[str, SCHEMA] = "agbot_ha"
    """Schema in that database, created if the user may; it can be beside the agbot's own tables.
    Another one is another store."""
    password_file: Annotated[Path | None, Example("/etc/agbot/store-password")] = None
    """File with the password of the user in `url`. Default: the systemd credential
    `store-password`; without either, libpq's own ways, such as a client certificate or a peer."""
    journal_days: Annotated[float, Meta(gt=0, le=36_500)] = 30.0
    """How long the journal keeps events, and so how long an absent broker or webhook can still
    receive them."""
    journal_megabytes: Annotated[float, Meta(ge=0)] = 256.0
    """Maximum size of the journal; the oldest events are deleted first. 0: no limit. The file does
    not shrink; freed space is reused."""

    @property
    def where(self) -> str:
        """The database, without a password, or the file."""
        return self.url or str(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadershipSettings:
    """`[leadership]`: several coordinators on one PostgreSQL store, of which one leads.

    The others stand by, and forward questions and operators' requests to the leader. Without effect
    on SQLite.
    """

    name: Annotated[str, NAME, Example("hub-1")] = ""
    """Name of this coordinator among those on the same store, each another. Empty: the host
    name."""
    gateway_url: Annotated[str, URL, Example("https://hub-1.example.com:8083")] = ""
    """Where the other coordinators reach this one's `[gateway] listen`, to forward questions with
    their credentials. Never the address of a load balancer."""
    console_url: Annotated[str, URL, Example("http://10.0.0.1:8084")] = ""
    """Where they reach its `[console] listen`, to forward operators' requests with the operator
    token. Empty: such a request is answered with the name of the leader."""
    ca_file: Annotated[Path | None, CERTIFICATES, Example("/etc/agbot/hub.crt")] = None
    """PEM file of the authority that signs the other coordinators' certificates, if it is not a
    public one."""
    ttl_seconds: Annotated[float, Meta(ge=2, le=60)] = 8.0
    """After so long without a renewal another coordinator may lead. A leader that cannot renew
    stops granting after four fifths of it."""
    renew_seconds: Annotated[float, Meta(ge=0.2, le=20)] = 2.0
    """Interval between two renewals; at most a third of `ttl_seconds`."""

    @property
    def own_name(self) -> str:
        """The name that is used."""
        return self.name or socket.gethostname()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """`[guard]`: triggers in the agbot's own database that decide its upgrades by the leases.

    They are installed by `agbot guard install`, and need `[store] url` to name that database.
    """

    enabled: bool = False
    """Whether the coordinator answers what the triggers refuse, and takes in what they grant. Set
    it before the triggers are installed, because they keep every upgrade waiting until then."""
    agbot_schema: Annotated[str, SCHEMA] = "public"
    """Schema of the agbot's tables."""
    agents_without_leader: Annotated[str, one_of("wait", "go")] = "wait"
    """What the triggers do with an agent upgrade while no coordinator leads, if nothing is known
    against it and no other upgrade of its group holds the lease: `wait` or `go`."""
    services_without_leader: Annotated[str, one_of("wait", "go")] = "wait"
    """The same for a service upgrade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """`[scope."…"]`: keys of `[rules]`, each optional, for matching organisations or groups.

    A name without a slash matches organisations (`o1`, `east-*`), one with a slash groups
    (`o1/edge-*`, `*/canary-*`); `*` matches any characters, `?` one. Scopes of organisations
    override `[rules]` and its environment, scopes of groups override those of organisations, and of
    two of the same kind the later in the file wins, key by key. `agbot check-config FILE
    --effective ORG/GROUP` shows the result.
    """

    pattern: str
    values: Mapping[str, Any]
    """The keys that are written there, and no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings. A field whose type is a class above is a section."""

    run: RunSettings = field(default_factory=RunSettings)
    exchange: ExchangeSettings = field(default_factory=ExchangeSettings)
    agbot: AgbotSettings = field(default_factory=AgbotSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    leadership: LeadershipSettings = field(default_factory=LeadershipSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    rules: Limits = field(default_factory=Limits)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    webhook: WebhookSettings = field(default_factory=WebhookSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)
    scopes: tuple[Scope, ...] = ()
    """In the order of the file."""
    log: LogSettings = field(default_factory=LogSettings)
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False)
    """The origin of each value by `section.key`; defaults are not included."""
