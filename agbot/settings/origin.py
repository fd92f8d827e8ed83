"""The source of a setting's value, which mistakes and effective values name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a value was written. Without any field it is a default."""

    file: str = ""
    table: str = ""
    """The header above it, such as `rules` or `scope."o1/edge-*"`."""
    line: int | None = None
    variable: str = ""
    """The environment variable it came from, if it did."""

    def __str__(self) -> str:
        """Return it as `agbot check-config --effective` shows it."""
        if self.variable:
            return f"environment {self.variable}"
        if not self.table:
            return "default"
        return f"[{self.table}] line {self.line}" if self.line else f"[{self.table}]"


DEFAULT = Origin()
