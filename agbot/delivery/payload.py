"""The payloads for other systems, as types.

Pure. `agbot.delivery.schema` generates their JSON Schema.

Receivers must accept unknown fields: some may be added, none is removed or changes its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from agbot.store.contract import Entry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

Moment = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(description="Qualified: `org/name`.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventMessage:
    """One committed event. Delivered at least once; the `id` shows a repetition."""

    id: Annotated[str, Meta(description="The same at each delivery of this event, and unique to it.")]
    number: Annotated[
        int, Meta(ge=1, description="Rises with every event, with gaps; within a group in the order of its tokens.")
    ]
    at: Annotated[datetime, Meta(tz=True, description="When it happened, UTC.")]
    event: Annotated[str, Meta(pattern=r"^[a-z]+\.[a-z_]+$", description="`noun.verb`, as in docs/events.md.")]
    group: Name | None
    node: Name | None
    subject: Annotated[str | None, Meta(description="The policy that the upgrade follows, qualified.")]
    token: Annotated[int | None, Meta(description="The fencing token of the lease, rising per group.")]
    who: Annotated[str, Meta(description="`coordinator`, or the person who did it.")]
    facts: Annotated[Mapping[str, Any], Meta(description="The data of the event; the keys depend on it.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberState:
    """One member of a group."""

    node: Name
    deferred_for: Annotated[
        str | None,
        Meta(description="The policy of the upgrade it was in when it joined; not enforced until that has ended."),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonState:
    """One reason why a node waits."""

    code: Annotated[str, Meta(description="A code of docs/reasons.md.")]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiterState:
    """One waiter."""

    node: Name
    kind: str
    subject: Name
    since: Moment
    reasons: Annotated[Sequence[ReasonState], Meta(description="All present reasons, the most important one first.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeState:
    """An upgrade that is stopped in this group."""

    subject: Name
    since: Moment
    cause: str
    node: Annotated[str, Meta(description="On which it failed.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldState:
    """An operator's hold that covers this group."""

    scope: Annotated[str, Meta(description="`*`, an organisation, or a group.")]
    since: Moment
    by: str
    why: str
    until: Moment | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """The state of a group: its lease, its waiters with their reasons, its brakes and holds."""

    group: Name
    state: Annotated[str, Meta(pattern="^(free|held|suspect)$", description="Of the lease.")]
    token: Annotated[int, Meta(ge=0, description="Of the latest grant; 0 before the first.")]
    holder: Name | None
    kind: Annotated[str | None, Meta(description="`agent` or `service`, while held.")]
    subject: Annotated[str | None, Meta(description="The policy that the holder's upgrade follows.")]
    granted_at: Moment | None
    expires_at: Moment | None
    members: Sequence[MemberState]
    waiting: Sequence[WaiterState]
    brakes: Sequence[BrakeState]
    holds: Sequence[HoldState]


class Presence(StrEnum):
    """Whether a coordinator is connected to the broker."""

    ONLINE = "online"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusMessage:
    """Whether the coordinator is connected.

    The broker publishes `offline` if the connection breaks.
    """

    status: Presence
    version: Annotated[str, Meta(description="Of the program.")]


def event_message(entry: Entry) -> EventMessage:
    """Return the message of an entry."""
    return EventMessage(
        # the number alone is not unique: a lost or restored store counts from an earlier one again
        id=f"{entry.id}-{(entry.at - _EPOCH) // _MILLISECOND}",
        number=entry.id,
        at=entry.at.astimezone(UTC),
        event=entry.event,
        group=entry.group,
        node=entry.node,
        subject=entry.subject,
        token=entry.token,
        who=entry.who,
        facts=entry.delivered_facts,
    )


def encoded(message: EventMessage | GroupState | StatusMessage) -> bytes:
    """Return a message as JSON."""
    return msgspec.json.encode(message)
