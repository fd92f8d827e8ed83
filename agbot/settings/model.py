"""Every setting: its name, unit, default and when to change it.

These classes are the truth. The documented sample `config/agbot.toml`, `agbot check-config` and the tests of the documentation are held
against them. A section of the file is a class, a key is a field, the text under a field is its documentation. Durations carry their unit in
the name. Secrets are given as files (or systemd credentials), never as values in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agbot.settings.origin import Origin

SCOPE: Final = "scope"
"""The table of the file whose sub-tables are scopes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSettings:
    """`[exchange]`: the hub whose nodes are coordinated."""

    url: str = ""
    """Base URL of the Exchange, ending in `/v1`. Environment: HZN_EXCHANGE_URL. Required."""
    identity: str = ""
    """The coordinator's own agbot identity, `org/name`; in org `IBM` it sees every organisation. Do not share the real agbot's: reading the
    change feed counts as a heartbeat. Required."""
    token_file: Path | None = None
    """File with the token of that identity. Default: the systemd credential `exchange-token`. Environment: AGBOT_EXCHANGE_TOKEN_FILE."""
    ca_file: Path | None = None
    """PEM file that signs the Exchange's certificate, if not a public one. Environment: HZN_MGMT_HUB_CERT_PATH."""
    organisations: tuple[str, ...] = ("*",)
    """Organisations to look after; nodes of others are refused (`org-excluded`). `*`: whatever the change feed shows, the real agbot serves
    (`[agbot] identity`), and nodes ask about."""
    poll_seconds: float = 10.0
    """Time between two reads of the change feed while nothing is held and nobody waits."""
    busy_poll_seconds: float = 2.0
    """The same while a lease is held or somebody waits; it bounds the hand-off."""
    heartbeat_seconds: float = 30.0
    """How often the heartbeats of groups with a lease or a waiter are read."""
    resync_seconds: float = 3600.0
    """How often everything is read anew, against drift; spread by a quarter either way."""
    view_max_age_seconds: float = 60.0
    """A picture of the Exchange older than this grants nothing."""
    request_seconds: float = 10.0
    """Longest time of one background request."""
    max_requests_open: int = 8
    """How many background requests may be under way at once. The Exchange serves about 400 node reads per second to everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgbotSettings:
    """`[agbot]`: the real agbot beside which this one works."""

    secure_api: str = ""
    """Base URL of its secure API, to which every route but the two of ours is passed. Empty: those routes answer 502."""
    secure_api_ca_file: Path | None = None
    """PEM file that signs the certificate of its secure API."""
    api: tuple[str, ...] = ()
    """Base URLs of its local API (`APIListen`; 127.0.0.1:8080 in the packaged agbot), tried in order: one for each agbot that shares the
    database. The upgrades that it has begun by itself are known from there, and looked at again before every grant. Empty: of a
    member whose agreement ends it is only known that its service is down. Recommended."""
    identity: str = ""
    """Its identity in the Exchange, `org/name`: the organisations that it serves are looked after too."""
    request_seconds: float = 1.0
    """Longest time of one look at its local API, for both lists and all addresses together. A question waits for it, so it is less than
    `[gateway] answer_seconds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """`[gateway]`: the listener that the agents' HZN_AGBOT_URL names."""

    listen: str = "0.0.0.0:8083"
    """Host and port."""
    certificate_file: Path | None = None
    """TLS certificate chain (PEM). With `key_file`; without both, plain HTTP."""
    key_file: Path | None = None
    """TLS private key (PEM)."""
    answer_seconds: float = 3.0
    """A question is answered within this time, whatever the Exchange does. An agent gives up after 20 s and then asks every 10 s."""
    quiet_refusals: bool = False
    """Answer "not yet" as HTTP 201 with code "409": the only form that writes no error line on the node. Only for unmodified agents."""
    remember_seconds: float = 300.0
    """How long a node's authentication is remembered for refusals. A grant always asks the Exchange."""
    max_open: int = 2000
    """How many questions may be open at once, and half as many of those that are passed on; each client has a fair share. More are told to
    ask again."""
    questions_per_minute: int = 120
    """How many questions of one node go to the Exchange in a minute; more are told to ask again. An agent asks once a minute for each
    policy that it has downloaded; a refusal from memory is not counted."""
    request_seconds: float = 10.0
    """A request must have arrived completely within this time."""
    max_body_bytes: int = 10_485_760
    """Largest body that is passed through. A question has none."""
    max_header_bytes: int = 16_384
    """Largest request line or header field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings:
    """`[console]`: the operators' listener."""

    listen: str = "127.0.0.1:8084"
    """Host and port for health, metrics and the API."""
    token_file: Path | None = None
    """File with the token that writing needs. Default: the systemd credential `operator-token`. Without one, writing is off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """`[store]`: where leases live."""

    path: Path = Path("/var/lib/agbot/agbot.db")
    """The SQLite file. A lock beside it refuses a second daemon. Environment: AGBOT_STORE_PATH."""
    journal_days: float = 30.0
    """How long decisions are kept, and with them what an absent broker or webhook has not been told yet."""
    journal_megabytes: float = 256.0
    """How much room they may take at any moment: the oldest go first. 0: no limit. The file does not shrink; what is freed is reused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """`[mqtt]`: the broker that is told every event and the state of every group. Off while `host` is empty."""

    host: str = ""
    """Name or address of the broker. Empty: nothing is told over MQTT."""
    port: int = 1883
    """Port of the broker; with TLS usually 8883."""
    tls: bool = False
    """Speak TLS and check the broker's certificate."""
    ca_file: Path | None = None
    """PEM file that signs the broker's certificate, if not a public one."""
    certificate_file: Path | None = None
    """Client certificate chain (PEM), where the broker asks for one. With `key_file`."""
    key_file: Path | None = None
    """Private key (PEM) of the client certificate."""
    username: str = ""
    """User name at the broker. Empty: none is sent."""
    password_file: Path | None = None
    """File with the password of that user. Default: the systemd credential `mqtt-password`."""
    protocol: str = "5"
    """Version of MQTT: `5` or `3.1.1`."""
    prefix: str = "agbot"
    """What every topic begins with. Two coordinators on one broker need different ones."""
    client_id: str = ""
    """Client id at the broker, which must be the coordinator's alone. Empty: the prefix and the host's name."""
    keepalive_seconds: int = 30
    """A broker that is silent for longer than this is taken for gone, and takes us for gone after half as long again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """`[webhook]`: addresses to which every event is posted, signed. Off while `urls` is empty."""

    urls: tuple[str, ...] = ()
    """Addresses without user, password or query. Each gets every event in order, however the others do."""
    secret_file: Path | None = None
    """File with the secret that signs. Default: the systemd credential `webhook-secret`. Required with `urls`."""
    ca_file: Path | None = None
    """PEM file that signs the receivers' certificates, if not public ones."""
    timeout_seconds: float = 10.0
    """An attempt that has not been answered within this time has failed and is repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """`[log]`: what is written to standard error."""

    level: str = "info"
    """debug, info, warning or error."""
    format: str = "auto"
    """`json`, `console`, or `auto`: console on a terminal, JSON lines otherwise (with a priority prefix under journald)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """`[rules]`: the limits that hold for every group, unless a scope says otherwise. Each is explained in `agbot.rules.limits`."""

    lease_seconds: float = 600.0
    """A lease without fresh evidence expires after this long."""
    confirm_seconds: float = 180.0
    """A grant whose node shows no active status within this time is taken back."""
    failure_grace_seconds: float = 120.0
    """How long `failed` must stand before it ends a lease."""
    reset_grace_seconds: float = 600.0
    """How long a reset must stand before it ends a lease: the install script may run all the same."""
    max_upgrade_seconds: float = 7200.0
    """Heartbeats, and reports of what was reported before, keep a lease only until this long after the last news."""
    dead_after_seconds: float = 1800.0
    """A suspect lease whose holder is silent for longer than this is released as `expired`. Twice this is the
    longest heartbeat interval that is believed."""
    heartbeat_stale_seconds: float = 300.0
    """A member silent for longer than this (or twice its own interval) does not count as available."""
    min_available: int = 1
    """How many other members must be available before one goes down for an agent upgrade."""
    min_available_percent: float = 0.0
    """The same as a share of the whole group, rounded up; the larger of the two counts."""
    services_must_run: bool = True
    """Whether a member with a container that it reports and that does not run is unavailable to those who run the same service. Turn
    it off for services whose containers end by design."""
    order: str = "asked"
    """Who goes first among those who ask: `asked` (whoever asks first, nobody twice while another waits), `name`, `oldest-version`, or
    `property:NAME` (the value of that property in the node policy, such as a zone; nodes without it last)."""
    org_brake_groups: int = 3
    """A release that failed in this many groups of an organisation begins in none of the others. 0: only a share stops it."""
    org_brake_percent: float = 0.0
    """The same as a share of the organisation's groups. 0: only the number stops it."""
    max_groups_in_org: int = 0
    """How many groups of the organisation may upgrade at once. 0: any number."""
    max_groups_in_fleet: int = 0
    """How many groups of all organisations may upgrade at once. 0: any number."""
    canary_percent: float = 0.0
    """The share of the organisation's groups that goes first with a release; the others wait until those have finished. 0: no canary."""
    approval: bool = False
    """Whether a person has to approve a release before the first member of a group begins it."""
    agent_soak_seconds: float = 0.0
    """Rest of a group after a successful agent upgrade."""
    service_soak_seconds: float = 60.0
    """Rest of a group after a successful service upgrade."""
    rest_proof_seconds: float = 900.0
    """How long the next member waits for the upgraded one to be seen healthy."""
    version_proof_seconds: float = 600.0
    """How long a node that reported success may run another agent version than it reported, before that counts as failed. 0: for ever."""
    ask_period_seconds: float = 60.0
    """How often agents ask. A waiter silent for three periods is gone."""
    windows: tuple[str, ...] = ()
    """Maintenance windows such as "sat,sun 22:00-04:00 Europe/Berlin". None: always open."""


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
    rules: RuleSettings = field(default_factory=RuleSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    webhook: WebhookSettings = field(default_factory=WebhookSettings)
    scopes: tuple[Scope, ...] = ()
    """In the order of the file."""
    log: LogSettings = field(default_factory=LogSettings)
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False)
    """Where each value was written, by `section.key`; a default is not among them."""
