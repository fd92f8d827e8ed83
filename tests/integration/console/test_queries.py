"""What a query of the API may have: nothing in it is passed over in silence."""

from __future__ import annotations

import pytest

from agbot.console.routes import ROUTES
from tests.integration.console.conftest import Desk

API = [each for each in ROUTES if each.path.startswith("/v1")]
NAMES = {"org": "acme", "group": "mills", "node": "beta", "policy": "agent-2.32"}
PATHS = {each.path.format(**NAMES): each for each in API}


@pytest.mark.parametrize("path", PATHS)
async def test_a_key_that_a_path_does_not_have_is_refused(desk: Desk, path: str) -> None:
    reply = await desk.ask(PATHS[path].method, f"{path}?no-such-key=1")

    assert (reply.status, "has no key 'no-such-key'" in reply.text) == (400, True), reply.text
    assert desk.operations.emitted == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("groups?stat=busy", "did you mean state?"),
        ("journal?event=lease", "the keys are: group, node, since, after, limit"),
        ("history?node=acme/alpha&node=acme/beta", "node is given more than once"),
        ("groups?org=acme&org=bolt", "org is given more than once"),
    ],
)
async def test_a_mistake_in_a_query_is_named_and_not_answered_with_something_else(
    desk: Desk, query: str, words: str
) -> None:
    reply = await desk.get(f"/v1/{query}")

    assert (reply.status, words in reply.text) == (400, True), reply.text


@pytest.mark.parametrize("query", ["leases?state=free&state=held", "history?event=lease&event=hold"])
async def test_what_may_be_given_several_times_is_taken_together(desk: Desk, query: str) -> None:
    assert (await desk.get(f"/v1/{query}")).status == 200


@pytest.mark.parametrize("path", ["/livez?t=1", "/readyz?t=1", "/healthz?t=1", "/metrics?t=1", "/groups?utm=1"])
async def test_probes_and_pages_are_answered_whatever_a_proxy_adds(desk: Desk, path: str) -> None:
    assert (await desk.get(path)).status == 200
