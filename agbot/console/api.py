"""The operators' API: one value for each path, from which everything about it derives.

`routes` names the handler of each, `agbot.cli.client` asks, and `openapi` describes them; a test
compares `docs/api.md`. Nothing here loads a server, the store or the events, so that commands start
fast. The paths that read the journal are in `journal_api`, because their types do load these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec

from agbot.console import bodies
from agbot.console.answers import Coordinators, Groups, Leases, Paths, Receivers, Status, Summary, Tested
from agbot.console.rollout_views import RolloutList, RolloutView
from agbot.coordinator.contract import Done, Explanation, GroupView
from agbot.coordinator.listings import GroupState, Orders
from agbot.rules.lease import State

Schema = Mapping[str, object]
Answer = TypeVar("Answer")

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer", "minimum": 0}
COUNT: Final[Schema] = {"type": "integer", "minimum": 1}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
JSON: Final = "application/json"
NO_SUCH_PATH: Final = "there is no such path"
WRONG_METHOD: Final = 405
"""How a coordinator answers a request that its version does not know. A command recognises by these
a coordinator of another version, so the words stay as they are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Endpoint(Generic[Answer]):
    """One path of the operators' listener."""

    path: str
    does: str
    answer: type[Answer]
    """What is written as JSON, or `str` in another media type."""
    media: str = JSON
    query: Mapping[str, Schema] = field(default_factory=dict)
    """The keys of the query, all of them optional."""
    repeatable: frozenset[str] = frozenset()
    """Those of them that may be given several times."""
    method: str = "GET"
    body: type[msgspec.Struct] | None = None

    @property
    def needs_token(self) -> bool:
        """Whether it changes something."""
        return self.method == "POST"

    @property
    def is_api(self) -> bool:
        """Whether programs use it, who get its errors as JSON."""
        return self.path.startswith("/v1") or self.path == "/healthz"

    def at(self, *names: str) -> str:
        """Return the path with these names, each of which is one element, escaped here."""
        left = iter(names)
        return re.sub(r"{\w+}", lambda _: quote(next(left), safe=""), self.path)


def order(path: str, does: str, body: type[msgspec.Struct], answer: type[Any] = Done) -> Endpoint[Any]:
    """Return the path of a request that changes something; it answers with what was done."""
    return Endpoint(path=path, does=does, answer=answer, method="POST", body=body)


_GROUPS: Final[Mapping[str, Schema]] = {
    "org": TEXT,
    "find": TEXT,
    "state": {"enum": [each.value for each in GroupState]},
    "limit": COUNT,
    "after": TEXT,
}

PATHS: Final = Endpoint(path="/v1", does="Lists the paths.", answer=Paths)
HEALTHZ: Final = Endpoint(path="/healthz", does="A summary of the coordinator's state.", answer=Summary)
OVERVIEW: Final = Endpoint(path="/v1/overview", does="The same summary, of the leader.", answer=Summary)
STATUS: Final = Endpoint(
    path="/v1/status",
    does="The summary, what needs a person, and the busy groups, of one moment.",
    answer=Status,
    query={**_GROUPS, "group": TEXT},
)
COORDINATORS: Final = Endpoint(
    path="/v1/coordinators", does="Every coordinator on this store, and which of them leads.", answer=Coordinators
)
GROUPS: Final = Endpoint(
    path="/v1/groups",
    does="Groups with members, lease, waiters, brakes and holds, all of them or in pages.",
    answer=Groups,
    query=_GROUPS,
)
GROUP: Final = Endpoint(path="/v1/groups/{org}/{group}", does="One group.", answer=GroupView)
EXPLAIN: Final = Endpoint(path="/v1/explain/{org}/{node}", does="Why a node waits, rule by rule.", answer=Explanation)
ROLLOUTS: Final = Endpoint(
    path="/v1/rollouts", does="Running and recent rollouts, the first ones with their summary.", answer=RolloutList
)
ROLLOUT: Final = Endpoint(
    path="/v1/rollouts/{org}/{policy}",
    does="One rollout: how far all groups are, over time, and when it will end.",
    answer=RolloutView,
    query={"kind": TEXT, "standing": TEXT, "code": TEXT, "find": TEXT, "offset": NUMBER, "limit": COUNT},
)
LEASES: Final = Endpoint(
    path="/v1/leases",
    does="Every lease.",
    answer=Leases,
    query={
        "org": TEXT,
        "state": {"type": "string", "description": f"Of {', '.join(State)}; several with commas."},
    },
    repeatable=frozenset({"state"}),
)
ORDERS: Final = Endpoint(
    path="/v1/orders",
    does="Holds, allowances, approvals and brakes, and the maintenance windows with their next change.",
    answer=Orders,
)
RECEIVERS: Final = Endpoint(
    path="/v1/receivers",
    does="The MQTT broker, webhooks and services for notifications, and how far each is behind.",
    answer=Receivers,
)

RELEASE: Final = order("/v1/leases/{org}/{group}/release", "Frees a group's lease by force.", bodies.ReleaseBody)
HOLD: Final = order("/v1/holds", "Stops new grants for the fleet, an organisation, a group or a node.", bodies.HoldBody)
RESUME: Final = order("/v1/resume", "Ends a hold or a rest, or lifts the brakes on an upgrade.", bodies.ResumeBody)
ALLOW: Final = order("/v1/allowances", "Lets one upgrade of a node past most rules, once.", bodies.AllowBody)
APPROVE: Final = order("/v1/approvals", "Lets an upgrade begin where an approval is required.", bodies.ApproveBody)
WITHDRAW_ALLOWANCE: Final = order(
    "/v1/allowances/withdraw", "Takes the allowance of a node back.", bodies.WithdrawAllowanceBody
)
WITHDRAW_APPROVAL: Final = order(
    "/v1/approvals/withdraw",
    "Takes an approval back. Groups in which the upgrade has begun go on.",
    bodies.WithdrawApprovalBody,
)
LEAD: Final = order("/v1/lead", "Lets another coordinator lead.", bodies.LeadBody)
TEST_RECEIVERS: Final = order(
    "/v1/receivers/test", "Journals a test event, which every receiver gets.", bodies.TestBody, Tested
)
