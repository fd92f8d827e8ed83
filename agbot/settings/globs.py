"""Patterns of organisations and groups: `*` matches any characters, `?` one.

`east-*` is a pattern of organisations and matches every group in them; `o1/edge-*` and `*/canary-*`
are patterns of groups. Matching is case-sensitive, as names in the Exchange are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase, translate
from typing import Final

from agbot.rules.ids import GroupId, name_of, org_of

SHAPE: Final = 'an organisation such as [scope."east-*"], or a group such as [scope."o1/edge-*"]'


def wrong(pattern: str) -> str | None:
    """Return why this pattern cannot match anything, or None."""
    org, slash, name = pattern.partition("/")
    faults = {
        "it is empty": not pattern,
        "it names no organisation before the slash": bool(slash) and not org,
        "it names no group after the slash": bool(slash) and not name,
        "it has two slashes; a group's id has one": "/" in name,
        "it contains white space; no name does": not pattern.isprintable() or " " in pattern,
        "it contains brackets; the only wildcards are * and ?": not {"[", "]"}.isdisjoint(pattern),
    }
    return next((fault for fault, is_so in faults.items() if is_so), None)


def is_of_groups(pattern: str) -> bool:
    """Whether this is a pattern of groups, not of organisations."""
    return "/" in pattern


def matches(pattern: str, group: GroupId) -> bool:
    """Whether the pattern matches this group or its organisation."""
    org, slash, name = pattern.partition("/")
    return fnmatchcase(org_of(group), org) and (not slash or fnmatchcase(name_of(group), name))


def matches_any(pattern: str, orgs: Iterable[str], groups: Iterable[str]) -> bool:
    """Whether the pattern matches one of these organisations, or of these groups."""
    # an id has one slash, and so has a pattern of groups: no wildcard can match it
    fits = re.compile(translate(pattern)).match
    return any(map(fits, groups if is_of_groups(pattern) else orgs))


def can_meet(one: str, other: str) -> bool:
    """Whether a group can match both patterns."""
    one_org, one_slash, one_name = one.partition("/")
    other_org, other_slash, other_name = other.partition("/")
    in_one_group = not (one_slash and other_slash) or _share_a_name(one_name, other_name)
    return in_one_group and _share_a_name(one_org, other_org)


def _share_a_name(one: str, other: str) -> bool:
    """Whether a text can match both: dynamic programming over the prefixes of the two."""
    # row[end]: whether a text can match both what is done of `one` and the first `end` of `other`.
    # Trying all splits of two patterns with many stars would take exponential time.
    row = [all(char == "*" for char in other[:end]) for end in range(len(other) + 1)]
    for mine in one:
        above, row = row, [row[0] and mine == "*"]
        for end, theirs in enumerate(other, start=1):
            # a star takes nothing more, or one more character of whatever the other one matches
            if mine == "*" or theirs == "*":
                row.append(above[end] or row[end - 1])
            else:
                row.append(above[end - 1] and (mine == theirs or "?" in (mine, theirs)))
    return row[-1]
