"""Replay seeds: `python -m tests.simulation --seed 1234 --verbose`, or search through many: `--seeds 5000`."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from multiprocessing.pool import Pool

from bench import postgres
from tests.simulation import deposed, guarded
from tests.simulation.courses import Course
from tests.simulation.deposed import Deposed
from tests.simulation.run import Outcome, play
from tests.simulation.wild import Kind
from tests.support.postgres import Postgres

_TOLD_EVERY = 50


def main() -> int:
    """Play what the command line asks for; exit 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this seed only")
    parser.add_argument("--first", type=int, default=0, help="the first of many seeds")
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds to play")
    parser.add_argument("--courses", type=int, default=0, help="play every course of events with so many seeds as well")
    parser.add_argument("--leaders", type=int, default=0, help="how many seeds of several coordinators to play as well")
    parser.add_argument("--guards", type=int, default=0, help="how many seeds of a guarded hub to play as well")
    parser.add_argument("--verbose", action="store_true", help="tell everything that happens")
    kinds = [kind.value for kind in Kind]
    parser.add_argument("--wild", action="append", default=[], choices=kinds, help="only wild things of this kind")
    named = [course.value for course in Course]
    parser.add_argument("--course", choices=named, help="in place of what a seed draws, this course of events")
    options = parser.parse_args()
    only, course = frozenset(Kind(kind) for kind in options.wild), Course(options.course) if options.course else None
    if options.seed is not None:
        return _report([play(options.seed, is_reported_aloud=options.verbose, only=only, course=course)])
    began = time.monotonic()
    with multiprocessing.Pool() as pool:
        outcomes: list[Outcome] = []
        for outcome in pool.imap_unordered(
            partial(play, only=only, course=course), range(options.first, options.first + options.seeds), chunksize=4
        ):
            outcomes.append(outcome)
            if len(outcomes) % _TOLD_EVERY == 0:
                print(f"{len(outcomes)} of {options.seeds} seeds, {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201 - progress of a long command
        leaders = pool.map(deposed.play, range(options.leaders))
        guards = _guards(pool, options.guards)
        played = {each: pool.map(partial(play, course=each), range(options.courses)) for each in Course}
    code = _report([outcome for outcome in outcomes if outcome.broken is not None])
    for each, found in played.items():
        code |= _report([outcome for outcome in found if outcome.broken is not None], f" --course '{each}'")
        outcomes += found
    code |= _report_leaders(leaders)
    code |= _report_guards(guards)
    grants = sum(outcome.grants for outcome in outcomes)
    alone = sum(outcome.asked_alone > 0 for outcome in outcomes)
    met = f"{grants} grants, a running service met only offline peers in {alone}"
    print(f"{len(outcomes)} runs, {met}, {time.monotonic() - began:.0f} s")  # noqa: T201 - the command's output
    return code


def _report_leaders(outcomes: list[Deposed]) -> int:
    for outcome in outcomes:
        if outcome.violations or not outcome.is_complete:
            verdict = outcome.violations or "not every node was upgraded in the end"
            print(f"seed {outcome.seed} of the leaders: {verdict}; {dict(outcome.deeds)}")  # noqa: T201 - the command's output
    if outcomes:
        epochs, upgrades = sum(each.epochs for each in outcomes), sum(each.upgrades for each in outcomes)
        print(f"{len(outcomes)} runs with several coordinators: {epochs} changes of the leader, {upgrades} upgrades")  # noqa: T201 - the command's output
    return 1 if any(outcome.violations or not outcome.is_complete for outcome in outcomes) else 0


def _guards(pool: Pool, seeds: int) -> list[guarded.Outcome]:
    if seeds and not postgres.is_there():
        print("the seeds of the guard are left out: there is no PostgreSQL on this machine")  # noqa: T201 - the command's output
    if not seeds or not postgres.is_there():
        return []
    server = Postgres.create()
    try:
        server.start()
        elsewhere = replace(server, process=None)  # a process cannot be sent to another one
        return pool.map(partial(guarded.play, server=elsewhere), range(seeds), chunksize=1)
    finally:
        server.remove()


def _report_guards(outcomes: list[guarded.Outcome]) -> int:
    for outcome in outcomes:
        if outcome.broken:
            print(f"seed {outcome.seed} of the guard: {outcome.broken}; {dict(outcome.deeds)}")  # noqa: T201 - the command's output
    if outcomes:
        deeds, upgrades = sum((each.deeds for each in outcomes), Counter()), sum(each.upgrades for each in outcomes)
        print(f"{len(outcomes)} runs with the guard: {deeds.total()} faults, {upgrades} upgrades")  # noqa: T201 - the command's output
    return 1 if any(outcome.broken for outcome in outcomes) else 0


def _report(outcomes: list[Outcome], more: str = "") -> int:
    for outcome in outcomes:
        verdict = outcome.broken or f"every promise was kept; {outcome.grants} grants, {outcome.upgrades} upgrades"
        replay = f".venv/bin/python -m tests.simulation --seed {outcome.seed} --verbose{more}"
        print(f"seed {outcome.seed}: {verdict}\n  replay: {replay}")  # noqa: T201 - the command's output
    return 1 if any(outcome.broken for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
