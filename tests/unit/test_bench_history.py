"""The bench compares with its last results, of the same kind of run on the same machine."""

from __future__ import annotations

from pathlib import Path

from bench import history
from bench.figure import Figure, Unit

MACHINE = {"processor": "2 x P", "memory": "24 GiB", "python": "CPython 3.11", "load before": "0.1"}


def figure(value: float, name: str = "hand-off") -> Figure:
    return Figure(name=name, unit=Unit.SECONDS, rounds=[value])


def test_the_next_run_is_compared_with_the_last_one(tmp_path: Path) -> None:
    file = tmp_path / "last.json"
    history.save("ratios", MACHINE, [figure(2.0)], file)

    before = history.load("ratios", {**MACHINE, "load before": "7"}, file)

    assert history.comparison(figure(3.0), before) == "  (last 2, +50 %)"


def test_a_run_of_another_kind_or_machine_compares_with_nothing(tmp_path: Path) -> None:
    file = tmp_path / "last.json"
    history.save("ratios", MACHINE, [figure(2.0)], file)

    assert history.load("scale", MACHINE, file) == {}
    assert history.load("ratios", {**MACHINE, "processor": "64 x Q"}, file) == {}


def test_a_figure_that_was_not_measured_again_stays(tmp_path: Path) -> None:
    file = tmp_path / "last.json"
    history.save("scale", MACHINE, [figure(2.0), figure(1.0, "memory")], file)
    history.save("scale", MACHINE, [figure(3.0)], file)

    assert history.load("scale", MACHINE, file) == {"hand-off": 3.0, "memory": 1.0}
