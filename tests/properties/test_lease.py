"""P1 and P2 for any history of one lease: one holder, and a token that never goes back."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agbot.rules import lease as leases
from agbot.rules.lease import Claim, IllegalTransitionError, Lease, State
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import Now
from tests.properties import strategies as facts
from tests.support.examples import examples
from tests.support.values import GROUP, NOW, TTL

STEPS = st.one_of(
    st.tuples(st.just("grant"), facts.claims),
    st.tuples(st.just("release"), facts.causes),
    st.tuples(st.sampled_from(("renew", "repeat", "suspect")), st.none()),
)


def step(lease: Lease, what: str, detail: Claim | Cause | None, now: Now) -> Lease:
    match what, detail:
        case "grant", Claim() as claim:
            return leases.grant(lease, claim, now, TTL)
        case "release", Cause() as cause:
            return leases.release(lease, cause, now)
        case "renew", _:
            return leases.renew(lease, now.seen, TTL)
        case "repeat", _:
            return leases.repeat(lease, now, TTL, TTL)
        case _:
            return leases.suspect(lease)


@settings(max_examples=examples(150))
@given(st.lists(STEPS, max_size=40))
def test_a_token_belongs_to_one_grant_and_never_goes_back(script: list[tuple[str, Claim | Cause | None]]) -> None:
    lease, granted = Lease(group=GROUP), [0]
    for number, (what, detail) in enumerate(script):
        before = lease
        try:
            lease = step(lease, what, detail, NOW + timedelta(seconds=number))
        except IllegalTransitionError:
            assert (before.state is State.HELD) if what == "grant" else (before.state is State.FREE)
            continue
        if what == "grant":
            granted.append(lease.token)
        assert lease.token == granted[-1]
        assert (lease.tenure is None) is (lease.state is State.FREE)
        if before.tenure is not None and lease.tenure is not None and what != "grant":
            assert lease.tenure.claim == before.tenure.claim

    assert granted == list(range(len(granted)))


@settings(max_examples=examples(100))
@given(facts.occupied, facts.claims, facts.causes)
def test_whoever_takes_over_ends_the_one_before(lease: Lease, claim: Claim, cause: Cause) -> None:
    if lease.state is State.HELD:
        lease = leases.release(lease, cause, NOW)
    after = leases.grant(lease, claim, NOW, TTL)

    assert after.last_end is not None
    assert after.last_end.token == after.token - 1
    assert after.is_held_for(claim)
