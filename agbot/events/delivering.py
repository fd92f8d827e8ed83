"""Events of delivery: receivers that fail or refuse, and events that they will not receive."""

from __future__ import annotations

from typing import ClassVar

from agbot.events.event import Event, Level, LogEvent


class OfBroker(LogEvent, frozen=True, kw_only=True):
    """An event of the MQTT broker."""

    broker: str
    """Host and port."""


class MqttFailed(OfBroker, frozen=True, kw_only=True):
    """The MQTT broker cannot be reached. Logged once until `mqtt.recovered`; events wait."""

    name: ClassVar[str] = "mqtt.failed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "the MQTT broker {self.broker} cannot be reached"

    client_id: str
    error: str


class MqttRefused(OfBroker, frozen=True, kw_only=True):
    """The MQTT broker does not accept the state of a group, so its subscribers do not see it.

    Or it does not accept our subscription to what nodes say. Logged once for each `topic`; events
    are not affected.
    """

    name: ClassVar[str] = "mqtt.refused"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "the MQTT broker {self.broker} does not accept {self.topic}"

    topic: str
    error: str


class MqttRecovered(OfBroker, frozen=True, kw_only=True):
    """The MQTT broker accepts events again, from the first one that it had not confirmed."""

    name: ClassVar[str] = "mqtt.recovered"
    words: ClassVar[str] = "the MQTT broker {self.broker} accepts events again"


class OfWebhook(LogEvent, frozen=True, kw_only=True):
    """An event of one webhook."""

    receiver: str
    """Host and port; the rest of the address may be a secret."""


class WebhookFailed(OfWebhook, frozen=True, kw_only=True):
    """A webhook does not accept events. Logged once until `webhook.recovered`."""

    name: ClassVar[str] = "webhook.failed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "the webhook {self.receiver} does not accept events"

    error: str


class WebhookRefused(OfWebhook, frozen=True, kw_only=True):
    """A webhook refuses an event, and only a person can change that.

    The same event is sent again every few minutes.
    """

    name: ClassVar[str] = "webhook.refused"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "the webhook {self.receiver} refuses an event"

    error: str


class WebhookRecovered(OfWebhook, frozen=True, kw_only=True):
    """The webhook accepts events again, from the first one that it had not confirmed."""

    name: ClassVar[str] = "webhook.recovered"
    words: ClassVar[str] = "the webhook {self.receiver} accepts events again"


class OfService(LogEvent, frozen=True, kw_only=True):
    """An event of one service for notifications."""

    receiver: str
    """The kind of service, and a short hash of its address, which is a secret."""


class NotifyFailed(OfService, frozen=True, kw_only=True):
    """A service for notifications accepts no message. Logged once until `notify.recovered`."""

    name: ClassVar[str] = "notify.failed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "{self.receiver} accepts no notification"

    error: str


class NotifyRecovered(OfService, frozen=True, kw_only=True):
    """The service accepts messages again; one has everything since the failure."""

    name: ClassVar[str] = "notify.recovered"
    words: ClassVar[str] = "{self.receiver} accepts notifications again"


class ReceiversTested(Event, frozen=True, kw_only=True):
    """A test event for all receivers (`agbot notify --test`); nothing has happened."""

    name: ClassVar[str] = "receivers.tested"
    words: ClassVar[str] = "this is a test by {self.who}; nothing has happened"


class OutboxFailed(LogEvent, frozen=True, kw_only=True):
    """The journal cannot be read for delivery. Logged once until `outbox.recovered`."""

    name: ClassVar[str] = "outbox.failed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "the journal cannot be read for delivery"

    error: str


class OutboxRecovered(LogEvent, frozen=True, kw_only=True):
    """The journal can be read for delivery again."""

    name: ClassVar[str] = "outbox.recovered"
    words: ClassVar[str] = "the journal can be read for delivery again"


class OfReceiver(Event, frozen=True, kw_only=True):
    """An event about events that a receiver will not receive."""

    sink: str
    """`mqtt`, `webhook` or `notify`."""
    receiver: str
    """Host and port."""


class DeliveryLost(OfReceiver, frozen=True, kw_only=True):
    """Events (`first` to `last`) left the journal before `receiver` had confirmed them.

    It will not receive them.
    """

    name: ClassVar[str] = "delivery.lost"
    level: ClassVar[Level] = Level.WARNING

    first: int
    last: int

    def in_words(self) -> str:
        if self.first == self.last:
            return f"{self.sink} {self.receiver} had not confirmed event {self.first} when the journal dropped it"
        numbers = f"events {self.first} to {self.last}"
        return f"{self.sink} {self.receiver} had not confirmed {numbers} when the journal dropped them"


class DeliveryRefused(OfReceiver, frozen=True, kw_only=True):
    """`receiver` does not accept the events `numbers`, and will not receive them.

    `error` is the reason, `topic` their topic. Other events are not affected.
    """

    name: ClassVar[str] = "delivery.refused"
    level: ClassVar[Level] = Level.ERROR

    error: str
    topic: str = ""
    numbers: tuple[int, ...] = ()
    """Empty if only reports of earlier refusals were refused, which is only logged."""

    def in_words(self) -> str:
        return f"{self.sink} {self.receiver} does not accept {_events(self.numbers)}"


class DeliveryFailed(LogEvent, frozen=True, kw_only=True):
    """Delivery failed unexpectedly. It starts again."""

    name: ClassVar[str] = "delivery.failed"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "delivery to {self.sink} has failed unexpectedly and starts again"

    sink: str


def _events(numbers: tuple[int, ...]) -> str:
    match numbers:
        case ():
            return "an event"
        case (only,):
            return f"event {only}"
        case (first, *_, last):
            return f"{len(numbers)} events between {first} and {last}"
    raise AssertionError(numbers)
