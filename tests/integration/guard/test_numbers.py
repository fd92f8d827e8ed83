"""The guard's figures are ratios of the same calls with and without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import guard
from bench.figure import Unit
from tests.support.examples import thorough
from tests.support.postgres import program


@thorough
def test_a_figure_compares_an_agbot_with_and_without_the_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program("pgbench")
    monkeypatch.setattr(guard, "CONNECTIONS", (20,))
    monkeypatch.setattr(guard, "HELD", (100,))
    (figure,) = guard.measure(tmp_path, rounds=1, seconds=1)
    assert (figure.name, figure.unit) == ("guard, 20 connections, 100 rows held", Unit.RATIO)
    assert 0 < figure.median < 2
    assert figure.bound is not None
    assert figure.bound.is_floor
