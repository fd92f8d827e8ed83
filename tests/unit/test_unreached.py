"""Why there was no connection, in an operator's words."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import psycopg
import pytest

from agbot.foreign_text import unreached
from agbot.store.postgres.address import Address
from tests.acceptance.programs import free_port


async def failed(url: str) -> str:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError) as found:
            await session.get(url)
    return unreached(found.value)


async def test_nothing_of_a_library_is_in_the_cause() -> None:
    port = free_port()
    assert await failed(f"https://127.0.0.1:{port}/") == f"no connection to 127.0.0.1:{port}: connection refused"
    assert await failed(f"http://localhost:{port}/") == f"no connection to localhost:{port}: connection refused"
    assert await failed("http://nowhere.invalid:9/") == (
        "no connection to nowhere.invalid:9: the name of the host is not known"
    )
    assert not unreached(ValueError("no HTTP"))


def test_what_libpq_asks_is_left_out(tmp_path: Path) -> None:
    for place in ("127.0.0.1:1/agbot", f"/agbot?host={tmp_path}"):
        address = Address(url=f"postgresql://me@{place}")
        with pytest.raises(psycopg.OperationalError) as found:
            psycopg.connect(address.url, connect_timeout=2)
        text = str(address.unavailable("open", found.value))
        assert "Is the server" not in text
        assert ": connection failed:" not in text
        assert text.endswith("look whether the server runs and can be reached from here")
