"""Checks the `HZN_AGBOT_URL` of the agents, by which members ask the coordinator."""

from __future__ import annotations

from typing import Final

from agbot.coordinator.contract import Overview
from agbot.doctor.finding import Finding, ok, warning, wrong
from agbot.rules.words import clock, few

_CHECK: Final = "agents"


def check(overview: Overview | None) -> tuple[Finding, ...]:
    """Check which members ask; only a running daemon knows."""
    if overview is None:
        return (ok(_CHECK, "not known while no coordinator runs: it notes which nodes ask"),)
    if overview.mode == "shadow":
        return (ok(_CHECK, "in shadow mode agents ask the real agbot, as before"),)
    unread = [each.org for each in overview.orgs if each.read_at is None]
    found = []
    if overview.bypassing:
        named = few(overview.bypassing_named, overview.bypassing)
        step = "set HZN_AGBOT_URL in /etc/default/horizon there to the gateway, and restart the agent"
        text = f"{named} upgraded without asking (gateway.bypassed)"
        found.append(wrong(_CHECK, text, tried="the journal", next_step=step))
    if overview.never_asked:
        named = few(overview.never_asked_named, overview.never_asked)
        since = overview.asked_since
        never, when = "never asked the coordinator", "yet"
        if since is not None:
            never = f"have not asked the coordinator since its store was replaced at {clock(since)}"
            when = "since"
        step = f"they had no upgrade {when}, or their HZN_AGBOT_URL names another agbot: check one of them"
        found.append(warning(_CHECK, f"{named} {never}", next_step=step))
    if not found and len(unread) == len(overview.orgs):
        text = "not known: the coordinator has read no organisation"
        found.append(warning(_CHECK, text, next_step="`agbot status` shows what keeps it from reading the Exchange"))
    elif unread:
        found.append(warning(_CHECK, f"not known of {few(unread, len(unread))}: not read yet"))
    return tuple(found) or (ok(_CHECK, "every member has asked the coordinator"),)
