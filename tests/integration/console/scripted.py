"""A coordinator that says what the test has written down, and remembers what it was reported to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from agbot.coordinator.contract import (
    BrakeView,
    Done,
    Explanation,
    GroupView,
    LeaseView,
    MemberView,
    NotDone,
    OrgView,
    Overview,
    RuleView,
    WaitView,
)
from agbot.coordinator.listings import GroupPage, GroupProgress, GroupQuery, GroupState, Noun, Orders, Subject
from agbot.coordinator.operations import Operations
from agbot.events.event import Event
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId, node_scope
from agbot.rules.lease import Kind
from agbot.rules.nearest import closest, did_you_mean
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Allowance, Approval, Hold
from agbot.store.contract import Entry, JournalQuery

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
MILLS = GroupId("acme/mills")
PUMPS = GroupId("acme/pumps")
NMP = PolicyId("acme/agent-2.32")
ALPHA = NodeId("acme/alpha")
BETA = NodeId("acme/beta")
GAMMA = NodeId("acme/gamma")
ELSEWHERE = OrgId("elsewhere")
"""An organisation that is not looked after."""

HELD = LeaseView(
    group=MILLS,
    state="held",
    token=7,
    holder=ALPHA,
    kind="agent",
    subject=NMP,
    granted_at=NOW - timedelta(seconds=95),
    renewed_at=NOW - timedelta(seconds=12),
    expires_at=NOW + timedelta(seconds=588),
    status="initiated",
)
FREE = LeaseView(
    group=PUMPS,
    state="free",
    token=3,
    last_holder=GAMMA,
    last_subject=NMP,
    last_cause="failed",
    last_end_at=NOW - timedelta(hours=2),
    last_detail="acme/gamma reports rollback successful",
)
HELD_REASON = Reason(
    code=Code.LEASE_HELD,
    text="acme/alpha has been upgrading acme/agent-2.32 since 2026-03-04 05:04:32Z",
    facts=MappingProxyType({"holder": ALPHA, "kind": Kind.AGENT, "token": 7}),
)
WINDOW_REASON = Reason(
    code=Code.OUTSIDE_WINDOW,
    text="no maintenance window is open; the next opens at 2026-03-04 22:00:00Z",
    until=datetime(2026, 3, 4, 22, tzinfo=UTC),
)
GROUPS = (
    GroupView(
        id=MILLS,
        members=(
            MemberView(
                node=ALPHA,
                node_type="device",
                available=False,
                why_unavailable="its own upgrade acme/agent-2.32 is initiated",
                heartbeat_at=NOW - timedelta(seconds=20),
                agent_version="2.31.0",
                statuses=MappingProxyType({NMP: "initiated"}),
                holds_lease=True,
            ),
            MemberView(
                node=BETA,
                node_type="device",
                available=True,
                heartbeat_at=NOW - timedelta(seconds=31),
                agent_version="2.31.0",
                statuses=MappingProxyType({NMP: "ha node waiting"}),
            ),
        ),
        lease=HELD,
        waiting=(
            WaitView(
                node=BETA,
                kind="agent",
                subject=NMP,
                since=NOW - timedelta(seconds=80),
                asked_at=NOW - timedelta(seconds=20),
                reasons=(HELD_REASON, WINDOW_REASON),
            ),
        ),
        holds=(
            Hold(scope="acme", since=NOW, by="ada", why="trade fair", until=NOW + timedelta(hours=3)),
            Hold(scope="node:acme/beta", since=NOW, by="ada", why="broken disk"),
        ),
        required=1,
        required_by="min_available 1",
    ),
    GroupView(
        id=PUMPS,
        members=(
            MemberView(
                node=GAMMA,
                node_type="device",
                available=False,
                why_unavailable="last heartbeat 7261 s ago",
                heartbeat_at=NOW - timedelta(seconds=7261),
            ),
        ),
        lease=FREE,
        brakes=(BrakeView(subject=NMP, since=NOW - timedelta(hours=2), cause="failed", node=GAMMA),),
    ),
)
OVERVIEW = Overview(
    sentence="2 groups; acme/alpha upgrades acme/agent-2.32, 1 waits",
    cycle_at=NOW,
    ready=True,
    not_ready=(),
    view_age_seconds=1.5,
    view_ok=True,
    store_ok=True,
    orgs=(
        OrgView(org="acme", groups=2, members=3, read_at=NOW),
        OrgView(org="bolt", groups=0, members=0, read_at=None, failing="403 from the Exchange"),
    ),
    held=1,
    suspect=0,
    waiting=1,
    deferred=0,
    overlaps=0,
    brakes=1,
    holds=1,
)
WAITING = Explanation(
    node=BETA,
    group=MILLS,
    answer="acme/beta has been waiting for 80 s to upgrade to acme/agent-2.32: acme/alpha is upgrading.",
    subject=NMP,
    kind="agent",
    since=NOW - timedelta(seconds=80),
    rules=(
        RuleView(rule="membership", passes=True, text="acme/beta is a member of acme/mills"),
        RuleView(rule="policy", passes=True, text="acme/agent-2.32 exists and is enabled"),
        RuleView(rule="lease", passes=False, code=HELD_REASON.code, text=HELD_REASON.text),
        RuleView(
            rule="window", passes=False, code=WINDOW_REASON.code, text=WINDOW_REASON.text, until=WINDOW_REASON.until
        ),
        RuleView(rule="peers", passes=True, text="1 of 1 other members is available, 1 must be"),
    ),
    lease=HELD,
    unblock="acme/alpha has to finish, and a maintenance window has to open",
    earliest=WINDOW_REASON.until,
)
IDLE = Explanation(node=GAMMA, group=PUMPS, answer="acme/gamma asks for nothing.", lease=FREE)
NO_ORDERS = Orders(holds=(), allowances=(), approvals=(), brakes=(), windows=())
ENTRY = Entry(
    at=NOW,
    event="lease.granted",
    group=MILLS,
    node=ALPHA,
    subject=NMP,
    token=7,
    facts=MappingProxyType({"kind": "agent", "expires_at": "2026-03-04T05:16:07.000Z"}),
    id=41,
)


@dataclass(slots=True)
class Scripted:
    """The whole contract, answered from fields that a test may change."""

    seen: Overview = OVERVIEW
    known: Sequence[GroupView] = GROUPS
    explained: dict[NodeId, Explanation] = field(default_factory=lambda: {BETA: WAITING, GAMMA: IDLE})
    entries: Sequence[Entry] = (ENTRY,)
    book: Callable[[JournalQuery], Awaitable[Sequence[Entry]]] | None = None
    """What answers queries of the journal, in place of `entries`."""
    outcome: Done | NotDone | Exception = field(default_factory=lambda: Done(text="carried out"))
    emitted: list[object] = field(default_factory=list)
    queries: list[GroupQuery] = field(default_factory=list)
    looked_at: list[GroupId] = field(default_factory=list)
    look: Callable[[], None] = lambda: None
    """What happens while a group is looked at."""
    far: dict[tuple[Kind, PolicyId], Sequence[GroupProgress]] = field(default_factory=dict)
    ordered: Orders = NO_ORDERS
    windows_read: int = 0
    """How often all groups were looked through for their windows."""

    def overview(self) -> Overview:
        return self.seen

    def groups(self) -> Sequence[GroupView]:
        return self.known

    def group(self, group: GroupId) -> GroupView | None:
        return next((each for each in self.known if each.id == group), None)

    async def look_at(self, group: GroupId) -> None:
        self.looked_at.append(group)
        self.look()

    def why_excluded(self, org: OrgId) -> str:
        return f"organisation {org} is not among those" if org == ELSEWHERE else ""

    def explain(self, node: NodeId) -> Explanation | None:
        return self.explained.get(node)

    async def release(self, group: GroupId, *, token: int | None, reason: str, who: str) -> Done | NotDone:
        return self._act(("release", group, token, reason, who))

    async def allow(self, allowance: Allowance) -> Done | NotDone:
        return self._act(allowance)

    async def approve(self, approval: Approval) -> Done | NotDone:
        return self._act(approval)

    async def hold(self, hold: Hold) -> Done | NotDone:
        return self._act(hold)

    async def resume(self, scope: str, *, subject: PolicyId | None, reason: str, who: str) -> Done | NotDone:
        return self._act(("resume", scope, subject, reason, who))

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        self.emitted.append(query)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.entries if self.book is None else await self.book(query)

    def find_groups(self, query: GroupQuery) -> GroupPage:
        self.queries.append(query)
        found = [each for each in self.known if query.find in each.id and query.org in {None, each.id.split("/")[0]}]
        ids = [each.id for each in found if query.state is None or self._is(query.state, each)]
        left = [each for each in ids if each > query.after]
        return GroupPage(total=len(ids), groups=left[query.offset : query.offset + query.limit])

    def _is(self, state: GroupState, group: GroupView) -> bool:
        busy = bool(group.lease.state != "free" or group.waiting or group.brakes or group.stuck)
        return {GroupState.BUSY: busy, GroupState.QUIET: not busy}.get(state, group.lease.state == state)

    def subjects(self) -> Sequence[Subject]:
        return (Subject(kind=Kind.AGENT, policy=NMP, running=1, stopped=1),)

    def progress(self, kind: Kind, policy: PolicyId) -> Iterator[GroupProgress]:
        yield from self.far.get((kind, policy), ())

    def revised_at(self, kind: Kind, policy: PolicyId) -> datetime | None:
        return None

    def oldest_grant(self) -> GroupId | None:
        return next((each.id for each in self.known if each.lease.holder is not None), None)

    def orders(self, *, with_windows: bool = True) -> Orders:
        self.windows_read += with_windows
        return self.ordered

    async def note(self, event: Event) -> None:
        self.emitted.append(event)

    async def withdraw_allowance(self, node: NodeId, *, reason: str, who: str) -> Done | NotDone:
        return self._act(("withdraw", node, reason, who))

    async def withdraw_approval(
        self, scope: str, kind: Kind, subject: PolicyId, *, reason: str, who: str
    ) -> Done | NotDone:
        return self._act(("withdraw", scope, kind, subject, reason, who))

    def nearest(self, noun: Noun, name: str) -> str:
        return closest(name, self._names(noun))

    def _names(self, noun: Noun) -> list[str]:
        if noun is Noun.SCOPE:
            groups, nodes = self._names(Noun.GROUP), self._names(Noun.NODE)
            return ["*", "acme", "bolt", *groups, *(node_scope(NodeId(each)) for each in nodes)]
        if noun is Noun.GROUP:
            return [each.id for each in self.known]
        return (
            [NMP, *(policy for _, policy in self.far)] if noun is Noun.POLICY else [*self.explained, *self._members()]
        )

    def unknown(self, noun: Noun, name: str) -> str:
        if noun is Noun.SCOPE:
            orgs = ["*", *(each.org for each in self.seen.orgs), *(each.id for each in self.known)]
            orgs += [node_scope(each) for each in self._members()]
            kind = "" if "/" in name else "organisation "
            return "" if name in orgs else f"{kind}{name} is not known{did_you_mean(name, orgs)}"
        names = self._names(noun)
        what = "HA group" if noun is Noun.GROUP else noun.value
        return "" if name in names else f"no {what} {name} is known{did_you_mean(name, names)}"

    def _members(self) -> list[NodeId]:
        return [member.node for group in self.known for member in group.members]

    def unready(self, *sentences: str) -> None:
        self.seen = replace(self.seen, ready=False, not_ready=sentences)

    def _act(self, action: object) -> Done | NotDone:
        self.emitted.append(action)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


SCRIPTED: type[Operations] = Scripted
"""Holds, for the type checker, that this is the contract."""
