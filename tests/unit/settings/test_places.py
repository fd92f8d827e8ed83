"""A key's line in a TOML file, which tomllib does not report."""

from __future__ import annotations

from pathlib import Path

from agbot.settings import load, places


def test_headers_and_keys_are_found_where_they_stand() -> None:
    text = '# a\n[one]\nkey = 1\n\n  [ two ] # b\n"quoted" = [\n  "x = 3",\n]\nlast=1\n'

    assert places.lines(text) == {"one": 2, "one.key": 3, "two": 5, "two.quoted": 6, "two.last": 9}


def test_dotted_keys_and_inline_tables_are_found_by_their_first_line() -> None:
    assert places.lines("one.key = 1\ntwo = { key = 1 }\n") == {"one": 1, "one.key": 1, "two": 2}


def test_text_inside_a_multiline_string_is_no_key() -> None:
    assert places.lines('[one]\na = """\nb = 1\n[two]\n"""\nc = 2\n') == {"one": 1, "one.a": 2, "one.c": 6}


def test_the_first_place_counts() -> None:
    assert places.lines("[one]\na = 1\na = 2\n")["one.a"] == 2


def test_a_part_in_quotes_may_hold_dots_slashes_and_brackets() -> None:
    text = '[scope."o1/edge-1.2"]\na = 1\n[scope."o[1]"]\na = 1\n[ scope . \'o2\' ] # c\na = 1\n'

    assert places.lines(text) == {
        "scope": 1,
        'scope."o1/edge-1.2"': 1,
        'scope."o1/edge-1.2".a': 2,
        'scope."o[1]"': 3,
        'scope."o[1]".a': 4,
        "scope.o2": 5,
        "scope.o2.a": 6,
    }


def test_an_array_of_tables_is_found_at_its_first_header() -> None:
    assert places.lines("[[scope]]\na = 1\n[[scope]]\na = 2\n") == {"scope": 1, "scope.a": 2}


def test_a_name_is_quoted_where_toml_wants_it() -> None:
    assert places.dotted("scope", "o1") == "scope.o1"
    assert places.dotted("scope", "o.1/a-*") == 'scope."o.1/a-*"'
    assert places.dotted("scope", "") == 'scope.""'


def test_a_section_that_is_there_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    file = tmp_path / "agbot.toml"
    file.write_text('[console]\nlisten = "127.0.0.1:1"\n[scope."o1/a"]\n[console]\n', encoding="utf-8")

    [found] = load.read(file, {}).mistakes
    assert (found.line, found.problem) == (
        4,
        "[console] is here a second time, first in line 1: write its keys in one section",
    )
