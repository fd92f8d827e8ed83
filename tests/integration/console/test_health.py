"""Health over a real socket."""

from __future__ import annotations

from dataclasses import replace

from tests.integration.console.conftest import Desk


async def test_alive_says_only_that_the_loop_moves(desk: Desk) -> None:
    desk.operations.unready("the store is gone")
    desk.operations.seen = replace(desk.operations.seen, store_ok=False, view_age_seconds=None)

    reply = await desk.get("/livez")

    assert (reply.status, reply.text) == (200, "alive\n")


async def test_ready_is_200_and_unready_503_with_the_sentences(desk: Desk) -> None:
    assert (await desk.get("/readyz")).text == "ready\n"

    desk.operations.unready("the Exchange has not been read", "no organisation is known")
    reply = await desk.get("/readyz")

    assert reply.status == 503
    assert reply.text == "not ready: the Exchange has not been read\nnot ready: no organisation is known\n"


async def test_verbose_lists_each_check(desk: Desk) -> None:
    reply = await desk.get("/readyz?verbose")

    assert reply.text.splitlines() == [
        "[+] store: works",
        "[+] view: the picture of the Exchange is 2 s old",
        "[+] cycle: 2026-03-04T05:06:07Z: 2 groups; acme/alpha upgrades acme/agent-2.32, 1 waits",
        "[+] organisation acme: 2 groups, 3 members",
        "[-] organisation bolt: 403 from the Exchange",
        "ready",
    ]


async def test_verbose_before_the_first_cycle_shows_what_is_missing(desk: Desk) -> None:
    desk.operations.unready("starting")
    dark = replace(desk.operations.seen, store_ok=False, view_ok=False, view_age_seconds=None, cycle_at=None, orgs=())
    desk.operations.seen = dark

    assert (await desk.get("/readyz?verbose")).text.splitlines() == [
        "[-] store: cannot be read or written",
        "[-] view: the Exchange has not been read yet",
        "[-] cycle: none yet",
        "not ready: starting",
    ]


async def test_health_shows_the_coordinator_at_one_glance(desk: Desk) -> None:
    shown = (await desk.get("/healthz")).json

    assert shown["sentence"] == "2 groups; acme/alpha upgrades acme/agent-2.32, 1 waits"
    assert (shown["ready"], shown["held"], shown["waiting"]) == (True, 1, 1)
    assert shown["cycle_at"] == "2026-03-04T05:06:07Z"
    assert shown["orgs"][1]["failing"] == "403 from the Exchange"
    assert shown["version"]


async def test_probes_may_ask_with_head(desk: Desk) -> None:
    assert (await desk.ask("HEAD", "/readyz")).status == 200
