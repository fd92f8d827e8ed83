"""The words of every answer, byte for byte those of the real agbot. Pure.

Bodies were taken from recorded replies of a real agbot (`tests/recorded/agbot-secure-api.jsonl`): errors of authentication are a
JSON string, everything else is `{"code":"…","msg":"…"}` with the code as a string, both with a newline at the end, as Go's JSON encoder
writes them. What we add (the reasons of a refusal) stands after the recorded sentence. Answers to the permission route have status 201,
400, 401 or 409 and no other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from agbot.coordinator.stages import WAITED_FOR
from agbot.rules.reasons import Code, Reason

HEADERS = MappingProxyType(
    {
        "Access-Control-Allow-Headers": "X-Requested-With, content-type, Authorization",
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, PATCH, OPTIONS",
        "Cache-Control": "no-cache, no-store, must-revalidate",
        "Content-Type": "application/json",
        "Pragma": "no-cache, no-store",
    },
)
"""The headers of every answer of the real agbot, without Date and Content-Length."""
STRICT_TRANSPORT_SECURITY = "max-age=63072000; includeSubDomains; preload"
"""What the real agbot adds when it speaks TLS (anax, `agreementbot/secure_api.go`)."""

_FOR_NODES = MappingProxyType(
    {
        Code.STORE_UNAVAILABLE: "the lease store cannot be used at present",
        Code.STORE_CHANGED: "the lease store is not the one that was used last, and is being compared",
        Code.EXCHANGE_UNAVAILABLE: "the Exchange cannot be read at present",
        Code.AGBOT_UNAVAILABLE: "the agbot's own lists cannot be read at present",
    }
)
"""What nodes are told where the reason's own text names the hub's hosts or files."""
TOKEN_HEADER = "X-Lease-Token"  # noqa: S105 - the name of a header, whose value is no secret
"""Carries the token of a granted service upgrade: with it anybody who may ask may report the end."""

_encoded = json.JSONEncoder(ensure_ascii=False).encode
_ESCAPED_BY_GO = re.compile("[<>&\u2028\u2029]")
_GO_ESCAPES = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    },
)


class Outcome(StrEnum):
    """What became of a request, for the metrics. Closed: each value is a label."""

    GRANTED = "granted"
    REFUSED = "refused"
    ENDED = "ended"
    BAD_REQUEST = "bad-request"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    UNAVAILABLE = "unavailable"
    """The store or the Exchange did not answer in time; told to ask again."""
    BUSY = "busy"
    ERROR = "error"
    """A bug: told to ask again, traceback in the log."""
    PASSED = "passed"
    UPSTREAM_FAILED = "upstream-failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, ready to be written."""

    status: int
    body: bytes
    outcome: Outcome
    closes: bool = False
    """The connection ends with it: the rest of what was sent cannot be trusted."""
    token: int | None = None
    """The token of the lease that was granted, for the header `TOKEN_HEADER`."""


def quoted(text: str) -> str:
    """Return a JSON string as Go's encoder writes it: UTF-8 as it is, but `<`, `>`, `&` and the two line separators escaped."""
    written = _encoded(text)
    return written.translate(_GO_ESCAPES) if _ESCAPED_BY_GO.search(written) else written


def coded(status: int, message: str, outcome: Outcome, *, code: int | None = None, closes: bool = False) -> Reply:
    """Answer `{"code":"…","msg":"…"}`; the code is the status unless given."""
    body = f'{{"code":"{code or status}","msg":{quoted(message)}}}\n'
    return Reply(status=status, body=body.encode("utf-8", "replace"), outcome=outcome, closes=closes)


def string(status: int, message: str, outcome: Outcome, *, closes: bool = False) -> Reply:
    """Answer a bare JSON string."""
    return Reply(status=status, body=f"{quoted(message)}\n".encode("utf-8", "replace"), outcome=outcome, closes=closes)


def agent_granted(node: str, policy: str) -> Reply:
    """Yes. `node` qualified, `policy` bare."""
    return coded(201, f"Node {node} can start executing nmp {policy}.", Outcome.GRANTED)


def agent_refused(
    node: str,
    policy: str,
    reasons: Iterable[Reason],
    *,
    quiet: bool = False,
    outcome: Outcome = Outcome.REFUSED,
) -> Reply:
    """Not yet, with every reason. `quiet`: status 201 with code 409, which writes no error line on the node."""
    message = f"Node {node} can not start executing nmp {policy}.{waits_for(reasons)}"
    return coded(201 if quiet else 409, message, outcome, code=409)


def service_granted(node: str, policy: str, token: int | None) -> Reply:
    """Yes. Both qualified. The token goes into a header, so that the body keeps the agbot's form."""
    return replace(
        coded(201, f"Node {node} can start executing deployment policy {policy}.", Outcome.GRANTED), token=token
    )


def service_refused(node: str, policy: str, reasons: Iterable[Reason], outcome: Outcome = Outcome.REFUSED) -> Reply:
    """Not yet, with every reason."""
    return coded(409, f"Node {node} can not start executing deployment policy {policy}.{waits_for(reasons)}", outcome)


def service_ended(node: str, policy: str, *, released: bool, succeeded: bool) -> Reply:
    """The end was taken down, or there was nothing to end."""
    if released:
        how = "succeeded" if succeeded else "failed"
        message = f"The upgrade of node {node} for deployment policy {policy} has {how}. Its lease is released."
    else:
        message = f"Node {node} holds no lease for deployment policy {policy}. Nothing was released."
    return coded(200, message, Outcome.ENDED)


def service_end_refused(node: str, policy: str, why: str) -> Reply:
    """The end came from somebody who was not granted this upgrade, and freed nothing."""
    message = f"The upgrade of node {node} for deployment policy {policy} was not ended: {why}. Nothing was released."
    return coded(403, message, Outcome.FORBIDDEN)


def service_not_found(node: str) -> Reply:
    """The node that is to be upgraded does not exist, or not for this agbot."""
    return coded(404, f"Node {node} was not found in the Exchange.", Outcome.BAD_REQUEST)


def service_forbidden(agbot: str, org: str) -> Reply:
    """This agbot has no business with that organisation."""
    return coded(403, f"Agbot {agbot} does not serve organization {org}.", Outcome.FORBIDDEN)


def waits_for(reasons: Iterable[Reason]) -> str:
    """Return the sentence that follows a refusal, with a space before it; empty without reasons.

    Hosts, addresses and paths of the hub are no business of a node: operators find them in the log and with `agbot explain`.
    """
    said = "; ".join(f"{reason.code}: {_for_nodes(reason)}" for reason in reasons)
    return f" Waits for: {said}" if said else ""


def _for_nodes(reason: Reason) -> str:
    return str(reason.facts.get(WAITED_FOR) or _FOR_NODES.get(reason.code, reason.text))


def other_group(real: str, asked: str) -> Reply:
    """The node is in another group, or in none (`real` empty). Bare names."""
    return coded(400, f"Error node ha group {real} does not match group name in request {asked}.", Outcome.BAD_REQUEST)


def bad_request(message: str, *, status: int = 400, closes: bool = False) -> Reply:
    """The request itself is wrong."""
    return coded(status, message, Outcome.BAD_REQUEST, closes=closes)


def unauthenticated(message: str) -> Reply:
    """Who asks is not known."""
    return string(401, message, Outcome.UNAUTHENTICATED)


def wrong_credentials(kind: str) -> Reply:
    """The Exchange does not know these credentials. `kind` is `nodes` or `agbots`."""
    return unauthenticated(
        f"Failed to authenticate the {kind} with the Exchange. Wrong organization id, {kind} id or password.",
    )


MISMATCH = coded(
    400,
    "Error node authentication credentials do not match requesting node.",
    Outcome.BAD_REQUEST,
)
"""The credentials are another node's."""
