"""Group files: comments, variables, and what is odd about them."""

from __future__ import annotations

import pytest

from agbot.cli.failure import Exit, Failure
from agbot.cli.hzn import file


def read(text: str, **environ: str) -> file.GroupFile:
    return file.read(text, environ, "g.json")


def test_the_template_is_valid_once_its_comments_are_gone() -> None:
    found = read(file.TEMPLATE)

    assert (found.name, found.description, found.members) == ("", "", ("node1", "node2"))


def test_a_comment_inside_a_text_is_no_comment() -> None:
    found = read(r'{"description": "a /* b */ \" /* c */", /* "members": ["x"], */ "members": ["n1"]}')

    assert found.description == 'a /* b */ " /* c */'
    assert found.members == ("n1",)


def test_a_comment_has_no_variables() -> None:
    found = read('{"name": "g1", /* $5 a month, see ${WIKI} */ "description": "$D"}', D="for /* sale */")

    assert found.description == "for /* sale */"


def test_variables_are_replaced_everywhere() -> None:
    found = read('{"name": "${G}", "description": "$G $NO", "members": $MEMBERS}', G="g1", NO="", MEMBERS='["n1"]')

    assert (found.name, found.description, found.members) == ("g1", "g1 ", ("n1",))


@pytest.mark.parametrize(
    ("members", "problem"),
    [("$NO", "$NO is not set"), ('["${NO}", "$NO", "$NONE"]', "$NO, $NONE are not set"), ('["n1", ""]', "no name")],
)
def test_what_would_make_a_group_empty_by_mistake_is_refused(members: str, problem: str) -> None:
    with pytest.raises(Failure) as caught:
        read(f'{{"name": "g1", "description": "d", "members": {members}}}')

    assert caught.value.exit_code == Exit.BAD_INPUT
    assert problem in caught.value.problem


def test_members_count_once_and_unknown_fields_are_dropped() -> None:
    found = read('{"name": "g", "members": ["b", "a", "b"], "colour": "red"}')

    assert found.members == ("b", "a")
    assert found.remarks == ("'b' is listed more than once; it is used once",)


@pytest.mark.parametrize("text", ["", "[]", '{"members": "n1"}', '{"name": 1}', '{"name": "g",}', "/* never closed"])
def test_what_is_not_a_group_is_bad_json_with_the_way_to_a_template(text: str) -> None:
    with pytest.raises(Failure) as caught:
        read(text)

    assert caught.value.exit_code == Exit.BAD_JSON
    assert "agbot hagroup new" in caught.value.next_step
