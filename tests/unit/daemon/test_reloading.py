"""A reload that fails unexpectedly: it is logged, and systemd does not wait for its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from agbot.daemon.context import Context
from agbot.daemon.notify import Notifier
from agbot.daemon.reloading import Reloading
from agbot.settings.load import Loaded
from agbot.settings.model import Settings
from agbot.settings.secret_files import Secrets
from tests.acceptance.systemd import systemd

LOADED = Loaded(settings=Settings(), secrets=Secrets())


@pytest.mark.parametrize("where", ["reading", "using"])
def test_systemd_is_informed_of_the_end_of_a_reload_that_fails_unexpectedly(where: str) -> None:
    def fail(*_: Any) -> Loaded:
        raise RuntimeError("a bug")

    parts: Any = SimpleNamespace(coordinator=SimpleNamespace(set_limits=fail))
    with systemd() as manager, capture_logs() as logged:
        context = Context(notifier=Notifier(manager.environ), reload=fail if where == "reading" else lambda: LOADED)
        Reloading(LOADED, context, parts).reload()

        assert [min(each) for each in manager.listen()] == ["MONOTONIC_USEC", "READY"]
    assert [(line["event"], line["log_level"], line["exc_info"]) for line in logged] == [
        ("settings.failed", "error", True)
    ]
