"""Values to rows and back. Both ways stand side by side, so that neither is changed without the other.

Rows are made in the caller's task, before anything is sent: a value that cannot be stored is the caller's error and disturbs nobody else.
A row that cannot be read means a damaged store.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar, assert_never

import msgspec

from agbot.foreign_text import excerpt
from agbot.rules.facts import Allowance, Approval, Ask, Brake, Contact, Deferral, Pause, Served, Waiter
from agbot.rules.lease import Claim, End, Hold, Kind, Lease, Progress, State
from agbot.rules.reasons import Cause, Reason
from agbot.rules.seen_time import ClockMark, Gap
from agbot.rules.versions import Versions
from agbot.store import member_codec
from agbot.store.contract import (
    AllowanceKey,
    ApprovalKey,
    BrakeKey,
    DeferralKey,
    Entry,
    Key,
    PauseKey,
    Record,
    StoreUnavailableError,
    WaiterKey,
)
from agbot.store.texts import Row, json_text, moment, seen_in_json, seen_moment, seen_stamp, stamp

T = TypeVar("T")
_ENDS = msgspec.json.Decoder(End, dec_hook=seen_in_json)
_PROGRESSES = msgspec.json.Decoder(Progress, dec_hook=seen_in_json)
_VERSIONS = msgspec.json.Decoder(tuple[Versions, ...])
_REASONS = msgspec.json.Decoder(tuple[Reason, ...])
_GAPS = msgspec.json.Decoder(tuple[Gap, ...])
_FACTS = msgspec.json.Decoder(dict[str, object])
_UNHELD: Row = dict.fromkeys(("holder", "kind", "subject", "granted_at", "renewed_at", "expires_at", "progress"))


_NAMES = ("id", "node_id", "group_id", "scope")
"""The columns by which people know a row."""
_MESSAGE_CHARACTERS = 1000


def readable(build: Callable[[sqlite3.Row], T], row: sqlite3.Row, table: str) -> T:
    """Build a value from a row of that table.

    Raises:
        StoreUnavailableError: the row makes no sense; it is named.
    """
    try:
        return build(row)
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        found = dict(row)
        name = " of ".join(str(found[key]) for key in _NAMES if found.get(key) is not None)
        message = (
            f"the {table} {name} in the file of [store] path cannot be read ({error}); stop the daemon and put a backup in place"
            f" (`agbot store restore`), or mend that row: {found}"
        )
        raise StoreUnavailableError(excerpt(message, (), _MESSAGE_CHARACTERS)) from error


def lease_row(lease: Lease) -> Row:
    """Write a lease."""
    row: Row = {
        **(_UNHELD if lease.hold is None else _hold_row(lease.hold)),
        "group_id": lease.group,
        "token": lease.token,
        "state": lease.state.value,
        "last_end": json_text(lease.last_end) if lease.last_end else None,
    }
    return row


def _hold_row(hold: Hold) -> Row:
    return {
        "holder": hold.claim.holder,
        "kind": hold.claim.kind.value,
        "subject": hold.claim.subject,
        "granted_at": stamp(hold.granted_at),
        "renewed_at": seen_stamp(hold.renewed_at),
        "expires_at": seen_stamp(hold.expires_at),
        "progress": json_text(hold.progress),
    }


def lease_of(row: sqlite3.Row) -> Lease:
    """Read a lease."""
    return Lease(
        group=row["group_id"],
        token=row["token"],
        state=State(row["state"]),
        hold=None if row["holder"] is None else _hold_of(row),
        last_end=None if row["last_end"] is None else _ENDS.decode(row["last_end"]),
    )


def _hold_of(row: sqlite3.Row) -> Hold:
    return Hold(
        claim=Claim(holder=row["holder"], kind=Kind(row["kind"]), subject=row["subject"]),
        granted_at=moment(row["granted_at"]),
        renewed_at=seen_moment(row["renewed_at"]),
        expires_at=seen_moment(row["expires_at"]),
        progress=_PROGRESSES.decode(row["progress"]),
    )


def record_row(record: Record) -> tuple[str, Row]:
    """Return the query that puts a record, and its row."""
    query, build = _ROWS[type(record)]
    return query, build(record)


def key_row(key: Key) -> tuple[str, Row]:
    """Return the query that drops a record, and its key's columns."""
    match key:
        case AllowanceKey():
            return "allowance.drop", {"node_id": key.node}
        case ApprovalKey():
            return "approval.drop", {"scope": key.scope, "kind": key.kind.value, "subject": key.subject}
        case BrakeKey():
            return "brake.drop", {"group_id": key.group, "kind": key.kind.value, "subject": key.subject}
        case DeferralKey():
            return "deferral.drop", {"group_id": key.group, "node_id": key.node}
        case PauseKey():
            return "pause.drop", {"scope": key.scope}
        case WaiterKey():
            claim: Row = {"node_id": key.node, "kind": str(key.kind), "subject": key.subject}
            return "waiter.drop", {"group_id": key.group, **claim}
        case _:
            assert_never(key)


def _allowance_row(allowance: Allowance) -> Row:
    return {
        "node_id": allowance.node,
        "subject": allowance.subject,
        "since": stamp(allowance.since),
        "until": stamp(allowance.until),
        "made_by": allowance.by,
        "why": allowance.why,
    }


def allowance_of(row: sqlite3.Row) -> Allowance:
    """Read an allowance."""
    return Allowance(
        node=row["node_id"],
        subject=row["subject"],
        since=moment(row["since"]),
        until=moment(row["until"]),
        by=row["made_by"],
        why=row["why"],
    )


def _approval_row(approval: Approval) -> Row:
    return {
        "scope": approval.scope,
        "kind": approval.kind.value,
        "subject": approval.subject,
        "since": stamp(approval.since),
        "made_by": approval.by,
        "why": approval.why,
    }


def approval_of(row: sqlite3.Row) -> Approval:
    """Read an approval."""
    return Approval(
        scope=row["scope"],
        kind=Kind(row["kind"]),
        subject=row["subject"],
        since=moment(row["since"]),
        by=row["made_by"],
        why=row["why"],
    )


def _brake_row(brake: Brake) -> Row:
    return {
        "group_id": brake.group,
        "kind": brake.kind.value,
        "subject": brake.subject,
        "revision": brake.revision,
        "since": stamp(brake.since),
        "cause": brake.cause.value,
        "node_id": brake.node,
        "token": brake.token,
        "failed": json_text(brake.failed),
    }


def brake_of(row: sqlite3.Row) -> Brake:
    """Read a brake."""
    return Brake(
        group=row["group_id"],
        kind=Kind(row["kind"]),
        subject=row["subject"],
        revision=row["revision"],
        since=moment(row["since"]),
        cause=Cause(row["cause"]),
        node=row["node_id"],
        token=row["token"],
        failed=_VERSIONS.decode(row["failed"]),
    )


_MILLISECOND = timedelta(milliseconds=1)


def _clock_row(mark: ClockMark) -> Row:
    return {
        "seen": seen_stamp(mark.seen),
        "wall": stamp(mark.wall),
        "clear_since": seen_stamp(mark.clear_since) if mark.clear_since else None,
        "settlings": mark.settlings,
        "gaps": json_text(mark.gaps),
        "exchange_ahead_ms": None if mark.exchange_ahead is None else mark.exchange_ahead // _MILLISECOND,
    }


def clock_of(row: sqlite3.Row) -> ClockMark:
    """Read how far the seen clock had come."""
    return ClockMark(
        seen=seen_moment(row["seen"]),
        wall=moment(row["wall"]),
        clear_since=seen_moment(row["clear_since"]) if row["clear_since"] else None,
        settlings=row["settlings"],
        gaps=_GAPS.decode(row["gaps"]),
        exchange_ahead=None if row["exchange_ahead_ms"] is None else row["exchange_ahead_ms"] * _MILLISECOND,
    )


def _pause_row(pause: Pause) -> Row:
    return {
        "scope": pause.scope,
        "since": stamp(pause.since),
        "made_by": pause.by,
        "why": pause.why,
        "until": stamp(pause.until) if pause.until else None,
    }


def pause_of(row: sqlite3.Row) -> Pause:
    """Read a pause."""
    until = moment(row["until"]) if row["until"] else None
    return Pause(scope=row["scope"], since=moment(row["since"]), by=row["made_by"], why=row["why"], until=until)


def _waiter_row(waiter: Waiter) -> Row:
    claim = waiter.ask.claim
    reasons = json_text(waiter.reasons)
    _REASONS.decode(reasons)  # facts are an open mapping: what cannot be read back must not stop the next start
    return {
        "group_id": waiter.ask.group,
        "node_id": claim.holder,
        "kind": claim.kind.value,
        "subject": claim.subject,
        "agreement_bound": int(waiter.ask.agreement_bound),
        "since": seen_stamp(waiter.since),
        "asked_at": seen_stamp(waiter.asked_at),
        "reasons": reasons,
    }


def waiter_of(row: sqlite3.Row) -> Waiter:
    """Read a waiter."""
    claim = Claim(holder=row["node_id"], kind=Kind(row["kind"]), subject=row["subject"])
    return Waiter(
        ask=Ask(group=row["group_id"], claim=claim, agreement_bound=bool(row["agreement_bound"])),
        since=seen_moment(row["since"]),
        asked_at=seen_moment(row["asked_at"]),
        reasons=_REASONS.decode(row["reasons"]),
    )


def entry_row(entry: Entry) -> Row:
    """Write a journal entry; its id is given by the table."""
    return {
        "at": stamp(entry.at),
        "event": entry.event,
        "group_id": entry.group,
        "node_id": entry.node,
        "subject": entry.subject,
        "token": entry.token,
        "who": entry.who,
        "facts": json_text(entry.facts),
    }


def entry_of(row: sqlite3.Row) -> Entry:
    """Read a journal entry."""
    return Entry(
        id=row["id"],
        at=moment(row["at"]),
        event=row["event"],
        group=row["group_id"],
        node=row["node_id"],
        subject=row["subject"],
        token=row["token"],
        who=row["who"],
        facts=_FACTS.decode(row["facts"]),
    )


def facts_of(row: Row) -> dict[str, object]:
    """Read the facts of an entry's row as they will come back: a tuple as a list, a time as text."""
    return _FACTS.decode(str(row["facts"]))


_ROWS: Mapping[type, tuple[str, Callable[[Any], Row]]] = {
    Allowance: ("allowance.put", _allowance_row),
    Approval: ("approval.put", _approval_row),
    Brake: ("brake.put", _brake_row),
    ClockMark: ("clock.put", _clock_row),
    Contact: ("contact.put", member_codec.contact_row),
    Deferral: ("deferral.put", member_codec.deferral_row),
    Pause: ("pause.put", _pause_row),
    Served: ("served.put", member_codec.served_row),
    Waiter: ("waiter.put", _waiter_row),
}
