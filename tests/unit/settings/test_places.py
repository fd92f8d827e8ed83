"""A key's line in a TOML file, which tomllib does not tell."""

from __future__ import annotations

from agbot.settings import places


def test_headers_and_keys_are_found_where_they_stand() -> None:
    text = '# a\n[one]\nkey = 1\n\n  [ two ] # b\n"quoted" = [\n  "x = 3",\n]\nlast=1\n'

    assert places.lines(text) == {"one": 2, "one.key": 3, "two": 5, "two.quoted": 6, "two.last": 9}


def test_dotted_keys_and_inline_tables_are_found_by_their_first_line() -> None:
    assert places.lines("one.key = 1\ntwo = { key = 1 }\n") == {"one.key": 1, "two": 2}


def test_text_inside_a_multiline_string_is_no_key() -> None:
    assert places.lines('[one]\na = """\nb = 1\n[two]\n"""\nc = 2\n') == {"one": 1, "one.a": 2, "one.c": 6}


def test_the_first_place_counts() -> None:
    assert places.lines("[one]\na = 1\na = 2\n")["one.a"] == 2
