"""Takes in what the triggers have decided: grants into memory, refusals as questions.

A lease that a trigger has granted says nothing about the state at its beginning, so nothing is
judged about it before this is added. A refusal is put to the coordinator as the question that it
is. If the answer is a grant, the lease is held for that upgrade when the agbot tries again.
"""

from __future__ import annotations

import asyncio
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
from agbot.rules.ids import PolicyId
from agbot.rules.lease import GUARD, Kind
from agbot.store.contract import StoreUnavailableError
from agbot.transitions import grants
from agbot.transitions.change import Change

_LATELY = timedelta(seconds=90)
"""An agent asks every 60 s, and the agbot tries again every 10 s."""
_AT_ONCE = 8
"""Questions of the guard that are answered at the same time."""


class TakingIn:
    """Takes in decisions of the triggers."""

    def __init__(self, situation: Situation, reader: Reader, guard: Guard, answer: Answering) -> None:
        self._situation = situation
        self._reader = reader
        self._guard = guard
        self._answer = answer
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
        phrases: list[str] = []
        try:
            for each in decided:
                if each.outcome is Outcome.GRANTED:
                    with self._situation.troubles.guard("guard", each.group):
                        taken = await self._granted(each)
                        phrases += taken or []
                        done += [] if taken is None else [each]
            others = [each for each in decided if each.outcome is not Outcome.GRANTED]
            for at in range(0, len(others), _AT_ONCE):
                several = others[at : at + _AT_ONCE]
                await asyncio.gather(*map(self._other, several))
                done += several
        finally:
            await self._guard.delivered(done)
        self._situation.troubles.keep("guard", {each.group for each in decided})
        waiting = self._situation.ledger.waiter
        self._reported = {ask: code for ask, code in self._reported.items() if waiting(ask) is not None}
        return phrases

    async def _ask_again(self) -> None:
        """Ask for members that wait and could go now, so that the lease is theirs at the next try.

        Only members that have tried lately: another one would keep the others waiting.
        """
        situation, now = self._situation, self._situation.now()
        for group in list(situation.ledger.tally.waited_in):
            waiters = situation.ledger.waiters[group].values()
            mine = [each for each in waiters if each.ask.by == GUARD and now.seen - each.asked_at <= _LATELY]
            for waiter in sorted(mine, key=lambda each: each.since):
                facts = situation.group(group, waiter.ask, now=now)
                if not facts.doubts and isinstance(decide(waiter.ask, facts, now), Grant):
                    with suppress(ExchangeError):
                        await self._answer(waiter.ask)
                    break

    async def _granted(self, decided: Decided) -> list[str] | None:
        """Add to the lease what is known of the beginning of its upgrade.

        Return what was done; None if that is not known yet, because the Exchange could not be read
        or its stamps cannot be compared. Until it is, the lease is kept.
        """
        situation = self._situation
        lease = await situation.ledger.read_again(decided.group)
        if not grants.is_untaken(lease, decided.token):
            return []  # taken in before a restart, or ended
        failures = await self._reader.refresh(self._basis(decided))
        ask = self._ask(decided)
        claim = ask.claim
        failures |= await self._reader.make_current([self._policy(ask)])
        if situation.dates.why_unknown() or not all(isinstance(each, Unreadable) for each in failures.values()):
            return None
        group, member = situation.group(decided.group, ask), situation.picture.member(claim.holder)
        change = grants.take_in(
            ask, group, situation.now(), member=member, begun_at=self._happened_at(decided), why=decided.reason
        )
        if not await situation.commit(change):
            return []
        self._forget(ask)
        return [f"took in a grant of the guard: {claim.holder} upgrades {claim.what} (token {decided.token})"]

    def _ask(self, decided: Decided) -> Ask:
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

    async def _other(self, decided: Decided) -> None:
        ask = self._ask(decided)
        await self._journal(decided, ask)
        with suppress(ExchangeError):
            if isinstance(await self._answer(ask), Granted):
                self._forget(ask)

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
