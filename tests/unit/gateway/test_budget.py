"""What one asker may cost in a minute."""

from __future__ import annotations

from agbot.clock import SystemClock
from agbot.gateway.budget import Budget


def spent(budget: Budget, asker: str, now: float) -> int:
    """Spend all there is, and return how much that was."""
    tokens = 0
    while budget.spend(asker, now):
        tokens += 1
    return tokens


def test_a_minute_has_so_many_and_no_more() -> None:
    budget = Budget(60, SystemClock())
    assert [spent(budget, "a", now) for now in (0.0, 0.5, 1.0, 11.0, 611.0)] == [60, 0, 1, 10, 60]


def test_one_asker_uses_up_nothing_of_another() -> None:
    budget = Budget(5, SystemClock())
    spent(budget, "a", 0.0)
    assert spent(budget, "b", 0.0) == 5


def test_the_asker_who_is_forgotten_first_is_the_one_who_asked_longest_ago() -> None:
    budget = Budget(5, SystemClock(), max_askers=2)
    for asker in ("a", "b", "a", "c"):
        spent(budget, asker, 0.0)
    assert [budget.spend(asker, 0.0) for asker in ("a", "b")] == [False, True]


def test_an_asker_whose_bucket_is_full_again_takes_no_memory() -> None:
    budget = Budget(60, SystemClock())
    for number in range(100):
        budget.spend(f"early{number}", 0.0)
    for number in range(60):
        budget.spend(f"late{number}", 60.0)
    assert len(budget._buckets) == 60  # noqa: SLF001 - what is kept has no other sign
    assert spent(budget, "early0", 60.0) == 60
