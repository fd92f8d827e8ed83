"""Patterns of organisations and groups: what they match, which cannot match anything, and which two can match the same group."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agbot.rules.ids import GroupId
from agbot.settings import globs

GROUPS = [f"{org}/{''.join(name)}" for org in "ab" for length in range(1, 4) for name in product("ab", repeat=length)]
org_patterns = st.text("ab*?", min_size=1, max_size=3)
patterns = st.one_of(org_patterns, st.builds("{}/{}".format, org_patterns, st.text("ab*?", min_size=1, max_size=4)))


@pytest.mark.parametrize(
    ("pattern", "group", "matched"),
    [
        ("o1", "o1/g1", True),
        ("o1", "o10/g1", False),
        ("o*", "o10/g1", True),
        ("*", "o1/g1", True),
        ("east-?", "east-1/g1", True),
        ("east-?", "east-10/g1", False),
        ("o1/edge-*", "o1/edge-1", True),
        ("o1/edge-*", "o1/edge-", True),
        ("o1/edge-*", "o1/the-edge-1", False),
        ("o1/edge-*", "o2/edge-1", False),
        ("*/canary-*", "o2/canary-1", True),
        ("*/canary-*", "o2/canary", False),
        ("*/*", "o2/g", True),
        ("O1", "o1/g1", False),
        ("o.1", "ox1/g1", False),
        ("edge-1", "o1/edge-1", False),
    ],
)
def test_a_pattern_names_organisations_or_groups(pattern: str, group: str, matched: bool) -> None:
    assert globs.matches(pattern, GroupId(group)) is matched


@pytest.mark.parametrize(
    ("pattern", "stated"),
    [
        ("", "empty"),
        ("/g1", "no organisation before"),
        ("o1/", "no group after"),
        ("/", "no organisation before"),
        ("o1/a/b", "two slashes"),
        ("o1/a//", "two slashes"),
        ("o 1", "white space"),
        ("o1\n", "white space"),
        ("o[12]/g", "only wildcards are * and ?"),
    ],
)
def test_a_pattern_that_cannot_match_says_why(pattern: str, stated: str) -> None:
    assert stated in (globs.wrong(pattern) or "")


@given(pattern=patterns)
def test_every_other_pattern_is_fine(pattern: str) -> None:
    assert globs.wrong(pattern) is None


@given(one=patterns, other=patterns)
def test_two_patterns_meet_whenever_a_group_matches_both(one: str, other: str) -> None:
    both = [each for each in GROUPS if globs.matches(one, GroupId(each)) and globs.matches(other, GroupId(each))]

    assert globs.can_meet(one, other) == globs.can_meet(other, one)
    assert globs.can_meet(one, other) or not both


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("o1", "o1/g1", True),
        ("o1", "o2/g1", False),
        ("east-*", "*-1/edge-*", True),
        ("east-*", "west-?", False),
        ("o1/edge-*", "*/*-canary", True),
        ("o1/edge-*", "o1/core-*", False),
        ("o1/a?", "o1/?", False),
        ("a*b", "*ba", False),
        ("a*a", "a", False),
        ("**", "?", True),
    ],
)
def test_two_patterns_that_share_no_group_do_not_meet(one: str, other: str, meet: bool) -> None:
    assert globs.can_meet(one, other) is meet
