"""What tests of several folders begin with; and no event loop for a test that is not asynchronous."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.support import places
from tests.support.mosquitto import Mosquitto
from tests.support.postgres import Postgres

WAITING = ("browser", "acceptance")
"""The folders whose tests wait for processes more than they compute."""
LONG = (
    "browser/test_page.py",
    "acceptance/test_first_hour.py",
    "acceptance/test_store_restored.py",
    "acceptance/test_taking_over.py",
    "acceptance/test_claimed_by_nodes.py",
    "acceptance/test_longer_than_a_lease.py",
    "acceptance/pages/test_guard_and_forecast.py",
    "acceptance/test_demo.py",
    "acceptance/pages/test_at_night.py",
    "acceptance/test_three_coordinators.py",
    "acceptance/pages/test_operations.py",
    "acceptance/pages/test_trying.py",
    "acceptance/pages/test_all_other_pages.py",
)
"""Their files that take longest, the longest first: at the end all would wait for the last of these."""

_WORKER, _WORKERS = "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"
# what takes long on a busy machine is no finding
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure() -> None:
    """Keep files in memory; and take Ctrl-C, as does all that tests start, also where a shell has started this in the background."""
    places.use()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Keep what has been imported and collected out of every later garbage collection: 300,000 objects, 0.2 s each time."""
    gc.disable()
    _import_own_share(session.config)
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def _import_own_share(config: pytest.Config) -> None:
    """Let each worker begin with other files: it takes 6 s of processor to compile all, and in the same order all would."""
    number, workers = (int(os.environ.get(name, "0").removeprefix("gw")) for name in (_WORKER, _WORKERS))
    if workers > 1 and config.args == config.getini("testpaths"):
        for path in sorted((config.rootpath / "tests").rglob("test_*.py"))[number::workers]:
            with suppress(Exception, pytest.skip.Exception):  # collecting it will tell
                importlib.import_module(".".join(path.relative_to(config.rootpath).with_suffix("").parts))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail what is skipped in continuous integration, where all is installed: that it is missing would go unnoticed."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome, report.longrepr = "failed", f"skipped in continuous integration: {report.longrepr}"
    return report


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that is not started yet."""
    folder = tmp_path / "broker"
    folder.mkdir()
    found = Mosquitto(folder)
    yield found
    found.kill()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The PostgreSQL of this worker, which no test may stop: one that does makes its own (`Postgres.create`)."""
    server = Postgres.create()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_database(postgres_server: Postgres) -> Iterator[str]:
    """The name of an empty database of that server, for one test."""
    name = postgres_server.database()
    yield name
    postgres_server.drop(name)


@pytest.fixture(scope="session")
def postgres_common(postgres_server: Postgres) -> str:
    """The name of a database for tests that use a schema of their own, which is cheaper than a database."""
    return postgres_server.database()


@pytest.fixture
def postgres_schema(postgres_server: Postgres, postgres_common: str) -> Iterator[str]:
    """The name of a schema of that database for one test, which is not created."""
    name = f"agbot_{postgres_server.number()}"
    yield name
    postgres_server.run(postgres_common, f"DROP SCHEMA IF EXISTS {name} CASCADE")


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
    """Start five for two processors: tests wait for processes, and for time to pass, more than they compute."""
    return max(5 * len(os.sched_getaffinity(0)) // 2, 1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the shares of half of the workers begin with what waits, and those of the others with what computes."""
    workers = int(os.environ.get(_WORKERS, "1"))
    waiting: dict[str, list[pytest.Item]] = {name: [] for name in LONG}
    rest: list[pytest.Item] = []
    for item in items:
        name = item.nodeid.partition("::")[0].removeprefix("tests/")
        (waiting.setdefault(name, []) if name.startswith(WAITING) else rest).append(item)
    files, half = list(waiting.values()), (workers + 1) // 2
    others, left, ordered = iter(rest), len(items), list[pytest.Item]()
    for number in range(workers):
        begin = [item for file in files[number::half] for item in file] if number < half else []
        share = left // (workers - number)  # as xdist deals them out
        left -= share
        ordered += [*begin, *islice(others, max(share - len(begin), 0))]
    items[:] = [*ordered, *others]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Say that there is no loop before looptime's plugin asks for one, which would then be made and never closed."""
    # by now pytest-asyncio has put a plain function in the coroutine's place: only its runner
    # reports
    if not any(name.endswith("_scoped_runner") for name in pyfuncitem.funcargs):
        asyncio.set_event_loop(None)
    return (yield)
