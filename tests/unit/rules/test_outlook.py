"""What becomes of a lease next, in the cases that `tests.coordinator.test_outlook` does not live through."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agbot.rules.facts import Sight
from agbot.rules.holder import Review, Seen
from agbot.rules.lease import Lease
from agbot.rules.outlook import outlook
from tests.support.values import NEW, NOW, begun, held, node, review_of, seen, seen_at, suspected, under_way

OF_A_LIVE_NODE = seen(node=node(ago=10))


def case(lease: Lease, facts: Seen = OF_A_LIVE_NODE) -> Review:
    return review_of(lease, facts)


CASES = {
    "a holder that was not read": (
        case(held(), seen(node=Sight.UNREAD)),
        "taken back",
        None,
        "once o1/anna can be read again, unless",
    ),
    "an unasked upgrade has as long as a lease": (
        case(held(ago=60, progress=begun(observed=True))),
        "taken back",
        540,
        "unless o1/anna shows a sign of o1/agent-2.32",
    ),
    "a version that runs already": (
        case(held(progress=under_way("initiated", target_version=NEW)), seen(node=node(agent_version=NEW))),
        "suspect",
        540,
        "unless o1/anna reports the end before (it runs version 2.32.0 already)",
    ),
    "no news for longer than an upgrade may take": (
        case(held(progress=under_way("initiated", ago=7300))),
        "suspect",
        540,
        "unless o1/anna reports something new",
    ),
    "a reset": (
        case(held(progress=under_way("reset", pending_since=seen_at(100)))),
        "ends as reset",
        500,
        "unless o1/anna no longer reports reset",
    ),
    "done, and listed by the agbot": (
        case(held(progress=under_way("successful", observed=True, pending_since=seen_at(100)))),
        "ends",
        80,
        "or as soon as the agbot no longer lists it",
    ),
    "granted by the guard": (case(held(progress=begun(is_untaken=True))), "kept", None, "agbot's database"),
    "suspect, silent": (
        case(suspected(), seen(node=node(ago=1000))),
        "ends as expired",
        800,
        "unless o1/anna sends a heartbeat",
    ),
    "suspect, alive": (
        case(suspected()),
        "held until proof",
        None,
        "silent for 30 minutes, or `agbot release` ends it",
    ),
}


@pytest.mark.parametrize(("of", "then", "seconds", "unless"), CASES.values(), ids=CASES)
def test_each_lease_says_what_comes_next_and_when(of: Review, then: str, seconds: float | None, unless: str) -> None:
    found = outlook(of)

    assert (found.then, found.at) == (then, None if seconds is None else NOW.wall + timedelta(seconds=seconds))
    assert unless in found.unless
