"""The last results of each kind of run, in a file of the checkout, for comparison.

Results of different machines cannot be compared, so those of another machine are stored under its
description.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figure import Figure

FILE = Path(__file__).parents[1] / ".bench" / "last.json"
_MACHINE = ("processor", "memory", "python")
"""What distinguishes machines; their load does not."""


def load(kind: str, machine: Mapping[str, str], file: Path = FILE) -> Mapping[str, float]:
    """Return the last figures of a kind of run on a machine, by name; empty if there are none."""
    found: dict[str, float] = _read(file).get(_key(kind, machine), {})
    return found


def save(kind: str, machine: Mapping[str, str], figures: Sequence[Figure], file: Path = FILE) -> None:
    """Store figures as the last ones; those that were not measured this time stay."""
    content = _read(file)
    known = content.setdefault(_key(kind, machine), {})
    known |= {figure.name: figure.median for figure in figures}
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")


def comparison(figure: Figure, before: Mapping[str, float]) -> str:
    """Compare a figure with the last one; empty if there is none."""
    known = before.get(figure.name)
    if known is None:
        return ""
    return f"  (last {known:.4g}, {(figure.median / known - 1) * 100:+.0f} %)" if known else f"  (last {known:.4g})"


def _key(kind: str, machine: Mapping[str, str]) -> str:
    return " / ".join((kind, *(machine[name] for name in _MACHINE)))


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content
