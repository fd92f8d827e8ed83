"""Replay seeds: `python -m tests.simulation --seed 1234 --verbose`, or search through many: `--seeds 5000`."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from functools import partial

from tests.simulation.courses import Course
from tests.simulation.run import Outcome, play
from tests.simulation.wild import Kind

_TOLD_EVERY = 50


def main() -> int:
    """Play what the command line asks for; exit 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this seed only")
    parser.add_argument("--first", type=int, default=0, help="the first of many seeds")
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds to play")
    parser.add_argument("--verbose", action="store_true", help="tell everything that happens")
    kinds = [kind.value for kind in Kind]
    parser.add_argument("--wild", action="append", default=[], choices=kinds, help="only wild things of this kind")
    named = [course.value for course in Course]
    parser.add_argument("--course", choices=named, help="in place of what a seed draws, this course of events")
    options = parser.parse_args()
    only, course = frozenset(Kind(kind) for kind in options.wild), Course(options.course) if options.course else None
    if options.seed is not None:
        return _tell([play(options.seed, is_told_aloud=options.verbose, only=only, course=course)])
    began = time.monotonic()
    with multiprocessing.Pool() as pool:
        outcomes: list[Outcome] = []
        for outcome in pool.imap_unordered(
            partial(play, only=only, course=course), range(options.first, options.first + options.seeds), chunksize=4
        ):
            outcomes.append(outcome)
            if len(outcomes) % _TOLD_EVERY == 0:
                print(f"{len(outcomes)} of {options.seeds} seeds, {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201 - progress of a long command
    code = _tell([outcome for outcome in outcomes if outcome.broken is not None])
    grants = sum(outcome.grants for outcome in outcomes)
    alone = sum(outcome.asked_alone > 0 for outcome in outcomes)
    met = f"{grants} grants, a running service met only offline peers in {alone}"
    print(f"{len(outcomes)} seeds, {met}, {time.monotonic() - began:.0f} s")  # noqa: T201 - the command's output
    return code


def _tell(outcomes: list[Outcome]) -> int:
    for outcome in outcomes:
        verdict = outcome.broken or f"every promise was kept; {outcome.grants} grants, {outcome.upgrades} upgrades"
        replay = f".venv/bin/python -m tests.simulation --seed {outcome.seed} --verbose"
        print(f"seed {outcome.seed}: {verdict}\n  replay: {replay}")  # noqa: T201 - the command's output
    return 1 if any(outcome.broken for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
