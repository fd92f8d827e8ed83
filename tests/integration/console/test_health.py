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


async def test_no_text_from_outside_writes_a_line_or_reaches_a_terminal(desk: Desk) -> None:
    failing = replace(desk.operations.seen.orgs[0], failing="no \x1b[2J\nready")
    desk.operations.seen = replace(desk.operations.seen, orgs=(failing,))
    desk.operations.unready("group acme/\x1b]0;x\x07 fails\nready")

    verbose, brief = await desk.get("/readyz?verbose"), await desk.get("/readyz")

    assert "\x1b" not in verbose.text
    assert "ready" not in verbose.text.splitlines()
    assert brief.text == "not ready: group acme/\\x1b]0;x\\x07 fails\\nready\n"


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


async def test_verbose_marks_no_line_as_good_that_names_a_failure(desk: Desk) -> None:
    failing = "cannot read the Exchange: no answer in 5 s"
    seen = replace(desk.operations.seen, sentence=failing, not_ready=(failing,), orgs=())
    desk.operations.seen = seen

    found = (await desk.get("/readyz?verbose")).text.splitlines()

    assert [line for line in found if failing in line] == [
        f"[-] cycle: 2026-03-04T05:06:07Z: {failing}",
        f"[-] A part of the coordinator fails: {failing}",
    ]
    assert found[-1] == "ready"


async def test_what_is_shown_from_memory_says_so_while_the_store_cannot_be_used(desk: Desk) -> None:
    why = "the lease store has not been read since it failed: disk is full"
    desk.operations.seen = replace(desk.operations.seen, store_ok=False, store_failing=why)

    for path in ("/v1/leases", "/v1/orders"):
        assert (await desk.get(path)).json["lack"] == f"This is from memory: {why}."
    assert f"This is from memory: {why}." in (await desk.get("/orders")).text
    assert f"[-] store: {why}" in (await desk.get("/readyz?verbose")).text
    desk.operations.seen = replace(desk.operations.seen, store_ok=True, store_failing="")
    assert (await desk.get("/v1/leases")).json["lack"] == (await desk.get("/v1/orders")).json["lack"] == ""


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
