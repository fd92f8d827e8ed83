"""Checks the promises after every step: every commit on the disk, every answer, every deed of a node.

It judges by what really happened (the observer's deeds, the Exchange's history, the disk), never by what the coordinator believes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agbot.coordinator.contract import Answer, Granted, Refused
from agbot.rules.facts import Ask, Brake
from agbot.rules.ids import GroupId
from agbot.rules.lease import Claim, Hold, Kind, Lease, State
from agbot.rules.reasons import Cause, Code
from agbot.sim.deeds import Act, Deed
from agbot.store.contract import Entry
from tests.simulation import evidence
from tests.simulation.story import Promise

if TYPE_CHECKING:
    from tests.simulation.hub import Hub

_QUESTION_SECONDS = 15.0
"""What a question rests on was read within this time before its grant is tried: the answer's deadline, and a store that takes long."""
_LAG_SECONDS = 90.0
"""How old the coordinator's knowledge of a holder may be while the hub fails: its report is read anew every minute."""
_CALM_LAG_SECONDS = 15.0
_SILENCE_SLACK_SECONDS = 65.0
_FAILED_SECONDS = 8.0
_OPERATORS = frozenset({"operator"})
_OFFLINE_CODES = frozenset({Code.LEASE_HELD, Code.LEASE_SUSPECT, Code.SOAKING, Code.TURN, Code.PEERS_UNAVAILABLE})


class Judge:
    """Looks at everything and decides nothing."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._grants: dict[tuple[str, int], tuple[Claim, float]] = {}
        self._ended: dict[tuple[str, int], float] = {}
        self._deferred: dict[tuple[str, str], float] = {}
        """(group, node) -> until when; for ever while it lasts."""
        self._seen_violations = 0
        self._last_words: dict[str, tuple[str, ...]] = {}
        self._blocked: dict[tuple[str, str], float] = {}
        self.forced: set[tuple[str, int]] = set()
        self.grants = 0
        self.releases: dict[str, int] = {}

    # Deeds of nodes

    def hear(self, deed: Deed) -> None:
        """Look at a deed after the observer did."""
        hub = self._hub
        group = hub.fleet.observer.members.group_of(deed.node)
        said = (deed.act.value, deed.subject, str(deed.status), _reasons(deed.detail))
        if deed.act is not Act.ASKED or self._last_words.get(deed.node) != said:
            hub.story.tell(group, f"{deed.node} {' '.join(word for word in said if word)}")
        self._last_words[deed.node] = said
        violations = hub.fleet.observer.violations
        for violation in violations[self._seen_violations :]:
            hub.story.broke(Promise.ONE_HOLDER, violation.group, str(violation))
        self._seen_violations = len(violations)

    # Commits

    def wants_swap(self, expected: Lease, new: Lease) -> None:
        """P4: look at a grant at the moment when it is decided."""
        if new.hold is None or new.token == expected.token:
            return
        hub, now, claim = self._hub, _now(), new.hold.claim
        failed_at, daemon = hub.disk.failed_at, hub.daemon
        if failed_at is not None and now - failed_at > _FAILED_SECONDS:
            self._broke(Promise.NO_TRUST_NO_GRANT, new, f"the store failed {now - failed_at:.0f} s ago, not read since")
        if daemon is None:
            return
        feed, limit = daemon.sightings.feed, hub.plan.settings.view_max_age_seconds + _QUESTION_SECONDS
        if feed is None or now - feed > limit:
            self._broke(Promise.NO_TRUST_NO_GRANT, new, f"the feed was last read at {feed}, now it is {now}")
        asker = claim.holder if claim.kind is Kind.AGENT else hub.fleet.agbot.name
        org, _, node = claim.holder.partition("/")
        read_at = daemon.sightings.nodes.get((asker, f"/orgs/{org}/nodes/{node}"))
        if read_at is None or now - read_at > _QUESTION_SECONDS:
            self._broke(Promise.NO_TRUST_NO_GRANT, new, f"{claim.holder} was last read by {asker} at {read_at}")
        if not hub.truth.was_in(claim.holder, new.group, now - _QUESTION_SECONDS):
            self._broke(Promise.NO_TRUST_NO_GRANT, new, f"{claim.holder} is not in {new.group}")
        self._judge_subject(new, claim, now)

    def _judge_subject(self, new: Lease, claim: Claim, now: float) -> None:
        hub = self._hub
        if claim.kind is Kind.AGENT and not hub.truth.policies.get(claim.subject) and not hub.feed_lies:
            gone = max(hub.truth.policy_gone[claim.subject], default=0.0)
            if now - gone > hub.plan.settings.view_max_age_seconds + _QUESTION_SECONDS:
                self._broke(Promise.NO_TRUST_NO_GRANT, new, f"{claim.subject} has been gone since {gone:.0f}")
        for brake in hub.disk.records(Brake):
            if isinstance(brake, Brake) and (brake.group, brake.kind, brake.subject) == (new.group, *claim_key(claim)):
                if brake.revision == hub.revision(claim):
                    self._broke(Promise.NO_TRUST_NO_GRANT, new, f"{claim.subject} is stopped there by a brake")

    def committed(self, before: Mapping[GroupId, Lease], after: Mapping[GroupId, Lease], told: list[Entry]) -> None:
        """P1, P2, P3: look at what a transaction changed."""
        for entry in told:
            self._note_deferral(entry)
            if entry.event != "lease.renewed":
                facts = " ".join(f"{key}={value}" for key, value in entry.facts.items() if key != "since")
                node = entry.node or ""
                self._hub.story.tell(entry.group or "", f"-- {entry.event} {node} {entry.token or ''} {facts}")
        for group, new in after.items():
            old = before.get(group) or Lease(group=group)
            if old is not new:
                who = next((entry.who for entry in told if entry.event == "lease.released"), "coordinator")
                self._step(old, new, who)

    def _step(self, old: Lease, new: Lease, who: str) -> None:
        rises = new.token - old.token
        if rises not in {0, 1}:
            self._broke(Promise.OWN_TOKEN, new, f"the token went from {old.token} to {new.token}")
        if rises == 1:
            self._granted(old, new, who)
        elif new.hold is None and old.hold is not None:
            self._released(old, old.hold, new, who)
        elif old.hold is None or new.hold is None or old.hold.claim != new.hold.claim:
            self._broke(Promise.ONE_HOLDER, new, f"{_holder(old)} was followed by {_holder(new)} under one token")

    def _granted(self, old: Lease, new: Lease, who: str) -> None:
        self.grants += 1
        if new.hold is None:
            self._broke(Promise.OWN_TOKEN, new, "the token rose without a holder")
            return
        self._grants[new.group, new.token] = (new.hold.claim, _now())
        if old.state is State.HELD:
            self._broke(Promise.ONE_HOLDER, new, f"{_holder(old)} was overwritten by {_holder(new)}")
        elif old.hold is not None:
            self._ended[old.group, old.token] = _now()
            self._taken_over(old.hold, new, new.hold)

    def _taken_over(self, old: Hold, new: Lease, hold: Hold) -> None:
        silent = self._hub.silent_seconds(old.claim.holder)
        offline = silent >= self._hub.plan.limits.heartbeat_stale_seconds - _SILENCE_SLACK_SECONDS
        if hold.claim.kind is not Kind.SERVICE or not offline:
            self._broke(
                Promise.ONE_HOLDER, new, f"{hold.claim.holder} took over, {old.claim.holder} silent {silent:.0f} s"
            )

    def _released(self, old: Lease, hold: Hold, new: Lease, who: str) -> None:
        end, key = new.last_end, (old.group, old.token)
        self._ended[key] = _now()
        if end is None or end.claim != hold.claim or end.token != old.token:
            self._broke(Promise.OWN_TOKEN, new, f"{_holder(old)} was released as {end}")
            return
        self.releases[end.cause] = self.releases.get(end.cause, 0) + 1
        if who in _OPERATORS or end.cause is Cause.FORCED:
            if key not in self.forced:
                self._broke(Promise.OWN_TOKEN, new, f"{_holder(old)} was forced by nobody")
        elif who != "coordinator":
            if (hold.claim.holder, hold.claim.subject) not in self._hub.wire.ends:
                self._broke(Promise.OWN_TOKEN, new, f"{_holder(old)} was ended by {who}, who ended another one")
        else:
            self._judge_evidence(old, hold, new, end.cause)

    def _judge_evidence(self, old: Lease, hold: Hold, new: Lease, cause: Cause) -> None:
        hub = self._hub
        case = evidence.Case(
            lease=old,
            hold=hold,
            cause=cause,
            granted_at=self._grants[old.group, old.token][1],
            now=_now(),
            lag=_CALM_LAG_SECONDS if hub.plan.is_calm else _LAG_SECONDS,
            silent_seconds=hub.silent_seconds(hold.claim.holder),
            version=hub.version(hold.claim.holder),
        )
        why = evidence.why_unfounded(case, hub.truth, hub.plan.limits)
        if why is not None:
            self._broke(Promise.UNKNOWN_IS_NOT_DONE, new, f"{_holder(old)} was released as {cause}, but {why}")

    def _note_deferral(self, entry: Entry) -> None:
        if entry.event.startswith("deferral."):
            ends = float("inf") if entry.event == "deferral.begun" else _now()
            self._deferred[entry.group or "", entry.node or ""] = ends

    def granted_at(self, lease: Lease) -> float:
        """Return when the present grant of a lease was committed."""
        return self._grants[lease.group, lease.token][1]

    # Answers

    def answered(self, ask: Ask, answer: Answer, begun: float) -> None:
        """P1, P6 and P7: look at an answer before it goes out."""
        if isinstance(answer, Granted):
            self._said_yes(ask, answer, begun)
            return
        if not answer.reasons or any(reason.code not in Code or not reason.text for reason in answer.reasons):
            self._hub.story.broke(Promise.REASONS, ask.group, f"{ask.node} was refused for {answer.reasons}")
        self._judge_offline_peers(ask, answer)

    def _said_yes(self, ask: Ask, answer: Granted, begun: float) -> None:
        self._blocked.pop((ask.group, ask.node), None)
        if answer.exempt is not None:
            if answer.exempt.code is Code.CLUSTER_NODE:
                is_true = self._hub.fleet.observer.members.is_cluster(ask.node)
            else:
                is_true = self._deferred.get((ask.group, ask.node), -1.0) >= begun
            if not is_true:
                self._hub.story.broke(
                    Promise.ONE_HOLDER, ask.group, f"{ask.node} went without a lease: {answer.exempt}"
                )
            return
        key = (ask.group, answer.token or 0)
        claim, _ = self._grants.get(key, (None, 0.0))
        if claim != ask.claim or self._ended.get(key, float("inf")) < begun:
            text = f"{ask.node} was told yes under token {answer.token}, which the store gave to {claim}"
            self._hub.story.broke(Promise.ONE_HOLDER, ask.group, text)

    def _judge_offline_peers(self, ask: Ask, answer: Refused) -> None:
        """A bound service upgrade that only offline peers keep waiting, in a hub without faults."""
        hub, key = self._hub, (ask.group, ask.node)
        codes = {reason.code for reason in answer.reasons}
        limits, members = hub.plan.limits, hub.fleet.observer.members
        if not ask.is_bound_service or not hub.plan.is_calm:
            return
        alive = [peer for peer in members.peers(ask.node) if hub.silent_seconds(peer) < limits.heartbeat_stale_seconds]
        if alive or not codes <= _OFFLINE_CODES:
            self._blocked.pop(key, None)
            return
        lasted = _now() - self._blocked.setdefault(key, _now())
        if lasted > limits.lease_seconds + limits.rest_proof_seconds + limits.service_soak_seconds + 60:
            text = f"{ask.node} has waited {lasted:.0f} s for members that are offline: {sorted(codes)}"
            hub.story.broke(Promise.OFFLINE_PEERS, ask.group, text)

    def _broke(self, promise: Promise, lease: Lease, text: str) -> None:
        self._hub.story.broke(promise, lease.group, text)


def claim_key(claim: Claim) -> tuple[Kind, str]:
    """Return what a brake is set on."""
    return claim.kind, claim.subject


def _holder(lease: Lease) -> str:
    claim = lease.hold.claim if lease.hold else None
    return f"{claim.holder} ({claim.kind} {claim.subject}, token {lease.token})" if claim else "nobody"


def _reasons(detail: str) -> str:
    return detail.partition("Waits for: ")[2].split(" ", 1)[0] or detail[:80]


def _now() -> float:
    return asyncio.get_running_loop().time()
