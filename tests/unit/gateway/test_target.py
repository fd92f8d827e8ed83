"""Which requests are questions, which go to the real agbot, and which no one may have."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agbot.gateway.target import (
    MAX_NAME_BYTES,
    AgentQuestion,
    BadTarget,
    PassThrough,
    ServiceEnd,
    ServiceQuestion,
    parse,
)
from agbot.rules.lease import Kind

PLAIN = "/org/o1/hagroup/g1/nodemanagement/n1/p1"
SERVICE = "/org/o1/hagroup/g1/deployment/n1/o1%2Fdp1"
NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in {".", ".."} and name == name.strip(" "))


def test_the_permission_route_is_a_question_about_an_agent() -> None:
    asked = parse("POST", PLAIN)
    assert asked == AgentQuestion(org="o1", group="g1", node="n1", policy="p1")
    assert isinstance(asked, AgentQuestion)
    ask = asked.ask()
    assert (ask.group, ask.node, ask.claim.kind, ask.claim.subject) == ("o1/g1", "o1/n1", Kind.AGENT, "o1/p1")


def test_a_query_does_not_change_the_question() -> None:
    assert parse("POST", f"{PLAIN}?a=b&c") == parse("POST", PLAIN)


def test_the_absolute_form_is_the_same_question() -> None:
    assert parse("POST", f"https://agbot.example:8083{PLAIN}") == parse("POST", PLAIN)


def test_the_absolute_form_is_passed_on_in_origin_form() -> None:
    assert parse("GET", "http://h:1/deploycheck?x=1") == PassThrough(target="/deploycheck?x=1")
    assert parse("GET", "http://h:1?x=1") == PassThrough(target="/?x=1")


@given(org=NAMES, group=NAMES, node=NAMES, policy=NAMES)
@example(org="o@1", group="g.1", node="nœud+1", policy="p 1%2F")
def test_every_escaped_name_comes_back_as_it_was(org: str, group: str, node: str, policy: str) -> None:
    org_, group_, node_, policy_ = (quote(name, safe="") for name in (org, group, node, policy))
    asked = parse("POST", f"/org/{org_}/hagroup/{group_}/nodemanagement/{node_}/{policy_}")
    assert asked == AgentQuestion(org=org, group=group, node=node, policy=policy)


def test_raw_utf8_is_read_like_the_escaped_form() -> None:
    assert parse("POST", PLAIN.replace("n1", "nœud")) == parse("POST", PLAIN.replace("n1", "n%C5%93ud"))


@pytest.mark.parametrize(
    "element",
    [
        "",
        ".",
        "..",
        "%2e",
        "%2E%2e",
        "a%2Fb",
        "a%2fb",
        "%2F",
        "a%00b",
        "a%0Ab",
        "a%7Fb",
        "a%C2%80b",
        "a%",
        "a%4",
        "a%zz",
        "%FF",
        "%C0%AF",
        "a%ED%A0%80",
        "a\udcff",
        "a#b",
        "up1%20",
        "%20up1",
        "%20",
        "x" * (MAX_NAME_BYTES + 1),
        "%C5%93" * (MAX_NAME_BYTES // 6 + 1),
    ],
)
@pytest.mark.parametrize("place", [2, 4, 6, 7])
def test_an_element_that_cannot_be_a_name_is_refused(place: int, element: str) -> None:
    elements = PLAIN.split("/")
    elements[place] = element
    answer = parse("POST", "/".join(elements))
    assert isinstance(answer, BadTarget)
    assert answer.status == 400


@pytest.mark.parametrize("element", ["o1%2Fdp1%20", "o1%2F%20dp1", "o1%20%2Fdp1", "o1%2F" + "x" * (MAX_NAME_BYTES + 1)])
def test_neither_part_of_a_deployment_policy_may_be_one_that_the_exchange_reads_otherwise(element: str) -> None:
    assert isinstance(parse("POST", f"/org/o1/hagroup/g1/deployment/n1/{element}"), BadTarget)


@pytest.mark.parametrize("element", ["up%201", "x" * MAX_NAME_BYTES, "%C5%93" * (MAX_NAME_BYTES // 6), "%E2%80%83up1"])
def test_a_name_with_a_space_inside_or_as_long_as_it_may_be_is_one(element: str) -> None:
    assert isinstance(parse("POST", PLAIN.replace("p1", element)), AgentQuestion)


@pytest.mark.parametrize(
    "disguised",
    [
        "/%6Frg/o1/hagroup/g1/nodemanagement/n1/p1",
        "//org/o1/hagroup/g1/nodemanagement/n1/p1",
        "/org//o1/hagroup/g1/nodemanagement/n1/p1",
        "/org%2Fo1/hagroup/g1/nodemanagement/n1/p1",
        "/org/o1/hagroup/g1/node%6danagement/n1/p1",
        "/org/o1/%68agroup/g1/nodemanagement/n1/p1",
        "/org/o1/hagroup/g1/../g1/nodemanagement/n1/p1",
        "/x/../org/o1/hagroup/g1/nodemanagement/n1/p1",
        "/x/%2e%2e/org/o1/hagroup/g1/nodemanagement/n1/p1",
        "/./org/o1/hagroup/g1/nodemanagement/n1/p1",
        "/org/o1/hagroup/g1/nodemanagement/n1/p1/",
        "/org/o1/hagroup/g1/nodemanagement/n1%2Fp1",
        "/org/o1/hagroup/g1%2Fnodemanagement/n1/p1",
        "/%2Forg/o1/hagroup/g1/nodemanagement/n1/p1",
        "http://h//org/o1/hagroup/g1/nodemanagement/n1/p1",
        "http://h/%6Frg/o1/hagroup/g1/nodemanagement/n1/p1",
        "/org/o1/hagroup/g1/nodemanagement/n1/p1#x",
        "/x#/../org/o1/hagroup/g1/nodemanagement/n1/p1",
    ],
)
def test_the_permission_route_in_disguise_never_reaches_the_agbot(disguised: str) -> None:
    assert isinstance(parse("POST", disguised), BadTarget)


@given(
    st.lists(
        st.sampled_from(
            [
                "/",
                "//",
                "%2F",
                "%2f",
                ".",
                "..",
                "%2e",
                "org",
                "%6frg",
                "o1",
                "hagroup",
                "g1",
                "nodemanagement",
                "n1",
                "p1",
            ]
        ),
        max_size=24,
    ).map("".join),
)
def test_what_is_passed_on_is_never_the_permission_route_to_the_agbots_router(path: str) -> None:
    target = parse("POST", f"/{path}")
    if not isinstance(target, PassThrough):
        return
    kept: list[str] = []
    # gorilla/mux: matched on the decoded, cleaned path
    for element in unquote(target.target).split("/"):
        if element == "..":
            kept = kept[:-1]
        elif element not in {"", "."}:
            kept.append(element)
    assert not (len(kept) == 7 and kept[0] == "org" and kept[2] == "hagroup" and kept[4] == "nodemanagement")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "LIST"])
def test_other_methods_on_the_permission_route_are_the_agbots(method: str) -> None:
    assert parse(method, PLAIN) == PassThrough(target=PLAIN)


@pytest.mark.parametrize(
    "raw", ["/", "/nope?q=%zz", "/org/o1/secrets/a%2Fb", "//x", "/ORG/o1/hagroup/g1/nodemanagement/n1/p1"]
)
def test_everything_else_is_passed_on_as_it_was_written(raw: str) -> None:
    assert parse("POST", raw) == PassThrough(target=raw)


@pytest.mark.parametrize(
    ("method", "raw", "status"),
    [("CONNECT", "h:443", 405), ("OPTIONS", "*", 400), ("GET", "nope", 400), ("GET", "/\udcff", 400), ("GET", "", 400)],
)
def test_a_target_that_is_no_path_is_refused(method: str, raw: str, status: int) -> None:
    answer = parse(method, raw)
    assert isinstance(answer, BadTarget)
    assert answer.status == status


def test_the_deployment_route_is_a_question_about_a_service() -> None:
    asked = parse("POST", SERVICE)
    assert asked == ServiceQuestion(org="o1", group="g1", node="n1", policy="o1/dp1")
    assert isinstance(asked, ServiceQuestion)
    ask = asked.ask()
    assert (ask.node, ask.claim.kind, ask.claim.subject) == ("o1/n1", Kind.SERVICE, "o1/dp1")


def test_whether_an_agreement_binds_the_service_is_not_for_the_asker_to_say() -> None:
    assert isinstance(parse("POST", f"{SERVICE}?agreement_bound=true"), BadTarget)
    asked = parse("POST", SERVICE)
    assert isinstance(asked, ServiceQuestion)
    assert not asked.ask().agreement_bound


@pytest.mark.parametrize(("query", "succeeded"), [("", True), ("?outcome=succeeded", True), ("?outcome=failed", False)])
def test_deleting_a_service_upgrade_reports_its_end(query: str, succeeded: bool) -> None:
    ended = parse("DELETE", SERVICE + query)
    assert ended == ServiceEnd(org="o1", group="g1", node="n1", policy="o1/dp1", succeeded=succeeded)


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("DELETE", "outcome=fail"),
        ("DELETE", "outcom=failed"),
        ("DELETE", "outcome="),
        ("DELETE", "outcome=failed&outcome=succeeded"),
        ("DELETE", "token=1&token=2"),
        ("POST", "x"),
    ],
)
def test_a_mistyped_query_is_refused_and_not_taken_for_the_default(method: str, query: str) -> None:
    assert isinstance(parse(method, f"{SERVICE}?{query}"), BadTarget)


@pytest.mark.parametrize("policy", ["dp1", "%2Fdp1", "o1%2F", "o1%2F..", "..%2Fdp1", "o1%2Fa%2Fb", "o1/dp1", "%2F"])
def test_a_deployment_policy_must_be_qualified_and_escaped(policy: str) -> None:
    answer = parse("POST", f"/org/o1/hagroup/g1/deployment/n1/{policy}")
    assert isinstance(answer, BadTarget)
    assert "org%2Fname" in answer.message
