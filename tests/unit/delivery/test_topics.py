"""Topics: one element per name whatever the name, and back again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agbot.delivery.topics import Topics
from agbot.rules.ids import GroupId

TOPICS = Topics("site/agbot")
signs = st.characters(exclude_categories=["Cs"])  # a lone surrogate cannot come out of JSON
names = st.text(signs, min_size=1, max_size=12) | st.text("/+#%\x00 a", min_size=1, max_size=6)
groups = st.builds("{}/{}".format, names.filter(lambda org: "/" not in org), names).map(GroupId)


@pytest.mark.parametrize(
    ("group", "topic"),
    [
        ("o1/pumps", "site/agbot/o1/pumps/state"),
        ("o 1/pumps west", "site/agbot/o 1/pumps west/state"),
        ("o1/a/b", "site/agbot/o1/a%2Fb/state"),
        ("o+/#", "site/agbot/o%2B/%23/state"),
        ("o1/a%2Fb", "site/agbot/o1/a%252Fb/state"),
        ("o1/nul\x00\x1f\x7f\x9f", "site/agbot/o1/nul%00%1F%7F%C2%9F/state"),
        ("o1/\ufffe\ufdd0", "site/agbot/o1/%EF%BF%BE%EF%B7%90/state"),
        ("ö1/😀", "site/agbot/ö1/😀/state"),
    ],
)
def test_a_name_is_one_element_of_a_topic(group: str, topic: str) -> None:
    assert TOPICS.state(GroupId(group)) == topic


@given(group=groups)
def test_a_topic_gives_its_group_back_and_holds_nothing_that_a_broker_refuses(group: GroupId) -> None:
    topic = TOPICS.state(group)

    assert TOPICS.group_of(topic) == group
    assert topic.count("/") == 4
    assert not {"+", "#", "\x00"} & set(topic)
    assert topic.isprintable()


@given(one=groups, other=groups)
def test_two_groups_share_no_topic(one: GroupId, other: GroupId) -> None:
    assert (TOPICS.event(one) == TOPICS.event(other)) is (one == other)


def test_what_is_about_no_group_has_a_topic_of_its_own() -> None:
    assert TOPICS.event(None) == "site/agbot/event"
    assert TOPICS.status == "site/agbot/status"
    assert TOPICS.all_states == "site/agbot/+/+/state"
