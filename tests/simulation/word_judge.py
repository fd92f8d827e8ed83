"""Whether what is stated of an upgrade is so: its policy, its end, its overlap, its brake.

Against what nodes and Exchange really did.

A policy that the node does not match, a service that it never ran and an overlap of which only one
half was down are guesses. What failed is known from the node's own report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agbot.rules.ids import GroupId, name_of, org_of
from agbot.rules.lease import End, Kind, Lease, Tenure
from agbot.rules.reasons import BRAKING, Cause
from agbot.rules.records import Brake
from agbot.rules.statuses import PHASES, Phase
from agbot.sim.episodes import Episode
from agbot.sim.exchange import Write
from agbot.sim.fleet import Fleet
from agbot.sim.links import Kind as SubjectKind
from agbot.sim.matching import matches
from agbot.store.contract import Entry
from tests.simulation.story import Promise, Story

_BAD_ENDS = frozenset({"rollback successful", "rollback failed", "precheck failed", "download failed", "failed"})


class WordJudge:
    """One run's words."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._brings: dict[tuple[str, str], str] = {}
        """(node, policy) -> the version that its present status names."""
        self._failed: dict[tuple[str, str], set[str]] = {}
        """(node, policy) -> the versions of which it has reported that they failed."""

    def wrote(self, write: Write) -> None:
        """Take in what a node says that its upgrade brings."""
        if write.resource != "nodemgmtpolstatus":
            return
        key = (f"{write.org}/{write.id}", str(write.data["policy"]))
        if write.operation == "deleted":
            self._brings.pop(key, None)
            return
        version = str(write.data["upgradedVersions"]["softwareVersion"])
        self._brings[key] = version
        if version and write.data["status"] in _BAD_ENDS:
            self._failed.setdefault(key, set()).add(version)

    def granted(self, lease: Lease, brakes: Sequence[Brake], emitted: Sequence[Entry], fleet: Fleet) -> None:
        """Look at a new lease."""
        if lease.tenure is None:
            return
        if lease.tenure.progress.observed:
            self._matches(
                lease.group, lease.tenure.claim.holder, lease.tenure.claim.kind, lease.tenure.claim.subject, fleet
            )
        elif not any(entry.node == lease.tenure.claim.holder and "allowed_by" in entry.facts for entry in emitted):
            self._brings_what_failed(lease.group, lease.tenure, brakes)

    def ended(self, group: GroupId, end: End, fleet: Fleet) -> None:
        """Look at the end of a service's upgrade: one that failed had begun."""
        claim = end.claim
        if claim.kind is Kind.SERVICE and end.cause in BRAKING - {Cause.EXPIRED}:
            mine = (
                one for one in fleet.observer.episodes if one.node == claim.holder and one.kind is SubjectKind.SERVICE
            )
            if not any(one.subject == claim.subject for one in mine):
                self._story.broke(
                    Promise.WORDS, group, f"{claim.what} of {claim.holder} {end.cause}, and it never began"
                )

    def stated(
        self, emitted: Sequence[Entry], leases: Mapping[GroupId, Lease], brakes: Sequence[Brake], fleet: Fleet
    ) -> None:
        """Look at what was written down."""
        for entry in emitted:
            if entry.event == "lease.overlapped" and entry.node is not None and entry.group is not None:
                others = entry.facts["others"]
                names = list(others) if isinstance(others, Mapping) else []
                if names and not any(self._were_together(entry, each, leases, fleet) for each in names):
                    text = f"{entry.node} was told to overlap with {', '.join(names)}, and only one was down"
                    self._story.broke(Promise.WORDS, entry.group, text)
            if entry.event == "brake.set":
                for brake in brakes:
                    if (brake.node, brake.subject) == (entry.node, entry.subject):
                        self._matches(brake.group, brake.node, brake.kind, brake.subject, fleet)

    def _matches(self, group: GroupId, node: str, kind: Kind, subject: str, fleet: Fleet) -> None:
        """A policy that is named reaches the node; one that is gone by now cannot be looked into."""
        world, sim_node = fleet.exchange.world, fleet.nodes.get(node)
        known = world.management_policies if kind is Kind.AGENT else world.business_policies
        policy = known.get((org_of(subject), name_of(subject))) if subject else None
        if policy is None or sim_node is None:
            return
        if not matches(policy.doc.get("constraints") or (), sim_node.spec.properties):
            self._story.broke(
                Promise.WORDS, group, f"{node} does not match {subject}, of which it is said to be in the middle"
            )

    def _brings_what_failed(self, group: GroupId, tenure: Tenure, brakes: Sequence[Brake]) -> None:
        claim = tenure.claim
        mine = self._brings.get((claim.holder, claim.subject), "")
        for brake in brakes:
            if (brake.group, brake.kind, brake.subject) != (
                group,
                Kind.AGENT,
                claim.subject,
            ) or claim.kind is not Kind.AGENT:
                continue
            if mine and mine in self._failed.get((brake.node, brake.subject), set()):
                text = f"{claim.holder} was let go with {mine}, which failed on {brake.node}, and the brake stands"
                self._story.broke(Promise.WORDS, group, text)

    def _were_together(self, entry: Entry, other: str, leases: Mapping[GroupId, Lease], fleet: Fleet) -> bool:
        """Whether both were down at once, or the other one says so itself, or had a yes that it may not have acted on yet."""
        lease = leases.get(entry.group) if entry.group is not None else None
        tenure = lease.tenure if lease is not None else None
        if tenure is not None and tenure.claim.holder == other and not tenure.progress.observed:
            return True
        if _reports_that_it_upgrades(other, fleet):
            # its installation may have died with it, and no one else can know that while its report
            # stands
            return True
        if not entry.subject and all(_has_lost_its_services(name, fleet) for name in (str(entry.node), other)):
            # a release that crashes again and again is no upgrade, and both are down all the same
            return True
        mine, theirs = (list(_of(name, fleet)) for name in (str(entry.node), other))
        now = fleet.clock.now()
        return any(
            one.began_at <= (two.ended_at or now) and two.began_at <= (one.ended_at or now)
            for one in mine
            for two in theirs
        )


def _of(node: str, fleet: Fleet) -> Iterator[Episode]:
    return (one for one in fleet.observer.episodes if one.node == node)


def _has_lost_its_services(node: str, fleet: Fleet) -> bool:
    found = fleet.nodes.get(node)
    return found is not None and all(one.state != "running" for one in found.services.instances.values())


def _reports_that_it_upgrades(node: str, fleet: Fleet) -> bool:
    reports = fleet.exchange.world.management_status.get((org_of(node), name_of(node)), {})
    values = (each["agentUpgradePolicyStatus"]["status"] for each in reports.values())
    return any(PHASES.get(value) is Phase.UNDER_WAY for value in values)
