"""Writes the gates: what is known of the next upgrades, with the time for which it is right.

A free lease waits for the coordinator in any case while one decides. Gates are for what holds
without one, too: a hold, a brake, a closed window, a rest, and each reason of a member that waits.
They come from the values of the rules: the holds and brakes themselves, and the reasons that rules
have given. A reason that is about the group or about the upgrade is a gate for every member of the
group. An upgrade that needs no lease gets a gate that lets it pass, for as long as that is so and
a coordinator says so: with a doubt nothing is known to be over, and nothing passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agbot.coordinator.guarded.port import Gate, Guard, GuardUnavailableError, Verdict
from agbot.coordinator.permission import Answer, Granted, Refused
from agbot.coordinator.situation import Situation
from agbot.rules import beside, holds, ids, maintenance, soaking
from agbot.rules.decide import Grant, decide
from agbot.rules.facts import Ask
from agbot.rules.group import Group
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind, State
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Hold
from agbot.rules.rule import Case
from agbot.rules.seen_time import Now

_RELIED_ON: Final = timedelta(seconds=30)
"""For how long the triggers rely on this coordinator after each cycle. The longest interval between
two cycles is 10 s."""
_UNCERTAIN: Final = timedelta(seconds=60)
"""For how long a reason is taken to hold that may end at any time."""
_ALWAYS: Final = timedelta(days=3650)
_EXEMPT: Final = timedelta(minutes=10)
"""For how long an upgrade that needs no lease keeps its gate after its last question."""
_NOT_OURS: Final = timedelta(days=1)
_LOOKED_EVERY: Final = timedelta(seconds=10)
_MOVED_SECONDS: Final = 1.0
"""A gate that ends earlier than it was written by more than this is written again."""
_MOST_AT_ONCE: Final = 2000
"""Gates that are written in one cycle, in one short transaction; the others follow.

They come in the order of `_wanted`: holds and brakes first. Until the others follow, a free lease
waits for the coordinator in any case. So one that is missing matters only if no coordinator runs
from then on, and the triggers are set to let upgrades go without one.
"""
_OF_THE_LEASE: Final = frozenset({Code.LEASE_HELD, Code.LEASE_SUSPECT})
_OF_THE_GROUP: Final = frozenset({Code.PACED})
_OF_THE_UPGRADE: Final = frozenset({Code.NOT_APPROVED, Code.CANARY})
"""Reasons that are the same for every member of a group."""


@dataclass(frozen=True, slots=True)
class _Written:
    gate: Gate
    until_seconds: float
    """On the monotonic clock."""
    ask: Ask | None = None
    """The question whose answer was that no lease is needed."""


class Gates:
    """What is written, and what has to be."""

    def __init__(self, situation: Situation, guard: Guard, excludes: Callable[[NodeId], Refused | None]) -> None:
        """Take as `excludes` who is of an organisation that is not coordinated."""
        self._situation = situation
        self._guard = guard
        self._excludes = excludes
        self._written: dict[tuple[str, str, str, str], _Written] = {}
        self._passes: dict[tuple[str, str, str, str], _Written] = {}
        self._is_complete = False
        """Whether all older gates are gone, which other coordinators may have written."""
        self._standing: list[Gate] = []
        self._looked_seconds = float("-inf")

    def note(self, ask: Ask, answer: Answer | None) -> None:
        """Let through what this answer exempts."""
        if isinstance(answer, Granted) and answer.exempt is not None:
            claim = ask.claim
            gate = Gate(
                scope=ask.group,
                verdict=Verdict.PASS,
                known_seconds=_RELIED_ON.total_seconds(),
                kind=claim.kind,
                subject=claim.subject,
                node=claim.holder,
                code=str(answer.exempt.code),
                reason=answer.exempt.text,
            )
        elif isinstance(answer, Refused) and _is_of_other_org(answer):
            gate = Gate(
                scope=ids.org_of(ask.group),
                verdict=Verdict.PASS,
                known_seconds=_NOT_OURS.total_seconds(),
                code=str(Code.ORG_EXCLUDED),
                reason=answer.reasons[0].text,
            )
        else:
            return
        kept = _EXEMPT.total_seconds() if gate.node else gate.known_seconds
        self._passes[gate.key] = _Written(gate, self._seconds + kept, ask)

    async def write(self) -> None:
        """Write what has changed or is due, and that the triggers may rely on it.

        Raises:
            GuardUnavailableError: it is not known what was written; it is written again.
        """
        situation = self._situation
        if not situation.ledger.is_trusted:
            return
        is_sure = not situation.doubts() and not situation.dates.why_unknown()
        wanted = {gate.key: gate for gate in self._wanted(situation.now(), is_sure=is_sure)}
        put = [gate for gate in wanted.values() if self._is_due(gate)][:_MOST_AT_ONCE]
        unwanted = [each.gate for key, each in self._written.items() if key not in wanted]
        # with a doubt nothing is known to be over
        drop = [gate for gate in unwanted if is_sure or gate.verdict is Verdict.PASS]
        resets = is_sure and not self._is_complete
        try:
            await self._guard.write(_RELIED_ON.total_seconds() if is_sure else None, put, drop, resets=resets)
        except GuardUnavailableError:
            # a gate may be gone that is wanted again by the next cycle, so all are written again
            self._written.clear()
            self._is_complete = False
            raise
        now = self._seconds
        self._written.update({gate.key: _Written(gate, now + gate.known_seconds) for gate in put})
        for gate in drop:
            self._written.pop(gate.key, None)
        self._is_complete = self._is_complete or resets

    @property
    def _seconds(self) -> float:
        return self._situation.clock.monotonic_seconds()

    def _is_due(self, gate: Gate) -> bool:
        known = self._written.get(gate.key)
        if known is None or not self._is_complete or _about(known.gate) != _about(gate):
            return True
        left_seconds = known.until_seconds - self._seconds
        # half of the time is left for further tries while the database cannot be written
        ends_earlier = left_seconds - gate.known_seconds > _MOVED_SECONDS
        return ends_earlier or left_seconds < gate.known_seconds / 2

    def _wanted(self, now: Now, *, is_sure: bool) -> Iterator[Gate]:
        ledger, seconds = self._situation.ledger, self._seconds
        for hold in ledger.holds.values():
            if not holds.is_over(hold, now):
                yield _of_hold(hold, now)
        for group, brakes in ledger.brakes.items():
            for brake in brakes.values():
                reason = f"{brake.subject} failed on {brake.node}"
                yield _wait(group, str(Code.BRAKE), reason, _ALWAYS, kind=brake.kind, subject=brake.subject)
        if is_sure and seconds - self._looked_seconds >= _LOOKED_EVERY.total_seconds():
            self._standing, self._looked_seconds = list(self._of_groups(now)), seconds
        yield from self._standing
        yield from self._of_waiters(now)
        yield from self._of_overlaps()
        if not is_sure:
            self._passes.clear()
        self._passes = {
            key: each
            for key, each in self._passes.items()
            if each.until_seconds > seconds and each.ask is not None and self._needs_no_lease(each.gate, each.ask, now)
        }
        yield from (each.gate for each in self._passes.values())

    def _of_groups(self, now: Now) -> Iterator[Gate]:
        """Yield what keeps every member of a group waiting: a closed window, a rest."""
        situation, ended = self._situation, self._situation.ledger.tally.ended
        for group in {*situation.picture.groups(), *ended}:
            limits = situation.limits_of(group)
            if group in ended:
                reasons = _standing(situation.group(group, now=now), now, maintenance.outside_window, soaking.soaking)
            elif limits.windows:
                # a window needs no facts, and there may be one for each of many thousand groups
                bare = Group(id=group, members={}, lease=situation.ledger.lease(group), limits=limits)
                reasons = _standing(bare, now, maintenance.outside_window)
            else:
                continue
            if not reasons:
                continue
            last = max(reasons, key=lambda each: each.until or datetime.min.replace(tzinfo=now.wall.tzinfo))
            known = _known(reasons, now)
            if any(each.code is Code.SOAKING and each.until is None for each in reasons):
                # only a coordinator finds that the member runs what it reported
                known = max(known, timedelta(seconds=limits.version_proof_seconds))
            yield _wait(group, str(last.code), last.text, known)

    def _of_overlaps(self) -> Iterator[Gate]:
        """Yield what goes on beside the lease of a group: only a coordinator finds its end."""
        ledger = self._situation.ledger
        for group in ledger.tally.deferred_in:
            known = timedelta(seconds=self._situation.limits_of(group).max_upgrade_seconds)
            for deferral in ledger.deferrals[group].values():
                if deferral.is_overlap:
                    yield _wait(group, str(Code.OVERLAP), beside.in_words(deferral), known)

    def _of_waiters(self, now: Now) -> Iterator[Gate]:
        """Yield the reasons of each member that waits although the lease of its group is free."""
        ledger = self._situation.ledger
        for group in ledger.tally.waited_in:
            if ledger.lease(group).state is not State.FREE:
                continue
            for waiter in ledger.waiters[group].values():
                claim, reasons = waiter.ask.claim, waiter.reasons
                of_group = [each for each in reasons if each.code in _OF_THE_GROUP]
                of_upgrade = [each for each in reasons if each.code in _OF_THE_UPGRADE]
                rest = [each for each in reasons if each.code not in _OF_THE_LEASE | _OF_THE_GROUP | _OF_THE_UPGRADE]
                if of_group:
                    yield _of_reasons(group, of_group, now)
                if of_upgrade:
                    yield _of_reasons(group, of_upgrade, now, claim)
                if rest:
                    yield _of_reasons(group, rest, now, claim, node=claim.holder)

    def _needs_no_lease(self, gate: Gate, ask: Ask, now: Now) -> bool:
        """Whether an upgrade still needs no lease.

        A member is deferred until that upgrade ends, and an organisation can be served from now on.
        """
        excluded = self._excludes(ask.node)
        if excluded is not None or not gate.node:
            return excluded is not None and _is_of_other_org(excluded)
        decision = decide(self._situation.case(ask, now=now))
        return isinstance(decision, Grant) and decision.exempt is not None


def _standing(group: Group, now: Now, *checks: Callable[[Case], Reason | None]) -> list[Reason]:
    """Return what these checks have against any upgrade in a group."""
    any_member = Claim(holder=NodeId(""), kind=Kind.SERVICE, subject=PolicyId(""))
    case = Case(at=now, ask=Ask(group=group.id, claim=any_member), group=group)
    return [reason for check in checks if (reason := check(case)) is not None]


def _is_of_other_org(answer: Refused) -> bool:
    return any(each.code is Code.ORG_EXCLUDED for each in answer.reasons)


def _of_hold(hold: Hold, now: Now) -> Gate:
    node = ids.node_of_scope(hold.scope)
    # a date that has just been set ends no hold
    known = max(hold.until - now.wall, _UNCERTAIN) if hold.until is not None else _ALWAYS
    return _wait("*" if node else hold.scope, str(Code.PAUSED), holds.in_words(hold), known, node=node)


def _of_reasons(
    group: GroupId, reasons: Sequence[Reason], now: Now, claim: Claim | None = None, node: NodeId | None = None
) -> Gate:
    first, known = reasons[0], _known(reasons, now)
    kind, subject = (claim.kind, claim.subject) if claim is not None else (None, None)
    return _wait(group, str(first.code), first.text, known, kind=kind, subject=subject, node=node)


def _wait(
    scope: str | GroupId,
    code: str,
    reason: str,
    known: timedelta,
    *,
    kind: Kind | None = None,
    subject: PolicyId | None = None,
    node: NodeId | None = None,
) -> Gate:
    return Gate(
        scope=scope,
        verdict=Verdict.WAIT,
        known_seconds=max(known.total_seconds(), 0.0),
        kind=kind,
        subject=subject,
        node=node,
        code=code,
        reason=reason,
    )


def _known(reasons: Sequence[Reason], now: Now) -> timedelta:
    """Return for how long one of these is known to hold: until the last known end of one.

    Only a coordinator takes in an approval.
    """
    if any(each.code is Code.NOT_APPROVED for each in reasons):
        return _ALWAYS
    ends = [each.until for each in reasons if each.until is not None]
    return max(ends) - now.wall if ends else _UNCERTAIN


def _about(gate: Gate) -> tuple[str, ...]:
    return gate.verdict, gate.code, gate.reason
