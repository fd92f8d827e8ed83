"""The Exchange's paths below `/v1` that we use: how they are built from ids, and under which template a request is counted.

Every element is percent-encoded, so that ids with `@`, `%`, spaces or any script arrive as they are. `.` and `..` are encoded too:
a proxy on the way must not take them for steps through the path.
"""

from __future__ import annotations

from urllib.parse import quote

from agbot.rules.ids import name_of, org_of

VERSION = "/admin/version"
MAX_CHANGE_ID = "/changes/maxchangeid"
OTHER = "other"

_TEMPLATES = (
    VERSION,
    MAX_CHANGE_ID,
    "/orgs/{org}",
    "/orgs/{org}/changes",
    "/orgs/{org}/hagroups",
    "/orgs/{org}/hagroups/{group}",
    "/orgs/{org}/hagroups/{group}/nodes/{node}",
    "/orgs/{org}/nodes",
    "/orgs/{org}/nodes/{node}",
    "/orgs/{org}/nodes/{node}/managementStatus",
    "/orgs/{org}/nodes/{node}/agreements",
    "/orgs/{org}/nodes/{node}/status",
    "/orgs/{org}/nodes/{node}/policy",
    "/orgs/{org}/managementpolicies",
    "/orgs/{org}/managementpolicies/{policy}",
    "/orgs/{org}/business/policies/{policy}",
    "/orgs/{org}/patterns/{pattern}",
    "/orgs/{org}/agbots/{agbot}",
    "/orgs/{org}/agbots/{agbot}/businesspols",
    "/orgs/{org}/agbots/{agbot}/patterns",
)
_LISTS = frozenset(
    each
    for each in _TEMPLATES
    if not each.endswith("}") and each not in {VERSION, MAX_CHANGE_ID} and not each.startswith("/orgs/{org}/nodes/")
)
"""What holds as many things as an organisation has; the rest is about one."""
_BY_LENGTH: dict[int, list[tuple[str, list[str]]]] = {}
for _each in _TEMPLATES:
    _BY_LENGTH.setdefault(_each.count("/"), []).append((_each, _each.split("/")))


def element(text: str) -> str:
    """Percent-encode one element of a path.

    Raises:
        ValueError: the element is empty; the path would name another resource.
    """
    if not text:
        message = "an element of an Exchange path is empty"
        raise ValueError(message)
    if text in {".", ".."}:
        return text.replace(".", "%2E")
    # A lone surrogate (undecodable bytes in an agent's request) becomes an id that nobody has, instead of an exception.
    return quote(text, safe="", errors="surrogatepass")


def in_org(org: str, *parts: str) -> str:
    """Return the path of something in an organisation; `parts` are encoded, collections and ids alike."""
    return "/".join(("/orgs", element(org), *map(element, parts)))


def of(collection: str, qualified: str, *parts: str) -> str:
    """Return the path of one thing by its qualified id, such as `of("nodes", "o1/n1", "status")`."""
    return in_org(org_of(qualified), *collection.split("/"), name_of(qualified), *parts)


def template(path: str) -> str:
    """Return the template a path was built from, `other` for an unknown one: a metric's label must not carry ids."""
    parts = path.partition("?")[0].split("/")
    for name, wanted in _BY_LENGTH.get(len(parts) - 1, ()):
        if all(want == part or want.startswith("{") for want, part in zip(wanted, parts, strict=True)):
            return name
    return OTHER


def is_list(path: str) -> bool:
    """Tell whether the answer holds as many things as an organisation has."""
    return template(path) in _LISTS
