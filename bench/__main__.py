"""`make bench`: every figure against its bound, as ratios within one run.

The exit code is 1 if a bound is missed. `python -m bench scale` measures how costs grow with the
number of nodes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from bench import cycles, guard, handoff, history, machine, many_groups, postgres, refusals, scale
from bench.figure import Figure

_TURN_SECONDS = 0.5
"""The length of a turn of the refusals. There are many short turns, one after the other, so that a
machine which other programs slow down for a while slows both sides."""

Part = tuple[str, list[Figure], list[str]]
"""A title, its figures, and notes."""


def main() -> int:
    """Measure what the command line asks for."""
    options = _options()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="agbot-bench-") as name:
        folder = Path(name)
        description = machine.description(folder)
        print("\n".join(f"{key}: {value}" for key, value in description.items()), flush=True)
        before = history.load(options.what, description)
        parts = _scale(folder, options) if options.what == "scale" else _ratios(folder, quick=options.quick)
        for title, measured, notes in parts:
            lines = [_line(figure) + history.comparison(figure, before) for figure in measured]
            print("\n".join([f"\n{title}", *lines, *(f"  {note}" for note in notes)]), flush=True)
            figures += measured
            history.save(options.what, description, measured)
    if options.json:
        options.json.write_text(_as_json(description, figures), encoding="utf-8")
    missed = [figure.name for figure in figures if not figure.is_within_bound]
    print(f"\nmissed: {', '.join(missed)}" if missed else "\nall figures are within their bounds")
    return 1 if missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=("ratios", "scale"),
        default="ratios",
        help="ratios to a bare implementation, or growth",
    )
    parser.add_argument("--quick", action="store_true", help="ratios: fewer and shorter rounds, fewer groups")
    parser.add_argument(
        "--nodes", default=",".join(map(str, scale.NODES)), metavar="N,…", help="scale: numbers of nodes"
    )
    parser.add_argument(
        "--profile", type=Path, metavar="FILE", help="scale: profile the last daemon into FILE (cProfile)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    return parser.parse_args()


def _ratios(folder: Path, *, quick: bool) -> Iterator[Part]:
    rounds, turns = (3, 10) if quick else (5, 30)
    groups = 200 if quick else 1000
    plan: list[tuple[str, Callable[[Path], list[Figure]]]] = [
        ("store cycles", partial(cycles.measure, rounds=rounds)),
        ("refusals", partial(refusals.measure, rounds=turns, seconds=_TURN_SECONDS)),
        ("hand-off", partial(handoff.measure, upgrades=5 if quick else 10)),
        (f"{groups} groups", partial(many_groups.measure, groups=groups, settle=True)),
    ]
    if postgres.is_there():
        plan.insert(1, ("store on PostgreSQL", partial(postgres.measure, rounds=rounds)))
        plan.append(("the guard", partial(guard.measure, rounds=1 if quick else 3, seconds=1 if quick else 2)))
    for title, measure in plan:
        at = folder / title.replace(" ", "-")
        at.mkdir()
        yield title, measure(at), []


def _scale(folder: Path, options: argparse.Namespace) -> Iterator[Part]:
    return scale.run(folder, [int(number) for number in options.nodes.split(",")], profile=options.profile)


def _as_json(description: Mapping[str, str], figures: list[Figure]) -> str:
    content = {"machine": dict(description), "figures": [figure.as_json() for figure in figures]}
    return json.dumps(content, indent=2)


def _line(figure: Figure) -> str:
    spread = "" if len(figure.rounds) == 1 else f" ({min(figure.rounds):.4g} to {max(figure.rounds):.4g})"
    bound = (
        ""
        if figure.bound is None
        else f"  [{'ok' if figure.is_within_bound else 'MISSED'}: {figure.bound.sense} {figure.bound.limit:g}]"
    )
    note = f"  {figure.note}" if figure.note else ""
    return f"  {figure.name:44} {figure.median:10.4g} {figure.unit}{spread}{bound}{note}"


if __name__ == "__main__":
    sys.exit(main())
