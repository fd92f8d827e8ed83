"""The caller of a request: HTTP Basic credentials `org/id:secret` of a user, a node or an agbot.

If names collide, a node takes precedence over an agbot, and an agbot over a user. The Exchange has
two 401 answers: one for a missing header or a wrong secret, one for an unknown id. Secrets are
compared as plain text; the real Exchange hashes them.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus

from agbot.sim.exchange.message import Refusal
from agbot.sim.exchange.table import Key
from agbot.sim.exchange.world import User, World

_ORG_AND_ID = re.compile(r"(\S*?)/(\S*)")
MULTITENANT_ORG = "IBM"


class Role(StrEnum):
    """The kinds of callers that the permission lists distinguish."""

    ROOT = "root"
    HUB_ADMIN = "hubadmin"
    ADMIN = "admin"
    USER = "user"
    NODE = "node"
    AGBOT = "agbot"


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller."""

    role: Role
    org: str
    id: str

    @property
    def name(self) -> str:
        """Return `org/id`."""
        return f"{self.org}/{self.id}"

    @property
    def key(self) -> Key:
        """Return the organisation and the id."""
        return self.org, self.id

    @property
    def is_multitenant_agbot(self) -> bool:
        """Return whether it is an agbot of organisation IBM: every organisation is its own."""
        return self.role is Role.AGBOT and self.org == MULTITENANT_ORG

    @property
    def is_person(self) -> bool:
        """Return whether the caller is a user of any kind."""
        return self.role not in (Role.NODE, Role.AGBOT)


@lru_cache(maxsize=16384)
def credentials(header: str) -> tuple[str, str, str] | None:
    """Split an Authorization header into organisation, id and secret.

    None if the header does not have that form.
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    match = _ORG_AND_ID.fullmatch(name)
    return (match[1], match[2], secret) if match and colon else None


def _refused(msg: str) -> Refusal:
    return Refusal(HTTPStatus.UNAUTHORIZED, "invalid-credentials", msg)


def _user_role(key: Key, user: User) -> Role:
    if key == ("root", "root"):
        return Role.ROOT
    if user.hub_admin:
        return Role.HUB_ADMIN
    return Role.ADMIN if user.admin else Role.USER


def authenticate(world: World, header: str) -> Identity:
    """Return the caller.

    Raises:
        Refusal: 401, with one of the two messages.
    """
    claimed = credentials(header)
    if claimed is None:
        raise _refused("invalid.credentials")
    org, name, secret = claimed
    key = (org, name)
    if (node := world.nodes.get(key)) is not None:
        role, known = Role.NODE, node.token
    elif (agbot := world.agbots.get(key)) is not None:
        role, known = Role.AGBOT, agbot.token
    elif (user := world.users.get(key)) is not None:
        role, known = _user_role(key, user), user.password
    else:
        raise _refused("unauthorized")
    if not known or not hmac.compare_digest(known.encode(), secret.encode()):
        raise _refused("invalid.credentials")
    return Identity(role, org, name)
