"""The facts that a rule has used, and the codes of reasons, as an operator reads them. Pure.

A table says how facts are written that belong together. One that is not in it, such as a property
of a node policy, is shown by its name, so that nothing is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from agbot.console.page.words import clock, scope
from agbot.rules.ids import name_of
from agbot.rules.reasons import Code
from agbot.rules.words import count

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        Code.NOT_A_MEMBER: "the node is not in the group that it asks for",
        Code.ORG_EXCLUDED: "the organisation is not coordinated here",
        Code.CLUSTER_NODE: "a cluster node is not gated",
        Code.DEFERRED: "the node joined in the middle of its own upgrade",
        Code.UNKNOWN_POLICY: "the policy does not exist",
        Code.POLICY_DISABLED: "the policy is disabled",
        Code.LEASE_HELD: "another member is upgrading",
        Code.OVERLAP: "an upgrade that no node asked for has not ended",
        Code.AGBOT_UNAVAILABLE: "the agbot's own upgrades cannot be read",
        Code.LEASE_SUSPECT: "it is not known how the last upgrade ended",
        Code.SOAKING: "the group rests after its last upgrade",
        Code.BRAKE: "the upgrade has failed in the group",
        Code.ORG_BRAKE: "the upgrade has failed in too many groups",
        Code.PAUSED: "an operator holds upgrades there",
        Code.OUTSIDE_WINDOW: "no maintenance window is open",
        Code.NODE_BUSY: "a workload of the node asks for its agent not to be upgraded now",
        Code.NOT_APPROVED: "an operator has to approve it",
        Code.CANARY: "other groups go first",
        Code.PACED: "as many groups as may upgrade at once do so",
        Code.PEERS_UNAVAILABLE: "too few other members are available",
        Code.TURN: "another member goes first",
        Code.STORE_UNAVAILABLE: "the lease store cannot be reached",
        Code.STORE_CHANGED: "the lease store is not the one used last",
        Code.EXCHANGE_UNAVAILABLE: "the Exchange did not answer in time",
        Code.VIEW_STALE: "the view of the Exchange is out of date",
        Code.CLOCK_UNTRUSTED: "the date was changed",
        Code.NO_LEADER: "no coordinator is known to lead",
        Code.STOPPING: "the coordinator is shutting down",
        Code.BUSY: "too many questions are open",
        Code.INTERNAL_ERROR: "the coordinator failed on the question",
    }
)
"""Each code of a reason in plain words, for counts of many groups: a single waiter's reason has a
sentence of its own, with its names and times."""
_EMPTY: Final[tuple[object, ...]] = ("", None, [], ())


def in_words(facts: Mapping[str, object]) -> list[str]:
    """Write facts in short lines. Moments are in UTC, as `marks.prose` finds them."""
    known = {name: value for name, value in facts.items() if value not in _EMPTY}
    written, covered = list[str](), set[str]()
    for names, write in _WRITERS:
        if known.keys() >= set(names) and not covered.issuperset(names):
            written.append(write(*(known[name] for name in names)))
            covered.update(names)
    return written + [f"{name.replace('_', ' ')}: {raw(known[name])}" for name in known if name not in covered]


def raw(value: object) -> str:
    """Write one fact as it is."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return ", ".join(map(raw, value)) or "none"
    return str(value)


def _moment(value: object) -> str:
    return clock(value) if isinstance(value, datetime) else str(value)


def _names(values: Iterable[str]) -> str:
    return ", ".join(map(name_of, values))


def _beats(node: str, at: object) -> str:
    return f"last heartbeat of {name_of(node)} {_moment(at)}"


def _peers(available: int, others: int, required: int) -> str:
    return f"other members available: {available} of {others}, {required} needed"


def _groups_that_failed(failed: int, limit: int, groups: int) -> str:
    return f"failed in {failed} of {count(groups, 'group')}; {limit} stop it in all of them"


def _go_first(started: int, unfinished: int) -> str:
    return f"begun in {count(started, 'group')} that count, {unfinished} of them not finished"


def _codes(codes: Iterable[str]) -> str:
    return "; ".join(CODES.get(code, code) for code in codes)


_Writer = Callable[..., str]
_WRITERS: Final[tuple[tuple[tuple[str, ...], _Writer], ...]] = (
    (("doubts",), lambda codes: f"in doubt: {_codes(codes)}"),
    (("waited_for",), lambda what: f"waited for {what}"),
    (("members",), lambda number: f"{count(number, 'member')} in the group"),
    (("deferred_for", "since"), lambda what, at: f"in {what} since {_moment(at)}"),
    (("state", "token"), lambda state, token: f"lease {state}, token {token}"),
    (("cause", "node", "token"), lambda cause, node, token: f"{cause} on {name_of(node)}, under token {token}"),
    (("last_end", "holder", "ended_at"), lambda how, node, at: f"{name_of(node)} ended {_moment(at)}: {how}"),
    (("last_end",), lambda how: f"the last upgrade ended: {how}"),
    (("holder", "subject"), lambda node, what: f"{name_of(node)} holds it for {what}"),
    (("holder", "heartbeat_at"), _beats),
    (("holder",), lambda node: f"{name_of(node)} holds it"),
    (("kind",), lambda kind: f"{kind} upgrade"),
    (("status",), lambda status: f"it reports {status!r}"),
    (("overlapping",), lambda nodes: f"upgrade without a grant: {_names(nodes)}"),
    (("listed",), lambda nodes: f"on the agbot's own list: {_names(nodes)}"),
    (("node", "subject"), lambda node, what: f"{name_of(node)}: {what}"),
    (("agbot",), lambda text: f"{text}"),
    (("revision",), lambda at: f"policy as published {_moment(at)}"),
    (("brings",), lambda versions: f"it would install {versions}"),
    (("failed", "limit", "groups"), _groups_that_failed),
    (("failed_groups", "groups"), lambda failed, groups: f"failed in {failed} of {count(groups, 'group')}"),
    (("scopes",), lambda scopes: f"on hold: {', '.join(map(scope, scopes))}"),
    (("windows",), lambda windows: f"windows: {'; '.join(windows)}"),
    (("busy_since", "busy_until"), lambda since, until: f"busy since {_moment(since)}, until {_moment(until)}"),
    (("says",), lambda why: f"its workload says: {why}"),
    (("ignored_since",), lambda at: f"not heeded since {_moment(at)}"),
    (("approved_in",), lambda scopes: f"approved in {', '.join(map(scope, scopes))}"),
    (("canaries",), lambda number: f"{count(number, 'group')} to go first"),
    (("started", "unfinished"), _go_first),
    (("unproven",), lambda number: f"{count(number, 'group')} ended without proof"),
    (("busy", "limit"), lambda busy, limit: f"{count(busy, 'other group')} upgrading now, at most {limit} may"),
    (
        ("busy_in_org", "busy_in_fleet"),
        lambda org, fleet: f"groups upgrading: {org} of its organisation, {fleet} in all",
    ),
    (("available", "others", "required"), _peers),
    (("others", "required"), lambda others, required: f"{count(others, 'other member')}, {required} needed"),
    (("oldest_heartbeat_of", "heartbeat_at"), lambda node, at: f"longest silent: {_beats(node, at)}"),
    (("heartbeat_at",), lambda at: f"last heartbeat {_moment(at)}"),
    (("services",), lambda services: f"services at stake: {', '.join(services)}"),
    (("waiting",), lambda number: f"{count(number, 'other member')} waiting"),
    (("last_turn_ended",), lambda at: f"its last turn ended {_moment(at)}"),
    (("waiter", "order"), lambda node, order: f"{name_of(node)} goes first; order: {order}"),
)
"""Which facts are written together, in which words. The first entry that has a new fact wins."""

WRITTEN: Final = frozenset(name for names, _ in _WRITERS for name in names)
"""Every fact that has words."""
