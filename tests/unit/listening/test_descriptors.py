"""The limit of descriptors: read where the kernel refuses the question, and shared out."""

from __future__ import annotations

import resource

import pytest
from structlog.testing import capture_logs

from agbot.listening import descriptors
from agbot.listening.descriptors import Descriptors


def test_under_the_unit_the_limit_is_read_from_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its `SystemCallFilter=~@resources` answers EPERM."""
    known = descriptors.raise_limit()

    def refused(*_: object) -> tuple[int, int]:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(resource, "getrlimit", refused)
    assert descriptors.raise_limit() == known


def test_a_limit_that_reaches_gives_what_the_settings_call_for() -> None:
    with capture_logs() as logged:
        room = Descriptors(65_536).room(2000)
    assert (room.connections, room.passed_on, logged) == (4000, 1000, [])


@pytest.mark.parametrize("limit", [16, 64, 256, 400, 1024, 5191])
def test_a_lower_one_is_reported_once_and_never_given_away_altogether(limit: int) -> None:
    with capture_logs() as logged:
        room = Descriptors(limit).room(2000)
    assert [line["event"] for line in logged] == ["descriptors.scarce"]
    assert 0 < room.connections + room.passed_on <= limit - min(descriptors.RESERVED, limit // 2)
