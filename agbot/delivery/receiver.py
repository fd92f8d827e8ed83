"""What the deliveries to one receiver have reached, as operators see it.

It is apart from the sinks, because the commands read it and start faster without them.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """Kinds of sinks, as labels of metrics."""

    MQTT = "mqtt"
    WEBHOOK = "webhook"
    NOTIFY = "notify"


class Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """How far the deliveries to one receiver are."""

    kind: Kind
    receiver: str
    """Host and port, or the service, without anything secret."""
    confirmed: int
    """The id of the last event that it has accepted or does not want."""
    behind: int
    """How many events of the journal come after that one."""
    error: str = ""
    """Why it fails at present; empty if it does not."""
