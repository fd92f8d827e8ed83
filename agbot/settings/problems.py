"""Where a value of the settings was written, and a mistake with all that is needed to correct it.

A mistake names the key, the source of the value (a line of the file, or an environment variable),
what is wrong, what is expected, and the line of the documented sample that explains the key.
"""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake or one warning."""

    key: str
    """`section.key`, a section, or empty if it is about the whole file."""
    problem: str
    expected: str = ""
    file: str = ""
    """The file that has the value or lacks it; empty if there is none."""
    line: int | None = None
    variable: str = ""
    """The environment variable it came from, if it did."""
    sample_line: int | None = None

    @property
    def place(self) -> str:
        """Where to look, such as `agbot.toml:12` or `$HZN_EXCHANGE_URL`."""
        if self.variable:
            return f"${self.variable}"
        return f"{self.file}:{self.line}" if self.file and self.line else self.file or "no settings file"

    def __str__(self) -> str:
        """Return everything in one line, as in the log."""
        named = f"{self.key}: " if self.key else ""
        expected = f"; expected: {self.expected}" if self.expected else ""
        explained = f" (sample, line {self.sample_line})" if self.sample_line else ""
        place = f"{self.place}: " if self.variable or self.file else ""
        return f"{place}{named}{self.problem}{expected}{explained}"


class SettingsError(Exception):
    """The settings cannot be used."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep every problem, so that all of them can be reported at once."""
        super().__init__("\n".join(str(each) for each in problems))
        self.problems = tuple(problems)
