"""The journal in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agbot.coordinator.operators import history
from agbot.events.leases import Ending
from agbot.rules import lease as leases
from agbot.rules.lease import Lease
from agbot.rules.reasons import Cause, Code, Reason
from agbot.rules.records import Hold
from agbot.store.contract import Entry
from tests.support import rows, values
from tests.support.values import ANNA, BERT, GROUP, NMP, NOW

HELD = values.held()
HOLD = Hold(scope="o1", since=NOW.wall, by="eva", why="fair", until=datetime(2026, 3, 4, 18, tzinfo=UTC))
WAITER = replace(
    values.waiter(BERT),
    reasons=(Reason(code=Code.LEASE_HELD, text="o1/anna upgrades"), Reason(code=Code.PAUSED, text="paused by eva")),
)
FORCED = Ending(cause=Cause.FORCED, why="it burns", who="ada@hub")


@pytest.mark.parametrize(
    ("entry", "what", "why", "who"),
    [
        (rows.granted(HELD, NOW), f"{ANNA} may upgrade {NMP}", "every rule allows it", "coordinator"),
        (
            rows.released(HELD, FORCED, NOW),
            f"the lease of {ANNA} for {NMP} has ended: forced",
            "it burns",
            "ada@hub",
        ),
        (
            rows.suspected(HELD, "silent", NOW),
            f"the lease of {ANNA} for {NMP} has expired, and it is not known how the upgrade ended",
            "silent",
            "coordinator",
        ),
        (
            rows.wait_changed(WAITER, NOW),
            f"{BERT} is waiting to upgrade {NMP}: lease-held, paused",
            "o1/anna upgrades; paused by eva",
            "coordinator",
        ),
        (
            rows.exempted(values.ask(ANNA), Reason(code=Code.CLUSTER_NODE, text="it is a cluster"), NOW),
            f"{ANNA} may upgrade {NMP} without a lease: cluster-node",
            "it is a cluster",
            "coordinator",
        ),
        (
            rows.hold_set(HOLD, NOW),
            "o1 is on hold until 2026-03-04 18:00:00Z: no upgrade may begin",
            "fair",
            "eva",
        ),
        (
            rows.hold_set(replace(HOLD, scope="*", until=None), NOW),
            "the whole fleet is on hold: no upgrade may begin",
            "fair",
            "eva",
        ),
        (rows.hold_ended(HOLD, "over", NOW, "ada"), "o1 is no longer on hold", "over", "ada"),
        (rows.brake_set(values.brake(), NOW, "crashed"), f"{NMP} is stopped in {GROUP}: failed on {ANNA}", "crashed", "coordinator"),
        (
            Entry(at=NOW.wall, event="delivery.lost", facts={"sink": "mqtt", "receiver": "hall:1883", "first": 5, "last": 7}),
            "mqtt hall:1883 had not confirmed events 5 to 7 when the journal dropped them",
            "",
            "coordinator",
        ),
        (Entry(at=NOW.wall, event="moon.has_risen"), "moon has risen", "", "coordinator"),
    ],
)  # fmt: skip
def test_an_entry_says_what_happened_why_and_who_did_it(entry: Entry, what: str, why: str, who: str) -> None:
    shown = history.view(entry)

    assert (shown.what, shown.why, shown.who) == (what, why, who)
    assert (shown.group, shown.node, shown.token, shown.facts) == (entry.group, entry.node, entry.token, entry.facts)


@pytest.mark.parametrize(
    ("entry", "by"),
    [
        (rows.released(HELD, FORCED, NOW), "ada@hub"),
        (rows.released(HELD, replace(FORCED, why="reported by ada@hub"), NOW), ""),
        (Entry(at=NOW.wall, event="receivers.tested", who="ada@hub"), ""),
        (rows.granted(HELD, NOW), ""),
    ],
)
def test_who_did_it_is_said_once(entry: Entry, by: str) -> None:
    assert history.view(entry).by == by


def test_a_lease_taken_over_names_the_one_from_whom() -> None:
    suspect = leases.suspect(replace(HELD, group=GROUP))
    after = leases.grant(suspect, values.claim(BERT), NOW, values.TTL)

    shown = history.view(rows.granted(after, NOW))

    assert shown.event == "lease.taken_over"
    assert shown.what == f"{BERT} may upgrade {NMP}: it has taken over the lease of {ANNA}"


def test_a_hold_of_one_group_is_among_its_entries() -> None:
    assert rows.hold_set(replace(HOLD, scope=GROUP), NOW).group == GROUP
    assert rows.hold_ended(replace(HOLD, scope=GROUP), "over", NOW).group == GROUP
    assert rows.hold_set(HOLD, NOW).group is None


def test_a_kind_is_a_name_or_a_noun() -> None:
    assert history.events_of(["hold"]) == ("hold.set", "hold.ended")
    assert history.events_of(["wait.changed", "hold.set", "wait"]) == ("wait.changed", "hold.set", "wait.ended")
    with pytest.raises(LookupError, match="leese"):
        history.events_of(["lease", "leese"])


def test_what_only_goes_on_is_left_out_unless_it_is_asked_for() -> None:
    assert history.LEFT_OUT == ("lease.renewed",)
    assert "lease.renewed" in history.events_of(["lease"])


def test_a_lease_that_was_never_held_is_reported_too() -> None:
    assert history.view(rows.released(Lease(group=GROUP), FORCED, NOW)).why == "it burns"
