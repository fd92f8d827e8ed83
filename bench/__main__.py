"""`make bench`: every figure against its bound, as ratios within this one run; exit 1 when one is missed."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import cycles, handoff, machine, many_groups, refusals
from bench.figure import Figure

_TURN_SECONDS = 0.5
"""Of the refusals. Many short turns, one after the other: a machine that others slow down for a while slows both sides."""


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, fewer groups")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures for programs")
    options = parser.parse_args()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="agbot-bench-") as name:
        folder = Path(name)
        shape = machine.shape(folder)
        print("\n".join(f"{key}: {value}" for key, value in shape.items()), flush=True)
        rounds, turns = (3, 10) if options.quick else (5, 30)
        groups = 200 if options.quick else 1000
        plan: list[tuple[str, Callable[[Path], list[Figure]]]] = [
            ("store cycles", partial(cycles.measure, rounds=rounds)),
            ("refusals", partial(refusals.measure, rounds=turns, seconds=_TURN_SECONDS)),
            ("hand-off", partial(handoff.measure, upgrades=5 if options.quick else 10)),
            (f"{groups} groups", partial(many_groups.measure, groups=groups, settle=True)),
        ]
        for title, measure in plan:
            print(f"\n{title}", flush=True)
            at = folder / title.replace(" ", "-")
            at.mkdir()
            measured = measure(at)
            figures += measured
            print("\n".join(_line(figure) for figure in measured), flush=True)
    if options.json:
        content = {"machine": dict(shape), "figures": [figure.as_json() for figure in figures]}
        options.json.write_text(json.dumps(content, indent=2), encoding="utf-8")
    missed = [figure.name for figure in figures if not figure.keeps]
    print(f"\nmissed: {', '.join(missed)}" if missed else "\nevery bound is kept")
    return 1 if missed else 0


def _line(figure: Figure) -> str:
    spread = "" if len(figure.rounds) == 1 else f" ({min(figure.rounds):.4g} to {max(figure.rounds):.4g})"
    bound = (
        ""
        if figure.bound is None
        else f"  [{'ok' if figure.keeps else 'MISSED'}: {figure.bound.sense} {figure.bound.limit:g}]"
    )
    note = f"  {figure.note}" if figure.note else ""
    return f"  {figure.name:34} {figure.median:10.4g} {figure.unit}{spread}{bound}{note}"


if __name__ == "__main__":
    sys.exit(main())
