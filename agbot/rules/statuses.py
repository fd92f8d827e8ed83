"""The status strings that agents report for a node management policy, and what each one means for the lease.

The table is the whole knowledge (`reference/agbot-ha.md` 1.1; the order in which real agents report them is in the recorded
`agent-status-sequence.jsonl`). A string that is not in it is `UNREADABLE`: unknown is never done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from agbot.rules.reasons import Cause
from agbot.rules.versions import Versions


class Phase(StrEnum):
    """What a status means for the group."""

    IDLE = "idle"
    """Nothing has begun, or a person has put it back."""
    ASKING = "asking"
    """Downloads, or asks for permission: the service still runs."""
    UNDER_WAY = "under-way"
    """Past the gate: the agent may stop the service at any moment."""
    FAILING = "failing"
    """`failed`: for moments before `rollback started`, or for good."""
    ENDED_WELL = "ended-well"
    NOTHING_TO_DO = "nothing-to-do"
    ENDED_BADLY = "ended-badly"
    UNREADABLE = "unreadable"


PHASES: Mapping[str, Phase] = MappingProxyType(
    {
        "waiting": Phase.IDLE,
        "reset": Phase.IDLE,
        "download started": Phase.ASKING,
        "ha node waiting": Phase.ASKING,
        "downloaded": Phase.UNDER_WAY,
        "initiated": Phase.UNDER_WAY,
        "rollback started": Phase.UNDER_WAY,
        "failed": Phase.FAILING,
        "successful": Phase.ENDED_WELL,
        "no action required": Phase.NOTHING_TO_DO,
        "download failed": Phase.ENDED_BADLY,
        "precheck failed": Phase.ENDED_BADLY,
        "rollback failed": Phase.ENDED_BADLY,
        "rollback successful": Phase.ENDED_BADLY,
    }
)

ENDINGS: Mapping[Phase, Cause] = MappingProxyType(
    {
        Phase.ENDED_WELL: Cause.SUCCEEDED,
        Phase.NOTHING_TO_DO: Cause.NOTHING_TO_DO,
        Phase.ENDED_BADLY: Cause.FAILED,
    }
)
"""How a lease ends by a status that says so by itself."""

ACTIVE = frozenset({Phase.ASKING, Phase.UNDER_WAY})
CONFIRMING = ACTIVE | {Phase.UNREADABLE}
"""Phases of a report from before a grant with which the claim may be real: one that nobody can read may be active (P3)."""

GOING_BACK = frozenset({"failed", "rollback started"})
"""Statuses under which the new agent version proves nothing: it ran, and is being taken away again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One entry of a node's `managementStatus`."""

    value: str
    stamp: str
    """`lastUpdated` as the Exchange wrote it: a new stamp is a new report, even of the same value."""
    updated_at: datetime
    """When it was written, on the coordinator's clock; at the latest, where that is not known."""
    is_dated: bool = True
    """Whether `updated_at` is when it was written; otherwise its stamp cannot be believed (`agbot.fleet.stamps`)."""
    earliest: datetime | None = None
    """Where that is not known, when it was written at the earliest; None: at any time."""
    target_version: str = ""
    """`upgradedVersions.softwareVersion`: what the agent read from the policy's manifest."""
    certificate: str = ""
    """`upgradedVersions.certVersion`."""
    configuration: str = ""
    """`upgradedVersions.configVersion`."""

    @property
    def written_after(self) -> datetime | None:
        """When it was written at the earliest; None: at any time."""
        return self.updated_at if self.is_dated else self.earliest

    @property
    def versions(self) -> Versions:
        """All that the upgrade brings."""
        return Versions(software=self.target_version, certificate=self.certificate, configuration=self.configuration)

    is_garbled: bool = False
    """It may be about an upgrade that is past the gate, and cannot be read as a whole."""

    @property
    def phase(self) -> Phase:
        """What the value means."""
        return PHASES.get(self.value, Phase.UNREADABLE)
