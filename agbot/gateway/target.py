"""Read a raw request target: is it a question for us, or for the real agbot? Pure.

The rule kept here: what the real agbot would take for its permission route never reaches it. Its router matches on the decoded and cleaned
path, so `/%6Frg/o1/…`, `//org/o1/…` or `/org%2Fo1/…` would be granted behind our back; they are refused. Elements are decoded one
by one and strictly, so that an id that holds a `%2F` cannot move the border between node and policy. A name that the Exchange would
read as another one (it trims), or for which no request to it has room, is nobody's: no question is put for it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from agbot.rules import ids
from agbot.rules.facts import Ask
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.lease import Claim, Kind

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_TOKEN = re.compile(r"[0-9]{1,18}")
_AGENT_WORD = "nodemanagement"
_SERVICE_WORD = "deployment"
_ELEMENTS = 8
"""`/org/{org}/hagroup/{group}/{word}/{node}/{policy}` split at its slashes, the empty string before the first one included."""
_DISGUISED = "The permission route must be written plainly, as /org/{org}/hagroup/{group}/nodemanagement/{node}/{nmp}."
MAX_NAME_BYTES = 512
"""Of one name, percent-encoded. A path of ours to the Exchange holds three at most, and it answers 414 beyond 2048 bytes."""
_TOO_LONG = f"A name may have {MAX_NAME_BYTES} bytes at most, as it is written in a path."
_POLICY_FORM = "The last path element must be a deployment policy as org%2Fname."


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentQuestion:
    """`POST /org/{org}/hagroup/{group}/nodemanagement/{node}/{policy}`: may this node upgrade its agent? All names bare."""

    org: str
    group: str
    node: str
    policy: str

    @property
    def node_id(self) -> NodeId:
        """The node, qualified."""
        return ids.node_id(self.org, self.node)

    def ask(self) -> Ask:
        """Put the question in the rules' terms."""
        subject = ids.policy_id(self.org, self.policy)
        claim = Claim(holder=self.node_id, kind=Kind.AGENT, subject=subject)
        return Ask(group=ids.group_id(self.org, self.group), claim=claim)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceQuestion:
    """`POST /org/{org}/hagroup/{group}/deployment/{node}/{policy}`: may the agbot upgrade a service there? The policy is `org/name`."""

    org: str
    group: str
    node: str
    policy: str

    @property
    def node_id(self) -> NodeId:
        """The node, qualified."""
        return ids.node_id(self.org, self.node)

    def ask(self) -> Ask:
        """Put the question in the rules' terms."""
        claim = Claim(holder=self.node_id, kind=Kind.SERVICE, subject=PolicyId(self.policy))
        return Ask(group=ids.group_id(self.org, self.group), claim=claim)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEnd:
    """`DELETE` of the same path: that service upgrade has ended. `?outcome=failed` when it failed, `?token=N` with the grant's token."""

    upgrade: ServiceQuestion
    succeeded: bool
    token: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassThrough:
    """Everything else: for the real agbot. `target` is the origin form of what was sent, otherwise unchanged."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadTarget:
    """A target that nobody can answer."""

    status: int
    message: str


Target = AgentQuestion | ServiceQuestion | ServiceEnd | PassThrough | BadTarget


class _BadElementError(ValueError):
    """A path element that cannot be a name."""


def parse(method: str, raw: str) -> Target:
    """Read the target of a request line.

    Args:
        method: in upper case.
        raw: the target as it was sent; bytes that are not UTF-8 as lone surrogates, the way aiohttp hands them over.
    """
    if method == "CONNECT":
        return BadTarget(status=405, message="CONNECT is not supported.")
    origin = raw if raw.startswith("/") else _origin_form(raw)
    if origin is None:
        return BadTarget(status=400, message="The request target must be a path.")
    path, _, query = origin.partition("?")
    elements = path.split("/")
    if len(elements) == _ELEMENTS and elements[1] == "org" and elements[3] == "hagroup":
        ours = _question(method, elements, query)
        if ours is not None:
            return ours
    return _for_the_agbot(method, origin, path)


def _origin_form(raw: str) -> str | None:
    """Cut scheme and authority off an absolute target, as Go's server does."""
    matched = _ABSOLUTE.match(raw)
    if matched is None:
        return None
    rest = raw[matched.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def _question(method: str, elements: list[str], query: str) -> Target | None:
    """Read a target that has the shape of one of our routes; None when this method there is not ours."""
    word = elements[5]
    is_agent = word == _AGENT_WORD and method == "POST"
    if not is_agent and not (word == _SERVICE_WORD and method in {"POST", "DELETE"}):
        return None
    try:
        org, group, node = _name(elements[2]), _name(elements[4]), _name(elements[6])
        if is_agent:
            return AgentQuestion(org=org, group=group, node=node, policy=_name(elements[7]))
        policy = _policy(elements[7])
        return _service(method, ServiceQuestion(org=org, group=group, node=node, policy=policy), query)
    except _BadElementError as error:
        return BadTarget(status=400, message=str(error))


def _service(method: str, question: ServiceQuestion, query: str) -> Target:
    """Add what the query says. An unknown key is refused: a mistyped outcome must not count as success."""
    given = dict(parse_qsl(query, keep_blank_values=True, errors="replace"))
    if method == "DELETE":
        outcome, token = given.pop("outcome", "succeeded"), given.pop("token", None)
        if given or outcome not in {"succeeded", "failed"} or not (token is None or _TOKEN.fullmatch(token)):
            message = (
                "The query may only be outcome=succeeded or outcome=failed, and token=N with the token of the grant."
            )
            return BadTarget(status=400, message=message)
        return ServiceEnd(
            upgrade=question, succeeded=outcome == "succeeded", token=None if token is None else int(token)
        )
    if given:
        return BadTarget(status=400, message="A question about a service upgrade takes no query.")
    return question


def _name(element: str) -> str:
    """Decode one element into a name.

    Raises:
        _BadElementError: it is empty, `.` or `..`, not valid percent-encoded UTF-8, or holds a slash or a control character.
    """
    text = _decoded(element)
    if "/" in text:
        raise _BadElementError("A path element must not hold an escaped slash.")
    _check_name(text)
    return text


def _policy(element: str) -> str:
    """Decode the element that names a deployment policy, `org%2Fname`."""
    text = _decoded(element)
    org, _, name = text.partition("/")
    if org in {"", ".", ".."} or name in {"", ".", ".."} or "/" in name:
        raise _BadElementError(_POLICY_FORM)
    _check_name(org)
    _check_name(name)
    return text


def _check_name(name: str) -> None:
    """Refuse a name that cannot be found in the Exchange as it is.

    Raises:
        _BadElementError: it begins or ends with a space, which the Exchange drops, or is too long.
    """
    if len(name) > MAX_NAME_BYTES or (len(name) > MAX_NAME_BYTES // 12 and len(quote(name, safe="")) > MAX_NAME_BYTES):
        raise _BadElementError(_TOO_LONG)
    if name[0] == " " or name[-1] == " ":
        raise _BadElementError("A name must not begin or end with a space.")


def _decoded(element: str) -> str:
    if element.isascii() and element.isalnum():  # almost every element of almost every question
        return element
    if _BAD_ESCAPE.search(element):
        raise _BadElementError("A path element holds an invalid percent escape.")
    try:
        text = unquote_to_bytes(element.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeDecodeError:
        raise _BadElementError("A path element is not valid UTF-8.") from None
    if text in {"", ".", ".."}:
        raise _BadElementError("A path element must not be empty, '.' or '..'.")
    if "#" in element or any(unicodedata.category(character) == "Cc" for character in text):
        raise _BadElementError("A path element holds a character that no name can hold.")
    return text


def _for_the_agbot(method: str, origin: str, path: str) -> Target:
    """Pass a target on, unless the agbot's router would read it as its permission route."""
    if "#" in origin:
        return BadTarget(status=400, message="The request target must not hold a fragment.")
    if not _is_utf8(origin):
        return BadTarget(status=400, message="The request target is not valid UTF-8.")
    if method not in {"POST", "DELETE"}:  # it grants on POST alone; DELETE for the hint below
        return PassThrough(target=origin)
    seen = _cleaned(unquote_to_bytes(path).decode("utf-8", "replace"))
    if seen[:1] == ["org"] and seen[2:3] == ["hagroup"] and len(seen) >= _ELEMENTS - 1:
        if seen[4] == _AGENT_WORD and method == "POST":
            return BadTarget(status=400, message=_DISGUISED)
        if seen[4] == _SERVICE_WORD:
            return BadTarget(status=400, message=_POLICY_FORM)
    return PassThrough(target=origin)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _cleaned(path: str) -> list[str]:
    """Return the elements as Go's `path.Clean` leaves them."""
    kept: list[str] = []
    for element in path.split("/"):
        if element == "..":
            kept = kept[:-1]
        elif element not in {"", "."}:
            kept.append(element)
    return kept
