"""The actions that operators may order on the page: what each is called, asks for, and does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from agbot.console import acting
from agbot.console.bodies import (
    AllowBody,
    ApproveBody,
    HoldBody,
    LeadBody,
    ReleaseBody,
    ResumeBody,
    WithdrawAllowanceBody,
    WithdrawApprovalBody,
)
from agbot.console.page import consequences, handover
from agbot.console.page.consequences import Consequences
from agbot.coordinator.contract import Done, NotDone
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
    does: str
    body: type[msgspec.Struct]
    fields: tuple[str, ...]
    describe: Callable[..., Consequences]
    order: Callable[..., Awaitable[Done | NotDone]]
    known: tuple[str, Noun] | None = None
    """The field whose value has to be known, and what it names."""


ACTIONS: Final[Mapping[str, Action]] = {
    each.name: each
    for each in (
        Action(
            name="hold",
            title="Hold upgrades",
            button="Hold",
            does="Stops new grants for the fleet, an organisation, a group or a node. Upgrades under way go on.",
            body=HoldBody,
            fields=("scope", "until"),
            describe=consequences.of_hold,
            order=acting.order_hold,
            known=("scope", Noun.SCOPE),
        ),
        Action(
            name="resume",
            title="Resume upgrades",
            button="Resume",
            does="Ends a hold; with a policy, lifts the brakes on it.",
            body=ResumeBody,
            fields=("scope", "subject", "rest"),
            describe=consequences.of_resume,
            order=acting.order_resume,
        ),
        Action(
            name="release",
            title="Release a lease by force",
            button="Release",
            does="Frees the lease of a group, whatever its holder does.",
            body=ReleaseBody,
            fields=("group", "token"),
            describe=consequences.of_release,
            order=acting.order_release,
            known=("group", Noun.GROUP),
        ),
        Action(
            name="allow",
            title="Allow one upgrade",
            button="Allow",
            does="Lets one upgrade of a node past most rules, once.",
            body=AllowBody,
            fields=("node", "subject", "until"),
            describe=consequences.of_allowance,
            order=acting.order_allowance,
            known=("node", Noun.NODE),
        ),
        Action(
            name="approve",
            title="Approve an upgrade",
            button="Approve",
            does="Lets an upgrade begin where the settings require an approval.",
            body=ApproveBody,
            fields=("scope", "subject", "kind"),
            describe=consequences.of_approval,
            order=acting.order_approval,
            known=("scope", Noun.SCOPE),
        ),
        Action(
            name="withdraw-allowance",
            title="Withdraw an allowance",
            button="Withdraw",
            does="Takes the allowance of a node back.",
            body=WithdrawAllowanceBody,
            fields=("node",),
            describe=consequences.of_withdrawn_allowance,
            order=acting.order_withdrawn_allowance,
        ),
        Action(
            name="withdraw-approval",
            title="Withdraw an approval",
            button="Withdraw",
            does="Takes an approval back. Groups in which the upgrade has begun go on.",
            body=WithdrawApprovalBody,
            fields=("scope", "subject", "kind"),
            describe=consequences.of_withdrawn_approval,
            order=acting.order_withdrawn_approval,
        ),
        Action(
            name="lead",
            title="Let another coordinator lead",
            button="Hand over",
            does="Of several coordinators on one store, another one decides from then on. Upgrades under way go on.",
            body=LeadBody,
            fields=("to",),
            describe=handover.of_lead,
            order=acting.order_lead,
        ),
    )
}
