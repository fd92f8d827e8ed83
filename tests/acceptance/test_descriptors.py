"""Running out of descriptors: few lines in the log, `/livez` answers, and it is over when it is over."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.attacking import LOOPBACK, look, pulse_of
from tests.acceptance.hub import Hub
from tests.acceptance.programs import Program
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.support.patience import until

CONNECTIONS = 800


def descriptor_events(daemon: Program) -> list[str]:
    return [line["event"] for line in daemon.lines() if line["event"].startswith("descriptors.")]


def open_files(daemon: Program) -> int:
    return len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))


def first_free(daemon: Program) -> int:
    """Return the number that the next descriptor would get."""
    taken = {int(each.name) for each in Path(f"/proc/{daemon.pid}/fd").iterdir()}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def limit(daemon: Program) -> int:
    return resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[0]


@contextmanager
def many(port: int, number: int) -> Iterator[None]:
    """As many connections that say nothing."""
    with ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        yield


async def test_a_low_limit_is_reported_once_and_bounds_the_connections(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    daemon = site.programs.start("run", "--config", site.settings_file, open_files=400)
    site.daemons.append(daemon)
    await site.until_ready()
    with pulse_of(site.console_port) as pulse, many(site.gateway_port, CONNECTIONS):
        await granted(site, "anna")
        assert (await ask(site, "ben"))[0] == 409
    assert pulse.worst < float("inf")
    assert descriptor_events(daemon) == ["descriptors.scarce"]
    (emitted,) = daemon.events("descriptors.scarce")
    assert (emitted["limit"], emitted["needed"]) == (400, 5192)
    assert "LimitNOFILE" in emitted["next_step"]
    assert "[gateway] max_open" in emitted["next_step"]


async def test_a_soft_limit_is_raised_as_far_as_it_may_be(hub: Hub, site: Site) -> None:
    daemon = await site.start_ready()
    assert limit(daemon) == resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[1]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_without_any_descriptor_left_it_lives_and_says_so_once(hub: Hub, site: Site, tls: bool) -> None:
    """Over TLS the connections that say nothing are handshakes under way, which cannot be given up."""
    if tls:
        site.use_certificate(LOOPBACK)
    site.tables["gateway"]["request_seconds"] = 600.0  # so that none of them ends by itself
    site.write()
    await group_of_three(hub)
    daemon = await site.start_ready()
    await granted(site, "anna")
    before, (_, hard) = limit(daemon), resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (open_files(daemon) + 20, hard))
    lines = len(daemon.lines())
    with pulse_of(site.console_port) as pulse, many(site.gateway_port, CONNECTIONS):
        await until("the lack", lambda: daemon.events("descriptors.exhausted"))
        before_it = len(pulse.seconds)
        # each takes a pause of half a second, in which a flood of lines would come
        await until("looks that are answered meanwhile", lambda: len(pulse.seconds) >= before_it + 6)
    assert pulse.worst < float("inf")
    assert descriptor_events(daemon)[:1] == ["descriptors.exhausted"]
    assert len(daemon.lines()) - lines < 100, "debug lines of cycles and reads included"
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (before, hard))
    await until("enough", lambda: daemon.events("descriptors.recovered"))
    await granted(site, "anna")


async def test_where_a_leak_has_taken_all_live_is_still_answered(hub: Hub, site: Site) -> None:
    """Nothing of what is open can be given up, as where something else holds it."""
    daemon = await site.start_ready()
    (before, hard) = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (first_free(daemon), hard))
    assert [await asyncio.to_thread(look, site.console_port) for _ in range(3)] == [True] * 3
    assert descriptor_events(daemon) == ["descriptors.exhausted"]
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (before, hard))
    await until("enough", lambda: daemon.events("descriptors.recovered"))
