"""What a handover of the leadership will do, before it is done. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from agbot.console.answers import CoordinatorView
from agbot.console.bodies import LeadBody
from agbot.console.page import words
from agbot.console.page.consequences import Consequences, Facts, running


def of_lead(body: LeadBody, facts: Facts) -> Consequences:
    """Describe a handover of the leadership."""
    command = ["agbot", "lead", *([body.to] if body.to else [])]
    leader = next((each for each in facts.coordinators if each.leads), None)
    # none that is gone, or the leadership would be given up and no coordinator take it
    ready = [each for each in facts.coordinators if not each.leads and not each.is_gone]
    heir = next((each for each in facts.coordinators if each.name == body.to), None)
    why_not = _why_not_handed_over(body.to, heir, ready)
    if why_not or leader is None:
        return Consequences(will=[f"Nothing: {why_not or 'no coordinator is known to lead'}."], command=command)
    who = heir.name if heir is not None else " or ".join(each.name for each in ready)
    since = f", which has led since {words.clock(leader.since)}" if leader.since else ""
    will = [
        f"{who} leads instead of {leader.name}{since}.",
        (
            f"{leader.name} finishes its writes first. Nothing is granted until {who} has read the leases and the Exchange: "
            "seconds, or longer in a large hub."
        ),
        f"{running(facts)} Leases stay with their holders; members that wait ask again, within a minute.",
        f"{leader.name} stands by, and may lead again later.",
    ]
    return Consequences(will=will, warnings=_of_heirs([heir] if heir else ready, leader), command=command)


def _why_not_handed_over(to: str | None, heir: CoordinatorView | None, ready: Sequence[CoordinatorView]) -> str:
    if to and heir is None:
        return f"no coordinator is called {to}"
    if heir is not None and heir.leads:
        return f"{heir.name} leads already"
    if heir is not None and heir.is_gone:
        return f"{heir.name} was last seen {words.length(timedelta(seconds=heir.seen_seconds_ago))} ago"
    return "" if ready else "no other coordinator stands by"


def _of_heirs(heirs: Sequence[CoordinatorView], leader: CoordinatorView) -> list[str]:
    """Warn of what changes for those that ask or look elsewhere."""
    # an older version may not know what the newer one has written
    found = [
        f"{each.name} runs version {each.version}, and {leader.name} version {leader.version}."
        for each in heirs
        if each.version != leader.version
    ]
    found += [
        f"{each.name} has no [leadership] {key}: {what} that arrive at other coordinators are not forwarded to it."
        for each in heirs
        for key, what, is_set in (
            ("gateway_url", "questions of nodes", each.gateway_url),
            ("console_url", "requests of operators", each.console_url),
        )
        if not is_set
    ]
    return found
