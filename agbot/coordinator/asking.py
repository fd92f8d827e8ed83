"""One question from beginning to end: may this node upgrade now?

A refusal comes from memory when the asker is known. A grant never does: the node is read anew with the asker's own credentials, what is
out of date is read, the rules decide on that, the store commits, and only then is the answer yes. Whatever fails on that way is a refusal
with its reason, except for the asker's own authentication, whose error goes back to the gateway.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from agbot.coordinator import dossier, entries
from agbot.coordinator.contract import Answer, Confirm, Granted, Refused
from agbot.coordinator.deferring import Deferring
from agbot.coordinator.dossier import Case
from agbot.coordinator.explaining import kept_of_refusal
from agbot.coordinator.reading import Failures, Reader
from agbot.coordinator.serving import Serving
from agbot.coordinator.situation import Situation, is_older
from agbot.coordinator.waiting import Waiting
from agbot.exchange.errors import ExchangeError
from agbot.fleet.changes import Read, What
from agbot.rules import consent
from agbot.rules import lease as leases
from agbot.rules.decide import Grant, Wait, decide
from agbot.rules.facts import Agreement, Allowance, Ask, Group, Node, Policy, Sight
from agbot.rules.lease import Kind, Lease, Progress
from agbot.rules.reasons import Code, Reason
from agbot.rules.rest import needs_services, rest_after
from agbot.store.contract import AllowanceKey, Entry, Key, Lost, StoreUnavailableError, Writes

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
        freshness: Freshness,
    ) -> None:
        self._situation = situation
        self._reader = reader
        self._waiting = waiting
        self._deferring = deferring
        self._serving = serving
        self._freshness = freshness

    async def ask(self, ask: Ask, confirm: Confirm) -> Answer:
        """Answer a question; see `agbot.coordinator.contract.Permission.ask`."""
        begun, now = self._situation.picture.begin(), self._situation.clock.now()
        node = await confirm()
        self._situation.picture.learn_node(node.id, node, begun=begun, now=now)
        if node.group != ask.group:
            return self._refuse_for(ask, Code.NOT_A_MEMBER, f"{node.id} is not in HA group {ask.group}")
        try:
            return await self._decide(await self._know(ask))
        except StoreUnavailableError as error:
            return self._refuse_for(ask, Code.STORE_UNAVAILABLE, str(error))
        except ExchangeError as error:
            return self._refuse_for(ask, Code.EXCHANGE_UNAVAILABLE, str(error))

    def refuse_from_memory(self, ask: Ask) -> Refused | None:
        """Refuse when everything is known and says no; see `agbot.coordinator.contract.Permission.refuse_from_memory`."""
        situation = self._situation
        now = situation.clock.now()
        unread = situation.unread(ask)
        if (unread or self._serving.for_question(ask, now)) and not situation.doubts():
            return None
        ask = _as_if_bound(ask)
        group = situation.group(ask.group, ask, unread=unread)
        decision = decide(ask, group, now)
        if isinstance(decision, Grant) or self._may_be_outdated(decision, group, now):
            return None
        return self._refuse(ask, decision, group, now)

    async def _know(self, ask: Ask) -> Ask:
        """Read what the decision needs and the picture lacks; return the question with what was learnt about its agreements.

        Raises:
            ExchangeError: the agreements of a service upgrade could not be read.
        """
        failures: Failures = {}
        for _round in range(3):  # reading a group shows its members, and reading those what they are
            unread, services = self._situation.unread(ask), self._serving.for_question(ask, self._situation.clock.now())
            if not (unread or services) or failures or self._situation.doubts():
                break
            failed = await self._reader.make_current([*unread, *services])
            self._serving.note(services, failed)
            failures = {read: error for read, error in failed.items() if read in unread}
        if ask.claim.kind is Kind.SERVICE:
            failures = await self._reader.refresh([Read(what=What.AGREEMENTS, id=ask.node)])
            for error in failures.values():  # without what runs now, the old agreement would look like the new one
                raise error
            ask = self._bound(ask)
        await self._refresh_what_blocks(ask)
        await self._deferring.refresh(ask.group)
        return ask

    async def _refresh_what_blocks(self, ask: Ask) -> None:
        """Heartbeats and containers make no change records: before one blocks, or lets a suspect lease be taken over, it is read anew.

        Raises:
            ExchangeError: the holder of the suspect lease could not be read.
        """
        now = self._situation.clock.now()
        group = self._situation.group(ask.group, ask)
        decision = decide(ask, group, now)
        hold = group.lease.hold
        if isinstance(decision, Grant) and hold is not None and not decision.repeated and decision.exempt is None:
            failures = await self._reader.refresh([Read(what=What.NODE, id=hold.claim.holder)])
            for error in failures.values():
                raise error
        elif isinstance(decision, Wait):
            reads = [
                read for read in self._old_reads(decision, group, now) if read != Read(what=What.NODE, id=ask.node)
            ]
            rest = rest_after(group.lease.last_end, group.limits)
            is_soaking = any(reason.code is Code.SOAKING for reason in decision.reasons)
            if is_soaking and rest is not None and needs_services(rest, group.limits):
                reads.append(Read(what=What.AGREEMENTS, id=rest.end.claim.holder))
            await self._reader.refresh(reads)

    async def _decide(self, ask: Ask) -> Answer:
        situation = self._situation
        for _try in range(_TRIES):
            now = situation.clock.now()
            group = situation.group(ask.group, ask)
            decision = decide(ask, group, now)
            if isinstance(decision, Wait):
                return self._refuse(ask, decision, group, now)
            case = Case(at=now, ask=ask, group=group)
            if decision.exempt is not None:
                await situation.write(Writes(entries=[entries.exempted(ask, decision.exempt, now, dossier.kept(case))]))
                return Granted(token=None, exempt=decision.exempt)
            answer = await self._commit(case, decision)
            if answer is not None:
                return answer
        return self._refuse_for(ask, Code.LEASE_HELD, f"others were served first {_TRIES} times in a row")

    async def _commit(self, case: Case, decision: Grant) -> Granted | None:
        """Write the grant; None when the race was lost and the question must be decided anew."""
        ask, now = case.ask, case.at
        limits, before = case.group.limits, case.group.lease
        ttl = timedelta(seconds=limits.lease_seconds)
        if decision.repeated:
            after = leases.repeat(before, now, ttl, timedelta(seconds=limits.max_upgrade_seconds))
            writes = Writes()
        else:
            after = leases.grant(before, ask.claim, now, ttl, self._progress(ask, now))
            writes = self._grant_writes(case, after, decision.allowed)
        outcome = after if after == before else await self._situation.swap(before, after, writes)
        if isinstance(outcome, Lost):
            return None
        return Granted(token=outcome.token, repeated=decision.repeated)

    def _grant_writes(self, case: Case, after: Lease, allowed: Allowance | None) -> Writes:
        before, now = case.group.lease, case.at
        waiter = self._waiting.drop_key(case.ask, now)
        drop: list[Key] = [waiter] if waiter else []
        granted = entries.granted(after, now, dossier.kept(case), allowed)
        told: list[Entry] = [*entries.superseded(before, after, now), granted]
        spent = consent.allowance(case.ask, case.group, now)
        if spent is not None:  # needed or not: it was for this upgrade, and must not open a window to the next one
            drop.append(AllowanceKey(node=spent.node))
        if spent is not None and allowed is None:
            told.append(entries.allowance_ended(spent, "its upgrade began without needing it", now))
        return Writes(drop=drop, entries=told)

    def _progress(self, ask: Ask, now: datetime) -> Progress:
        """Write down how things stood at the grant: only what changes afterwards proves anything."""
        picture = self._situation.picture
        node, policy = picture.node(ask.node), picture.policies.get(ask.claim.kind, ask.claim.subject)
        agreements = picture.agreements(ask.node)
        known: tuple[Agreement, ...] = () if isinstance(agreements, Sight) else agreements
        return Progress(
            moved_at=now,
            version_before=node.agent_version if isinstance(node, Node) else "",
            revision=policy.revision if isinstance(policy, Policy) else "",
            service=policy.service if isinstance(policy, Policy) else "",
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
        return Ask(group=ask.group, claim=ask.claim, agreement_bound=bound)

    def _may_be_outdated(self, decision: Wait, group: Group, now: datetime) -> bool:
        """Whether a look at the Exchange could turn this refusal: membership is effective at once, and heartbeats age silently."""
        if not decision.is_remembered:
            return not group.doubts
        return bool(self._old_reads(decision, group, now)) and not group.doubts

    def _old_reads(self, decision: Wait, group: Group, now: datetime) -> list[Read]:
        """Return what keeps the asker waiting and may have changed in the Exchange: heartbeats, and services that were down."""
        allowed = {Code.PEERS_UNAVAILABLE: self._freshness.peers, Code.SOAKING: self._freshness.rest}
        limits = [allowed[reason.code] for reason in decision.reasons if reason.code in allowed]
        if not limits:
            return []
        oldest, picture = now - min(limits), self._situation.picture
        nodes = [
            Read(what=What.NODE, id=node) for node in group.members if is_older(picture.node_read_at(node), oldest)
        ]
        return [*nodes, *self._serving.down(group.id, oldest)]

    def _refuse_for(self, ask: Ask, code: Code, text: str) -> Refused:
        """Refuse for something that no rule knows."""
        group, now = self._situation.group(ask.group, ask), self._situation.clock.now()
        return self._refuse(ask, Wait(reasons=(Reason(code=code, text=text),)), group, now, is_derived=False)

    def _refuse(self, ask: Ask, wait: Wait, group: Group, now: datetime, *, is_derived: bool = True) -> Refused:
        is_remembered = wait.is_remembered
        # Most refusals are no news, and nothing is put together for them.
        if is_remembered and self._waiting.note(ask, wait.reasons, now):
            case = Case(at=now, ask=ask, group=group)
            self._waiting.keep(ask, kept_of_refusal(case, self._situation, is_derived=is_derived))
        if not is_remembered:
            picture = self._situation.picture
            picture.forget_absent(picture.policies.read_of(ask.claim.kind, ask.claim.subject))
        return Refused(reasons=wait.reasons, is_final=not is_remembered)


def _as_if_bound(ask: Ask) -> Ask:
    """Take a service's question as one under a current agreement: what is refused even so is refused in any case.

    Memory cannot tell that there is none, for the change feed shows an agbot no new agreements. Where that matters they are read (P6).
    """
    return ask if ask.is_agent else Ask(group=ask.group, claim=ask.claim, agreement_bound=True)
