"""What a node reports again and again, under ever new stamps, keeps no lease: only what is new since the grant is progress."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import cycle
from typing import Any

import pytest
from msgspec import structs

from agbot.rules import lease as leases
from agbot.rules.holder import Seen
from agbot.rules.lease import Kind, Lease, State
from agbot.rules.reasons import Cause
from agbot.rules.review import review
from agbot.rules.seen_time import Now
from agbot.rules.statuses import Status
from agbot.rules.verdict import Release, Renew, Suspect
from tests.support.values import (
    LIMITS,
    NEW,
    NOW,
    TTL,
    agreement,
    begun,
    claim,
    deployment,
    held,
    node,
    review_of,
    seen,
)

EVERY = timedelta(seconds=60)
LONGEST = timedelta(seconds=LIMITS.max_upgrade_seconds)


def play(lease: Lease, sight: Callable[[Now], Seen], hours: float) -> tuple[Lease, list[tuple[timedelta, str]]]:
    """Review a lease every minute of so many hours.

    Return what it is at the end, and when it changed its state.
    """
    emitted: list[tuple[timedelta, str]] = []
    for minute in range(1, int(hours * 60) + 1):
        now = NOW + minute * EVERY
        match review(review_of(lease, sight(now), now=now)):
            case Renew(progress=progress, evidence_at=evidence_at):
                if lease.state is State.SUSPECT:
                    emitted.append((minute * EVERY, "held"))
                lease = leases.renew(lease, evidence_at or now.seen, TTL, progress)
            case Suspect():
                lease = leases.suspect(lease)
                emitted.append((minute * EVERY, "suspect"))
            case Release(cause=cause):
                return lease, [*emitted, (minute * EVERY, str(cause))]
            case _:
                pass
    return lease, emitted


def lives(now: Now, **fields: Any) -> Seen:
    received = {"agreements_read_at": now.seen, "status_read_at": now.seen}
    return seen(**(received | {"node": structs.replace(node(), heartbeat_at=now.wall)} | fields))


def reports(*values: str, targets: Callable[[], str] = lambda: NEW) -> Callable[[Now], Seen]:
    """Report these in turn, each under a new stamp."""
    turn = cycle(values)

    def sight(now: Now) -> Seen:
        status = Status(value=next(turn), stamp=str(now.wall), updated_at=now.wall, target_version=targets())
        return lives(now, status=status)

    return sight


@pytest.mark.parametrize(
    "values",
    [
        ("initiated",),
        ("ha node waiting",),
        ("downloaded", "initiated"),
        ("download started", "downloaded", "initiated", "rollback started"),
        ("failed", "rollback started"),
        ("failed", "reset"),
    ],
    ids="-".join,
)
def test_what_is_reported_forever_becomes_suspect_when_an_upgrade_may_have_taken_longest(
    values: tuple[str, ...],
) -> None:
    lease, emitted = play(held(progress=begun(0), ago=0), reports(*values), hours=12)

    assert lease.state is State.SUSPECT
    assert [word for _, word in emitted] == ["suspect"]
    assert LONGEST < emitted[0][0] <= LONGEST + TTL + 5 * EVERY


def test_a_new_version_is_progress_but_not_forever() -> None:
    count = iter(range(100_000))
    lease, emitted = play(held(progress=begun(0), ago=0), reports("initiated", targets=lambda: f"1.{next(count)}"), 12)

    assert lease.state is State.SUSPECT
    assert len(emitted) == 1


def test_what_is_new_after_a_long_standstill_is_progress_again() -> None:
    def sight(now: Now) -> Seen:
        value = "initiated" if now.seen - NOW.seen < timedelta(hours=5) else "rollback started"
        return lives(now, status=Status(value=value, stamp=str(now.wall), updated_at=now.wall, target_version=NEW))

    _, emitted = play(held(progress=begun(0), ago=0), sight, hours=6)

    assert [word for _, word in emitted] == ["suspect", "held"]


def test_a_failure_that_is_reported_once_more_after_all_that_time_still_ends_it() -> None:
    flapping = reports("failed", "rollback started")

    def sight(now: Now) -> Seen:
        if now.seen - NOW.seen < timedelta(hours=3):
            return flapping(now)
        since = NOW.wall + timedelta(hours=3)
        return lives(now, status=Status(value="failed", stamp="last", updated_at=since, target_version=NEW))

    _, emitted = play(held(progress=begun(0), ago=0), sight, hours=4)

    assert [word for _, word in emitted] == ["suspect", Cause.FAILED]


def test_containers_that_come_and_go_forever_keep_no_lease_either() -> None:
    turn = cycle(("created", "restarting"))
    by = claim(kind=Kind.SERVICE)
    begun_so = begun(0, service=deployment().service, agreements_before=("old",))

    def sight(now: Now) -> Seen:
        return lives(now, policy=deployment(), agreements=(agreement("new", "2.0.0", next(turn)),))

    lease, emitted = play(held(by, progress=begun_so, ago=0), sight, hours=12)

    assert lease.state is State.SUSPECT
    assert [word for _, word in emitted] == ["suspect"]


def test_nor_do_ever_new_agreements() -> None:
    count = iter(range(100_000))
    by = claim(kind=Kind.SERVICE)
    begun_so = begun(0, service=deployment().service, agreements_before=("old",))

    def sight(now: Now) -> Seen:
        return lives(now, policy=deployment(), agreements=(agreement(f"{next(count)}", "2.0.0", "created"),))

    lease, emitted = play(held(by, progress=begun_so, ago=0), sight, hours=12)

    assert lease.state is State.SUSPECT
    assert len(emitted) == 1
