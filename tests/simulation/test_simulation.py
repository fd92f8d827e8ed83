"""Hundreds of seeds against the promises.

The same run for the same seed; and planted defects, which must be found.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import MappingProxyType

import pytest
from msgspec import structs

from agbot.coordinator.questions import asking
from agbot.rules import exclusion, holder, peers, rulebook, statuses
from agbot.rules.lease import Lease, State
from agbot.rules.reasons import Reason
from agbot.rules.rule import Case, Rule
from agbot.rules.statuses import Phase
from agbot.store import memory
from agbot.store.contract import NOTHING, Lost, Writes
from tests.simulation import controls, run, wild
from tests.simulation.plan import Plan, draw
from tests.simulation.run import Outcome, play
from tests.simulation.story import Promise
from tests.support.examples import some

SEEDS = (4, 9, 13, 21)
"""Some short ones. All are played by `make simulate`, which continuous integration runs as well."""


def emitted(outcomes: list[Outcome]) -> str:
    """Say what was broken, and how to see it again."""
    return "\n".join(
        f"seed {each.seed}: {each.broken}\nreplay: .venv/bin/python -m tests.simulation --seed {each.seed} --verbose"
        for each in outcomes
        if each.broken is not None
    )


def test_every_promise_is_kept_whatever_goes_wrong() -> None:
    outcomes = [play(seed) for seed in SEEDS]

    assert emitted(outcomes) == ""
    assert sum(outcome.grants for outcome in outcomes) > len(SEEDS)
    assert sum(outcome.asked_alone > 0 for outcome in outcomes) > 1


def test_a_seed_always_reports_the_same_story() -> None:
    digest = "from tests.simulation.run import play; print(play(9).digest)"
    reported_elsewhere = subprocess.run(
        [sys.executable, "-c", digest],
        # sets have another order there than in this process
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    assert reported_elsewhere == str(play(9).digest)


@contextmanager
def unknown_statuses_count_as_done() -> Iterator[None]:
    class Trusting(dict[str, Phase]):
        def get(self, key: str, default: object = None) -> Phase:
            return super().get(key, Phase.ENDED_WELL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statuses, "PHASES", MappingProxyType(Trusting(statuses.PHASES)))
        yield


@contextmanager
def releases_free_whoever_is_there() -> Iterator[None]:
    """Release by group name, as the incumbent does (A4): the decision of one moment is carried out at a later one."""
    right = memory.MemoryStore.swap

    async def swap(self: memory.MemoryStore, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        outcome = await right(self, expected, new, writes)
        if new.state is State.FREE:
            asyncio.get_running_loop().call_later(100.0, free, self, new)
        return outcome

    def free(store: memory.MemoryStore, new: Lease) -> None:
        leases = store._content.leases  # noqa: SLF001 - the defect goes round the contract
        present = leases.get(new.group)
        if present is not None and present.tenure is not None:
            leases[new.group] = Lease(group=new.group, token=present.token, last_end=new.last_end)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory.MemoryStore, "swap", swap)
        yield


@contextmanager
def failed_ends_at_once() -> Iterator[None]:
    """`failed` before `rollback started` ends the lease (A6), of a node that has fallen silent too."""

    def hasty(seed: int) -> Plan:
        plan = draw(seed)
        return replace(plan, limits=replace(plan.limits, failure_grace_seconds=0.0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "draw", hasty)
        patch.setattr(holder.Review, "was_alive_after", lambda _case, _moment: True)
        yield


@contextmanager
def deaf_to_agreements(right: Rule) -> Iterator[None]:
    """A rule takes a service under a current agreement for any other upgrade."""

    def check(case: Case) -> Reason | None:
        return right.check(structs.replace(case, ask=replace(case.ask, agreement_bound=False)))

    deaf = replace(right, check=check)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rulebook, "RULES", tuple(deaf if rule is right else rule for rule in rulebook.RULES))
        yield


def offline_peers_count_for_a_running_service() -> AbstractContextManager[None]:
    return deaf_to_agreements(peers.PEERS)


def a_dead_holder_counts_for_a_running_service() -> AbstractContextManager[None]:
    return deaf_to_agreements(exclusion.LEASE_CERTAIN)


@contextmanager
def what_memory_does_not_know_is_no_agreement() -> Iterator[None]:
    """Refuse for offline peers before the asker's agreements have been read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "_as_if_bound", lambda ask: ask)
        yield


def first_broken(first: int, seeds: int = 40) -> Promise | None:
    """Play so many seeds, all of them without controls and wild things, until one breaks a promise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controls, "added", lambda plan: plan)
        patch.setattr(wild, "added", lambda plan: plan)
        for seed in range(first, first + seeds):
            broken = run.play(seed).broken
            if broken is not None:
                return broken.promise
    return None


@pytest.mark.parametrize(
    ("defect", "first", "promises"),
    some(
        [
            (unknown_statuses_count_as_done, 84, {Promise.UNKNOWN_IS_NOT_DONE, Promise.ONE_HOLDER}),
            (releases_free_whoever_is_there, 48, {Promise.ONE_HOLDER, Promise.OWN_TOKEN}),
            (failed_ends_at_once, 26, {Promise.ONE_HOLDER}),
            (offline_peers_count_for_a_running_service, 0, {Promise.OFFLINE_PEERS}),
            (a_dead_holder_counts_for_a_running_service, 9, {Promise.OFFLINE_PEERS}),
            (what_memory_does_not_know_is_no_agreement, 0, {Promise.OFFLINE_PEERS}),
        ],
    ),
)
def test_a_planted_defect_is_found(defect: object, first: int, promises: set[Promise]) -> None:
    with defect():  # type: ignore[operator]  # one of the context managers above
        assert first_broken(first) in promises
