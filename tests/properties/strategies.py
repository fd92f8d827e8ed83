"""Arbitrary facts, drawn from small worlds so that they meet: a handful of nodes, policies and moments, and every word there is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from msgspec import structs

from agbot.rules.facts import Agreement, Ask, Member, Node, NodeType, Policy, Sight
from agbot.rules.group import Group
from agbot.rules.holder import Seen
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, End, Kind, Lease, State, Tenure
from agbot.rules.limits import Limits, Order
from agbot.rules.progress import Progress
from agbot.rules.reasons import Cause, Code, Reason
from agbot.rules.records import Brake, Deferral, Hold, Turn, Waiter
from agbot.rules.seen_time import SeenTime
from agbot.rules.statuses import PHASES, Status
from agbot.rules.window import Window
from tests.support.values import GROUP, NOW, SERVICE

NODES = tuple(NodeId(f"o1/n{number}") for number in range(5))
SUBJECTS = (PolicyId("o1/p1"), PolicyId("o1/p2"))
VERSIONS = ("", "1", "2")

EDGES = (0, 1, 2, 60, 120, 180, 300, 301, 600, 1800, 7200)
"""Ages at which some limit lies; ages are drawn round them."""
moments = st.builds(
    lambda edge, off: NOW.wall - timedelta(seconds=edge + off),
    st.sampled_from(EDGES) | st.integers(-10, 90_000),
    st.sampled_from((-2, -1, 0, 1, 2)),
)
seen_times = moments.map(SeenTime)
reads = seen_times.map(lambda at: min(at, NOW.seen))
"""What was read was read before now; stamps of other clocks may be ahead of it."""
nodes_ids, subjects = st.sampled_from(NODES), st.sampled_from(SUBJECTS)
kinds, causes = st.sampled_from(Kind), st.sampled_from(Cause)
versions, revisions = st.sampled_from(VERSIONS), st.sampled_from(("", "r1", "r2"))
groups_ids = st.sampled_from((GROUP, GroupId("o1/fans"), None))
sights = st.sampled_from(Sight)
years = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
"""Any moment of two years: with all their changes of the clocks."""

status_values = st.sampled_from((*PHASES, "unknown", "", "new in 2031"))
statuses = st.builds(
    Status, value=status_values, stamp=st.sampled_from(("", "s1", "s2")), updated_at=moments, target_version=versions
)
claims = st.builds(Claim, holder=nodes_ids, kind=kinds, subject=subjects)
agreement_ids = st.sampled_from(("a1", "a2", "a3"))
agreements = st.builds(
    Agreement,
    id=agreement_ids,
    service=st.sampled_from((SERVICE, "o1/else", "")),
    finalized=st.booleans(),
    version=versions,
    containers=st.lists(st.sampled_from(("running", "exited")), max_size=2).map(tuple),
    updated_at=st.none() | moments,
)
progresses = st.builds(
    Progress,
    moved_at=seen_times,
    status=status_values,
    stamp=st.sampled_from(("", "s1")),
    confirmed=st.booleans(),
    pending_since=st.none() | seen_times,
    target_version=versions,
    version_before=versions,
    revision=revisions,
    service=st.sampled_from(("", SERVICE)),
    agreements_before=st.sets(agreement_ids).map(lambda ids: tuple(sorted(ids))),
    observed=st.booleans(),
)
tenures = st.builds(
    Tenure, claim=claims, granted_at=moments, renewed_at=seen_times, expires_at=seen_times, progress=progresses
)
ends = st.none() | st.builds(
    End, claim=claims, token=st.just(6), cause=causes, at=moments, service=st.sampled_from(("", SERVICE))
)
occupied = st.builds(
    Lease,
    group=st.just(GROUP),
    token=st.just(7),
    state=st.sampled_from((State.HELD, State.SUSPECT)),
    tenure=tenures,
    last_end=ends,
)
free = st.builds(Lease, group=st.just(GROUP), token=st.just(7), last_end=ends)

nodes = st.builds(
    Node,
    id=nodes_ids,
    group=groups_ids,
    node_type=st.sampled_from(NodeType),
    heartbeat_at=st.none() | moments,
    heartbeat_interval_seconds=st.sampled_from((0.0, 60.0, 3600.0)),
    agent_version=versions,
    registered=st.booleans(),
)
policies = st.builds(
    Policy,
    id=subjects,
    enabled=st.booleans(),
    revision=revisions,
    service=st.sampled_from((SERVICE, "")),
    top_version=versions,
)
seens = st.builds(
    Seen,
    node=sights | nodes,
    policy=sights | policies,
    status=sights | statuses,
    agreements=sights | st.lists(agreements, max_size=3).map(tuple),
    status_read_at=st.none() | reads,
    agreements_read_at=st.none() | reads,
    recreated=st.booleans(),
)
present_seens = st.builds(
    replace,
    seens,
    node=st.builds(structs.replace, nodes, group=st.just(GROUP)),
    policy=policies,
    recreated=st.just(value=False),
)
"""A holder that is there and in its group, with its policy: what it reports and the time decide."""
windows = st.builds(
    Window,
    weekdays=st.frozensets(st.integers(0, 6)),
    opens=st.times().map(lambda each: time(each.hour, each.minute)),
    closes=st.times().map(lambda each: time(each.hour, each.minute)),
    zone=st.sampled_from((ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns"), ZoneInfo("UTC"))),
)
limits = st.builds(
    Limits,
    min_available=st.integers(0, 3),
    services_must_run=st.booleans(),
    order=st.sampled_from((*Order, "property:zone")),
    agent_soak_seconds=st.sampled_from((0.0, 60.0)),
    windows=st.just(()) | st.lists(windows, max_size=2).map(tuple),
)
reasons = st.builds(Reason, code=st.sampled_from((Code.STORE_UNAVAILABLE, Code.VIEW_STALE)), text=st.just("doubtful"))
asks = st.builds(Ask, group=st.just(GROUP), claim=claims, agreement_bound=st.booleans())
waiters = st.builds(Waiter, ask=asks, since=seen_times, asked_at=seen_times)
marks = st.builds(Turn, group=st.just(GROUP), node=nodes_ids, until=seen_times, cause=causes)
deferrals = st.builds(Deferral, group=st.just(GROUP), node=nodes_ids, subject=subjects, since=moments, kind=kinds)
brakes = st.builds(
    Brake,
    group=st.just(GROUP),
    kind=kinds,
    subject=subjects,
    revision=revisions,
    since=moments,
    cause=causes,
    node=nodes_ids,
    token=st.just(5),
)
holds = st.builds(
    Hold,
    scope=st.sampled_from(("*", "o1", GROUP, "o2", "o1/fans")),
    since=moments,
    by=st.just("eva"),
    why=st.just("fair"),
    until=st.none() | moments,
)


@st.composite
def members(draw: st.DrawFn) -> dict[NodeId, Member]:
    """Draw the members of the group under their own names."""
    drawn: dict[NodeId, Member] = {}
    for node in draw(st.sets(nodes_ids)):
        shown = draw(st.dictionaries(subjects, statuses, max_size=1))
        drawn[node] = Member(
            node=structs.replace(draw(nodes), id=node, group=GROUP),
            statuses=shown,
            agreements=draw(st.just(Sight.UNREAD) | st.lists(agreements, max_size=1).map(tuple)),
            agreements_read_at=draw(st.none() | seen_times),
            service_lost_at=draw(st.none() | moments),
            agreement_ended_at=draw(st.none() | moments),
            properties=draw(st.dictionaries(st.sampled_from(("zone", "rack")), versions, max_size=2)),
        )
    return drawn


mostly_fine_policies = st.just(Policy(id=SUBJECTS[0], revision="r1")) | policies | sights
groups = st.builds(
    Group,
    id=st.just(GROUP),
    members=members(),
    lease=free | occupied,
    limits=limits,
    deferrals=st.lists(deferrals, max_size=1).map(lambda drawn: {each.node: each for each in drawn}),
    brakes=st.lists(brakes, max_size=1).map(tuple),
    holds=st.lists(holds, max_size=1).map(tuple),
    waiters=st.lists(waiters, max_size=4).map(tuple),
    turns=st.lists(marks, max_size=4).map(lambda drawn: {each.node: each for each in drawn}),
    policies=st.dictionaries(st.tuples(kinds, subjects), mostly_fine_policies, max_size=4),
    doubts=st.just(()) | st.lists(reasons, max_size=2).map(tuple),
)
