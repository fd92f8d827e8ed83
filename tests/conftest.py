"""What tests of several folders begin with; and no event loop for a test that is not asynchronous."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog

from tests.support.mosquitto import Mosquitto


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that is not started yet."""
    folder = tmp_path / "broker"
    folder.mkdir()
    found = Mosquitto(folder)
    yield found
    found.kill()


@pytest.fixture
def logging_put_back() -> Iterator[None]:
    """What a test sets up of the log, which is the process's, ends with it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Start one more than there are processors: where a test waits for a process or for time to pass, another one runs."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Say that there is no loop before looptime's plugin asks for one, which would then be made and never closed."""
    # by now pytest-asyncio has put a plain function in the coroutine's place: only its runner tells
    if not any(name.endswith("_scoped_runner") for name in pyfuncitem.funcargs):
        asyncio.set_event_loop(None)
    return (yield)
