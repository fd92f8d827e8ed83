"""An event loop in a thread of its own: what listens there answers whatever the test itself is busy with."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.support.patience import PATIENCE_SECONDS

T = TypeVar("T")


class LoopThread:
    """Runs from its creation until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something there to its end, and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    def close(self) -> None:
        """End the loop and the thread; what listens there has been closed before."""
        self.run(_leave_nothing())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()


async def _leave_nothing() -> None:
    """End what still runs, such as the acceptance of a connection that came as the listener was closed."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.sleep(0)  # a transport that is closed closes its socket in the next turn
