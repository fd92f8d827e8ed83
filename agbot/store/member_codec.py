"""What is kept of single nodes, to rows and back: contacts, deferrals and marks of who was served. `codec` has the rest."""

from __future__ import annotations

import sqlite3

from agbot.rules.facts import Contact, Deferral, Served
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.store.texts import Row, moment, seen_moment, seen_stamp, stamp


def contact_row(contact: Contact) -> Row:
    """Write a contact."""
    return {
        "node_id": contact.node,
        "asked_at": stamp(contact.asked_at) if contact.asked_at else None,
        "bypassed_at": stamp(contact.bypassed_at) if contact.bypassed_at else None,
    }


def contact_of(row: sqlite3.Row) -> Contact:
    """Read a contact."""
    asked, bypassed = row["asked_at"], row["bypassed_at"]
    return Contact(
        node=row["node_id"],
        asked_at=moment(asked) if asked else None,
        bypassed_at=moment(bypassed) if bypassed else None,
    )


def deferral_row(deferral: Deferral) -> Row:
    """Write a deferral."""
    return {
        "group_id": deferral.group,
        "node_id": deferral.node,
        "subject": deferral.subject,
        "since": stamp(deferral.since),
        "status": deferral.status,
        "kind": deferral.kind.value,
        "service": deferral.service,
        "overlaps": int(deferral.overlaps),
        "cut_off": deferral.cut_off,
    }


def deferral_of(row: sqlite3.Row) -> Deferral:
    """Read a deferral."""
    return Deferral(
        group=row["group_id"],
        node=row["node_id"],
        subject=row["subject"],
        since=moment(row["since"]),
        status=row["status"],
        kind=Kind(row["kind"]),
        service=row["service"],
        overlaps=bool(row["overlaps"]),
        cut_off=row["cut_off"],
    )


def served_row(served: Served) -> Row:
    """Write a served mark."""
    cause = served.cause.value
    return {"group_id": served.group, "node_id": served.node, "until": seen_stamp(served.until), "cause": cause}


def served_of(row: sqlite3.Row) -> Served:
    """Read a served mark."""
    return Served(
        group=row["group_id"], node=row["node_id"], until=seen_moment(row["until"]), cause=Cause(row["cause"])
    )
