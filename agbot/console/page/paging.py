"""Pages of a table, with the addresses of their neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from agbot.console.requests import number

ROWS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """Where a page of a table is."""

    offset: int
    shown: int
    total: int
    previous: str | None
    following: str | None


def paging(request: web.Request, total: int) -> Paging:
    """Return the page that was asked for, or the last one if the table has become shorter."""
    offset = number(request, "offset", least=0) or 0
    # A live view of a later page may be left without rows, which would read as if none matched.
    if offset >= total:
        offset = max(total - 1, 0) // ROWS * ROWS
    rest = {name: value for name, value in request.query.items() if name != "offset" and value}

    def address(begin: int) -> str:
        return f"{request.rel_url.raw_path}?{urlencode({**rest, 'offset': begin})}"

    return Paging(
        offset=offset,
        shown=min(ROWS, total - offset),
        total=total,
        previous=address(max(offset - ROWS, 0)) if offset else None,
        following=address(offset + ROWS) if offset + ROWS < total else None,
    )
