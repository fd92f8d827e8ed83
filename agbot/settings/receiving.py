"""The sections `[mqtt]`, `[webhook]` and `[notify]`: who receives events. See also `model`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from agbot.rules.limits import Seconds
from agbot.settings.checks import (
    CERTIFICATES,
    EVENTS_OF_JOURNAL,
    HOST,
    PEM,
    TOPIC_PREFIX,
    WEBHOOKS,
    Example,
    one_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """`[mqtt]`: the broker to which every event and the state of every group is published.

    Off while `host` is empty.
    """

    host: Annotated[str, HOST] = ""
    """Name or address of the broker. Empty: nothing is published over MQTT."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 1883
    """Port of the broker; with TLS usually 8883."""
    tls: bool = False
    """Use TLS and verify the broker's certificate."""
    ca_file: Annotated[Path | None, CERTIFICATES, Example("/etc/agbot/hub.crt")] = None
    """PEM file of the authority that signs the broker's certificate, if it is not a public one."""
    certificate_file: Annotated[Path | None, PEM, Example("/etc/agbot/mqtt.crt")] = None
    """Client certificate chain (PEM), if the broker requires one. Together with `key_file`."""
    key_file: Annotated[Path | None, PEM, Example("/etc/agbot/mqtt.key")] = None
    """Private key (PEM) of the client certificate."""
    username: str = ""
    """User name at the broker. Empty: none is sent."""
    password_file: Annotated[Path | None, Example("/etc/agbot/mqtt-password")] = None
    """File with the password of that user. Default: the systemd credential `mqtt-password`."""
    protocol: Annotated[str, one_of("5", "3.1.1")] = "5"
    """Version of MQTT: `5` or `3.1.1`."""
    prefix: Annotated[str, TOPIC_PREFIX] = "agbot"
    """The first part of every topic. Two coordinators on one broker need different prefixes."""
    client_id: str = ""
    """Client id at the broker, used by no other client. Empty: the prefix and the host name; on
    PostgreSQL the prefix and `leader`, the same for all coordinators."""
    busy: bool = False
    """Whether the workload of a node may state over MQTT that its agent is not to be upgraded now
    (topic `PREFIX/ORG/NODE/busy`, reason `node-busy`). The broker's access rules decide who may
    do that for which node; see docs/events.md."""
    keepalive_seconds: Annotated[int, Meta(ge=1, le=65535)] = 30
    """The keep-alive interval: a broker silent for longer counts as gone, and so do we after half
    as long again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """`[webhook]`: addresses to which every event is posted, signed. Off while `urls` is empty."""

    urls: Annotated[tuple[str, ...], WEBHOOKS] = ()
    """Addresses without user, password or query. Each receives every event in order, independently
    of the others."""
    secret_file: Annotated[Path | None, Example("/etc/agbot/webhook-secret")] = None
    """File with the signing secret. Default: the systemd credential `webhook-secret`. Required with
    `urls`."""
    ca_file: Annotated[Path | None, CERTIFICATES, Example("/etc/agbot/hub.crt")] = None
    """PEM file of the authority that signs the receivers' certificates, if it is not a public
    one."""
    timeout_seconds: Seconds = 10.0
    """Timeout of one attempt, which is then repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """`[notify]`: messages for chat and mail about the few events that a person has to see.

    These are the events of the journal with the level warning or error. Off without addresses.
    """

    addresses_file: Annotated[Path | None, Example("/etc/agbot/notify-addresses")] = None
    """File with one address of Apprise per line, such as mailto://… or slack://…; they contain
    secrets. Default: the systemd credential `notify-addresses`. Needs agbot[notify]."""
    events: Annotated[tuple[str, ...], EVENTS_OF_JOURNAL] = ()
    """Further events to notify of, such as `lease.released`; docs/events.md lists them."""
