"""One question from beginning to end: may this node upgrade now?

A refusal comes from memory when the asker is known. A grant never does, whichever yes it is: the node is read anew with the asker's own
credentials, the looks that a grant rests on are at most a second old, what they have outdated is read, the rules decide on that, the store
commits, and only then is the answer yes (`docs/decisions/0006`). Whatever fails on that way is a refusal with its reason, except for the
asker's own authentication, whose error goes back to the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from agbot.coordinator import dossier, entries, stages
from agbot.coordinator.basis import Made, rests_on
from agbot.coordinator.contract import Answer, Confirm, Granted, Refused
from agbot.coordinator.deferring import Deferring
from agbot.coordinator.dossier import Case
from agbot.coordinator.exempting import Exempting
from agbot.coordinator.explaining import kept_of_refusal
from agbot.coordinator.reading import Failures, Reader
from agbot.coordinator.serving import Serving
from agbot.coordinator.situation import Situation, is_older
from agbot.coordinator.stages import Look, Stage
from agbot.coordinator.unasked import Unasked
from agbot.coordinator.waiting import Waiting
from agbot.exchange.errors import ExchangeError, Unreadable
from agbot.fleet.changes import Read, What
from agbot.rules import consent
from agbot.rules import lease as leases
from agbot.rules.decide import Grant, Wait, decide
from agbot.rules.facts import Agreement, Allowance, Ask, Group, Node, Policy, Sight
from agbot.rules.lease import Kind, Lease, Progress
from agbot.rules.reasons import Code, Reason
from agbot.rules.rest import needs_services, rest_after
from agbot.rules.seen_time import Now
from agbot.store.contract import Entry, Lost, StoreUnavailableError, Writes
from agbot.store.records import Key, key_of

_TRIES = 3
"""A lost race is decided anew. Losing three times in a row means others are being served; the next question comes in a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How old what keeps somebody waiting may be, before it is read anew."""

    peers: timedelta
    """Where too few members seem available."""
    rest: timedelta
    """Where an upgraded member has not been seen healthy: the group waits for one heartbeat, which must not be overlooked."""


class Asking:
    """Answers questions."""

    def __init__(
        self,
        situation: Situation,
        reader: Reader,
        waiting: Waiting,
        deferring: Deferring,
        *,
        serving: Serving,
        unasked: Unasked,
        freshness: Freshness,
        looks: Sequence[Look],
    ) -> None:
        self._situation = situation
        self._reader = reader
        self._waiting = waiting
        self._deferring = deferring
        self._serving = serving
        self._unasked = unasked
        self._freshness = freshness
        self._looks = looks
        self._exempting = Exempting(situation)

    async def ask(self, ask: Ask, confirm: Confirm) -> Answer:
        """Answer a question; see `agbot.coordinator.contract.Permission.ask`."""
        stages.reach(Stage.CONFIRM)
        begun, now = self._situation.picture.begin(), self._situation.now()
        node = await confirm()
        self._situation.picture.stamps.heard(self._situation.now())
        self._situation.picture.learn_node(node.id, node, begun=begun, now=now)
        if ask.is_agent:
            self._unasked.contacts.asked(node.id)
        if node.group != ask.group:
            return self._refuse_for(ask, Code.NOT_A_MEMBER, f"{node.id} is not in HA group {ask.group}")
        try:
            return await self._answer(ask)
        except StoreUnavailableError as error:
            return self._refuse_for(ask, Code.STORE_UNAVAILABLE, str(error))
        except ExchangeError as error:
            return self._refuse_with(ask, stages.failed(error, Stage.GROUP))

    def refuse_from_memory(self, ask: Ask) -> Refused | None:
        """Refuse when everything is known and says no; see `agbot.coordinator.contract.Permission.refuse_from_memory`."""
        situation = self._situation
        now = situation.now()
        unread = situation.unread(ask)
        if (unread or self._unasked.is_own_gap(ask) or self._serving.for_question(ask, now)) and not situation.doubts(
            now
        ):
            return None
        ask = _as_if_bound(ask)
        group = situation.group(ask.group, ask, unread=unread, now=now)
        decision = decide(ask, group, now)
        if isinstance(decision, Grant) or self._may_be_outdated(decision, group, now):
            return None
        return self._refuse(ask, decision, group, now)

    async def _answer(self, ask: Ask) -> Answer:
        """Decide on what is true now, and commit a yes.

        Raises:
            ExchangeError: something that a yes rests on could not be read.
            StoreUnavailableError: the store failed; nobody knows whether the yes was committed.
        """
        may_be_yes = self._situation.unread(ask) or isinstance(self._decision(ask).decision, Grant)
        if may_be_yes and not self._situation.doubts():
            await self._look()  # before the rest is read: what it outdates would be read twice
        ask = await self._know(ask)
        if not self._situation.doubts():
            await self._unasked.give_way(ask)
        unseen = await self._refresh_what_blocks(ask)
        for _try in range(_TRIES):
            made = self._decision(ask)
            if isinstance(made.decision, Grant):
                await self._make_sure(ask, made)
                await self._situation.ledger.gate.opened()
                made = self._decision(ask)  # and committed without waiting for anything between
            if isinstance(made.decision, Wait):
                wait = stages.with_unseen(made.decision, unseen)
                is_derived = wait is made.decision  # no rule says that the Exchange was silent
                return self._refuse(ask, wait, made.case.group, made.case.at, is_derived=is_derived)
            stages.reach(Stage.STORE)
            answer = await self._commit(made.case, made.decision)
            if answer is not None:
                return answer
        return self._refuse_for(ask, Code.LEASE_HELD, f"others were served first {_TRIES} times in a row")

    def _decision(self, ask: Ask) -> Made:
        now = self._situation.now()
        group = self._situation.group(ask.group, ask)
        return Made(case=Case(at=now, ask=ask, group=group), decision=decide(ask, group, now))

    async def _look(self) -> None:
        """See to it that everything outside that a yes rests on was looked at within the last second.

        Raises:
            ExchangeError: it could not be.
        """
        for look in self._looks:
            stages.reach(look.stage)
            await look.fresh()

    async def _make_sure(self, ask: Ask, made: Made) -> None:
        """Read what this yes rests on, if it is not known to be so now.

        Raises:
            ExchangeError: it could not be read.
            StoreUnavailableError: a deferral has begun or ended, and nobody knows whether that was committed.
        """
        await self._look()
        has_read = await self._read_missing(ask)
        stages.reach(Stage.GROUP)
        basis = rests_on(made)
        for error in (await self._reader.refresh(basis)).values():
            raise error
        if has_read or basis:
            await self._look()  # costs nothing, unless those reads took long
        if isinstance(made.decision, Grant) and made.decision.exempt is None and not made.decision.repeated:
            stages.reach(Stage.AGBOT)
            await self._unasked.before_grant(ask)
        await self._refresh_deferrals(ask)

    async def _know(self, ask: Ask) -> Ask:
        """Read what the decision needs and the picture lacks; return the question with what was learnt about its agreements.

        Raises:
            ExchangeError: the agreements of a service upgrade could not be read.
        """
        await self._read_missing(ask)
        if ask.claim.kind is Kind.SERVICE:
            failures = await self._reader.refresh([Read(what=What.AGREEMENTS, id=ask.node)])
            for error in failures.values():  # without what runs now, the old agreement would look like the new one
                raise error
            ask = self._bound(ask)
        return ask

    async def _read_missing(self, ask: Ask) -> bool:
        """Read what the picture lacks for this question; say whether there was anything. What is there and unreadable stays a doubt.

        Raises:
            ExchangeError: the Exchange did not show it.
        """
        stages.reach(Stage.GROUP)
        failures: Failures = {}
        for number in range(3):  # reading a group shows its members, and reading those what they are
            unread, services = self._situation.unread(ask), self._serving.for_question(ask, self._situation.now())
            if not (unread or services) or failures or self._situation.doubts():
                return number > 0
            failed = await self._reader.make_current([*unread, *services])
            self._serving.note(services, failed)
            failures = {read: error for read, error in failed.items() if read in unread}
            for error in failures.values():
                if not isinstance(error, Unreadable):
                    raise error
        return True

    async def _refresh_deferrals(self, ask: Ask) -> None:
        stages.reach(Stage.STORE)  # it reads nothing, and writes what has begun or ended
        await self._deferring.refresh(ask.group)

    async def _refresh_what_blocks(self, ask: Ask) -> ExchangeError | None:
        """Heartbeats and containers make no change records: before one keeps the asker waiting, it is read anew.

        Return why that could not be read, None when it could: then silence is perhaps no more than our own blindness.
        """
        made, failures = self._decision(ask), Failures()
        if isinstance(made.decision, Wait):
            group, now = made.case.group, made.case.at
            own = Read(what=What.NODE, id=ask.node)
            reads = [read for read in self._old_reads(made.decision, group, now) if read != own]
            rest = rest_after(group.lease.last_end, group.limits)
            is_soaking = any(reason.code is Code.SOAKING for reason in made.decision.reasons)
            if is_soaking and rest is not None and needs_services(rest, group.limits):
                reads.append(Read(what=What.AGREEMENTS, id=rest.end.claim.holder))
            failures = await self._reader.refresh(reads)
        await self._refresh_deferrals(ask)
        return next((error for error in failures.values() if not isinstance(error, Unreadable)), None)

    async def _commit(self, case: Case, decision: Grant) -> Granted | None:
        """Write the yes; None when the race was lost and the question must be decided anew.

        A repeated yes is compared and set like any other, also where it changes nothing: it rests on the lease being the asker's still.
        """
        ask, now = case.ask, case.at
        if decision.exempt is not None:
            await self._exempting.tell(case, decision.exempt)
            return Granted(token=None, exempt=decision.exempt)
        limits, before = case.group.limits, case.group.lease
        ttl = timedelta(seconds=limits.lease_seconds)
        if decision.repeated:
            after = leases.repeat(before, now, ttl, timedelta(seconds=limits.max_upgrade_seconds), ask.by)
            writes = Writes()
        else:
            after = leases.grant(
                before, ask.claim, now, ttl, self._progress(ask, now), token_floor=case.group.token_floor
            )
            writes = self._grant_writes(case, after, decision.allowed)
        outcome = await self._situation.swap(before, after, writes)
        if isinstance(outcome, Lost):
            return None
        return Granted(token=outcome.token, repeated=decision.repeated)

    def _grant_writes(self, case: Case, after: Lease, allowed: Allowance | None) -> Writes:
        before, now = case.group.lease, case.at
        waiter = self._waiting.drop_key(case.ask)
        drop: list[Key] = [waiter] if waiter else []
        granted = entries.granted(after, now, dossier.kept(case), allowed)
        told: list[Entry] = [*entries.superseded(before, after, now), granted]
        spent = consent.allowance(case.ask, case.group, now)
        if spent is not None:  # needed or not: it was for this upgrade, and must not open a window to the next one
            drop.append(key_of(spent))
        if spent is not None and allowed is None:
            told.append(entries.allowance_ended(spent, "its upgrade began without needing it", now))
        return Writes(drop=drop, entries=told)

    def _progress(self, ask: Ask, now: Now) -> Progress:
        """Write down how things stood at the grant: only what changes afterwards proves anything."""
        picture = self._situation.picture
        node, policy = picture.node(ask.node), picture.policies.get(ask.claim.kind, ask.claim.subject)
        agreements = picture.agreements(ask.node)
        known: tuple[Agreement, ...] = () if isinstance(agreements, Sight) else agreements
        return Progress(
            moved_at=now.seen,
            version_before=node.agent_version if isinstance(node, Node) else "",
            revision=policy.revision if isinstance(policy, Policy) else "",
            service=policy.service if isinstance(policy, Policy) else "",
            top_version=policy.top_version if isinstance(policy, Policy) else "",
            asked_by=(ask.by,) if ask.by else (),
            agreements_before=tuple(sorted(agreement.id for agreement in known)),
        )

    def _bound(self, ask: Ask) -> Ask:
        """Say whether the node has a current agreement for the service; its agreements were read just now.

        A policy that is not known refuses by itself: then nobody can tell, and no peer is held against the asker.
        """
        picture = self._situation.picture
        agreements, policy = picture.agreements(ask.node), picture.policies.get(Kind.SERVICE, ask.claim.subject)
        known: tuple[Agreement, ...] = () if isinstance(agreements, Sight) else agreements
        bound = not isinstance(policy, Policy) or any(each.service == policy.service for each in known)
        return replace(ask, agreement_bound=bound)

    def _may_be_outdated(self, decision: Wait, group: Group, now: Now) -> bool:
        """Whether a look at the Exchange could turn this refusal: membership is effective at once, and heartbeats age silently."""
        if not decision.is_remembered:
            return not group.doubts
        return bool(self._old_reads(decision, group, now)) and not group.doubts

    def _old_reads(self, decision: Wait, group: Group, now: Now) -> list[Read]:
        """Return what keeps the asker waiting and may have changed in the Exchange: heartbeats, and services that were down."""
        allowed = {Code.PEERS_UNAVAILABLE: self._freshness.peers, Code.SOAKING: self._freshness.rest}
        limits = [allowed[reason.code] for reason in decision.reasons if reason.code in allowed]
        if not limits:
            return []
        oldest, picture = now.seen - min(limits), self._situation.picture
        nodes = [
            Read(what=What.NODE, id=node) for node in group.members if is_older(picture.node_read_at(node), oldest)
        ]
        return [*nodes, *self._serving.down(group.id, oldest)]

    def _refuse_for(self, ask: Ask, code: Code, text: str) -> Refused:
        return self._refuse_with(ask, Reason(code=code, text=text))

    def _refuse_with(self, ask: Ask, reason: Reason) -> Refused:
        """Refuse for something that no rule knows."""
        group, now = self._situation.group(ask.group, ask), self._situation.now()
        return self._refuse(ask, Wait(reasons=(reason,)), group, now, is_derived=False)

    def _refuse(self, ask: Ask, wait: Wait, group: Group, now: Now, *, is_derived: bool = True) -> Refused:
        policies, claim = self._situation.picture.policies, ask.claim
        # A name that nobody has read as a policy may be made up: it makes no waiter, whatever keeps it from being read.
        is_known = isinstance(policies.get(claim.kind, claim.subject), Policy)
        # Most refusals are no news, and nothing is put together for them.
        if is_known and wait.is_remembered and self._waiting.note(ask, wait.reasons, now):
            case = Case(at=now, ask=ask, group=group)
            self._waiting.keep(ask, kept_of_refusal(case, self._situation, is_derived=is_derived))
        if not wait.is_remembered:
            self._situation.picture.forget_absent(policies.read_of(claim.kind, claim.subject))
        return Refused(reasons=wait.reasons, is_final=not wait.is_remembered)


def _as_if_bound(ask: Ask) -> Ask:
    """Take a service's question as one under a current agreement: what is refused even so is refused in any case.

    Memory cannot tell that there is none, for the change feed shows an agbot no new agreements. Where that matters they are read (P6).
    """
    return ask if ask.is_agent else replace(ask, agreement_bound=True)
