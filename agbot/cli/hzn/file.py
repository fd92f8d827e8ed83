"""The file that describes a group: `hzn`'s template with its comments, `$VAR`s, and what must stand in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from agbot.cli.failure import Exit, Failure

TEMPLATE: Final = """\
{
  "name": "",             /* Optional. The name of the HA group. */
  "description": "",      /* A description of the HA group. */
  "members": [            /* A list of node names that are members of this group. */
    "node1",
    "node2"
  ]
}
"""
_COMMENT_OR_TEXT = re.compile(r'"(?:\\.|[^"\\])*"|/\*.*?\*/', re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*|[0-9*#$@!?-]))")
"""What Go's `os.Expand` takes for a variable, which `hzn` uses."""


class _Written(msgspec.Struct):
    """A group file; unknown fields are dropped, as `hzn` drops them."""

    name: str | None = ""
    description: str | None = ""
    members: list[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFile:
    """What a file says of a group."""

    name: str
    description: str
    members: tuple[str, ...]
    """As they were given, each once."""
    remarks: tuple[str, ...]
    """What is odd about the file and changes nothing."""


def read(text: str, environ: Mapping[str, str], source: str) -> GroupFile:
    """Read a group file.

    Raises:
        Failure: it is not JSON, or not of this shape; `source` names it.
    """
    expanded, unset = _expanded(text, environ)
    try:
        written = msgspec.json.decode(_without_comments(expanded), type=_Written)
    except msgspec.DecodeError as error:
        raise Failure(
            Exit.BAD_JSON,
            tried=f"reading the group from {source}",
            problem=f"it is not the JSON of a group: {error}",
            next_step="`agbot hagroup new` prints a template",
        ) from error
    members = tuple(dict.fromkeys(written.members or ()))
    remarks = [f"${name} is not set and counts as empty" for name in unset]
    remarks += [f"{name!r} is listed more than once; it counts once" for name in _repeated(written.members or [])]
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
    """Blank comments out, with their line breaks kept, so that an error still names the right place."""

    def blank(found: re.Match[str]) -> str:
        part = found[0]
        return re.sub(r"[^\n]", " ", part) if part.startswith("/*") else part

    return _COMMENT_OR_TEXT.sub(blank, text)


def _repeated(names: list[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]
