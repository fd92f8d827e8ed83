"""Keep looptime's plugin from making an event loop for every test that is not asynchronous, and leaving it open."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Say that there is no loop before looptime asks for one, which would then be made and never closed."""
    # by now pytest-asyncio has put a plain function in the coroutine's place: only its runner tells
    if not any(name.endswith("_scoped_runner") for name in pyfuncitem.funcargs):
        asyncio.set_event_loop(None)
    return (yield)
