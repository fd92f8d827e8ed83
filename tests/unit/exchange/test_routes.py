"""Ids of any kind become one element of a path."""

from __future__ import annotations

import pytest

from agbot.exchange import routes


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
    assert routes.of("nodes", f"o1/{name}", "status") == f"/orgs/o1/nodes/{sent}/status"


def test_an_empty_name_is_refused_because_the_path_would_name_something_else() -> None:
    with pytest.raises(ValueError, match="empty"):
        routes.of("nodes", "o1/")


@pytest.mark.parametrize(
    ("path", "template"),
    [
        (routes.VERSION, "/admin/version"),
        (routes.in_org("o1", "nodes"), "/orgs/{org}/nodes"),
        (routes.of("nodes", "o1/a/b"), "/orgs/{org}/nodes/{node}"),
        (routes.of("nodes", "o1/n1", "agreements"), "/orgs/{org}/nodes/{node}/agreements"),
        (routes.of("business/policies", "o1/p"), "/orgs/{org}/business/policies/{policy}"),
        (routes.of("nodes", "o1/n1", "surprise"), routes.OTHER),
        ("/", routes.OTHER),
    ],
)
def test_a_request_is_counted_under_its_template_without_any_id(path: str, template: str) -> None:
    assert routes.template(path) == template
