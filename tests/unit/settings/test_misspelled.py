"""One slip of the pen is one mistake, in the line in which it was made."""

from __future__ import annotations

from pathlib import Path

import pytest

from agbot.settings import load


@pytest.fixture
def config(tmp_path: Path) -> Path:
    token = tmp_path / "token"
    token.write_text("s3cret\n", encoding="utf-8")
    token.chmod(0o600)
    return tmp_path / "agbot.toml"


def found(config: Path, text: str) -> list[tuple[int | None, str, str]]:
    config.write_text(text, encoding="utf-8")
    return [(each.line, each.key, each.problem) for each in load.read(config, {}).mistakes]


NOT_COMPLETE = "what begins here is not complete"
EXCHANGE = 'url = "https://hub.example.com/v1"\nidentity = "IBM/coordinator"\ntoken_file = "token"\n'


def test_a_misspelled_section_is_one_mistake_and_its_keys_are_not_missed(config: Path) -> None:
    assert found(config, f"[exchagne]\n{EXCHANGE}") == [
        (1, "exchagne", 'there is no section "exchagne"; did you mean "exchange"?')
    ]


def test_the_keys_of_a_misspelled_section_are_checked_in_their_lines(config: Path) -> None:
    mistakes = found(config, f'[exchange]\n{EXCHANGE}[gatway]\nlisten = "8083"\n[scop."o1"]\nmin_available = -1\n')

    assert [(line, key) for line, key, _ in mistakes] == [
        (5, "gatway"),
        (6, "gateway.listen"),
        (7, "scop"),
        (8, "scope.o1.min_available"),
    ]


def test_the_keys_of_a_section_that_resembles_another_one_by_chance_are_left_alone(config: Path) -> None:
    assert found(config, f"[exchange]\n{EXCHANGE}[gatexxx]\nnorth = 1\nsouth = 2\n") == [
        (5, "gatexxx", 'there is no section "gatexxx"; did you mean "gateway"?')
    ]


def test_a_misspelled_section_beside_the_right_one_changes_nothing_there(config: Path) -> None:
    mistakes = found(config, f'[exchange]\n{EXCHANGE}[exchagne]\nurl = "x"\n')

    assert [(line, key) for line, key, _ in mistakes] == [(5, "exchagne")]


def test_a_misspelled_key_is_one_mistake_and_not_missed_too(config: Path) -> None:
    assert found(config, f"[exchange]\n{EXCHANGE.replace('url', 'ulr')}") == [
        (2, "exchange.ulr", 'there is no key "ulr"; did you mean "url"?')
    ]


def test_a_misspelled_key_beside_the_right_one_hides_no_mistake_of_that(config: Path) -> None:
    mistakes = found(config, f'[exchange]\n{EXCHANGE}ulr = "x"\n'.replace("https", "ftp"))

    assert [(line, key) for line, key, _ in mistakes] == [(2, "exchange.url"), (5, "exchange.ulr")]


def test_a_section_that_is_written_as_a_list_of_tables_is_named_as_one(config: Path) -> None:
    assert (5, "gateway", "it is a list of tables, [[gateway]]") in found(
        config, f"[exchange]\n{EXCHANGE}[[gateway]]\nmax_open = 1\n"
    )


def test_a_section_and_a_key_that_are_written_as_dotted_keys_have_their_line(config: Path) -> None:
    mistakes = found(config, f"gatway.max_open = 1\n[exchange]\n{EXCHANGE}polling.at.night = 1\n")

    assert [(line, key) for line, key, _ in mistakes] == [(1, "gatway"), (6, "exchange.polling")]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('[exchange]\nurl = "http://x/v1\nidentity = "a/b"\n', 2, "a string is not closed"),
        ('[exchange]\n\nurl = "http://x/v1', 3, "unterminated string"),
        (
            '[exchange]\nurl = """http://x/v1\n[rules]\n',
            2,
            f"{NOT_COMPLETE} at the end of the file: unterminated string",
        ),
        ('[exchange]\norganisations = [\n "a",\n', 2, f"{NOT_COMPLETE} at the end of the file: invalid value"),
        ('[exchange]\norganisations = [\n "a"\n[rules]\nx = 1\n', 2, f"{NOT_COMPLETE} in line 4: unclosed array"),
        ("[exchange]\nurl = { a = 1", 2, "unclosed inline table"),
        ("[exchange]\n\n[rules", 3, "expected ']' at the end of a table declaration"),
        ("[exchange]\n\n[rules\n\n", 3, "expected ']' at the end of a table declaration"),
        ("[exchange]\nurl =\n", 2, "invalid value"),
        ("[exchange]\nurl\n", 2, "expected '=' after a key in a key/value pair"),
        ("exchange", 1, "expected '=' after a key in a key/value pair"),
    ],
)
def test_what_is_not_toml_is_reported_where_it_begins(config: Path, text: str, line: int, problem: str) -> None:
    assert found(config, text) == [(line, "", f"this is not TOML: {problem}")]


def test_a_byte_order_mark_is_no_mistake(config: Path) -> None:
    assert found(config, f"\ufeff[exchange]\n{EXCHANGE}") == []


def test_a_separator_of_lines_that_no_editor_counts_moves_no_mistake(config: Path) -> None:
    assert [line for line, _, _ in found(config, f"# a\u2028b\n[exchange]\n{EXCHANGE}nosuch = 1\n")] == [6]


def test_a_number_of_members_that_no_group_has_is_a_mistake(config: Path) -> None:
    text = f"[exchange]\n{EXCHANGE}[rules]\nmin_available = 99999999999999999999999999\n"

    assert [(line, key) for line, key, _ in found(config, text)] == [(6, "rules.min_available")]
