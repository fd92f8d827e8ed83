"""Takes in what the triggers have decided: grants into memory, refusals as questions.

A lease that a trigger has granted says nothing about the beginning of its upgrade, and nothing is
judged about it before that is added.

A refusal is put to the coordinator as the question that it is. If the answer is a grant, the lease
is held for that upgrade when the agbot tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from agbot.coordinator.guarded.port import Answering, Decided, Guard, Outcome
from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.permission import Granted
from agbot.coordinator.situation import Situation
from agbot.events.event import of_ask
from agbot.events.guard import GuardErred, GuardRefused
from agbot.exchange.errors import ExchangeError, Unreadable
from agbot.fleet import plan
from agbot.fleet.changes import Read, What
from agbot.fleet.policies import policy_read
from agbot.fleet.reads import Wanted, Why
from agbot.rules import ids
from agbot.rules.decide import Grant, decide
from agbot.rules.facts import Ask, Node
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import GUARD, Claim, Kind
from agbot.rules.seen_time import Now, SeenTime
from agbot.store.contract import StoreUnavailableError
from agbot.transitions import grants
from agbot.transitions.change import Change

_LOOKED_EVERY = timedelta(minutes=1)
"""How often all leases are looked through, of which there are many thousands."""
_LATELY = timedelta(seconds=90)
"""An agent asks every 60 s, and the agbot tries again every 10 s."""
_QUESTIONS = "questions of the guard"
_AT_ONCE = 8
"""Questions of the guard that are answered at the same time."""


class Untaken:
    """Takes in leases that a trigger has granted."""

    def __init__(self, situation: Situation, reader: Reader) -> None:
        self._situation = situation
        self._reader = reader
        self._looked_at: SeenTime | None = None

    async def run(self) -> list[str]:
        """Take in every such lease where no guard is enabled; return what was done."""
        phrases: list[str] = []
        if not self._situation.ledger.is_trusted:
            return phrases
        try:
            for each, begun_at in self.without_note(()):
                with self._situation.troubles.guard("guard", each.group):
                    phrases += await self.take_in(each, begun_at) or []
        except StoreUnavailableError:
            pass  # the ledger is no longer trusted, which the next cycle reports
        self.keep_troubles()
        return phrases

    def keep_troubles(self) -> None:
        """End the failures about leases that have ended: there is nothing left to take in."""
        self._situation.troubles.keep("guard", self._situation.ledger.tally.occupied)

    def without_note(self, noted: Collection[tuple[GroupId, int]]) -> list[tuple[Decided, datetime]]:
        """Return the grants that are in the store and not among the notes (group, token).

        A note may have gone with the guard's tables, and where the guard was removed none is read:
        without this, such a lease would stay as it is. Each has its time by the database's clock.
        """
        situation, now = self._situation, self._situation.now()
        if self._looked_at is not None and now.seen - self._looked_at < _LOOKED_EVERY:
            return []
        self._looked_at = now.seen
        leases = [situation.ledger.lease(group) for group in situation.ledger.tally.occupied]
        # the database's clock may be ahead of ours, and no upgrade begins in the future
        return [
            (_from_lease(lease.group, lease.tenure.claim, lease.token), min(lease.tenure.granted_at, now.wall))
            for lease in leases
            if lease.tenure is not None and lease.tenure.progress.is_untaken and (lease.group, lease.token) not in noted
        ]

    async def take_in(self, decided: Decided, begun_at: datetime) -> list[str] | None:
        """Add to the lease what is known of the beginning of its upgrade.

        Return what was done; None if that is not known yet, because the Exchange could not be read
        or its stamps cannot be compared. Until it is, the lease is kept.
        """
        situation = self._situation
        lease = await situation.ledger.read_again(decided.group)
        if not grants.is_untaken(lease, decided.token):
            return []  # taken in before a restart, or ended
        failures = await self._reader.refresh(self._basis(decided))
        ask = self.ask_of(decided)
        claim = ask.claim
        failures |= await self._reader.make_current([self._policy(ask)])
        if situation.dates.why_unknown() or not all(isinstance(each, Unreadable) for each in failures.values()):
            return None
        group, member = situation.group(decided.group, ask), situation.picture.member(claim.holder)
        change = grants.take_in(ask, group, situation.now(), member=member, begun_at=begun_at, why=decided.reason)
        if not await situation.commit(change):
            return []
        return [f"took in a grant of the guard: {claim.holder} upgrades {claim.what} (token {decided.token})"]

    def ask_of(self, decided: Decided) -> Ask:
        """Return the question; a node with a pattern gets all its services from that (W18)."""
        claim, node = decided.claim, self._situation.picture.node(decided.claim.holder)
        if claim.kind is Kind.SERVICE and isinstance(node, Node) and node.pattern:
            subject = PolicyId(f"{ids.org_of(node.pattern)}/{ids.name_of(claim.subject)}")
            claim = replace(claim, subject=subject)
        return Ask(group=decided.group, claim=claim, by=GUARD)

    def _policy(self, ask: Ask) -> Wanted:
        node = self._situation.picture.node(ask.node)
        pattern = node.pattern if isinstance(node, Node) and not ask.is_agent else ""
        return Wanted(read=policy_read(ask.claim.kind, ask.claim.subject, pattern), why=Why.LISTED)

    def _basis(self, decided: Decided) -> list[Wanted]:
        services = What.AGREEMENTS if decided.claim.kind is Kind.SERVICE else What.STATUSES
        node = decided.claim.holder
        return plan.at_once([Read(what=What.NODE, id=node), Read(what=services, id=node)], Why.LISTED)


def _from_lease(group: GroupId, claim: Claim, token: int) -> Decided:
    return Decided(
        group=group,
        claim=claim,
        outcome=Outcome.GRANTED,
        token=token,
        code="",
        reason="the note of this grant is gone",
        age_seconds=0.0,
        waits_seconds=0.0,
        tries=0,
    )


class TakingIn:
    """Takes in decisions of the triggers."""

    def __init__(self, situation: Situation, reader: Reader, guard: Guard, answer: Answering) -> None:
        self._situation = situation
        self._untaken = Untaken(situation, reader)
        self._guard = guard
        self._answer = answer
        self._tried: dict[Ask, SeenTime] = {}
        """When the agbot last tried it, since this start: a question of our own is no try."""
        self._reported: dict[Ask, str] = {}
        """Refusals that are journalled, each with its code."""
        self._aged_at = situation.now().wall
        """When the decisions had the age with which they were read."""

    async def run(self) -> list[str]:
        """Take in everything; return what was done, one phrase each.

        Raises:
            GuardUnavailableError: the guard's tables failed.
            StoreUnavailableError: it is not known what was written; the ledger is no longer
                trusted.
        """
        # what follows takes time, in which the ages of the decisions grow
        self._aged_at = self._situation.now().wall
        decided = await self._guard.undelivered()
        await self._ask_again()
        done: list[Decided] = []
        try:
            phrases = await self._take_in_grants([each for each in decided if each.outcome is Outcome.GRANTED], done)
            await self._take_in_others([each for each in decided if each.outcome is not Outcome.GRANTED], done)
        finally:
            await self._guard.delivered(done)
        self._untaken.keep_troubles()
        self._situation.troubles.keep(_QUESTIONS, {GroupId(each.claim.holder) for each in decided})
        waiting = self._situation.ledger.waiter
        self._reported = {ask: code for ask, code in self._reported.items() if waiting(ask) is not None}
        self._tried = {ask: at for ask, at in self._tried.items() if waiting(ask) is not None}
        return phrases

    async def _take_in_grants(self, granted: Sequence[Decided], done: list[Decided]) -> list[str]:
        """Take in these grants, and others that are in the store alone; add to `done` what is."""
        phrases: list[str] = []
        noted = [(each, self._happened_at(each)) for each in granted]
        lost = self._untaken.without_note({(each.group, each.token) for each in granted})
        for each, begun_at in (*noted, *lost):
            with self._situation.troubles.guard("guard", each.group):
                taken = await self._untaken.take_in(each, begun_at)
                if taken is None:
                    continue
                done.append(each)
                if taken:
                    phrases += taken
                    self._forget(self._untaken.ask_of(each))
        return phrases

    async def _take_in_others(self, others: Sequence[Decided], done: list[Decided]) -> None:
        """Journal what else was decided, and ask for it again; add to `done` what was."""
        for first in range(0, len(others), _AT_ONCE):
            several = others[first : first + _AT_ONCE]
            ended = await asyncio.gather(*(self._other(each, done) for each in several), return_exceptions=True)
            for failed in ended:  # after all of them have ended: none goes on beside the cycle
                if isinstance(failed, BaseException):
                    raise failed

    async def _ask_again(self) -> None:
        """Ask for members that wait and could go now, so that the lease is theirs at the next try.

        Only members that have tried lately: another one would keep the others waiting.
        """
        situation, now = self._situation, self._situation.now()
        for group in list(situation.ledger.tally.waited_in):
            waiters = situation.ledger.waiters[group].values()
            mine = [each for each in waiters if each.ask.by == GUARD and self._has_tried_lately(each.ask, now)]
            for waiter in sorted(mine, key=lambda each: each.since):
                case = situation.case(waiter.ask, now=now)
                if not case.group.doubts and isinstance(decide(case), Grant):
                    with situation.troubles.guard(_QUESTIONS, waiter.ask.node), suppress(ExchangeError):
                        await self._answer(waiter.ask)
                    break  # the lease is this one's now, or the next cycle asks for another

    def _has_tried_lately(self, ask: Ask, now: Now) -> bool:
        tried_at = self._tried.get(ask)
        return tried_at is not None and now.seen - tried_at <= _LATELY

    async def _other(self, decided: Decided, done: list[Decided]) -> None:
        ask = self._untaken.ask_of(decided)
        self._tried[ask] = self._situation.now().seen - timedelta(seconds=decided.age_seconds)
        # the text of a row of the agbot can be anything, and must not stop the cycles
        with self._situation.troubles.guard(_QUESTIONS, ask.node):
            await self._journal(decided, ask)
            with suppress(ExchangeError):
                if isinstance(await self._answer(ask), Granted):
                    self._forget(ask)
            done.append(decided)

    async def _journal(self, decided: Decided, ask: Ask) -> None:
        situation, claim = self._situation, ask.claim
        if decided.outcome is Outcome.ERRED:
            await situation.commit(Change(events=[GuardErred(**of_ask(ask), error=decided.reason)]))
        elif decided.outcome is Outcome.REFUSED and self._reported.get(ask) != decided.code:
            self._reported[ask] = decided.code
            event = GuardRefused(
                **of_ask(ask),
                kind=claim.kind,
                code=decided.code,
                reason=decided.reason,
                since=self._aged_at - timedelta(seconds=decided.waits_seconds),
            )
            try:
                await situation.commit(Change(events=[event], at=self._happened_at(decided)))
            except StoreUnavailableError:
                self._reported.pop(ask, None)
                raise

    def _happened_at(self, decided: Decided) -> datetime:
        return self._aged_at - timedelta(seconds=decided.age_seconds)

    def _forget(self, ask: Ask) -> None:
        self._reported.pop(ask, None)
