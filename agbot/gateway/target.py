"""Reads a raw request target: is it a question for us, or a request for the real agbot? Pure.

The rule kept here: a target that the real agbot would route to its permission route never reaches
it. Its router matches the decoded and cleaned path, so it would grant `/%6Frg/o1/…`, `//org/o1/…`
or `/org%2Fo1/…` without our knowledge; they are refused. Elements are decoded one by one and
strictly, so that a `%2F` in an id cannot move the border between node and policy. A name that the
Exchange would read differently (it trims spaces), or that is too long for a request to it, cannot
exist there: the question is refused.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote_to_bytes

import msgspec

from agbot.rules import ids
from agbot.rules.facts import Ask
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.lease import Claim, Kind

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,40}")
"""A name that is written as it is, and that no other check can refuse."""
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_TOKEN = re.compile(r"[0-9]{1,18}")
"""It fits in an integer of the store."""
_AGENT_WORD = "nodemanagement"
_SERVICE_WORD = "deployment"
_ELEMENTS = 8
"""`/org/{org}/hagroup/{group}/{word}/{node}/{policy}`, split at its slashes, with the empty string
before the first."""
_DISGUISED = "The permission route must be written plainly, as /org/{org}/hagroup/{group}/nodemanagement/{node}/{nmp}."
MAX_NAME_BYTES = 512
"""The limit of one name, percent-encoded. A path of ours to the Exchange holds at most three, and
the Exchange answers 414 beyond 2048 bytes."""
_TOO_LONG = f"A name may have {MAX_NAME_BYTES} bytes at most, as it is written in a path."
_POLICY_FORM = "The last path element must be a deployment policy as org%2Fname."


class _Upgrade(msgspec.Struct, frozen=True, kw_only=True):
    """An upgrade of a node: `/org/{org}/hagroup/{group}/{word}/{node}/{policy}`."""

    org: str
    group: str
    node: str
    policy: str
    """`org/name` of a service; the other names are bare."""

    @property
    def node_id(self) -> NodeId:
        """The node, qualified."""
        return ids.node_id(self.org, self.node)

    def _of(self, kind: Kind, subject: PolicyId) -> Ask:
        claim = Claim(holder=self.node_id, kind=kind, subject=subject)
        return Ask(group=ids.group_id(self.org, self.group), claim=claim)


class AgentQuestion(_Upgrade, frozen=True, kw_only=True):
    """`POST …/nodemanagement/…`: may this node upgrade its agent?"""

    def ask(self) -> Ask:
        """Return the question as the rules define it."""
        return self._of(Kind.AGENT, ids.policy_id(self.org, self.policy))


class _ServiceUpgrade(_Upgrade, frozen=True, kw_only=True):
    """The upgrade of a service on a node."""

    def ask(self) -> Ask:
        """Return the upgrade as the rules define it."""
        return self._of(Kind.SERVICE, PolicyId(self.policy))


class ServiceQuestion(_ServiceUpgrade, frozen=True, kw_only=True):
    """`POST …/deployment/…`: may the agbot upgrade a service on this node?"""


class ServiceEnd(_ServiceUpgrade, frozen=True, kw_only=True):
    """`DELETE …/deployment/…`: that service upgrade has ended.

    The query has `outcome=failed` for a failed upgrade, and `token=N` with the token of the grant.
    """

    succeeded: bool
    token: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassThrough:
    """A request for the real agbot. `target` is its origin form, otherwise unchanged."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadTarget:
    """A target that is refused."""

    status: int
    message: str


Target = AgentQuestion | ServiceQuestion | ServiceEnd | PassThrough | BadTarget


class _BadElementError(ValueError):
    """A path element that cannot be a name."""


def parse(method: str, raw: str) -> Target:
    """Read the target of a request line.

    Args:
        method: in upper case.
        raw: the target as received, with bytes that are not UTF-8 as lone surrogates, as aiohttp
            passes them.
    """
    if method == "CONNECT":
        return BadTarget(status=405, message="CONNECT is not supported.")
    origin = origin_form(raw)
    if origin is None:
        return BadTarget(status=400, message="The request target must be a path.")
    path, _, query = origin.partition("?")
    elements = path.split("/")
    if len(elements) == _ELEMENTS and elements[1] == "org" and elements[3] == "hagroup":
        ours = _question(method, elements, query)
        if ours is not None:
            return ours
    return _for_the_agbot(method, origin, path)


def origin_form(raw: str) -> str | None:
    """Return a target as a path, without scheme and authority, as Go's server reads it."""
    if raw.startswith("/"):
        return raw
    matched = _ABSOLUTE.match(raw)
    if matched is None:
        return None
    rest = raw[matched.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def _question(method: str, elements: list[str], query: str) -> Target | None:
    """Read a target in the form of one of our routes; None if the method there is not ours."""
    word = elements[5]
    is_agent = word == _AGENT_WORD and method == "POST"
    if not is_agent and not (word == _SERVICE_WORD and method in {"POST", "DELETE"}):
        return None
    try:
        org, group, node = _name(elements[2]), _name(elements[4]), _name(elements[6])
        if is_agent:
            return AgentQuestion(org=org, group=group, node=node, policy=_name(elements[7]))
        question = ServiceQuestion(org=org, group=group, node=node, policy=_policy(elements[7]))
        return _service(method, question, query)
    except _BadElementError as error:
        return BadTarget(status=400, message=str(error))


def _service(method: str, question: ServiceQuestion, query: str) -> Target:
    """Read the query of a service route."""
    pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
    given = dict(pairs)
    if len(given) < len(pairs):  # of two outcomes either may be meant
        return BadTarget(status=400, message="The query must not have a key twice.")
    if method == "DELETE":
        outcome, token = given.pop("outcome", "succeeded"), given.pop("token", None)
        # an unknown key too: a mistyped `outcome=failed` must not count as success
        if given or outcome not in {"succeeded", "failed"} or not (token is None or _TOKEN.fullmatch(token)):
            message = (
                "The query may only be outcome=succeeded or outcome=failed, and token=N with the token of the grant."
            )
            return BadTarget(status=400, message=message)
        return ServiceEnd(
            **msgspec.structs.asdict(question),
            succeeded=outcome == "succeeded",
            token=None if token is None else int(token),
        )
    if given:
        return BadTarget(status=400, message="A question about a service upgrade takes no query.")
    return question


def _name(element: str) -> str:
    """Decode one element into a name.

    Raises:
        _BadElementError: it is empty, `.` or `..`, is not valid percent-encoded UTF-8, or holds a
            slash or a control character.
    """
    if _PLAIN.fullmatch(element):  # nearly all names
        return element
    text = _decoded(element)
    if "/" in text:
        raise _BadElementError("A path element must not hold an escaped slash.")
    _check_name(text)
    return text


def _policy(element: str) -> str:
    """Decode the element with a deployment policy, `org%2Fname`."""
    text = _decoded(element)
    org, _, name = text.partition("/")
    if org in {"", ".", ".."} or name in {"", ".", ".."} or "/" in name:
        raise _BadElementError(_POLICY_FORM)
    _check_name(org)
    _check_name(name)
    return text


def _check_name(name: str) -> None:
    """Refuse a name that cannot exist in the Exchange.

    Raises:
        _BadElementError: it begins or ends with a space, which the Exchange drops, or is too long.
    """
    # a character has 12 bytes at most, as four escapes of three: shorter names need no count
    if len(name) > MAX_NAME_BYTES or (len(name) > MAX_NAME_BYTES // 12 and len(quote(name, safe="")) > MAX_NAME_BYTES):
        raise _BadElementError(_TOO_LONG)
    if name[0] == " " or name[-1] == " ":
        raise _BadElementError("A name must not begin or end with a space.")


def _decoded(element: str) -> str:
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
    """Pass a target through, unless the agbot would route it to its permission route."""
    if "#" in origin:
        return BadTarget(status=400, message="The request target must not hold a fragment.")
    if not _is_utf8(origin):
        return BadTarget(status=400, message="The request target is not valid UTF-8.")
    # the agbot grants only on POST; DELETE is checked for the hint below
    if method not in {"POST", "DELETE"}:
        return PassThrough(target=origin)
    # seven elements, or more: an escaped slash in a name makes two of one
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
    """Return the elements as Go's `path.Clean` does."""
    kept: list[str] = []
    for element in path.split("/"):
        if element == "..":
            kept = kept[:-1]
        elif element not in {"", "."}:
            kept.append(element)
    return kept
