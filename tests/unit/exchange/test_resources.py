"""Ids of any kind become one element of a path, and the table of resources is whole."""

from __future__ import annotations

import pytest

from agbot.exchange import resources
from agbot.fleet.changes import What


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("n1", "n1"),
        ("edge@plant.example", "edge%40plant.example"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("knötchen", "kn%C3%B6tchen"),
        ("a?b#c", "a%3Fb%23c"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("\udc80", "%ED%B2%80"),
    ],
)
def test_an_id_is_one_element_of_the_path_whatever_is_in_it(name: str, sent: str) -> None:
    assert resources.CONTAINERS.at(f"o1/{name}") == f"/orgs/o1/nodes/{sent}/status"


def test_an_empty_name_is_refused_because_the_path_would_name_something_else() -> None:
    with pytest.raises(ValueError, match="empty"):
        resources.NODE.at("o1/")


@pytest.mark.parametrize(
    ("path", "template"),
    [
        (resources.VERSION, "/admin/version"),
        (resources.NODES.at("o1"), "/orgs/{org}/nodes"),
        (resources.NODE.at("o1/a/b"), "/orgs/{org}/nodes/{node}"),
        (resources.AGREEMENTS.at("o1/n1"), "/orgs/{org}/nodes/{node}/agreements"),
        (resources.DEPLOYMENT_POLICY.at("o1/p"), "/orgs/{org}/business/policies/{policy}"),
        ("/orgs/o1/nodes/n1/surprise", resources.OTHER),
        ("/", resources.OTHER),
    ],
)
def test_a_request_is_counted_under_its_template_without_any_id(path: str, template: str) -> None:
    assert resources.template(path) == template


def test_every_part_of_the_picture_has_its_resource_and_an_organisation_its_two_lists() -> None:
    assert set(resources.BY_WHAT) == set(What) - {What.ORG}
    assert {each.path for each in resources.ALL if each.fills is What.ORG} == {
        "/orgs/{org}/hagroups",
        "/orgs/{org}/nodes",
    }


def test_no_two_resources_share_a_path_or_a_row_of_the_feed() -> None:
    paths = [each.path for each in resources.ALL]
    rows = [row for each in resources.ALL for row in each.rows]

    assert len(paths) == len(set(paths))
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize(
    ("path", "is_list"),
    [
        (resources.GROUPS.at("o1"), True),
        (resources.NODES.at("o1"), True),
        ("/orgs/IBM/changes", True),
        (resources.SERVED_POLICIES.at("IBM/agbot"), True),
        (resources.NODE.at("o1/n1"), False),
        (resources.AGREEMENTS.at("o1/n1"), False),
        (resources.VERSION, False),
    ],
)
def test_only_what_grows_with_an_organisation_may_be_as_large_as_a_list(path: str, *, is_list: bool) -> None:
    assert resources.is_list(path) is is_list
