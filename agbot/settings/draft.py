"""The state of reading settings: the values so far, their origins, and all findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agbot.settings import document, sample
from agbot.settings.problems import Origin, Problem


@dataclass(slots=True, kw_only=True)
class Draft:
    """Values and findings while reading. The only mutable object of this package."""

    file: str = ""
    """The settings file; empty without one."""
    values: dict[str, object] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    documented: dict[str, str] = field(default_factory=dict)
    """Key -> the key that documents and checks it, where that is another one: a scope's keys are
    those of `[rules]`."""
    scopes: dict[str, str] = field(default_factory=dict)
    """Pattern -> table of each valid scope, in the order of the file."""
    mistakes: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    """Keys of what a service may have, and whoever reads this has not."""
    _meant: set[str] = field(default_factory=set)
    """Keys that are written under another name."""

    def note(self, key: str, problem: str, expected: str = "", *, is_warning: bool = False, meant: str = "") -> None:
        """Add a finding at the place of the key's value.

        `meant` is the key to document, if it is another one.
        """
        origin = self.origins.get(key, Origin(file=self.file))
        documented = self.documented.get(key, key)
        explained = (meant, documented, documented.partition(".")[0])
        found = Problem(
            key=key,
            problem=problem,
            expected=expected,
            file=origin.file,
            line=origin.line,
            variable=origin.variable,
            sample_line=next((sample.lines()[each] for each in explained if each in sample.lines()), None),
        )
        (self.warnings if is_warning else self.mistakes).append(found)
        if meant:
            self._meant.add(meant)

    def is_wrong(self, key: str) -> bool:
        """Whether a mistake has been found in this key, or in its name."""
        # of a key under a mistyped name only the name is wrong: "it is not set" would be a second
        # mistake
        return any(each.key == key for each in self.mistakes) or (key in self._meant and key not in self.values)

    def check_each(self) -> None:
        """Run the checks of every key on its value."""
        for key, value in self.values.items():
            known = document.key(self.documented.get(key, key))
            for check in known.checks if known else ():
                wrong = check.wrong(value)
                if wrong is not None:
                    self.note(key, wrong, check.expected)

    def good(self, table: str, section: str) -> Mapping[str, object]:
        """Return the valid values of a table with the keys of `section`."""
        written = {name: f"{table}.{name}" for name in document.sections()[section].keys}
        return {
            name: self.values[key] for name, key in written.items() if key in self.values and not self.is_wrong(key)
        }
