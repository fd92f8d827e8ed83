"""Builders of facts: a group of healthy device nodes at noon, and whatever a test says is different about it.

Everything has a plain default, so that a test names only what it is about. `ago` is in seconds
before `NOW` throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from agbot.rules import lease as leases
from agbot.rules.decide import judge
from agbot.rules.facts import Agreement, Ask, Member, Node, Policy, Sight
from agbot.rules.group import Group
from agbot.rules.holder import Review, Seen
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.progress import Progress
from agbot.rules.reasons import Cause, Code, Reason
from agbot.rules.records import Brake, Busy, Deferral, Turn, Waiter
from agbot.rules.rule import Case
from agbot.rules.seen_time import Now, SeenTime
from agbot.rules.statuses import Status
from agbot.rules.versions import Versions

NOW = Now.unblinded(datetime(2026, 3, 4, 12, 0, tzinfo=UTC))
LIMITS = Limits()
TTL = timedelta(seconds=LIMITS.lease_seconds)

GROUP = GroupId("o1/pumps")
ANNA, BERT, CARL = NodeId("o1/anna"), NodeId("o1/bert"), NodeId("o1/carl")
NMP, OTHER_NMP = PolicyId("o1/agent-2.32"), PolicyId("o1/agent-2.33")
DEPLOYMENT = PolicyId("o1/flow")
SERVICE = "o1/flow-meter"
OLD, NEW = "2.31.0", "2.32.0"


def at(ago: float) -> datetime:
    """Return the moment that many seconds before now, on the wall clock."""
    return NOW.wall - timedelta(seconds=ago)


def seen_at(ago: float) -> SeenTime:
    """Return the moment that many seconds of seen time before now."""
    return NOW.seen - timedelta(seconds=ago)


def claim(holder: NodeId = ANNA, kind: Kind = Kind.AGENT, subject: PolicyId | None = None) -> Claim:
    return Claim(holder=holder, kind=kind, subject=subject or (NMP if kind is Kind.AGENT else DEPLOYMENT))


def node(name: NodeId = ANNA, *, ago: float | None = 10, **fields: Any) -> Node:
    """Build a registered device node of the group whose last heartbeat was `ago`; None: it never had any."""
    heartbeat_at = None if ago is None else at(ago)
    default: dict[str, Any] = {"group": GROUP, "agent_version": OLD, "registered": True}
    return Node(id=name, heartbeat_at=heartbeat_at, **(default | fields))


def status(value: str, *, ago: float = 0, stamp: str | None = None, target_version: str = NEW) -> Status:
    """Build one `managementStatus` entry, written `ago`; its stamp reports value and time unless a test says otherwise."""
    moment = at(ago)
    written = stamp if stamp is not None else f"{value}@{moment:%H:%M:%S}"
    return Status(value=value, stamp=written, updated_at=moment, target_version=target_version)


def member(
    name: NodeId = ANNA,
    statuses: Mapping[PolicyId, Status] | None = None,
    *,
    agreements: tuple[Agreement, ...] | Sight = Sight.UNREAD,
    agreements_read_at: SeenTime | None = None,
    joined_at: datetime | None = None,
    service_lost_at: datetime | None = None,
    agreement_ended_at: datetime | None = None,
    properties: Mapping[str, str] | None = None,
    **fields: Any,
) -> Member:
    """Build a member; the fields are those of its node."""
    return Member(
        node=node(name, **fields),
        statuses=statuses or {},
        agreements=agreements,
        agreements_read_at=agreements_read_at,
        joined_at=joined_at,
        service_lost_at=service_lost_at,
        agreement_ended_at=agreement_ended_at,
        properties=properties or {},
    )


def ask(name: NodeId = BERT, kind: Kind = Kind.AGENT, subject: PolicyId | None = None, *, bound: bool = False) -> Ask:
    return Ask(group=GROUP, claim=claim(name, kind, subject), agreement_bound=bound)


def case(question: Ask, facts: Group, now: Now = NOW) -> Case:
    """Put a question to a group."""
    return Case(at=now, ask=question, group=facts)


def why_not(question: Ask, facts: Group, now: Now = NOW) -> tuple[Reason, ...]:
    """Return all reasons against a grant."""
    return judge(case(question, facts, now)).reasons


def service_ask(name: NodeId = BERT, *, bound: bool = True) -> Ask:
    return ask(name, Kind.SERVICE, bound=bound)


def policy(name: PolicyId = NMP, **fields: Any) -> Policy:
    return Policy(id=name, **({"revision": "r1"} | fields))


def deployment(top_version: str = "2.0.0") -> Policy:
    return Policy(id=DEPLOYMENT, revision="r1", service=SERVICE, top_version=top_version)


def agreement(
    name: str, version: str = "1.0.0", *states: str, finalized: bool = True, ago: float | None = None
) -> Agreement:
    """Build an agreement for the service, written `ago`; None: no one knows when."""
    containers, updated_at = states or ("running",), None if ago is None else at(ago)
    return Agreement(
        id=name, service=SERVICE, finalized=finalized, version=version, containers=containers, updated_at=updated_at
    )


POLICIES: Mapping[tuple[Kind, PolicyId], Policy | Sight] = {
    (Kind.AGENT, NMP): policy(NMP),
    (Kind.AGENT, OTHER_NMP): policy(OTHER_NMP),
    (Kind.SERVICE, DEPLOYMENT): deployment(),
}


def group(*members: Member, **fields: Any) -> Group:
    """Build a group with a free lease; without members these are Anna, Bert and Carl, all healthy."""
    present = members or (member(ANNA), member(BERT), member(CARL))
    default: dict[str, Any] = {"lease": Lease(group=GROUP), "limits": LIMITS, "policies": POLICIES}
    return Group(id=GROUP, members={each.node.id: each for each in present}, **(default | fields))


def held(
    by: Claim | None = None, *, ago: float = 60, token: int = 7, ttl: timedelta = TTL, progress: Progress | None = None
) -> Lease:
    """Build a lease granted `ago`, with nothing seen since unless `progress` says so."""
    free = Lease(group=GROUP, token=token - 1)
    return leases.grant(free, by or claim(), NOW - timedelta(seconds=ago), ttl, progress or begun(ago))


def begun(ago: float = 60, **fields: Any) -> Progress:
    """Build the progress of a grant made `ago`, of which the fields have been seen since."""
    default: dict[str, Any] = {"moved_at": seen_at(ago), "version_before": OLD, "revision": "r1"}
    return Progress(**(default | fields))


def under_way(value: str = "downloaded", *, ago: float = 60, stamp: str = "s1", **fields: Any) -> Progress:
    """Build the progress of a confirmed upgrade that reported this value `ago`."""
    default: dict[str, Any] = {"status": value, "stamp": stamp, "confirmed": True, "target_version": NEW}
    return begun(ago, **(default | fields))


def suspected(by: Claim | None = None, *, ago: float = 900, progress: Progress | None = None) -> Lease:
    return leases.suspect(held(by, ago=ago, progress=progress or under_way(ago=ago)))


def ended(cause: Cause = Cause.SUCCEEDED, *, ago: float = 30, by: Claim | None = None) -> Lease:
    """Build a free lease whose last occupation ended `ago`."""
    return leases.release(held(by, ago=ago + 60), cause, NOW - timedelta(seconds=ago))


def review_of(lease: Lease, facts: Seen, limits: Limits = LIMITS, now: Now = NOW) -> Review:
    """Review a lease with these facts about its holder."""
    return Review(lease=lease, seen=facts, limits=limits, now=now)


def seen(**fields: Any) -> Seen:
    """Build the sight of a holder that is a live member with an enabled policy.

    What it reports is up to the test.
    """
    default: dict[str, Any] = {
        "node": node(ago=0),
        "policy": policy(),
        "status": Sight.ABSENT,
        "status_read_at": NOW.seen,
        "agreements_read_at": NOW.seen,
    }
    return Seen(**(default | fields))


def waiter(name: NodeId = BERT, *, since: float = 300, asked: float = 30, question: Ask | None = None) -> Waiter:
    return Waiter(ask=question or ask(name), since=seen_at(since), asked_at=seen_at(asked))


def turn(name: NodeId, *, ago: float, cause: Cause = Cause.SUCCEEDED) -> Turn:
    return Turn(group=GROUP, node=name, until=seen_at(ago), cause=cause)


def brake(
    subject: PolicyId = NMP, kind: Kind = Kind.AGENT, revision: str = "r1", failed: tuple[Versions, ...] = ()
) -> Brake:
    return Brake(
        group=GROUP,
        kind=kind,
        subject=subject,
        revision=revision,
        since=at(600),
        cause=Cause.FAILED,
        node=ANNA,
        token=6,
        failed=failed,
    )


def busy(name: NodeId = BERT, *, since: float = 600, left: float = 600, why: str = "a batch runs") -> Busy:
    """Build the word of a node that has been busy for `since` and is for `left` seconds more."""
    return Busy(node=name, since=at(since), until=at(-left), why=why)


def deferral(name: NodeId = ANNA, subject: PolicyId = NMP) -> Deferral:
    return Deferral(group=GROUP, node=name, subject=subject, since=at(100), status="initiated")


def service_deferral(name: NodeId = ANNA, *, ago: float = 100) -> Deferral:
    """Build the deferral of a node whose agreement ended `ago`."""
    return Deferral(
        group=GROUP, node=name, subject=PolicyId(""), since=at(ago), status="no agreement", kind=Kind.SERVICE
    )


def doubt(code: Code = Code.STORE_UNAVAILABLE) -> Reason:
    return Reason(code=code, text="it cannot be trusted")


def limits(**fields: Any) -> Limits:
    return replace(LIMITS, **fields)
