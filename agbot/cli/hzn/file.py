"""The file that describes a group: `hzn`'s template with comments and `$VAR`s, and its checks.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from agbot.cli.failure import Exit, Failure

TEMPLATE: Final = """\
{
  "name": "",             /* Required, here or as GROUP of add. */
  "description": "",      /* Required. */
  "members": [            /* Names of device nodes. None: gates no node. */
    "node1",
    "node2"
  ]
}
"""
_COMMENT_OR_TEXT = re.compile(r'"(?:\\.|[^"\\])*"|/\*.*?\*/', re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*|[0-9*#$@!?-]))")
"""Variables as in Go's `os.Expand`, which `hzn` uses."""


class _Written(msgspec.Struct):
    """A group file; unknown fields are ignored, as by `hzn`."""

    name: str | None = ""
    description: str | None = ""
    members: list[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFile:
    """The content of a group file."""

    name: str
    description: str
    members: tuple[str, ...]
    """As written, without duplicates."""
    remarks: tuple[str, ...]
    """Warnings about the file."""


def read(text: str, environ: Mapping[str, str], source: str) -> GroupFile:
    """Read a group file.

    A variable that is not set is refused: `hzn` takes it as empty, and makes an empty group.

    Raises:
        Failure: it is not JSON, or not of this shape, or has variables that are not set; `source`
            names it.
    """
    # first the comments: a price in one is no variable, and a variable begins no comment
    expanded, unset = _expanded(_without_comments(text), environ)
    if unset:
        raise Failure(
            Exit.BAD_INPUT,
            tried=f"reading the group from {source}",
            problem=f"{', '.join(f'${name}' for name in unset)} {'is' if len(unset) == 1 else 'are'} not set",
            next_step="export it, or write the value into the file; nothing has changed",
        )
    try:
        written = msgspec.json.decode(expanded, type=_Written)
    except msgspec.DecodeError as error:
        raise Failure(
            Exit.BAD_JSON,
            tried=f"reading the group from {source}",
            problem=f"it is not the JSON of a group: {error}",
            next_step="`agbot hagroup new` prints a template",
        ) from error
    members = tuple(dict.fromkeys(written.members or ()))
    if "" in members:
        raise Failure(
            Exit.BAD_INPUT,
            tried=f"reading the group from {source}",
            problem="a member has no name",
            next_step="write the name of a node, or remove the empty one; nothing has changed",
        )
    remarks = [f"{name!r} is listed more than once; it is used once" for name in _repeated(written.members or [])]
    return GroupFile(
        name=written.name or "", description=written.description or "", members=members, remarks=tuple(remarks)
    )


def _expanded(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    unset: list[str] = []

    def value(found: re.Match[str]) -> str:
        name = found[1] if found[1] is not None else found[2]
        if name not in environ:
            unset.append(name)
        return environ.get(name, "")

    return _VARIABLE.sub(value, text), list(dict.fromkeys(unset))


def _without_comments(text: str) -> str:
    """Blank out comments but keep line breaks, so that an error names the right line."""

    def blank(found: re.Match[str]) -> str:
        part = found[0]
        return re.sub(r"[^\n]", " ", part) if part.startswith("/*") else part

    return _COMMENT_OR_TEXT.sub(blank, text)


def _repeated(names: list[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]
