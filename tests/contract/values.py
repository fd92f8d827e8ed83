"""Leases and records for the tests of the stores: fixed ones that read well, and drawn ones that do not."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

from hypothesis import strategies as st
from msgspec import Struct, structs

from agbot.rules import lease as leases
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import OF_POLICIES, Claim, End, Kind, Lease, State, Tenure
from agbot.rules.progress import Progress
from agbot.rules.reasons import Cause, Code, Reason
from agbot.rules.records import Allowance, Approval, Brake, Busy, BusyState, Contact, Deferral, Hold, Turn, Waiter
from agbot.rules.seen_time import ClockMark, Gap, Now, SeenTime
from agbot.rules.versions import Versions
from agbot.store.contract import Entry
from agbot.store.records import Record

T = TypeVar("T")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TTL = timedelta(minutes=30)
GROUP = GroupId("acme/pumps")
OTHER_GROUP = GroupId("acme/fans")
ANNA = NodeId("acme/anna")
BERT = NodeId("acme/bert")
UPGRADE = PolicyId("acme/agent-2.31")


def claim(holder: NodeId = ANNA) -> Claim:
    return Claim(holder=holder, kind=Kind.AGENT, subject=UPGRADE)


def granted(lease: Lease, holder: NodeId = ANNA) -> Lease:
    return leases.grant(lease, claim(holder), Now.unblinded(NOW), TTL)


def released(lease: Lease, cause: Cause = Cause.SUCCEEDED) -> Lease:
    return leases.release(lease, cause, Now.unblinded(NOW))


def waiter(node: NodeId = BERT, group: GroupId = GROUP, minutes: int = 0) -> Waiter:
    asked_at = NOW + timedelta(minutes=minutes)
    reason = Reason(
        code=Code.LEASE_HELD, text="anna upgrades", until=NOW + TTL, facts={"token": 3, "share": 0.5, "holder": ANNA}
    )
    return Waiter(
        ask=Ask(group=group, claim=claim(node)), since=SeenTime(NOW), asked_at=SeenTime(asked_at), reasons=(reason,)
    )


def brake(kind: Kind = Kind.AGENT, subject: PolicyId = UPGRADE, revision: str = "r1", token: int = 3) -> Brake:
    cause = Cause.FAILED
    return Brake(
        group=GROUP, kind=kind, subject=subject, revision=revision, since=NOW, cause=cause, node=ANNA, token=token
    )


def turn(node: NodeId = ANNA, minutes: int = 0) -> Turn:
    return Turn(group=GROUP, node=node, until=SeenTime(NOW + timedelta(minutes=minutes)), cause=Cause.SUCCEEDED)


def entry(
    event: str = "lease.granted", minutes: int = 0, group: GroupId | None = GROUP, node: NodeId | None = ANNA
) -> Entry:
    return Entry(at=NOW + timedelta(minutes=minutes), event=event, group=group, node=node, subject=UPGRADE, token=1)


def drawn(made: type[T], /, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[T]:
    """Draw values of a dataclass or struct, every field of it: one that is added must be given here, or a store may forget it."""
    known = structs.fields(made) if issubclass(made, Struct) else dataclasses.fields(made)  # type: ignore[arg-type]  # T is one of both here
    kept = {field.name for field in known if getattr(field, "compare", True)}  # the others are not stored
    assert kept <= set(fields) <= {field.name for field in known}
    return st.builds(made, **fields)


# Ids as hostile as the Exchange lets them be: any character, also quotes, NUL, emoji, `%`-escapes
# and further slashes.
texts = st.text(max_size=12) | st.sampled_from(["org/ä€😀'\"%2F@.;--", "a/b/c", "IBM/*", "x\x00y", "é vs e\u0301"])
ids = st.builds("{}/{}".format, st.text(max_size=6).map(lambda org: org.replace("/", "_")), texts)
moments = st.datetimes(timezones=st.just(UTC)) | st.datetimes(
    timezones=st.just(timezone(timedelta(hours=-9, minutes=30)))
).filter(
    lambda moment: 1 < moment.year < 9999  # nearer to the ends UTC has no such year
)
seen_times = moments.map(SeenTime)
tokens = st.integers(min_value=0, max_value=2**62)
causes = st.sampled_from(Cause)
numbers = st.integers(min_value=-(2**53), max_value=2**53) | st.floats(allow_nan=False, allow_infinity=False)
reasons = drawn(
    Reason,
    code=st.sampled_from(Code),
    text=texts,
    until=st.none() | moments,
    facts=st.dictionaries(texts, texts | numbers, max_size=3),
)
versions = drawn(Versions, software=texts, certificate=texts, configuration=texts)
claims = drawn(Claim, holder=ids.map(NodeId), kind=st.sampled_from(Kind), subject=ids.map(PolicyId))
progresses = drawn(
    Progress,
    moved_at=seen_times,
    status=texts,
    stamp=texts,
    confirmed=st.booleans(),
    pending_since=st.none() | seen_times,
    target_version=texts,
    version_before=texts,
    revision=texts,
    service=texts,
    agreements_before=st.lists(texts, max_size=3).map(tuple),
    observed=st.booleans(),
    pattern=texts,
    certificate=texts,
    configuration=texts,
    top_version=texts,
    asked_by=st.lists(texts, max_size=3).map(tuple),
    marks=st.lists(texts, max_size=3).map(tuple),
    advanced_at=st.none() | seen_times,
    is_untaken=st.booleans(),
    was_offline=st.booleans(),
    upheld_above=tokens,
)
tenures = drawn(
    Tenure, claim=claims, granted_at=moments, renewed_at=seen_times, expires_at=seen_times, progress=progresses
)
ends = st.none() | drawn(
    End,
    claim=claims,
    token=tokens,
    cause=causes,
    at=moments,
    detail=texts,
    revision=texts,
    service=texts,
    seen_at=st.none() | seen_times,
    top_version=texts,
    is_rested=st.booleans(),
    version=texts,
    was_offline=st.booleans(),
    is_stopped=st.booleans(),
    after_success=st.booleans(),
)
free_leases = st.builds(Lease, group=ids.map(GroupId), token=tokens, last_end=ends)
occupied_leases = st.builds(
    Lease,
    group=ids.map(GroupId),
    token=tokens,
    state=st.sampled_from([State.HELD, State.SUSPECT]),
    tenure=tenures,
    last_end=ends,
)
any_leases = free_leases | occupied_leases
brakes = drawn(
    Brake,
    group=ids.map(GroupId),
    kind=st.sampled_from(Kind),
    subject=ids.map(PolicyId),
    revision=texts,
    since=moments,
    cause=causes,
    node=ids.map(NodeId),
    token=tokens,
    failed=st.lists(versions, max_size=3).map(tuple),
)
deferrals = drawn(
    Deferral,
    group=ids.map(GroupId),
    node=ids.map(NodeId),
    subject=ids.map(PolicyId),
    since=moments,
    status=texts,
    kind=st.sampled_from(OF_POLICIES),
    service=texts,
    overlaps=st.booleans(),
    cut_off=texts,
)
contacts = drawn(Contact, node=ids.map(NodeId), asked_at=st.none() | moments, bypassed_at=st.none() | moments)
holds = drawn(Hold, scope=texts, since=moments, by=texts, why=texts, until=st.none() | moments)
served_marks = drawn(Turn, group=ids.map(GroupId), node=ids.map(NodeId), until=seen_times, cause=causes)
waiters = drawn(
    Waiter,
    # who asks on a node's behalf is not kept with a waiter: it is the grant that remembers it
    ask=drawn(Ask, group=ids.map(GroupId), claim=claims, agreement_bound=st.booleans(), by=st.just("")),
    since=seen_times,
    asked_at=seen_times,
    reasons=st.lists(reasons, max_size=3).map(tuple),
)
allowances = drawn(
    Allowance, node=ids.map(NodeId), subject=texts.map(PolicyId), since=moments, until=moments, by=texts, why=texts
)
busy_nodes = drawn(
    Busy, node=ids.map(NodeId), since=moments, until=moments, why=texts, state=st.sampled_from(BusyState)
)
approvals = drawn(
    Approval,
    scope=texts,
    kind=st.sampled_from(OF_POLICIES),
    subject=ids.map(PolicyId),
    since=moments,
    by=texts,
    why=texts,
)
clock_marks = drawn(
    ClockMark,
    seen=seen_times,
    wall=moments,
    clear_since=st.none() | seen_times,
    settlings=st.integers(0, 2**31),
    gaps=st.lists(st.builds(Gap, moments, moments), max_size=2).map(tuple),
    exchange_ahead=st.none() | st.integers(-(2**45), 2**45).map(lambda ms: ms * timedelta(milliseconds=1)),
)
records: st.SearchStrategy[Record] = (
    allowances | approvals | brakes | busy_nodes | clock_marks | contacts | deferrals | holds | served_marks | waiters
)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
entries = drawn(
    Entry,
    at=moments,
    event=texts,
    group=st.none() | ids.map(GroupId),
    node=st.none() | ids.map(NodeId),
    subject=st.none() | ids.map(PolicyId),
    token=st.none() | tokens,
    who=texts,
    id=st.just(0),
    facts=st.dictionaries(texts, json_values, max_size=4),
)
