"""The actions of operators, each journalled with who and why.

If the store fails, it is not known whether the action has happened (`StoreUnavailableError`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from agbot.coordinator.contract import Done, LeaseView, NotDone
from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.listings import Noun
from agbot.coordinator.operators import naming
from agbot.coordinator.operators.views import view_lease
from agbot.coordinator.review.reviewing import Reviewing
from agbot.coordinator.situation import Situation
from agbot.events.leases import Ending
from agbot.events.store import StoreSettled
from agbot.rules import host, ids, words
from agbot.rules.facts import Node, Sight
from agbot.rules.ids import GroupId, NodeId, PolicyId, org_of
from agbot.rules.lease import OF_POLICIES, Kind
from agbot.rules.reasons import Cause
from agbot.rules.records import Allowance, Approval, Brake, Hold
from agbot.rules.rest import is_under_way, rest_after
from agbot.rules.words import clock
from agbot.store.contract import StoreUnavailableError
from agbot.store.records import key_of
from agbot.transitions import braking, ends, operators
from agbot.transitions.change import NO_CHANGE, Change


class Actions:
    """Carries out the requests of operators, as a part of the coordinator (`operations`)."""

    _situation: Situation
    _reviewing: Reviewing
    _reader: Reader
    _is_shadow: bool

    def _carried_out(self) -> None:
        """Is called after each action that has changed something."""

    def _done(self, text: str, lease: LeaseView | None = None) -> Done:
        self._carried_out()
        return Done(text=text, lease=lease)

    async def release(self, group: GroupId, *, token: int | None, reason: str, who: str) -> Done | NotDone:
        """Free a lease, whatever its holder does; with a token, only that grant."""
        await self._situation.move_along()
        self._require_the_store()
        lease = self._situation.ledger.lease(group)
        tenure = lease.tenure
        if tenure is None:
            return self._nothing_done(Noun.GROUP, group, f"no node holds the lease of {group}")
        if token is not None and token != lease.token:
            return NotDone(
                text=f"{group} is held under token {lease.token} now, not {token}: {tenure.claim.holder} has it for "
                f"{tenure.claim.what}; nothing was changed"
            )
        is_done = await self._reviewing.release(lease, Ending(cause=Cause.FORCED, why=reason, who=who))
        after = view_lease(self._situation.ledger.lease(group), self._situation)
        if not is_done:
            return NotDone(text=f"the lease of {group} has changed in the meantime: look at it again")
        return self._done(f"released {group}, token {lease.token}, from {tenure.claim.holder}", after)

    async def hold(self, hold: Hold) -> Done | NotDone:
        """Stop new grants for a scope. Upgrades under way go on. An unknown scope is a mistake."""
        if unknown := self._unknown(Noun.SCOPE, hold.scope):
            return _not_found(unknown)
        before = self._situation.ledger.holds.get(hold.scope)  # in the answer alone
        now = self._situation.now()
        await self._situation.commit_due(lambda: operators.hold(hold, now))
        until = f" until {clock(hold.until)}" if hold.until else ""
        effect = (
            ", which stops nothing: in shadow mode the agbot decides; it takes effect once the coordinator grants"
            if self._is_shadow
            else ": no new upgrades begin, those under way continue"
        )
        text = f"{words.scope(hold.scope)} is on hold{until}{effect}"
        return self._done(f"{text}{f'. This replaces the hold: {_in_words(before)}' if before else ''}")

    def _require_the_store(self) -> None:
        """Require that memory is what the store has: only then it shows that there is nothing.

        Raises:
            StoreUnavailableError: a write whose answer was lost may have made what is to be ended.
        """
        ledger = self._situation.ledger
        if not ledger.is_trusted:
            raise StoreUnavailableError(ledger.distrust)

    def _unknown(self, noun: Noun, name: str) -> str:
        return naming.unknown(noun, name, self._situation)

    def _nothing_done(self, noun: Noun, name: str, why: str, more: str = "") -> NotDone:
        """State that a name is not known (exit code 8), or that there is nothing to end (7)."""
        self._require_the_store()
        unknown = self._unknown(noun, name)
        return NotDone(text=f"{unknown or why}; nothing was changed{more}", not_found=bool(unknown))

    async def resume(self, scope: str, *, subject: PolicyId | None, reason: str, who: str) -> Done | NotDone:
        """End a hold, or lift the brakes on a subject in a group, an organisation or everywhere."""
        if scope == ids.STORE_SCOPE:
            return await self._settle_store(reason, who)
        if scope.startswith(ids.REST_SCOPE):
            return await self._end_rests(scope.removeprefix(ids.REST_SCOPE), reason, who)
        if subject is None:
            return await self._end_hold(scope, reason, who)
        return await self._lift_brakes(scope, subject, reason, who)

    async def allow(self, allowance: Allowance) -> Done | NotDone:
        """Let one upgrade of a node past the rules that allow it (`Rule.is_allowable`), once."""
        node = self._situation.picture.node(allowance.node)
        if isinstance(node, Sight):
            return _not_found(self._unknown(Noun.NODE, allowance.node))
        # the policies of a pattern are not in the Exchange under their own names
        is_policy = allowance.subject not in {"", host.subject_of(org_of(allowance.node))}
        if is_policy and not node.pattern and (refusal := await self._why_not(allowance.subject, *OF_POLICIES)):
            return refusal
        now, before = self._situation.now(), self._situation.ledger.allowances.get(allowance.node)
        await self._situation.commit(operators.allow(allowance, now))
        what = allowance.subject or "its next upgrade"
        still = "a lease, a rest, a hold or a later failure still stops it"
        text = f"{allowance.node} may begin {what} once, until {clock(allowance.until)}; {still}"
        instead = (
            f". This replaces the allowance by {before.by}, until {clock(before.until)}: {before.why}" if before else ""
        )
        return self._done(f"{text}{instead}")

    async def approve(self, approval: Approval) -> Done | NotDone:
        """Let an upgrade begin where it needs an approval. An unknown scope is a mistake."""
        if approval.kind not in OF_POLICIES:
            return NotDone(text="the reboot of a host follows no policy and needs no approval; nothing was changed")
        if unknown := self._unknown(Noun.SCOPE, approval.scope):
            return _not_found(unknown)
        if refusal := await self._why_not(approval.subject, approval.kind):
            return refusal
        await self._situation.commit(operators.approve(approval, self._situation.now()))
        where = words.scope(approval.scope)
        needless = (
            ""
            if self._needs_approval(approval.scope)
            else f"; no group in {where} needs an approval ([rules] approval)"
        )
        what = naming.named(approval.kind, approval.subject)
        return self._done(f"{what}, as it is published now, may begin in {where}{needless}")

    def _needs_approval(self, scope: str) -> bool:
        covered = (each for each in self._situation.picture.groups() if scope in {"*", org_of(each), each})
        return any(self._situation.limits_of(group).approval for group in covered)

    async def withdraw_allowance(self, node: NodeId, *, reason: str, who: str) -> Done | NotDone:
        """Take the allowance of a node back."""
        nothing = partial(self._nothing_done, Noun.NODE, node, f"{node} has no allowance")
        done = await self._withdraw(lambda: self._situation.ledger.allowances.get(node), reason, who)
        return self._withdrawn(done, f"the allowance of {node} is withdrawn", nothing)

    async def withdraw_approval(
        self, scope: str, kind: Kind, subject: PolicyId, *, reason: str, who: str
    ) -> Done | NotDone:
        """Take an approval back. Groups in which the upgrade has begun go on."""
        known = self._situation.ledger.approvals
        given = {each.scope for each in known.values() if (each.kind, each.subject) == (kind, subject)}
        where = f"; it is approved in {', '.join(map(words.scope, sorted(given)))}" if given else ""
        why = f"the {kind} upgrade {subject} is not approved in {words.scope(scope)}{where}"
        nothing = partial(self._nothing_done, Noun.SCOPE, scope, why)
        done = await self._withdraw(lambda: known.get((scope, kind, subject)), reason, who)
        return self._withdrawn(done, f"the approval of {subject} in {words.scope(scope)} is withdrawn", nothing)

    async def _withdraw(
        self, given: Callable[[], Allowance | Approval | None], reason: str, who: str
    ) -> Allowance | Approval | None:
        found: list[Allowance | Approval] = []

        def due() -> Change:
            order = given()
            if order is None or key_of(order) in self._situation.ledger.leaving:  # a grant uses it just now
                return NO_CHANGE
            found.append(order)
            return operators.withdraw(order, reason, self._situation.now(), who)

        await self._situation.commit_due(due)
        return found[0] if found else None

    def _withdrawn(
        self, order: Allowance | Approval | None, text: str, nothing: Callable[[], NotDone]
    ) -> Done | NotDone:
        if order is None:
            return nothing()
        return self._done(f"{text}; it was given by {order.by} at {clock(order.since)}: {order.why}")

    async def _why_not(self, subject: PolicyId, *kinds: Kind) -> NotDone | None:
        return await naming.why_not(subject, kinds, self._situation, self._reader)

    async def _settle_store(self, reason: str, who: str) -> Done | NotDone:
        self._require_the_store()
        generation = self._situation.ledger.generation
        if not generation.doubt:
            return NotDone(text="the lease store is not in doubt; nothing was changed")
        await self._situation.settle_store(StoreSettled(who=who, why=reason, changed=generation.doubt))
        return self._done(f"grants resume; the lease store was in doubt: {generation.doubt}")

    async def _end_rests(self, scope: str, reason: str, who: str) -> Done | NotDone:
        now, situation = self._situation.now(), self._situation
        found = [
            lease
            for lease in situation.ledger.ended()
            if scope in {"*", org_of(lease.group), lease.group}
            and (rest := rest_after(lease.last_end, limits := situation.limits_of(lease.group))) is not None
            and is_under_way(rest, situation.picture.member(rest.end.claim.holder), limits, now)
        ]
        ended = [lease.group for lease in found if await situation.commit(ends.end_rest(lease, reason, now, who))]
        if not ended:
            return self._nothing_done(Noun.SCOPE, scope, f"no group rests in {words.scope(scope)}")
        return self._done(f"the rest is over in {', '.join(sorted(ended))}; every other rule still applies")

    async def _end_hold(self, scope: str, reason: str, who: str) -> Done | NotDone:
        ended: list[Hold] = []

        def due() -> Change:
            hold = self._situation.ledger.holds.get(scope)
            if hold is None:
                return NO_CHANGE
            ended.append(hold)
            return operators.end_hold(hold, reason, self._situation.now(), who)

        await self._situation.commit_due(due)
        if not ended:
            why = f"{words.scope(scope)} is not on hold"
            return self._nothing_done(Noun.SCOPE, scope, why, self._stopped_in(scope))
        (hold,) = ended
        return self._done(
            f"{words.scope(scope)} is no longer on hold; the hold was: {_in_words(hold)}{self._still_held(scope)}"
        )

    def _still_held(self, scope: str) -> str:
        """Return the other holds that cover the same nodes."""
        node = ids.node_of_scope(scope)
        known = self._situation.picture.node(node) if node is not None else None
        # the scope of a node names neither its group nor, as other ids do, its organisation
        group = known.group if isinstance(known, Node) else None
        wider = {"*", org_of(node or scope), group, scope}
        holds = self._situation.ledger.holds.values()
        staying = [
            each
            for each in holds
            if each.scope in wider or scope in {"*", org_of(ids.node_of_scope(each.scope) or each.scope)}
        ]
        named = "; ".join(f"{words.scope(each.scope)} ({_in_words(each)})" for each in staying)
        return f". Still on hold: {named}" if named else ""

    def _stopped_in(self, scope: str) -> str:
        """Return the upgrades that are stopped there: the operator may have meant one of them."""
        found = sorted({brake.subject for brake in self._brakes_in(scope)})
        return f". Brakes there are lifted with {', '.join(f'--subject {each}' for each in found)}" if found else ""

    def _brakes_in(self, scope: str) -> list[Brake]:
        return [
            brake
            for group, of_group in sorted(self._situation.ledger.brakes.items())
            for brake in of_group.values()
            if scope in {"*", org_of(group), group}
        ]

    async def _lift_brakes(self, scope: str, subject: PolicyId, reason: str, who: str) -> Done | NotDone:
        brakes: list[Brake] = []

        def due() -> Change:
            brakes.extend(brake for brake in self._brakes_in(scope) if brake.subject == subject)
            return braking.lift([(brake, reason) for brake in brakes], self._situation.now(), who)

        await self._situation.commit_due(due)
        if not brakes:
            why = f"{subject} is not stopped in {words.scope(scope)}"
            return self._nothing_done(Noun.SCOPE, scope, why, self._stopped_in(scope))
        named = "; ".join(
            f"{brake.group}, where it {brake.cause} on {brake.node} at {clock(brake.since)}" for brake in brakes
        )
        return self._done(f"{subject} may go on in {named}")


def _not_found(sentence: str) -> NotDone:
    return NotDone(text=f"{sentence}; nothing was changed", not_found=True)


def _in_words(hold: Hold) -> str:
    until = f", until {clock(hold.until)}" if hold.until else ""
    return f"{hold.why}, by {hold.by} at {clock(hold.since)}{until}"
