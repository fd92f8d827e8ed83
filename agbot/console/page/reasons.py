"""Each code of a reason in plain words, for counts of many groups. Pure.

A single waiter's reason has a sentence of its own, with its names and times.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from agbot.rules.reasons import Code

IN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Code.NOT_A_MEMBER: "the node is not in the group that it asks for",
        Code.ORG_EXCLUDED: "the organisation is not coordinated here",
        Code.CLUSTER_NODE: "a cluster node is not gated",
        Code.DEFERRED: "the node joined in the middle of its own upgrade",
        Code.UNKNOWN_POLICY: "the policy does not exist",
        Code.POLICY_DISABLED: "the policy is disabled",
        Code.LEASE_HELD: "another member is upgrading",
        Code.OVERLAP: "an upgrade that no node asked for has not ended",
        Code.AGBOT_UNAVAILABLE: "the agbot's own upgrades cannot be read",
        Code.LEASE_SUSPECT: "it is not known how the last upgrade ended",
        Code.SOAKING: "the group rests after its last upgrade",
        Code.BRAKE: "the upgrade has failed in the group",
        Code.ORG_BRAKE: "the upgrade has failed in too many groups",
        Code.PAUSED: "an operator holds upgrades there",
        Code.OUTSIDE_WINDOW: "no maintenance window is open",
        Code.NODE_BUSY: "a workload of the node asks for its agent not to be upgraded now",
        Code.NOT_APPROVED: "an operator has to approve it",
        Code.CANARY: "other groups go first",
        Code.PACED: "as many groups as may upgrade at once do so",
        Code.PEERS_UNAVAILABLE: "too few other members are available",
        Code.TURN: "another member goes first",
        Code.STORE_UNAVAILABLE: "the lease store cannot be reached",
        Code.STORE_CHANGED: "the lease store is not the one used last",
        Code.EXCHANGE_UNAVAILABLE: "the Exchange did not answer in time",
        Code.VIEW_STALE: "the view of the Exchange is out of date",
        Code.CLOCK_UNTRUSTED: "the date was changed",
        Code.NO_LEADER: "no coordinator is known to lead",
        Code.STOPPING: "the coordinator is shutting down",
        Code.BUSY: "too many questions are open",
        Code.INTERNAL_ERROR: "the coordinator failed on the question",
    }
)
