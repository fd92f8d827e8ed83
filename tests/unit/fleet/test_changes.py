"""What each row of the feed makes out of date: the whole table."""

from __future__ import annotations

import pytest

from agbot.exchange import resources
from agbot.fleet import changes
from agbot.fleet.changes import Change, Read, What
from agbot.rules.ids import OrgId

GONE_WITH_A_NODE = (What.NODE, What.STATUSES, What.AGREEMENTS, What.PROPERTIES)
TABLE: dict[tuple[str, str], tuple[What, ...]] = {
    ("ha_group", "created"): (What.GROUP,),
    ("ha_group", "modified"): (What.GROUP,),
    ("ha_group", "deleted"): (What.GROUP,),
    ("node", "created"): GONE_WITH_A_NODE,
    ("node", "modified"): (What.NODE,),
    ("node", "deleted"): GONE_WITH_A_NODE,
    ("nodemgmtpolstatus", "created/modified"): (What.STATUSES,),
    ("nodemgmtpolstatus", "deleted"): (What.STATUSES,),
    ("nodeagreements", "created/modified"): (What.AGREEMENTS,),
    ("nodeagreements", "deleted"): (What.AGREEMENTS,),
    ("nodestatus", "created/modified"): (What.AGREEMENTS,),
    ("nodepolicies", "created/modified"): (What.PROPERTIES,),
    ("nodepolicies", "deleted"): (What.PROPERTIES,),
    ("mgmtpolicy", "created"): (What.MANAGEMENT_POLICY,),
    ("mgmtpolicy", "modified"): (What.MANAGEMENT_POLICY,),
    ("mgmtpolicy", "deleted"): (What.MANAGEMENT_POLICY,),
    ("pattern", "created/modified"): (What.PATTERN,),
    ("pattern", "deleted"): (What.PATTERN,),
    ("policy", "modified"): (What.DEPLOYMENT_POLICY,),
    ("policy", "deleted"): (What.DEPLOYMENT_POLICY,),
    ("org", "modified"): (),
    ("agbotagreements", "deleted"): (),
    ("nodeerrors", "created/modified"): (),
    ("agbotmsgs", "created"): (),
    ("service", "created"): (),
    ("something new", "created"): (),
}


def change(resource: str, operation: str, name: str = "x") -> Change:
    return resources.change(OrgId("o1"), resource, name, operation)


@pytest.mark.parametrize(("row", "whats"), TABLE.items(), ids=str)
def test_each_row_outdates_what_it_is_about(row: tuple[str, str], whats: tuple[What, ...]) -> None:
    assert change(*row).outdates == tuple(Read(what=what, id="o1/x") for what in whats)


def test_a_policy_that_is_named_with_its_organisation_is_the_same_one() -> None:
    assert change("policy", "modified", "o1/x").outdates == change("policy", "modified", "x").outdates


def test_a_read_knows_which_organisation_to_ask() -> None:
    assert Read(what=What.NODE, id="o1/a/b").org == "o1"
    assert Read(what=What.ORG, id="o1").org == "o1"


@pytest.mark.parametrize(
    ("resource", "operation", "is_new"),
    [
        ("node", "created", True),
        ("node", "modified", False),
        ("node", "deleted", False),
        ("mgmtpolicy", "created", False),
    ],
)
def test_only_a_created_node_is_a_new_one(*, resource: str, operation: str, is_new: bool) -> None:
    assert changes.is_new_node(change(resource, operation)) is is_new


@pytest.mark.parametrize(("row", "whats"), TABLE.items(), ids=str)
def test_only_a_row_that_deletes_a_thing_of_its_own_reports_of_its_end(
    row: tuple[str, str], whats: tuple[What, ...]
) -> None:
    resource, operation = row
    has_its_own_end = resource in {"ha_group", "node", "mgmtpolicy", "policy", "pattern"}

    ends = change(*row).ends

    assert ends == ((Read(what=whats[0], id="o1/x"),) if has_its_own_end and operation == "deleted" else ())
