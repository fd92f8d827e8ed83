"""Types the commands of a page, one after the other, each as it is written there, and each with what it has to show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.acceptance.pages.commands import commands
from tests.acceptance.pages.machine import Machine, plain

_SETS = re.compile(r"(?:export )?([A-Z_]+)=(\S+)")


@dataclass
class Walk:
    """One page, on one machine."""

    machine: Machine
    stands_for: Mapping[str, str]
    left: list[str]

    async def __call__(
        self,
        written: str,
        *shows: str,
        code: int = 0,
        typed: Mapping[str, str] | None = None,
        answer: str = "",
        until_shown: str = "",
        goes_on: bool = False,
    ) -> str:
        """Type the next command of the page, with `typed` in the place of its words, and look at what it shows."""
        assert self.left[:1] == [written], f"the page goes on with {self.left[:1]}"
        self.left.pop(0)
        command = replaced(written, {"http://127.0.0.1:8084": self.machine.console, **self.stands_for, **(typed or {})})
        if variable := _SETS.fullmatch(command):
            self.machine.environ[variable[1]] = self.machine.here(variable[2])
        if command.startswith("cd "):
            self.machine.working /= command.removeprefix("cd ")
            return ""
        ended, shown = await self.machine.typed(command, answer=answer, until_shown=until_shown, goes_on=goes_on)
        assert ended == code, f"`{command}` ended with {ended}:\n{shown}"
        missing = [each for each in shows if each not in plain(shown)]
        assert not missing, f"`{command}` does not show {missing}:\n{shown}"
        return shown


def replaced(text: str, words: Mapping[str, str]) -> str:
    """Put each text in the place of its word, the longest first."""
    longest_first = "|".join(re.escape(each) for each in sorted(words, key=len, reverse=True))
    return re.sub(rf"(?<!\w)(?:{longest_first})(?!\w)", lambda found: words[found[0]], text)


@contextmanager
def walking(machine: Machine, page: str, **stands_for: str) -> Iterator[Walk]:
    """Walk through a page; at the end none of its commands is left."""
    named = {name.replace("_", "/"): text for name, text in stands_for.items()}
    walk = Walk(machine, {**named, "…": "because"}, commands(page))
    yield walk
    assert walk.left == [], f"the page goes on with {walk.left[0]}"
