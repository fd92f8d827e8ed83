"""Begins deferred memberships when a group is checked, and ends them (`agbot.rules.deferral`)."""

from __future__ import annotations

from agbot.coordinator.situation import Situation
from agbot.fleet.picture import Picture
from agbot.rules.deferral import claim_of
from agbot.rules.facts import Member, Sight
from agbot.rules.ids import GroupId
from agbot.rules.lease import Kind
from agbot.rules.records import Deferral
from agbot.transitions import deferrals
from agbot.transitions.change import Change
from agbot.transitions.deferrals import Memberships


async def refresh(situation: Situation, group: GroupId) -> bool:
    """Begin and end deferrals of this group by the picture; with a doubt nothing changes.

    Return whether there was anything to commit. If not, this has waited for nothing.
    """
    if not _due(situation, group) or situation.doubts():
        return False
    await situation.commit_due(lambda: _due(situation, group))
    return True


def _due(situation: Situation, group: GroupId) -> Change:
    picture, present = situation.picture, situation.ledger.deferrals.get(group, {})
    known = picture.read_members(group).items()
    memberships = Memberships(
        lease=situation.ledger.lease(group),
        limits=situation.limits_of(group),
        members={node: member for node, member in known if member.read_at is not None},  # not an unreadable one
        deferred={node: (each, _member(each, picture)) for node, each in present.items()},
        listed=[node for node, each in present.items() if situation.rows.is_waited_for(group, claim_of(each))],
        turns=situation.ledger.turns.get(group, {}),
    )
    return deferrals.refresh(memberships, situation.now())


def _member(deferral: Deferral, picture: Picture) -> Member | Sight:
    """Return the deferred node.

    It is unread without its statuses, and while its absence is unconfirmed.
    """
    known = picture.certain(deferral.node)
    is_agent = deferral.kind is Kind.AGENT and isinstance(known, Member)
    if is_agent and picture.certain_status(deferral.node, deferral.subject) is Sight.UNREAD:
        return Sight.UNREAD
    return known
