"""One browser and one hub for all tests of the page."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from agbot.cli.demo.running import DemoHub
from tests.browser.demo import bad_hour
from tests.support.patience import PATIENCE_SECONDS

CHROMIUM = Path("/usr/bin/chromium")
_SHOWN_MILLISECONDS = 60_000
DESKTOP = {"width": 1280, "height": 900}
VENDOR = Path(__file__).parent / "vendor"


@dataclass
class Running:
    """The hub, in a thread of its own: playwright's calls block theirs."""

    hub: DemoHub
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return self.hub.daemon.console.url

    def run(self, work: Any) -> Any:
        """Run a coroutine where the hub runs, and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_SECONDS)


@contextmanager
def loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_SECONDS)
        loop.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The demo's hub in its bad hour.

    Not for the session: what it logs would be among what later tests have logged.
    """
    folder, stack = tmp_path_factory.mktemp("hub"), AsyncExitStack()
    before = structlog.get_config()
    structlog.reset_defaults()  # whatever an earlier test has left
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # its log is not what the tests are about
    with loop_in_thread() as loop:

        def run(work: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_SECONDS)

        hub = run(stack.enter_async_context(bad_hour(folder)))
        try:
            yield Running(hub, loop)
        finally:
            run(stack.aclose())
            structlog.configure(**before)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium.

    Not for the session: while playwright's plain API is open, an event loop runs in this thread, and no test with a loop
    of its own could.
    Without it, or without playwright, the tests of the page are skipped.
    """
    api = pytest.importorskip("playwright.sync_api", reason="playwright has no wheel for this machine")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: install the Debian package chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield found
        found.close()


def new_context(browser: Any, **options: Any) -> Any:
    """Open a context that waits for a page as long as a busy machine needs: by default playwright gives up after 30 s."""
    context = browser.new_context(**options)
    context.set_default_timeout(1000 * PATIENCE_SECONDS)
    return context


@dataclass
class Seat:
    """An operator before a page of the browser."""

    page: Any
    url: str
    complaints: list[str]
    """What the browser has complained about: scripts that fail, and what the policy forbids."""

    def open(self, path: str) -> None:
        """Open a view."""
        self.page.goto(f"{self.url}{path}", wait_until="domcontentloaded")

    def is_live(self) -> None:
        """Wait until the view is live."""
        self.page.wait_for_selector("#connection[data-state=live]", timeout=_SHOWN_MILLISECONDS)

    def text(self, selector: str = "main") -> str:
        return str(self.page.inner_text(selector))

    def shows(self, text: str) -> None:
        """Wait until the view shows a text."""
        self.page.get_by_text(text).first.wait_for(timeout=_SHOWN_MILLISECONDS)


@pytest.fixture(scope="module")
def window(browser: Any) -> Iterator[Any]:
    """One page for the tests of a module: the browser begins a process for each page, a second of processor."""
    context = new_context(browser, viewport=DESKTOP)
    yield context.new_page()
    context.close()


@pytest.fixture
def seat(window: Any, running: Running) -> Iterator[Seat]:
    """That page, at desktop width."""
    complaints = list[str]()

    def warn(message: Any) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(message.text)

    def fail(error: Any) -> None:
        complaints.append(str(error))

    window.set_viewport_size(DESKTOP)
    window.on("console", warn)
    window.on("pageerror", fail)
    yield Seat(window, running.url, complaints)
    window.unroute_all()
    window.evaluate("localStorage.clear()")
    window.goto(f"{running.url}/livez")  # the view's streams end, and the browser begins no process for another site
    window.remove_listener("console", warn)
    window.remove_listener("pageerror", fail)
