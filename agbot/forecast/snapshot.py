"""What a hub was like at one moment, as far as a rollout depends on it, and the file of it.

Only what the rules use is kept, so a file has no token, no key and no address of a node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from agbot.exchange.policy_mapping import Aim
from agbot.rules.facts import Agreement, Node, Policy
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.rules.records import Allowance, Approval, Brake, Hold
from agbot.rules.statuses import Status

_FORMAT: Final = 1


class SnapshotError(Exception):
    """A file is no snapshot that this program can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenure:
    """An upgrade that was under way."""

    group: GroupId
    node: NodeId
    kind: Kind
    subject: PolicyId
    since: datetime
    is_suspect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the last upgrade in a group ended."""

    group: GroupId
    node: NodeId
    kind: Kind
    subject: PolicyId
    at: datetime
    cause: Cause
    is_rested: bool = False
    """An operator has ended the rest that followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the coordinator knew: nothing if it could not be asked."""

    tenures: tuple[Tenure, ...] = ()
    ends: tuple[Ended, ...] = ()
    """Of the last lease in each group."""
    holds: tuple[Hold, ...] = ()
    brakes: tuple[Brake, ...] = ()
    approvals: tuple[Approval, ...] = ()
    allowances: tuple[Allowance, ...] = ()
    held: tuple[tuple[PolicyId, float], ...] = ()
    """How many seconds each of the latest successful upgrades held its lease, by its policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One organisation of a hub."""

    org: OrgId
    taken_at: datetime
    exchange: str
    """Its address."""
    aims: Mapping[PolicyId, Aim]
    """Its node management policies."""
    services: Mapping[PolicyId, Policy]
    """Its deployment policies."""
    groups: Mapping[GroupId, tuple[NodeId, ...]]
    nodes: Mapping[NodeId, Node]
    """The members."""
    statuses: Mapping[NodeId, Mapping[PolicyId, Status]]
    agreements: Mapping[NodeId, tuple[Agreement, ...]]
    properties: Mapping[NodeId, Mapping[str, str]]
    orders: Orders = Orders()
    lacks: tuple[str, ...] = ()
    """What could not be read, each a sentence."""
    format: int = _FORMAT


def save(snapshot: Snapshot, file: Path) -> None:
    """Write the file.

    Raises:
        OSError: that is not possible.
    """
    file.write_bytes(msgspec.json.format(msgspec.json.encode(snapshot), indent=1))


def load(file: Path) -> Snapshot:
    """Read the file.

    Raises:
        OSError: that is not possible.
        SnapshotError: it is not a snapshot of this format.
    """
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Snapshot)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"it is not a snapshot: {error}"
        raise SnapshotError(message) from error
    if found.format != _FORMAT:
        message = f"its format is {found.format}; this version of agbot reads {_FORMAT}"
        raise SnapshotError(message)
    return found
