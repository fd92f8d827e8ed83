"""Events of deferrals: a membership is not enforced, and is enforced again."""

from __future__ import annotations

from typing import ClassVar

from agbot.events.event import OfGroup, of_deferral
from agbot.rules.lease import Kind
from agbot.rules.records import Deferral


class DeferralBegun(OfGroup, frozen=True, kw_only=True):
    """A node joined its group in the middle of its own upgrade.

    Its membership is not enforced until that upgrade has ended.
    """

    name: ClassVar[str] = "deferral.begun"

    kind: Kind
    status: str

    def in_words(self) -> str:
        status = f" ({self.status})" if self.status else ""
        return f"{self.node} is in the middle of upgrading {self.upgrade}{status}: its membership is deferred until that ends"


class DeferralEnded(OfGroup, frozen=True, kw_only=True):
    """The membership of a deferred node is enforced from now on."""

    name: ClassVar[str] = "deferral.ended"
    words: ClassVar[str] = "the membership of {self.node} is enforced from now on, after the upgrade of {self.upgrade}"

    why: str


def begun(deferral: Deferral) -> DeferralBegun:
    """Describe a member that does not need the lease yet."""
    return DeferralBegun(**of_deferral(deferral), kind=deferral.kind, status=deferral.status)


def ended(deferral: Deferral, why: str) -> DeferralEnded:
    """Describe a member that needs the lease from now on."""
    return DeferralEnded(**of_deferral(deferral), why=why)
