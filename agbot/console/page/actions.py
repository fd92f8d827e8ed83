"""The actions that operators may order on the page: what each is called, asks for, and does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agbot.console import api
from agbot.console.api import Endpoint
from agbot.console.page import consequences, handover
from agbot.console.page.consequences import Consequences
from agbot.coordinator.listings import Noun

SPANS: Final[Mapping[str, str]] = {
    "1800": "30 minutes",
    "7200": "2 hours",
    "28800": "8 hours",
    "86400": "1 day",
    "259200": "3 days",
    "604800": "7 days",
}
"""How long a hold or an allowance may last, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action."""

    name: str
    title: str
    button: str
    endpoint: Endpoint[Any]
    """The path of the API that does the same."""
    fields: tuple[str, ...]
    describe: Callable[..., Consequences]
    more: str = ""
    """What it does besides what the path says."""
    known: tuple[str, Noun] | None = None
    """The field whose value has to be known, and what it names."""

    @property
    def does(self) -> str:
        """What it does, in sentences."""
        return f"{self.endpoint.does} {self.more}".rstrip()


ACTIONS: Final[Mapping[str, Action]] = {
    each.name: each
    for each in (
        Action(
            name="hold",
            title="Hold upgrades",
            button="Hold",
            endpoint=api.HOLD,
            more="Upgrades under way go on.",
            fields=("scope", "until"),
            describe=consequences.of_hold,
            known=("scope", Noun.SCOPE),
        ),
        Action(
            name="resume",
            title="Resume upgrades",
            button="Resume",
            endpoint=api.RESUME,
            fields=("scope", "subject", "rest"),
            describe=consequences.of_resume,
        ),
        Action(
            name="release",
            title="Release a lease by force",
            button="Release",
            endpoint=api.RELEASE,
            fields=("group", "token"),
            describe=consequences.of_release,
            known=("group", Noun.GROUP),
        ),
        Action(
            name="allow",
            title="Allow one upgrade",
            button="Allow",
            endpoint=api.ALLOW,
            fields=("node", "subject", "until"),
            describe=consequences.of_allowance,
            known=("node", Noun.NODE),
        ),
        Action(
            name="approve",
            title="Approve an upgrade",
            button="Approve",
            endpoint=api.APPROVE,
            fields=("scope", "subject", "kind"),
            describe=consequences.of_approval,
            known=("scope", Noun.SCOPE),
        ),
        Action(
            name="withdraw-allowance",
            title="Withdraw an allowance",
            button="Withdraw",
            endpoint=api.WITHDRAW_ALLOWANCE,
            fields=("node",),
            describe=consequences.of_withdrawn_allowance,
        ),
        Action(
            name="withdraw-approval",
            title="Withdraw an approval",
            button="Withdraw",
            endpoint=api.WITHDRAW_APPROVAL,
            fields=("scope", "subject", "kind"),
            describe=consequences.of_withdrawn_approval,
        ),
        Action(
            name="lead",
            title="Let another coordinator lead",
            button="Hand over",
            endpoint=api.LEAD,
            more="That one decides from then on. Upgrades under way go on.",
            fields=("to",),
            describe=handover.of_lead,
        ),
    )
}
