"""Events of the real agbot: its local API, its stuck rows, and nodes that bypass the gateway."""

from __future__ import annotations

from typing import ClassVar

from agbot.events.event import Level, LogEvent, OfGroup
from agbot.rules.ids import GroupId
from agbot.rules.lease import Claim, Kind


class AgbotFailed(LogEvent, frozen=True, kw_only=True):
    """The real agbot's local API cannot be read.

    Either no agbot is running (`agbot` is `not-running`; its last known lists stay valid), or it
    does not answer (`unreadable`; agent upgrades wait). Logged once until `agbot.recovered`, and
    again when one turns into the other.
    """

    name: ClassVar[str] = "agbot.failed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "the lists of the real agbot cannot be read"

    error: str
    agbot: str


class AgbotRecovered(LogEvent, frozen=True, kw_only=True):
    """The real agbot's local API can be read again."""

    name: ClassVar[str] = "agbot.recovered"
    words: ClassVar[str] = "the lists of the real agbot can be read again"

    agbot: str
    """The address that answered."""


class AgbotStuck(OfGroup, frozen=True, kw_only=True):
    """The agbot still has the row of an upgrade that is over, and therefore begins no other one.

    `defect` names the defect of the agbot, `cure` the command that deletes the row.
    """

    name: ClassVar[str] = "agbot.stuck"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = (
        "the agbot still lists the upgrade of {self.node} to {self.upgrade}, which is over; to delete its row: {self.cure}"
    )

    kind: Kind
    defect: str
    """Empty if no known defect of the agbot explains the row."""
    why: str
    """The evidence that the upgrade is over."""
    cure: str


class GatewayBypassed(OfGroup, frozen=True, kw_only=True):
    """A member is upgrading its agent without asking the coordinator.

    Its `HZN_AGBOT_URL` names another address. Reported once for each node until it asks.
    """

    name: ClassVar[str] = "gateway.bypassed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = (
        "{self.node} is upgrading {self.upgrade} without asking the coordinator: check its HZN_AGBOT_URL"
    )


def stuck(group: GroupId, claim: Claim, *, defect: str, why: str, cure: str) -> AgbotStuck:
    """Describe a row of an upgrade that is over."""
    return AgbotStuck(
        group=group, node=claim.holder, subject=claim.subject, kind=claim.kind, defect=defect, why=why, cure=cure
    )


def bypassed(group: GroupId, claim: Claim) -> GatewayBypassed:
    """Describe an agent upgrade that did not ask."""
    return GatewayBypassed(group=group, node=claim.holder, subject=claim.subject)
