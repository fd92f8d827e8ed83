"""What is read once: for a question, a grant, an agbot's row, a lost agreement or a second upgrade.

Pure, as `plan`, but nothing here is due again. What a grant depends on is in `docs/decisions/0006`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from agbot.fleet import plan
from agbot.fleet.changes import Read, What
from agbot.fleet.policies import policy_read
from agbot.fleet.reads import NOW, Ages, Wanted, Why
from agbot.fleet.view import View
from agbot.rules import rest, rows
from agbot.rules.decide import Grant, Wait
from agbot.rules.facts import Ask, Node, Row, Sight
from agbot.rules.group import Group
from agbot.rules.ids import NodeId
from agbot.rules.lease import Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.loss import Loss
from agbot.rules.reasons import Code
from agbot.rules.rows import RowState, Standing
from agbot.rules.seen_time import Now
from agbot.rules.statuses import ACTIVE

_LEASE_HELD, _PEERS_UNAVAILABLE, _SOAKING = Code.LEASE_HELD, Code.PEERS_UNAVAILABLE, Code.SOAKING
_LISTED_AGE = timedelta(seconds=10)
"""For a node that the agbot lists: an agbot's feed shows neither new agreements nor containers."""


def services_for(ask: Ask, lease: Lease, view: View, limits: Limits, *, ages: Ages, now: Now) -> list[Wanted]:
    """Return the services on which this question depends, unless all of them are fresh."""
    if now.seen - view.services_read_at(ask.group) < ages.services:
        return []  # the usual case, at no cost
    if not plan.depends_on_services(ask, lease, view, limits):
        return []
    return plan.services([ask], view, limits, ages.services, now)


def of_wait(wait: Wait, group: Group, view: View, ages: Ages, now: Now) -> list[Wanted]:
    """Return what blocks an asker and may have changed without a row: heartbeats and services."""
    codes = [reason.code for reason in wait.reasons]
    if _LEASE_HELD in codes:
        # Only the end of the lease ends the wait, and the cycle reads these heartbeats anyway. With
        # 40,000 nodes each such question read them again: thousands at once (decision 29).
        return []
    by_code = {_PEERS_UNAVAILABLE: ages.heartbeat, _SOAKING: ages.rest}
    allowed = [age for code, age in by_code.items() if code in codes]
    if not allowed:
        return []
    max_age = min(allowed)
    return [
        *plan.heartbeats(group.id, view, max_age, Why.BLOCKER),
        *plan.stopped_services(group.id, view, group.limits, max_age, now),
    ]


def proof_of_rest(wait: Wait, group: Group, now: Now) -> list[Wanted]:
    """Return the services that end the rest for which an asker waits, if they can."""
    after = rest.rest_after(group.lease.last_end, group.limits)
    is_soaking = any(reason.code is Code.SOAKING for reason in wait.reasons)
    if not is_soaking or after is None or not rest.needs_services(after, group.limits):
        return []
    node = after.end.claim.holder
    member = group.members.get(node)
    if member is not None and not rest.needs_services_again(after, member, group.limits, now):
        return []  # only a heartbeat is waited for
    return plan.at_once([Read(what=What.AGREEMENTS, id=node)], Why.REST)


def of_grant(ask: Ask, group: Group, grant: Grant) -> list[Wanted]:
    """Return what this grant depends on beside what all grants need, whenever it was last read.

    The feed may have stopped, so it is not enough that nothing has outdated them.
    """
    own_report = Read(what=What.STATUSES, id=ask.node)
    if grant.repeated and not grant.restored:
        return []  # it begins nothing
    if grant.exempt is not None:
        # a deferred member is exempt by its own status; a cluster node was read with its own
        # credentials a moment ago
        return plan.at_once([own_report] if grant.exempt.code is Code.DEFERRED else [], Why.GRANT)
    # to take over a lease, its holder must still be silent: one that has just returned would lose
    # it
    tenure = group.lease.tenure
    is_other = tenure is not None and tenure.claim.holder != ask.node
    holder = [Read(what=What.NODE, id=tenure.claim.holder)] if tenure is not None and is_other else []
    return plan.at_once([*holder, *([own_report] if _is_unreported(ask, group) else [])], Why.GRANT)


def _is_unreported(ask: Ask, group: Group) -> bool:
    # An agent writes its status before it asks. If none is known, the feed has not announced it,
    # and a read shows whether it should have: that is how a frozen feed is found before a grant
    # (decision 21).
    member = group.members.get(ask.node)
    report = member.statuses.get(ask.claim.subject) if member is not None else None
    return ask.is_agent and (report is None or report.phase not in ACTIVE)


def of_row(state: RowState, *, is_new: bool) -> Iterator[Wanted]:
    """Yield the node of a row of the agbot, and its status or services.

    If the row `is_new`, they are read now, whenever they were last read.
    """
    row, is_foreign = state.row, state.standing is Standing.FOREIGN
    max_age = NOW if is_new else None if is_foreign else _LISTED_AGE
    for what in (What.NODE, What.AGREEMENTS if row.kind is Kind.SERVICE else What.STATUSES):
        yield Wanted(read=Read(what=what, id=row.node), why=Why.LISTED, max_age=max_age)


def policy_of_row(row: Row, view: View) -> list[Wanted]:
    """Return the policy of a row, nothing if it is a pattern that the node does not name."""
    node = view.node(row.node)
    claim, is_patterned = rows.claim_of(row, node), "/" not in row.subject
    pattern = node.pattern if is_patterned and isinstance(node, Node) else ""
    if is_patterned and not pattern:
        return []
    return [Wanted(read=policy_read(claim.kind, claim.subject, pattern), why=Why.LISTED)]


def of_ended_row(row: Row) -> list[Wanted]:
    """Return the proof that a row's upgrade is over, for which its lease waits."""
    # The agbot deletes the row of a service when it has seen its containers run, which is what the
    # lease waits for too. No row of the feed announces containers, and the one that hints at them
    # comes before the node's report. The end of an agent upgrade is announced.
    read = Read(what=What.AGREEMENTS, id=row.node)
    return plan.at_once([read] if row.kind is Kind.SERVICE else [], Why.LISTED)


def of_loss(node: NodeId, loss: Loss, view: View) -> list[Wanted]:
    """Return what shows which service a member has lost: its agreements.

    If its former agreements are not known, also those of its peers.
    """
    reads = [Read(what=What.NODE, id=node), Read(what=What.AGREEMENTS, id=node)]
    known = view.node(node)
    if loss.before is Sight.UNREAD and isinstance(known, Node) and known.group is not None:
        peers = (each for each in view.members(known.group) if view.agreements_read_at(each) is None)
        reads += [Read(what=What.AGREEMENTS, id=peer) for peer in peers]
    return plan.at_once(reads, Why.LOST_AGREEMENT)


def of_replaced_store(others: Iterable[NodeId]) -> list[Wanted]:
    """Return what shows whether members are in service upgrades of which no record is left."""
    return plan.at_once([Read(what=What.AGREEMENTS, id=node) for node in others], Why.GRANT)


def of_takeover(busy: Iterable[NodeId]) -> list[Wanted]:
    """Return what shows whether these members' upgrades are over, as another one has begun."""
    whats = (What.NODE, What.STATUSES, What.AGREEMENTS)
    return plan.at_once([Read(what=what, id=node) for node in busy for what in whats], Why.TAKEOVER)
