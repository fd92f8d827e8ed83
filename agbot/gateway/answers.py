"""The texts of all answers, byte for byte as the real agbot writes them. Pure.

Bodies come from recorded replies of a real agbot (`tests/recorded/agbot-secure-api.jsonl`). Errors
of authentication are a JSON string. All other answers are `{"code":"…","msg":"…"}` with the code as
a string. Both end with a newline, as Go's JSON encoder writes them. Our additions (the reasons of a
refusal) follow the recorded sentence. Answers to the permission route have only the statuses 201,
400, 401 and 409.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from enum import StrEnum
from types import MappingProxyType

import msgspec

from agbot.coordinator.questions.stages import WAITED_FOR
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
"""The headers of all answers of the real agbot, without Date and Content-Length."""
STRICT_TRANSPORT_SECURITY = "max-age=63072000; includeSubDomains; preload"
"""The header that the real agbot adds over TLS (anax, `agreementbot/secure_api.go`)."""

_FOR_NODES = MappingProxyType(
    {
        Code.STORE_UNAVAILABLE: "the lease store cannot be used at present",
        Code.STORE_CHANGED: "the lease store is not the one that was used last, and is being compared",
        Code.EXCHANGE_UNAVAILABLE: "the Exchange cannot be read at present",
        Code.AGBOT_UNAVAILABLE: "the agbot's own lists cannot be read at present",
    }
)
"""The texts for nodes where the reason's own text names hosts or files of the hub."""
TOKEN_HEADER = "X-Lease-Token"  # noqa: S105 - the name of a header, whose value is no secret
"""The token of a granted service upgrade. With it any authorised caller may report the end."""

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
    """The outcome of a request, for the metrics. Closed: each value is a label."""

    GRANTED = "granted"
    REFUSED = "refused"
    ENDED = "ended"
    BAD_REQUEST = "bad-request"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    UNAVAILABLE = "unavailable"
    """The store or the Exchange did not answer in time; the caller asks again."""
    BUSY = "busy"
    ERROR = "error"
    """A bug; the caller asks again, and the log has the traceback."""
    FORWARDED = "forwarded"
    """A question that the leader has answered."""
    DESCRIBED = "described"
    """The description of this listener in OpenAPI."""
    PASSED = "passed"
    UPSTREAM_FAILED = "upstream-failed"


class Denied(msgspec.Struct, frozen=True, kw_only=True):
    """A failed login, for the log."""

    caller: str
    """The identity, unproven."""
    why: str


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One complete answer."""

    status: int
    body: bytes
    outcome: Outcome
    closes: bool = False
    """Close the connection after it, because the rest of the received data cannot be trusted."""
    token: int | None = None
    """The token of the granted lease, for the header `TOKEN_HEADER`."""
    denied: Denied | None = None
    """The failed login that this answers."""


def quoted(text: str) -> str:
    """Return a JSON string as Go's encoder writes it.

    It is plain UTF-8, but `<`, `>`, `&` and the two line separators are escaped.
    """
    written = _encoded(text)
    return written.translate(_GO_ESCAPES) if _ESCAPED_BY_GO.search(written) else written


def coded(status: int, message: str, outcome: Outcome, *, code: int | None = None, closes: bool = False) -> Reply:
    """Build the answer `{"code":"…","msg":"…"}`; the code is the status unless given."""
    body = f'{{"code":"{code or status}","msg":{quoted(message)}}}\n'
    return Reply(status=status, body=body.encode("utf-8", "replace"), outcome=outcome, closes=closes)


def string(status: int, message: str, outcome: Outcome, *, closes: bool = False) -> Reply:
    """Build an answer that is a bare JSON string."""
    return Reply(status=status, body=f"{quoted(message)}\n".encode("utf-8", "replace"), outcome=outcome, closes=closes)


def agent_granted(node: str, policy: str) -> Reply:
    """Grant an agent upgrade. `node` is qualified, `policy` bare."""
    return coded(201, f"Node {node} can start executing nmp {policy}.", Outcome.GRANTED)


def agent_refused(
    node: str,
    policy: str,
    reasons: Iterable[Reason],
    *,
    quiet: bool = False,
    outcome: Outcome = Outcome.REFUSED,
) -> Reply:
    """Refuse an agent upgrade, with every reason.

    With `quiet` the status is 201 and the code 409, so that the node logs no error.
    """
    message = f"Node {node} can not start executing nmp {policy}.{waits_for(reasons)}"
    return coded(201 if quiet else 409, message, outcome, code=409)


def refused_again(body: bytes, *, quiet: bool = False) -> Reply:
    """Refuse an agent upgrade with the body of an earlier `agent_refused`."""
    return Reply(status=201 if quiet else 409, body=body, outcome=Outcome.REFUSED)


def service_granted(node: str, policy: str, token: int | None) -> Reply:
    """Grant a service upgrade. Both names are qualified.

    The token is in a header, so that the body keeps the format.
    """
    granted = coded(201, f"Node {node} can start executing deployment policy {policy}.", Outcome.GRANTED)
    return msgspec.structs.replace(granted, token=token)


def service_refused(node: str, policy: str, reasons: Iterable[Reason], outcome: Outcome = Outcome.REFUSED) -> Reply:
    """Refuse a service upgrade, with every reason."""
    return coded(409, f"Node {node} can not start executing deployment policy {policy}.{waits_for(reasons)}", outcome)


def service_ended(node: str, policy: str, *, released: bool, succeeded: bool) -> Reply:
    """Confirm the end of an upgrade, or report that there was none to end."""
    if released:
        how = "succeeded" if succeeded else "failed"
        message = f"The upgrade of node {node} for deployment policy {policy} has {how}. Its lease is released."
    else:
        message = f"Node {node} holds no lease for deployment policy {policy}. Nothing was released."
    return coded(200, message, Outcome.ENDED)


def service_end_refused(node: str, policy: str, why: str) -> Reply:
    """Reject the end of an upgrade that was not granted to this caller; nothing is freed."""
    message = f"The upgrade of node {node} for deployment policy {policy} was not ended: {why}. Nothing was released."
    return coded(403, message, Outcome.FORBIDDEN)


def service_not_found(node: str) -> Reply:
    """Answer that the node does not exist, or is not visible to this agbot."""
    return coded(404, f"Node {node} was not found in the Exchange.", Outcome.BAD_REQUEST)


def service_forbidden(agbot: str, org: str) -> Reply:
    """Answer that this agbot does not serve the organisation."""
    return coded(403, f"Agbot {agbot} does not serve organization {org}.", Outcome.FORBIDDEN)


def waits_for(reasons: Iterable[Reason]) -> str:
    """Return the sentence that follows a refusal, with a space before it; empty without reasons.

    Hosts, addresses and paths of the hub are hidden from nodes. Operators find them in the log and
    with `agbot explain`.
    """
    listed = "; ".join(f"{reason.code}: {_for_nodes(reason)}" for reason in reasons)
    return f" Waits for: {listed}" if listed else ""


def _for_nodes(reason: Reason) -> str:
    return str(reason.facts.get(WAITED_FOR) or _FOR_NODES.get(reason.code, reason.text))


def other_group(real: str, asked: str) -> Reply:
    """Answer that the node is in another group, or in none (`real` is empty). Bare names."""
    return coded(400, f"Error node ha group {real} does not match group name in request {asked}.", Outcome.BAD_REQUEST)


def bad_request(message: str, *, status: int = 400) -> Reply:
    """Answer that the request itself is invalid; nothing more is read from its connection."""
    return coded(status, message, Outcome.BAD_REQUEST, closes=True)


def unauthenticated(message: str, caller: str, why: str = "") -> Reply:
    """Answer that the caller has not authenticated. `why` is for the log; the message if empty."""
    reply = string(401, message, Outcome.UNAUTHENTICATED)
    return msgspec.structs.replace(reply, denied=Denied(caller=caller, why=why or message))


def wrong_credentials(kind: str, caller: str) -> Reply:
    """Answer that the Exchange rejects the credentials. `kind` is `nodes` or `agbots`."""
    return unauthenticated(
        f"Failed to authenticate the {kind} with the Exchange. Wrong organization id, {kind} id or password.",
        caller,
        "the Exchange does not know it, or does not accept its token",
    )


def mismatch(node: str, caller: str) -> Reply:
    """Answer that the credentials belong to another node."""
    reply = coded(400, "Error node authentication credentials do not match requesting node.", Outcome.BAD_REQUEST)
    return msgspec.structs.replace(reply, denied=Denied(caller=node, why=f"the credentials are those of {caller}"))
