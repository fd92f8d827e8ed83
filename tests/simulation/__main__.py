"""Play seeds on the command line: one again, aloud, or many, in all processors."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.simulate import Outcome, simulate


def main() -> int:
    """Return 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one seed")
    parser.add_argument("--verbose", action="store_true", help="tell every event (with --seed)")
    parser.add_argument("--seeds", type=int, default=300, help="play so many seeds")
    parser.add_argument("--first", type=int, default=0, help="beginning with this one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="in so many processes")
    given = parser.parse_args()
    if given.seed is not None:
        outcome = simulate(given.seed, is_told_aloud=given.verbose)
        print(outcome)
        return int(outcome.broken is not None)
    return _play_many(range(given.first, given.first + given.seeds), given.jobs)


def _play_many(seeds: range, jobs: int) -> int:
    broken, grants, hours, starts = 0, 0, 0.0, 0
    took: list[float] = []
    releases: Counter[str] = Counter()
    with ProcessPoolExecutor(jobs) as pool:
        for outcome in pool.map(simulate, seeds, chunksize=4):
            _tell(outcome)
            broken += outcome.broken is not None
            grants, hours, starts = grants + outcome.grants, hours + outcome.hours, starts + outcome.starts
            took.append(outcome.took_seconds)
            releases.update(outcome.releases)
    causes = ", ".join(f"{cause} {count}" for cause, count in releases.most_common())
    print(f"{len(seeds)} seeds, {broken} broken; {hours:.0f} h simulated in {sum(took):.0f} s of one processor")
    print(f"{grants} grants, {starts} starts of the coordinator; released: {causes}")
    return int(broken > 0)


def _tell(outcome: Outcome) -> None:
    if outcome.broken is not None:
        print(outcome, flush=True)


if __name__ == "__main__":
    sys.exit(main())
