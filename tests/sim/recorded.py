"""Recorded pairs of a real Exchange, and how a simulated reply is compared with a recorded one.

Times, UUIDs and the wording behind the first line of the JSON library's complaints vary from run to
run; all else must be equal: status, headers, names of fields, values, change ids, and the `Date`,
since the simulated clock follows the recorded one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from agbot.sim.exchange import Request, basic

FOLDER = Path(__file__).parent.parent / "recorded"
SECRETS: dict[str, str] = json.loads((FOLDER / "credentials.json").read_text())
WITH_A_WRONG_SECRET = ("auth-root-bad-pw", "auth-node-bad-token")
"""The recording keeps secrets apart; these pairs are about a wrong one."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d+)Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COMPLAINT = re.compile(
    r"(Unrecognized field \"\w+\") \(class \S+\.(\w+)\), not marked as ignorable \((\d+).*", re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One recorded request and its reply."""

    seq: int
    name: str
    request: Request
    status: int
    headers: dict[str, str]
    body: str | None

    @property
    def at(self) -> datetime:
        """When the reply was made: the second of its Date header, later pairs of one second a little later."""
        return parsedate_to_datetime(self.headers["Date"]) + timedelta(milliseconds=self.seq, microseconds=1)


def pairs(file: str) -> Iterator[Pair]:
    """Read a recording."""
    for line in (FOLDER / file).read_text().splitlines():
        row = json.loads(line)
        headers = dict(row.get("request_headers") or {"Content-Type": "application/json"})
        headers.pop("Authorization", None)
        if row["identity"]:
            secret = "wrong" if row["name"] in WITH_A_WRONG_SECRET else SECRETS.get(row["identity"], "wrong")
            headers["Authorization"] = basic(row["identity"], secret)
        yield Pair(
            seq=row.get("seq", 0),
            name=row["name"],
            request=Request(
                method=row["method"], target=row["path"], headers=headers, body=(row["request_body"] or "").encode()
            ),
            status=row["status"],
            headers=row["headers"],
            body=row["response_body"],
        )


def _plain(text: str) -> str:
    if (time := _TIME.fullmatch(text)) is not None:
        return f"<time with {len(time[1])} digits>"
    text = _UUID.sub("<uuid>", text)
    return _COMPLAINT.sub(r"\1 of \2, one of \3", text)


def comparable(value: Any) -> Any:
    """Return JSON with what varies from run to run taken out.

    `changes`, whose order says nothing, sorted.
    """
    if isinstance(value, str):
        return _plain(value)
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, dict):
        found = {key: comparable(item) for key, item in value.items()}
        if "mostRecentChangeId" in found:
            found["changes"].sort(key=lambda change: (change["orgId"], change["resource"], change["id"]))
        return found
    return value


def body_of(text: str | None, content_type: str) -> Any:
    """Return a body ready for comparison."""
    if text and content_type == "application/json":
        return comparable(json.loads(text))
    return text or ""
