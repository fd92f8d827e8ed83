"""Which other systems are told, as the settings say, and how groups stand for them, from the coordinator's memory."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Collection

from agbot.clock import Clock
from agbot.coordinator.contract import GroupView
from agbot.coordinator.coordinator import Coordinator
from agbot.events.delivery import Count, Deliveries, Sink
from agbot.events.mqtt import Mqtt
from agbot.events.mqtt_connection import Broker, tls_context
from agbot.events.outbox import Outbox
from agbot.events.payload import BrakeState, GroupState, HoldState, MemberState, ReasonState, WaiterState
from agbot.events.topics import Topics
from agbot.events.webhook import Webhook
from agbot.rules.facts import Sight
from agbot.rules.ids import GroupId
from agbot.settings.load import Loaded, Secrets
from agbot.settings.model import MqttSettings, WebhookSettings
from agbot.settings.secret import Secret


def deliveries(loaded: Loaded, outbox: Outbox, clock: Clock, coordinator: Coordinator, count: Count) -> Deliveries:
    """Make a sink for the broker and for each webhook, where the settings name any.

    Raises:
        OSError: a certificate cannot be used.
    """
    settings = loaded.settings
    sinks: list[Sink] = []
    if settings.mqtt.host:
        topics = Topics(settings.mqtt.prefix)
        sinks.append(Mqtt(_broker(settings.mqtt, loaded.secrets), topics, CoordinatorGroups(coordinator), count))
    secret = loaded.secrets.webhook_secret
    if settings.webhook.urls and secret is not None:  # checked settings have one
        sinks.extend(_webhooks(settings.webhook, secret, clock, count))
    return Deliveries(outbox, sinks)


def _broker(mqtt: MqttSettings, secrets: Secrets) -> Broker:
    return Broker(
        host=mqtt.host,
        port=mqtt.port,
        client_id=mqtt.client_id or f"{mqtt.prefix}-{socket.gethostname()}",
        protocol=mqtt.protocol,
        username=mqtt.username,
        password=secrets.mqtt_password,
        tls=tls_context(mqtt.ca_file, mqtt.certificate_file, mqtt.key_file) if mqtt.tls else None,
        keepalive_seconds=mqtt.keepalive_seconds,
    )


def _webhooks(webhook: WebhookSettings, secret: Secret, clock: Clock, count: Count) -> list[Webhook]:
    tls = ssl.create_default_context(cafile=webhook.ca_file) if webhook.ca_file else None
    return [
        Webhook(url, secret, clock, count, timeout_seconds=webhook.timeout_seconds, tls=tls) for url in webhook.urls
    ]


class CoordinatorGroups:
    """How groups stand. See `agbot.events.states.Groups`."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def busy(self) -> Collection[GroupId] | None:
        """Return the groups where something goes on."""
        return self._coordinator.busy_groups()

    def is_gone(self, group: GroupId) -> bool:
        """Whether a group surely does not exist any more."""
        return self._coordinator.lacks(group) is Sight.ABSENT

    def state(self, group: GroupId) -> GroupState | None:
        """Return how a group stands, when it is known."""
        view = self._coordinator.group(group) if self._coordinator.lacks(group) is None else None
        return None if view is None else group_state(view)


def group_state(view: GroupView) -> GroupState:
    """Give other systems what operators see, without what changes with no event."""
    lease = view.lease
    return GroupState(
        group=view.id,
        state=lease.state,
        token=lease.token,
        holder=lease.holder,
        kind=lease.kind,
        subject=lease.subject,
        granted_at=lease.granted_at,
        expires_at=lease.expires_at,
        members=[MemberState(node=each.node, deferred_for=each.deferred_for) for each in view.members],
        waiting=[
            WaiterState(
                node=each.node,
                kind=each.kind,
                subject=each.subject,
                since=each.since,
                reasons=[ReasonState(code=str(reason.code), text=reason.text) for reason in each.reasons],
            )
            for each in view.waiting
        ],
        brakes=[
            BrakeState(subject=each.subject, since=each.since, cause=each.cause, node=each.node) for each in view.brakes
        ],
        holds=[
            HoldState(scope=each.scope, since=each.since, by=each.by, why=each.why, until=each.until)
            for each in view.pauses
        ],
    )
