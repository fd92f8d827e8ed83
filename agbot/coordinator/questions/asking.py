"""One question from beginning to end: may this node upgrade now?

A refusal may be decided from memory if the asker is known. A grant never is: the node is read again
with the asker's own credentials, the change feed is at most a second old, what it has made out of
date is read, the rules decide, and the store commits before the answer goes out
(`docs/decisions/0006`). A failure on the way is a refusal with its reason, except for the asker's
own authentication, whose error is raised to the gateway.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from agbot.coordinator.intake.reading import Failures, Reader
from agbot.coordinator.operators.explaining import note_refusal
from agbot.coordinator.permission import Answer, Confirm, Refused
from agbot.coordinator.questions import stages
from agbot.coordinator.questions.granting import Granting
from agbot.coordinator.questions.stages import Stage
from agbot.coordinator.review import deferring
from agbot.coordinator.review.waiters import Waiting
from agbot.coordinator.situation import Situation
from agbot.coordinator.unasked.unasked import Unasked
from agbot.exchange.errors import ExchangeError, Unreadable
from agbot.fleet import occasions, plan
from agbot.fleet.changes import Read, What
from agbot.fleet.reads import Wanted, Why
from agbot.rules import beside
from agbot.rules.decide import Decision, Grant, Wait, decide
from agbot.rules.facts import Agreement, Ask, Policy, Sight
from agbot.rules.group import Group
from agbot.rules.lease import Kind
from agbot.rules.reasons import Code, Reason
from agbot.rules.rule import Case
from agbot.rules.seen_time import Now
from agbot.single_flight import SharedRead
from agbot.store.contract import StoreUnavailableError

_TRIES = 3
"""How often a question is decided that loses a race. The node asks again within a minute."""
_QUICK_SECONDS = 2.0
"""A commit that takes longer than this has let the facts of its grant grow old."""
_Decided = tuple[Case, Decision]


class Asking:
    """Answers questions."""

    def __init__(
        self,
        situation: Situation,
        reader: Reader,
        waiting: Waiting,
        *,
        unasked: Unasked,
        feed: SharedRead[Any],
    ) -> None:
        """A grant depends on the `feed` of the Exchange, read at most a second ago."""
        self._situation = situation
        self._reader = reader
        self._waiting = waiting
        self._unasked = unasked
        self._feed = feed
        self._granting = Granting(situation)

    async def ask(self, ask: Ask, confirm: Confirm) -> Answer:
        """Answer a question; see `agbot.coordinator.permission.Permission`."""
        await self._waiting.room()
        stages.reach(Stage.CONFIRM)
        begun, now = self._situation.picture.begin(), self._situation.now()
        node = await confirm()
        self._situation.picture.stamps.received(self._situation.now())
        self._situation.picture.learn_node(node.id, node, begun=begun, now=now)
        if ask.is_agent:
            self._unasked.contacts.asked(node.id)
        elif ask.claim.kind is Kind.HOST:
            self._unasked.contacts.hosts.add(node.id)
        if node.group != ask.group:
            return self._refuse_for(ask, Code.NOT_A_MEMBER, f"{node.id} is not in HA group {ask.group}")
        try:
            return await self._answer(ask)
        except StoreUnavailableError as error:
            return self._refuse_for(ask, Code.STORE_UNAVAILABLE, str(error))
        except ExchangeError as error:
            return self._refuse_with(ask, stages.failed(error, Stage.GROUP))

    def refuse_from_memory(self, ask: Ask) -> Refused | None:
        """Refuse without reading, if the picture suffices; see `Permission`."""
        situation = self._situation
        now = situation.now()
        unread = situation.unread(ask)
        is_unsure = unread or self._unasked.is_own_gap(ask) or self._due_services(ask, now)
        if is_unsure and not situation.doubts(now):
            return None
        case = situation.case(_as_if_bound(ask), unread=unread, now=now)
        decision = decide(case)
        if isinstance(decision, Grant) or self._may_be_outdated(decision, case.group, now):
            return None
        return self._refuse(case, decision)

    async def _answer(self, ask: Ask) -> Answer:
        """Decide on current facts, and commit a grant.

        Raises:
            ExchangeError: something that a grant depends on could not be read.
            StoreUnavailableError: it is not known whether the grant was committed.
        """
        known = None if self._situation.unread(ask) else self._decide(ask)
        if not (known and isinstance(known[1], Wait)) and not self._situation.doubts():
            await self._read_feed()  # first: what it makes out of date would be read twice
            known = None
        complete = await self._complete(ask)
        ask, known = complete or ask, None if complete else known
        if self._unasked.is_own_gap(ask) and not self._situation.doubts():
            await self._unasked.give_way(ask)
            known = None
        unseen, known = await self._refresh_blockers(ask, known)
        for _try in range(_TRIES):
            (case, decision), known = known or self._decide(ask), None
            if isinstance(decision, Grant):
                await self._situation.ledger.barrier.opened_after(partial(self._verify, case, decision))
                case, decision = self._decide(ask)  # and commit it without waiting for anything in between
            if isinstance(decision, Wait):
                wait = stages.with_unseen(decision, unseen)
                return self._refuse(case, wait, is_derived=wait is decision)  # no rule states that a read failed
            answer = await self._commit(case, decision)
            if answer is not None:
                return answer
        return self._refuse_for(ask, Code.LEASE_HELD, f"other members got the lease first {_TRIES} times in a row")

    def _decide(self, ask: Ask) -> _Decided:
        """Decide on what is in memory; return the decision with the facts that it was made on."""
        case = self._situation.case(ask)
        return case, decide(case)

    async def _read_feed(self) -> None:
        """Read the change feed, unless another question has done so within the last second.

        Raises:
            ExchangeError: it could not be read.
        """
        stages.reach(Stage.FEED)
        await self._feed.fresh()

    async def _verify(self, case: Case, grant: Grant) -> None:
        """Read what this grant depends on, as far as it is not known to be current.

        Raises:
            ExchangeError: it could not be read.
            StoreUnavailableError: it is not known whether a change of a deferral was committed.
        """
        ask = case.ask
        await self._read_feed()
        has_read = await self._read_missing(ask)
        stages.reach(Stage.GROUP)
        basis = occasions.of_grant(ask, case.group, grant)
        for error in (await self._reader.refresh(basis)).values():
            raise error
        if has_read or basis:
            await self._read_feed()  # costs nothing, unless those reads took long
        if grant.exempt is None and (grant.restored or not grant.repeated or not beside.has_begun(case)):
            stages.reach(Stage.AGBOT)
            await self._unasked.before_grant(ask)
        await self._refresh_deferrals(ask)

    async def _complete(self, ask: Ask) -> Ask | None:
        """Read what the picture lacks; return the question with what is known of its agreements.

        None if nothing was lacking, and so nothing was waited for.

        Raises:
            ExchangeError: the agreements of a service upgrade could not be read.
        """
        has_read = await self._read_missing(ask)
        if not ask.is_service:
            return ask if has_read else None
        failures = await self._reader.refresh(plan.at_once([Read(what=What.AGREEMENTS, id=ask.node)], Why.ASKER))
        for error in failures.values():  # the old agreement could be taken for the new one
            raise error
        return self._bound(ask)

    async def _read_missing(self, ask: Ask) -> bool:
        """Read what the picture lacks for this question; return whether that was anything.

        A record that exists and is unreadable stays a doubt.

        Raises:
            ExchangeError: the Exchange did not show it.
        """
        stages.reach(Stage.GROUP)
        failures: Failures = {}
        for number in range(3):  # a group, then its members, then what they need
            unread, services = self._situation.unread(ask), self._due_services(ask, self._situation.now())
            if not (unread or services) or failures or self._situation.doubts():
                return number > 0
            failed = await self._reader.make_current([*plan.at_once(unread, Why.ASKER), *services])
            failures = {read: error for read, error in failed.items() if read in unread}
            for error in failures.values():
                if not isinstance(error, Unreadable):
                    raise error
        return True

    async def _refresh_deferrals(self, ask: Ask) -> bool:
        """Return whether anything was written. If not, nothing was waited for."""
        stages.reach(Stage.STORE)  # this writes deferrals, and reads nothing
        return await deferring.refresh(self._situation, ask.group)

    async def _refresh_blockers(self, ask: Ask, known: _Decided | None) -> tuple[ExchangeError | None, _Decided | None]:
        """Read again what the feed does not show and keeps the asker waiting: heartbeats, services.

        `known` is a decision since which nothing was waited for. Return why they could not be read,
        None if they could, and the decision if nothing was waited for here either. If they could
        not be read, a member may only seem to be silent.
        """
        case, decision = known = known or self._decide(ask)
        wanted: list[Wanted] = []
        if isinstance(decision, Wait):
            own = Read(what=What.NODE, id=ask.node)
            blockers = [each for each in self._blockers(decision, case.group, case.at) if each.read != own]
            wanted = [*blockers, *occasions.proof_of_rest(decision, case.group, case.at)]
        failures = await self._reader.refresh(wanted) if wanted else Failures()
        has_waited = await self._refresh_deferrals(ask) or bool(wanted)
        unseen = next((error for error in failures.values() if not isinstance(error, Unreadable)), None)
        return unseen, None if has_waited else known

    async def _commit(self, case: Case, decision: Grant) -> Answer | None:
        """Commit a grant, and verify it again if that took long.

        None if the race was lost and the question has to be decided again.
        """
        stages.reach(Stage.STORE)
        clock = self._situation.clock
        begun_seconds = clock.monotonic_seconds()
        answer = await self._granting.commit(case, decision)
        is_quick = clock.monotonic_seconds() - begun_seconds <= _QUICK_SECONDS
        if answer is None or answer.exempt is not None or is_quick:
            return answer
        # on a slow disk, or in a process that was stopped: what it rests on is as old by now
        await self._verify(case, replace(decision, repeated=True))
        case, decided = self._decide(case.ask)
        if isinstance(decided, Wait):
            return self._refuse(case, decided)
        return answer if decided.repeated else None

    def _bound(self, ask: Ask) -> Ask:
        """Note in the question whether the node has a current agreement for the service.

        Its agreements have just been read. A policy that is not known is a reason to refuse by
        itself, so the agreement is assumed then.
        """
        picture = self._situation.picture
        agreements, policy = picture.agreements(ask.node), picture.policies.get(Kind.SERVICE, ask.claim.subject)
        known: tuple[Agreement, ...] = () if isinstance(agreements, Sight) else agreements
        bound = not isinstance(policy, Policy) or any(each.service == policy.service for each in known)
        return replace(ask, agreement_bound=bound)

    def _may_be_outdated(self, decision: Wait, group: Group, now: Now) -> bool:
        """Whether a read of the Exchange could change this refusal.

        Membership is effective at once, and the feed does not show heartbeats.
        """
        if not decision.is_remembered:
            return not group.doubts
        blockers = self._blockers(decision, group, now)
        return bool(blockers and self._reader.due(blockers)) and not group.doubts

    def _blockers(self, decision: Wait, group: Group, now: Now) -> list[Wanted]:
        return occasions.of_wait(decision, group, self._situation.picture, self._situation.ages, now)

    def _due_services(self, ask: Ask, now: Now) -> list[Wanted]:
        situation = self._situation
        lease, limits = situation.ledger.lease(ask.group), situation.limits_of(ask.group)
        wanted = occasions.services_for(ask, lease, situation.picture, limits, ages=situation.ages, now=now)
        return self._reader.due(wanted) if wanted else []

    def _refuse_for(self, ask: Ask, code: Code, text: str) -> Refused:
        return self._refuse_with(ask, Reason(code=code, text=text))

    def _refuse_with(self, ask: Ask, reason: Reason) -> Refused:
        """Refuse with a reason that no rule gives."""
        return self._refuse(self._situation.case(ask), Wait(reasons=(reason,)), is_derived=False)

    def _refuse(self, case: Case, wait: Wait, *, is_derived: bool = True) -> Refused:
        note_refusal(case, wait, self._waiting, is_derived=is_derived)
        if not wait.is_remembered:
            picture = self._situation.picture
            picture.forget_absent(picture.policies.read_of(*case.ask.subject))
        return Refused(reasons=wait.reasons, is_final=not wait.is_remembered)


def _as_if_bound(ask: Ask) -> Ask:
    """Return a service's question as one with a current agreement: its refusal holds anyway.

    The picture cannot show that there is none, because the change feed shows an agbot no new
    agreements. They are read where that matters (P6).
    """
    return ask if not ask.is_service else replace(ask, agreement_bound=True)
