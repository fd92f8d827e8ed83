"""The Exchange's permissions: their names, derived for each kind of caller, and its role lists.

The tables and the derivation follow `exchange-api.md` 0.3 of version 2.154.0. Routes such as those
of HA groups add their own checks. A target without a known owner counts as the caller's own, which
is why every user may change the membership of every HA group.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agbot.sim.exchange.identity import MULTITENANT_ORG, Identity, Role
from agbot.sim.exchange.message import Refusal, denied, not_found

MINE = "#"
ALL = "*"


class Verb(StrEnum):
    """What the caller wants to do with the target."""

    READ = "READ"
    WRITE = "WRITE"
    CREATE = "CREATE"


class TargetKind(StrEnum):
    """Kinds of targets, by the label that the 403 message gives them."""

    NODE = "node"
    AGBOT = "agbot"
    SERVICE = "service"
    PATTERN = "pattern"
    BUSINESS = "business"
    MANAGEMENT_POLICY = "management policy"
    ORG = "org"
    USER = "user"


_PLURAL = {
    TargetKind.NODE: "NODES",
    TargetKind.AGBOT: "AGBOTS",
    TargetKind.SERVICE: "SERVICES",
    TargetKind.PATTERN: "PATTERNS",
    TargetKind.BUSINESS: "BUSINESS",
    TargetKind.MANAGEMENT_POLICY: "MANAGEMENT_POLICY",
    TargetKind.USER: "USERS",
}

_READ_CATALOGUE = {
    "READ_ALL_AGBOTS",
    "READ_ALL_BUSINESS",
    "READ_ALL_MANAGEMENT_POLICY",
    "READ_ALL_PATTERNS",
    "READ_ALL_SERVICES",
    "READ_AGENT_CONFIG_MGMT",
    "READ_MY_ORG",
    "READ_MYSELF",
    "WRITE_MYSELF",
}
_OWN_RESOURCES = {
    f"{verb}_MY_{thing}" for verb in Verb for thing in ("NODES", "AGBOTS", "SERVICES", "PATTERNS", "BUSINESS")
}
_ORG_LEVEL = {
    "ADMIN",
    "CREATE_IN_OTHER_ORGS",
    "CREATE_ORGS",
    "DELETE_ORG",
    "READ_OTHER_ORGS",
    "SET_IBM_ORG_TYPE",
    "WRITE_AGENT_CONFIG_MGMT",
    "WRITE_OTHER_ORGS",
}
_LISTS: dict[Role, set[str]] = {
    Role.AGBOT: _READ_CATALOGUE | {"MAXCHANGEID", "READ_ALL_NODES", "READ_MY_AGBOTS", "WRITE_AGENT_CONFIG_MGMT"},
    Role.NODE: _READ_CATALOGUE | {"MAXCHANGEID"},
    Role.USER: _READ_CATALOGUE | _OWN_RESOURCES | {"STATUS"},
    Role.HUB_ADMIN: {
        "CREATE_ORGS",
        "DELETE_ORG",
        "READ_ALL_AGBOTS",
        "READ_AGENT_CONFIG_MGMT",
        "READ_MYSELF",
        "READ_MY_ORG",
        "READ_OTHER_ORGS",
        "READ_ALL_USERS",
        "READ_MY_USERS",
        "STATUS",
        "WRITE_AGENT_CONFIG_MGMT",
        "WRITE_ALL_AGBOTS",
        "WRITE_ALL_USERS",
        "WRITE_MYSELF",
        "WRITE_MY_ORG",
        "WRITE_OTHER_ORGS",
        "CREATE_ALL_AGBOTS",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a request is aimed at.

    `owner` is `org/user`, or None if the route passes none or the resource does not exist.
    `present` is whether a single resource exists; it is None for collections and for kinds that the
    Exchange does not check.
    """

    kind: TargetKind
    org: str
    id: str
    owner: str | None = None
    present: bool | None = None
    public: bool = False

    @property
    def name(self) -> str:
        """Return `org/id`, or the organisation alone when that is the target."""
        return self.org if self.kind is TargetKind.ORG else f"{self.org}/{self.id}"


def holds(identity: Identity, permission: str) -> bool:
    """Return whether the caller's role list contains a permission."""
    if identity.role is Role.ROOT:
        return True
    if identity.role is Role.ADMIN:
        return permission not in _ORG_LEVEL or (
            permission == "WRITE_AGENT_CONFIG_MGMT" and identity.org == MULTITENANT_ORG
        )
    return permission in _LISTS[identity.role]


def require(identity: Identity, permission: str, label: str = "action=") -> None:
    """Check that the caller has a permission.

    Raises:
        Refusal: 403 with the Exchange's message.
    """
    if not holds(identity, permission):
        raise denied(f"Access denied: '{identity.name}' does not have authorization: {permission} {label}")


def _is_home(identity: Identity, target: Target) -> bool:
    return (
        identity.org == target.org
        or identity.is_multitenant_agbot
        or (identity.role is Role.HUB_ADMIN and target.kind is not TargetKind.ORG)
    )


def _is_self(identity: Identity, target: Target) -> bool:
    own = {Role.NODE: TargetKind.NODE, Role.AGBOT: TargetKind.AGBOT}.get(identity.role, TargetKind.USER)
    return target.kind is own and (target.org, target.id) == identity.key


def _scope(identity: Identity, target: Target) -> str:
    if target.kind is TargetKind.MANAGEMENT_POLICY or target.id == ALL:
        return "ALL"
    if identity.role is Role.NODE:
        return "MY" if target.id == MINE and target.kind is TargetKind.NODE else "ALL"
    if identity.is_person and identity.role is not Role.HUB_ADMIN and target.kind is not TargetKind.USER:
        return "MY" if target.id == MINE or target.owner in (None, identity.name) else "ALL"
    return "ALL"


def _permission(identity: Identity, target: Target, verb: Verb) -> str:
    if not _is_home(identity, target):
        return "CREATE_IN_OTHER_ORGS" if verb is Verb.CREATE else f"{verb}_OTHER_ORGS"
    if target.kind is TargetKind.ORG:
        return f"{verb}_MY_ORG"
    if _is_self(identity, target):
        return f"{verb}_MYSELF"
    return f"{verb}_{_scope(identity, target)}_{_PLURAL[target.kind]}"


def _is_foreign(identity: Identity, target: Target) -> bool:
    return identity.role is Role.ROOT or (identity.role is not Role.NODE and not _is_home(identity, target))


def check(identity: Identity, target: Target, verb: Verb) -> None:
    """Check that the caller may do this with the target.

    Raises:
        Refusal: 403 with the missing permission. 404 if root, or a user or agbot of another
            organisation, reads a single resource that does not exist.
    """
    if verb is Verb.READ:
        if target.present is False and _is_foreign(identity, target):
            raise not_found(f"resource '{target.name}' not found")
        if target.public:
            return
    require(identity, _permission(identity, target, verb), f"{target.kind}={target.name}")


def refused(identity: Identity, permission: str, label: str) -> Refusal:
    """Return the 403 that names a permission, for checks that a route makes itself."""
    return denied(f"Access denied: '{identity.name}' does not have authorization: {permission} {label}")
