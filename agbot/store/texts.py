"""The text form of single values: times as sortable UTC text, the rest as JSON.

Nothing is written that cannot be read back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from agbot.rules.seen_time import SeenTime

Row = dict[str, str | int | None]


def stamp(moment: datetime) -> str:
    """Write a time as UTC text with microseconds, always 27 characters.

    Raises:
        ValueError: the time has no zone.
    """
    if moment.tzinfo is None:
        message = f"a time without a zone is not stored: {moment!r}"
        raise ValueError(message)
    # of one length, so that SQL can compare the texts
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def moment(text: str) -> datetime:
    """Parse the text of `stamp`."""
    return datetime.fromisoformat(text)


def seen_stamp(seen: SeenTime) -> str:
    """Write a seen time in the same form: stores that are older than seen time stay readable."""
    return stamp(seen.as_if_never_blind)


def seen_moment(text: str) -> SeenTime:
    """Parse the text of `seen_stamp`."""
    return SeenTime(moment(text))


def seen_in_json(kind: type, value: object) -> SeenTime:
    """Parse a seen time in JSON, for a decoder.

    Raises:
        ValueError: it is not one.
    """
    if kind is not SeenTime or not isinstance(value, str):
        message = f"no {kind.__name__} can be read from {value!r}"
        raise ValueError(message)
    return seen_moment(value)


def _plain(value: object) -> object:
    """Convert what JSON cannot represent."""
    if isinstance(value, datetime):
        # a subclass, from a frozen clock: those of the standard library are encoded without this
        return stamp(value)
    if isinstance(value, SeenTime):
        return seen_stamp(value)
    if isinstance(value, Mapping):
        return dict(value)
    message = f"{type(value).__name__} has no form in JSON: {value!r}"
    raise TypeError(message)


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def json_text(value: object) -> str:
    """Write a value (also a dataclass) as JSON.

    Raises:
        TypeError: it has no form in JSON.
    """
    return _encoder.encode(value).decode()
