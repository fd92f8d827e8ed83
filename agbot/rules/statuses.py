"""The statuses that agents report for a node management policy, and what each means.

The table holds all that is known (`reference/agbot-ha.md` 1.1; the order in which real agents
report them is in the recorded `agent-status-sequence.jsonl`). A string that is not in it is
`UNREADABLE`, and an unknown status is never taken for an end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.rules.versions import Versions


class Phase(StrEnum):
    """What a status shows about the upgrade."""

    IDLE = "idle"
    """Nothing has begun, or an operator has reset it."""
    ASKING = "asking"
    """The agent downloads or asks for permission: the service still runs."""
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

DONE = frozenset({Phase.ENDED_WELL, Phase.NOTHING_TO_DO})
"""Phases after which the member is done."""

_UNREADABLE = Phase.UNREADABLE
ENDINGS: Mapping[Phase, Cause] = MappingProxyType(
    {
        Phase.ENDED_WELL: Cause.SUCCEEDED,
        Phase.NOTHING_TO_DO: Cause.NOTHING_TO_DO,
        Phase.ENDED_BADLY: Cause.FAILED,
    }
)
"""How a lease ends by a final status."""


ACTIVE = frozenset({Phase.ASKING, Phase.UNDER_WAY})
MAY_GO_ON = frozenset({Phase.UNDER_WAY, Phase.FAILING, Phase.UNREADABLE})
"""Phases of an upgrade past the gate that may continue: by the others the node does nothing."""
CONFIRMING = ACTIVE | {Phase.UNREADABLE}
"""Phases of a report from before a grant under which the claim may be real: an unreadable one may
be active (P3)."""

GOING_BACK = frozenset({"failed", "rollback started"})
"""Statuses under which the new agent version proves nothing: it ran and is being removed."""


def grace(phase: Phase | None, limits: Limits) -> tuple[Cause, float] | None:
    """Return how a status that lasts ends a lease, and after how many seconds; None if never."""
    match phase:
        case Phase.FAILING:
            return Cause.FAILED, limits.failure_grace_seconds
        case Phase.IDLE:
            return Cause.RESET, limits.reset_grace_seconds
        case _:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One entry of a node's `managementStatus`."""

    value: str
    stamp: str
    """`lastUpdated` as the Exchange wrote it: a new stamp is a new report, even with the same
    value."""
    updated_at: datetime
    """When it was written, on the coordinator's clock; if that is not known, the latest possible
    time."""
    is_dated: bool = True
    """Whether `updated_at` is when it was written; otherwise its stamp is not trusted
    (`agbot.fleet.stamps`)."""
    earliest: datetime | None = None
    """If that is not known, the earliest possible time; None: at any time."""
    target_version: str = ""
    """`upgradedVersions.softwareVersion`: what the agent read from the policy's manifest."""
    certificate: str = ""
    """`upgradedVersions.certVersion`."""
    configuration: str = ""
    """`upgradedVersions.configVersion`."""
    is_garbled: bool = False
    """It cannot be read as a whole and may be about an upgrade past the gate."""

    @property
    def written_after(self) -> datetime | None:
        """The earliest time at which it may have been written; None: any time."""
        return self.updated_at if self.is_dated else self.earliest

    @property
    def versions(self) -> Versions:
        """The versions that the upgrade brings."""
        return Versions(software=self.target_version, certificate=self.certificate, configuration=self.configuration)

    @property
    def phase(self) -> Phase:
        """The phase that the value stands for."""
        return PHASES.get(self.value, _UNREADABLE)
