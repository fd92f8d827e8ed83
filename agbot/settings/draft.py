"""What is known while settings are read: the values so far, where each stands, and everything found wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agbot.settings import document, sample
from agbot.settings.origin import Origin
from agbot.settings.problems import Problem


@dataclass(slots=True, kw_only=True)
class Draft:
    """Values and findings while reading. The only thing in the settings that changes."""

    values: dict[str, object] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    documented: dict[str, str] = field(default_factory=dict)
    """The key that explains and checks a key, where it is another one: a scope's are those of `[rules]`."""
    scopes: dict[str, str] = field(default_factory=dict)
    """Pattern -> header of each scope that can be used, in the order of the file."""
    mistakes: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def note(self, key: str, problem: str, expected: str = "", *, is_warning: bool = False, meant: str = "") -> None:
        """Take down a finding at the place where the key's value stands; `meant` is the key that is explained, if it is another one."""
        origin = self.origins.get(key, Origin())
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

    def is_wrong(self, key: str) -> bool:
        """Whether a mistake was found in this key already."""
        return any(each.key == key for each in self.mistakes)

    def check_each(self) -> None:
        """Hold every value against the checks of its key."""
        for key, value in self.values.items():
            known = document.key(self.documented.get(key, key))
            for check in known.checks if known else ():
                wrong = check.wrong(value)
                if wrong is not None:
                    self.note(key, wrong, check.expected)

    def good(self, table: str, section: str) -> Mapping[str, object]:
        """Return the values of a table that has the keys of `section`; a bad one is left out, so that the rest can be judged too."""
        written = {name: f"{table}.{name}" for name in document.sections()[section].keys}
        return {
            name: self.values[key] for name, key in written.items() if key in self.values and not self.is_wrong(key)
        }
