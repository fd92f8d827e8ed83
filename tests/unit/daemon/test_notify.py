"""What systemd hears, on a real datagram socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agbot.daemon.notify import Notifier
from tests.support.hostile import HOSTILE


class Systemd:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        self.socket.settimeout(0)

    def received(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")

    def is_silent(self) -> bool:
        try:
            self.socket.recv(4096)
        except BlockingIOError:
            return True
        return False


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@agbot-test-{os.getpid()}"
    other_end = Systemd(name)
    yield other_end
    other_end.socket.close()


def test_each_message_arrives_as_systemd_reads_it(systemd: Systemd) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.name})

    notifier.ready("2 groups, nobody waits")
    assert systemd.received() == ["READY=1", "STATUS=2 groups, nobody waits"]
    notifier.status("idle")
    assert systemd.received() == ["STATUS=idle"]
    notifier.watchdog()
    assert systemd.received() == ["WATCHDOG=1"]
    notifier.stopping("finishing 3 answers")
    assert systemd.received() == ["STOPPING=1", "STATUS=finishing 3 answers"]


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_name_in_a_status_is_one_printable_line(systemd: Systemd, hostile: str) -> None:
    Notifier({"NOTIFY_SOCKET": systemd.name}).status(f"o1/{hostile}WATCHDOG=1 fails")

    (line,) = systemd.received()
    assert line.isprintable()
    assert line.endswith("WATCHDOG=1 fails")


def test_a_reload_says_when_it_began(systemd: Systemd) -> None:
    before = time.monotonic_ns() // 1000
    Notifier({"NOTIFY_SOCKET": systemd.name}).reloading()
    first, second = systemd.received()

    assert first == "RELOADING=1"
    name, _, moment = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(moment) <= time.monotonic_ns() // 1000


def test_a_status_cannot_smuggle_another_message(systemd: Systemd) -> None:
    Notifier({"NOTIFY_SOCKET": systemd.name}).status("a name\nREADY=1")

    assert systemd.received() == ["STATUS=a name READY=1"]


def test_a_systemd_that_does_not_read_blocks_no_one(systemd: Systemd) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.name})
    for _ in range(5000):
        notifier.watchdog()

    assert systemd.received() == ["WATCHDOG=1"]


@pytest.mark.parametrize("name", ["", "@", "vsock:2:1234", "relative"])
def test_to_no_socket_of_systemd_nothing_is_reported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    somebody_else = Systemd("relative")
    Notifier({"NOTIFY_SOCKET": name}).ready()

    assert somebody_else.is_silent()
    somebody_else.socket.close()


def test_a_systemd_that_has_gone_is_no_error_and_receives_what_follows_when_it_is_back(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.ready()
    back = Systemd(str(tmp_path / "gone"))
    notifier.status("later")

    assert back.received() == ["STATUS=later"]
    back.socket.close()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_only_when_this_process_is_watched(environ: dict[str, str], seconds: float | None) -> None:
    assert Notifier(environ).watchdog_seconds == seconds
