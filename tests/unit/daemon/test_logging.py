"""The log: one shape for everything, no secrets."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import pytest
import structlog

from agbot import log
from agbot.daemon import logging as daemon_logging
from agbot.events.catalogue import EVENTS
from agbot.events.event import Event, Level
from agbot.events.leases import LeaseGranted
from agbot.events.process import CycleFailed
from agbot.events.store import StoreFailed
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.settings.running import LogSettings
from agbot.settings.secret import Secret
from tests.support.events import example_of
from tests.support.examples import some
from tests.support.hostile import HOSTILE
from tests.support.terminal import Terminal

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
"""What the log itself writes for a terminal."""

pytestmark = pytest.mark.usefixtures("logging_put_back")


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    out = io.StringIO()
    daemon_logging.set_up(LogSettings(), {}, out)
    return out


def test_an_event_is_one_line_of_json_that_begins_with_time_level_and_name(stream: io.StringIO) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    structlog.get_logger().info("lease.released", cause=Cause.SUCCEEDED, token=4, at=at, group="org/größe")

    (line,) = logged(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["event"]) == ("info", "lease.released")
    assert (line["cause"], line["token"], line["group"]) == ("succeeded", 4, "org/größe")
    assert line["at"] == "2026-01-02T03:04:05Z"


def test_a_library_s_line_has_the_same_shape(stream: io.StringIO) -> None:
    logging.getLogger("aiohttp.server").warning("odd request from %s", "10.0.0.1")

    (line,) = logged(stream)
    assert line["event"] == "library.logged"
    assert line["level"] == "warning"
    assert (line["logger"], line["text"]) == ("aiohttp.server", "odd request from 10.0.0.1")
    assert not [key for key in line if key.startswith("_")]


def test_a_warning_of_python_goes_to_the_log(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        daemon_logging.set_up(LogSettings(), {}, stream)
        warnings.warn("old", DeprecationWarning, stacklevel=1)

    assert "DeprecationWarning: old" in logged(stream)[0]["text"]


def test_an_exception_is_data_in_the_same_line(stream: io.StringIO) -> None:
    try:
        int("broken")
    except ValueError:
        structlog.get_logger().exception("cycle.failed")

    (line,) = logged(stream)
    assert line["level"] == "error"
    assert "'broken'" in line["exception"][0]["exc_value"]


@pytest.mark.parametrize("header", ["hunter2"])
@pytest.mark.parametrize("out", [io.StringIO(), Terminal()])
def test_a_traceback_shows_no_local_variables(out: io.StringIO, header: str) -> None:
    daemon_logging.set_up(LogSettings(), {}, out)
    try:
        int(header[:0])
    except ValueError:
        structlog.get_logger().exception("cycle.failed")

    assert "ValueError" in out.getvalue()
    assert "hunter2" not in out.getvalue()


def test_a_quieter_level_hides_what_is_below_it() -> None:
    out = io.StringIO()
    daemon_logging.set_up(LogSettings(level="warning"), {}, out)
    structlog.get_logger().info("lease.granted")
    logging.getLogger("aiohttp.server").info("hello")
    structlog.get_logger().warning("view.stale")

    assert [line["event"] for line in logged(out)] == ["view.stale"]


def test_requests_are_not_logged_one_by_one(stream: io.StringIO) -> None:
    logging.getLogger("aiohttp.access").info("GET /livez 200")

    assert stream.getvalue() == ""


def test_a_reload_changes_the_level_of_loggers_that_exist(stream: io.StringIO) -> None:
    log = structlog.get_logger()
    log.debug("cycle.done")
    daemon_logging.set_up(LogSettings(level="debug"), {}, stream)
    log.debug("cycle.done")

    assert [line["level"] for line in logged(stream)] == ["debug"]


@pytest.mark.parametrize(
    ("level", "priority"),
    [("debug", 7), ("info", 6), ("warning", 4), ("error", 3)],
)
def test_under_journald_a_line_begins_with_its_priority(level: str, priority: int) -> None:
    line = under_journald(lambda: getattr(structlog.get_logger(), level)("cycle.done"), LogSettings(level="debug"))

    assert line == f"<{priority}>cycle.done [cycle.done]\n"


def under_journald(write: Callable[[], object], settings: LogSettings) -> str:
    """Return what is written to a pipe that systemd has named as the journal's."""
    read_end, write_end = os.pipe()
    status = os.fstat(write_end)
    with open(read_end, encoding="utf-8") as journal, open(write_end, "w", encoding="utf-8") as stream:  # noqa: PTH123 - file descriptors
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        daemon_logging.set_up(settings, environ, stream)
        write()
        stream.close()
        return journal.read()


def test_under_journald_a_line_is_a_sentence_with_its_data_after_it() -> None:
    granted = LeaseGranted(
        group=GroupId("o1/pumps"), node=NodeId("o1/anna"), subject=PolicyId("o1/agent up"), token=7, kind=Kind.AGENT,
        expires_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
    )  # fmt: skip

    assert under_journald(lambda: log.write(granted), LogSettings()) == (
        "<6>o1/anna may upgrade o1/agent up: every rule allows it [lease.granted group=o1/pumps node=o1/anna"
        ' subject="o1/agent up" token=7 kind=agent expires_at=2026-03-04T05:06:07.000Z]\n'
    )


def test_under_journald_a_reason_is_stated_once_and_every_line_of_a_traceback_has_the_priority() -> None:
    def write() -> None:
        log.write(StoreFailed(error="disk I/O error"))
        try:
            fail("of two\nlines")
        except ValueError:
            log.write_with_traceback(CycleFailed())

    first, second, *traceback = under_journald(write, LogSettings()).splitlines()
    assert (
        first == "<3>the lease store cannot be read or written, and nothing is granted: disk I/O error [store.failed]"
    )
    assert second.endswith("[cycle.failed]")
    assert all(line.startswith("<3>    ") for line in traceback)
    assert traceback[-2:] == ["<3>    ValueError: of two", "<3>    lines"]


def test_json_under_journald_is_json_with_the_priority() -> None:
    line = under_journald(lambda: structlog.get_logger().warning("view.stale"), LogSettings(format="json"))

    assert line.startswith("<4>{")
    assert json.loads(line[3:])["event"] == "view.stale"


def test_a_stream_that_only_inherited_the_journal_s_name_gets_no_priority(tmp_path: Path) -> None:
    """A shell started from a desktop session has JOURNAL_STREAM set and writes elsewhere."""
    with (tmp_path / "log").open("w+", encoding="utf-8") as stream:
        daemon_logging.set_up(LogSettings(), {"JOURNAL_STREAM": "1:2"}, stream)
        structlog.get_logger().info("cycle.done")

        assert (tmp_path / "log").read_text(encoding="utf-8").startswith("{")


@pytest.mark.parametrize(
    ("written", "stream", "form"),
    [
        ("auto", io.StringIO(), "json"),
        ("auto", Terminal(), "console"),
        ("json", Terminal(), "json"),
        ("console", io.StringIO(), "console"),
    ],
)
def test_auto_is_for_people_on_a_terminal_and_json_elsewhere(written: str, stream: TextIO, form: str) -> None:
    assert daemon_logging.form_of(LogSettings(format=written), stream, under_journald=False) == form


def longest_of(event: type[Event]) -> Event:
    """Fill every field with more than a real one has: names of 255 bytes, errors of a page, a hundred names."""
    name = f"o1/{'n' * 252}"
    long = {"str": "the server answered <html>" + 4000 * "x", "group": name, "node": name, "subject": name}
    return example_of(event, long=long, repeat=100)


@pytest.mark.parametrize("form", ["json", "journal"])
@pytest.mark.parametrize("event", some(each for each in EVENTS.values() if each.level is not Level.DEBUG), ids=str)
def test_no_line_at_info_has_more_than_three_thousand_bytes(event: type[Event], form: str) -> None:
    out = io.StringIO()
    daemon_logging.set_up(LogSettings(format=form), {}, out)
    log.write(longest_of(event))

    (line,) = out.getvalue().splitlines()
    assert len(line.encode()) < 3000
    assert event.name in line


def test_a_terminal_shows_the_event_for_people() -> None:
    out = Terminal()
    daemon_logging.set_up(LogSettings(), {}, out)
    structlog.get_logger().info("lease.granted", node="org/n1", password="hunter2")

    assert "lease.granted" in out.getvalue()
    assert "org/n1" in out.getvalue()
    assert "hunter2" not in out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        {"password": "hunter2"},
        {"Authorization": "hunter2"},
        {"exchange_token": "hunter2"},
        {"token": "hunter2"},
        {"user_pw": "hunter2"},
        {"headers": {"authorization": "hunter2"}},
        {"headers": [{"Authorization": "hunter2"}]},
        {"url": "https://user:hunter2@hub.example.com/v1"},
        {"url": "https://user:not@hunter2@hub.example.com/v1"},
        {"url": "rediss://:hunter2@hub.example.com"},
        {"text": "sent Authorization: Basic hunter2="},
        {"credentials": Secret("hunter2")},
        {"anything": Secret("hunter2")},
    ],
)
def test_what_looks_like_a_secret_never_reaches_the_log(stream: io.StringIO, data: dict[str, Any]) -> None:
    structlog.get_logger().info("cycle.done", **data)
    logging.getLogger("aiohttp.client").warning("%s", "https://org/user:hunter2@hub.example.com", extra=data)

    assert len(logged(stream)) == 2
    assert "hunter2" not in stream.getvalue()


def test_a_lease_s_token_is_a_number_and_shown(stream: io.StringIO) -> None:
    structlog.get_logger().info("lease.granted", token=7, last_token=None)

    assert (logged(stream)[0]["token"], logged(stream)[0]["last_token"]) == (7, None)


def fail(message: str) -> None:
    raise ValueError(message)


@pytest.mark.parametrize("form", ["json", "console", "journal"])
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_no_control_character_of_a_name_reaches_whoever_reads_the_log(form: str, hostile: str) -> None:
    out = io.StringIO() if form == "json" else Terminal()
    daemon_logging.set_up(LogSettings(format=form), {}, out)
    name = f"o1/n{hostile}1"
    reasons = [{"code": "lease-held", "text": f"{name} upgrades"}]
    structlog.get_logger().info("wait.changed", node=name, reasons=reasons, members=[name], **{name: name})
    logging.getLogger("aiohttp.server").warning("odd request from %s", name)
    try:
        fail(name)
    except ValueError:
        structlog.get_logger().exception("cycle.failed", stack_info=True)

    seen = _STYLE.sub("", out.getvalue())
    assert [letter for letter in seen if not letter.isprintable() and letter != "\n"] == []
    assert "\nok: all well" not in seen
    if form == "json":
        assert logged(out)[0]["node"] == name, "a program reads the name as it is"
