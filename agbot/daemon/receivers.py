"""The receivers of events that the settings name, and the state of groups that they receive."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TypeVar

import msgspec

from agbot.clock import Clock
from agbot.coordinator.contract import GroupView
from agbot.coordinator.coordinator import Coordinator
from agbot.delivery.mqtt import Mqtt
from agbot.delivery.mqtt_connection import Broker, tls_context
from agbot.delivery.notify import Notify
from agbot.delivery.outbox import Outbox
from agbot.delivery.payload import BrakeState, GroupState, HoldState, MemberState, WaiterState
from agbot.delivery.sinks import Count, Deliveries, Sink
from agbot.delivery.topics import Topics
from agbot.delivery.webhook import Webhook
from agbot.rules.facts import Sight
from agbot.rules.ids import GroupId
from agbot.settings.load import Loaded
from agbot.settings.receiving import MqttSettings, WebhookSettings
from agbot.settings.secret_files import Secrets

T = TypeVar("T")


class Receivers:
    """A sink for the broker, and one for each webhook and service that the settings name."""

    def __init__(self, loaded: Loaded, outbox: Outbox, clock: Clock, coordinator: Coordinator, count: Count) -> None:
        """Create the sinks.

        Raises:
            OSError: a certificate cannot be used.
        """
        settings = loaded.settings
        self._mqtt: Mqtt | None = None
        self._webhooks: list[Webhook] = []
        if settings.mqtt.host:
            groups = CoordinatorGroups(coordinator)
            # the next leader has the same client id: the broker ends the session of the last one
            host = "leader" if settings.store.url else socket.gethostname()
            self._mqtt = Mqtt(
                _broker(settings.mqtt, loaded.secrets, host),
                Topics(settings.mqtt.prefix),
                groups,
                count,
                note_busy=coordinator.note_busy if settings.mqtt.busy else None,
            )
        secret = loaded.secrets.webhook_secret
        if settings.webhook.urls and secret is not None:  # checked settings have one
            tls, seconds = _webhook_tls(settings.webhook), settings.webhook.timeout_seconds
            self._webhooks = [
                Webhook(url, secret, clock, count, timeout_seconds=seconds, tls=tls) for url in settings.webhook.urls
            ]
        notified = [Notify(each, settings.notify.events, count) for each in loaded.secrets.notify_addresses]
        sinks: list[Sink] = [*([self._mqtt] if self._mqtt else []), *self._webhooks, *notified]
        self.deliveries = Deliveries(outbox, sinks)

    def use_secrets(self, secrets: Secrets) -> None:
        """Use the broker's password and the webhooks' secret as they are now.

        Unchanged ones have no effect.
        """
        if self._mqtt is not None:
            self._mqtt.use(replace(self._mqtt.broker, password=secrets.mqtt_password))
        if secrets.webhook_secret is not None:
            for webhook in self._webhooks:
                webhook.sign_with(secrets.webhook_secret)

    def renew_mqtt(self, settings: MqttSettings) -> None:
        """Use the broker's certificate and authorities as they are now, over a new connection.

        Raises:
            OSError: a certificate cannot be used; nothing changes.
        """
        if self._mqtt is not None:
            self._mqtt.use(replace(self._mqtt.broker, tls=_mqtt_tls(settings)))

    def renew_webhooks(self, settings: WebhookSettings) -> None:
        """Use the authorities for the webhooks as they are now.

        Raises:
            OSError: the authorities cannot be used; nothing changes.
        """
        tls = _webhook_tls(settings)
        for webhook in self._webhooks:
            webhook.trust(tls)


def _broker(mqtt: MqttSettings, secrets: Secrets, host: str) -> Broker:
    return Broker(
        host=mqtt.host,
        port=mqtt.port,
        client_id=mqtt.client_id or f"{mqtt.prefix}-{host}",
        protocol=mqtt.protocol,
        username=mqtt.username,
        password=secrets.mqtt_password,
        tls=_mqtt_tls(mqtt),
        keepalive_seconds=mqtt.keepalive_seconds,
    )


def _mqtt_tls(mqtt: MqttSettings) -> ssl.SSLContext | None:
    if not mqtt.tls:
        return None
    try:
        return tls_context(mqtt.ca_file, mqtt.certificate_file, mqtt.key_file)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(str(file) for file in (mqtt.ca_file, mqtt.certificate_file, mqtt.key_file) if file)
        message = f"[mqtt] ca_file, certificate_file or key_file cannot be used ({files}): {error}"
        raise OSError(message) from error


def _webhook_tls(webhook: WebhookSettings) -> ssl.SSLContext | None:
    if webhook.ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=webhook.ca_file)
    except OSError as error:  # ssl.SSLError is one
        message = f"[webhook] ca_file {webhook.ca_file} cannot be used: {error}"
        raise OSError(message) from error


class CoordinatorGroups:
    """The state of groups. See `agbot.delivery.states.Groups`."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def busy(self) -> Collection[GroupId] | None:
        """Return the groups with a lease, a waiter, a deferral or a brake."""
        return self._coordinator.busy_groups()

    def is_gone(self, group: GroupId) -> bool:
        """Whether a group is known not to exist any more."""
        return self._coordinator.lacks(group) is Sight.ABSENT

    def state(self, group: GroupId) -> GroupState | None:
        """Return the state of a group, if it is known."""
        view = self._coordinator.group(group) if self._coordinator.lacks(group) is None else None
        return None if view is None else _group_state(view)


def _group_state(view: GroupView) -> GroupState:
    """Return what operators see, without what changes without an event."""
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
        members=_seen(view.members, MemberState),
        waiting=_seen(view.waiting, WaiterState),
        brakes=_seen(view.brakes, BrakeState),
        holds=_seen(view.holds, HoldState),
    )


def _seen(found: Sequence[object], kind: type[T]) -> list[T]:
    """Return what of these values is sent: the fields that the payload has too."""
    return msgspec.convert(found, list[kind], from_attributes=True)  # type: ignore[valid-type]  # the type is a value here
