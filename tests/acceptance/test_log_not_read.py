"""Whoever should read the log stalls, goes away or has no room: the daemon answers, feeds its watchdog, stops and starts all the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.acceptance.hub import Hub
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.acceptance.systemd import systemd
from tests.support.patience import in_time, until

STOP_SECONDS = 5.0


class FullPipe:
    """A pipe that holds as much as it can, and that no one reads until somebody does."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.write_end, False)
        self.filled = 0
        self.seen = bytearray()
        try:
            while True:
                self.filled += os.write(self.write_end, b"." * 512)
        except BlockingIOError:
            os.set_blocking(self.write_end, True)
        os.set_blocking(self.read_end, False)

    def close_ours(self) -> None:
        """Leave the writing end to the daemon."""
        os.close(self.write_end)
        self.write_end = -1

    def read(self) -> bytes:
        """Read what has come, and return everything from the beginning."""
        with contextlib.suppress(BlockingIOError):
            self.seen += os.read(self.read_end, 1_000_000)
        return bytes(self.seen)

    def close(self) -> None:
        for end in (self.read_end, self.write_end):
            if end >= 0:
                os.close(end)


@pytest.fixture
def pipe() -> Iterator[FullPipe]:
    found = FullPipe()
    yield found
    found.close()


async def dropped(site: Site) -> int:
    """Return how many lines the daemon says it has dropped."""
    found = re.search(r"^agbot_log_lines_dropped_total (\S+)$", (await site.get("/metrics"))[1], flags=re.MULTILINE)
    return int(float(found[1])) if found else 0


async def test_with_a_full_pipe_forever_it_grants_refuses_lives_reloads_and_stops(
    hub: Hub, site: Site, pipe: FullPipe
) -> None:
    await group_of_three(hub)
    with systemd() as emitted:
        site.stderr = pipe.write_end
        daemon = await site.start_ready(**emitted.environ)
        pipe.close_ours()
        await granted(site, "anna")
        for node in ("ben", "carl"):
            assert (await ask(site, node))[0] == 409
        assert await site.shows("/livez", 200)
        fed = len(emitted.stated("WATCHDOG"))
        await until("food for the watchdog", lambda: len(emitted.stated("WATCHDOG")) > fed + 2)
        before = len(emitted.listen())
        daemon.reload()
        await until("the end of the reload", lambda: {"READY": "1"} in emitted.listen()[before:])
        with in_time(STOP_SECONDS):
            daemon.terminate()
            assert await daemon.ended() == 0
    assert set(pipe.read()) == set(b"."), "nothing of the log has ever gone through"


async def test_when_somebody_reads_again_every_line_comes_in_order(hub: Hub, site: Site, pipe: FullPipe) -> None:
    await group_of_three(hub)
    site.stderr = pipe.write_end
    daemon = await site.start_ready()
    pipe.close_ours()
    await granted(site, "anna")
    await until("the grant", lambda: b"lease.granted" in pipe.read())
    daemon.terminate()
    await until("the end", lambda: bool(pipe.read()) and daemon.process.poll() == 0)
    lines = [json.loads(line) for line in pipe.read()[pipe.filled :].decode().splitlines()]
    named = [line["event"] for line in lines if line["event"] in {"daemon.started", "lease.granted"}]
    assert named == ["daemon.started", "lease.granted"]
    assert lines[-1]["event"] == "daemon.stopped"
    assert [line["timestamp"] for line in lines] == sorted(line["timestamp"] for line in lines)


async def test_when_the_reader_goes_away_what_is_lost_is_counted(hub: Hub, site: Site, pipe: FullPipe) -> None:
    await group_of_three(hub)
    site.stderr = pipe.write_end
    daemon = await site.start_ready()
    os.close(pipe.read_end)
    pipe.read_end = -1
    await granted(site, "anna")
    await until("the count", partial(dropped, site))
    daemon.terminate()
    assert await daemon.ended() == 0


def full_disk() -> int:
    """Return a file with no room."""
    return os.open("/dev/full", os.O_WRONLY)


def closed() -> int:
    """Return a descriptor on which nothing can be written, as after `2>&-` in a shell that keeps it for reading."""
    return os.open(os.devnull, os.O_RDONLY)


@pytest.mark.parametrize("stderr", [full_disk, closed])
async def test_without_room_for_the_log_it_runs_and_counts(hub: Hub, site: Site, stderr: Callable[[], int]) -> None:
    await group_of_three(hub)
    file = stderr()
    site.stderr = file
    daemon = await site.start_ready()
    os.close(file)
    await granted(site, "anna")
    await until("the count", partial(dropped, site))
    daemon.terminate()
    assert await daemon.ended() == 0


async def test_bad_settings_and_a_full_pipe_end_the_start_with_its_exit_code(site: Site, pipe: FullPipe) -> None:
    site.tables["rules"]["nonsense"] = 1
    site.write()
    site.stderr = pipe.write_end
    assert await site.start().ended() == 1


async def test_a_taken_address_and_a_full_pipe_end_the_start_with_its_exit_code(
    hub: Hub, site: Site, pipe: FullPipe
) -> None:
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", site.gateway_port):
        site.stderr = pipe.write_end
        assert await site.start().ended() == 7
