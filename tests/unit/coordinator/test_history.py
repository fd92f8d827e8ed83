"""The journal in words."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agbot.coordinator import entries, history
from agbot.coordinator.entries import Ending
from agbot.events.names import EVENTS
from agbot.rules import lease as leases
from agbot.rules.facts import Pause
from agbot.rules.lease import Lease
from agbot.rules.reasons import Cause, Code, Reason
from agbot.store.contract import Entry
from tests.support import values
from tests.support.values import ANNA, BERT, GROUP, NMP, NOW

HELD = values.held()
PAUSE = Pause(scope="o1", since=NOW.wall, by="eva", why="fair", until=datetime(2026, 3, 4, 18, tzinfo=UTC))
WAITER = replace(
    values.waiter(BERT),
    reasons=(Reason(code=Code.LEASE_HELD, text="o1/anna upgrades"), Reason(code=Code.PAUSED, text="paused by eva")),
)
FORCED = Ending(cause=Cause.FORCED, why="it burns", who="ada@hub")


@pytest.mark.parametrize(
    ("entry", "what", "why", "who"),
    [
        (entries.granted(HELD, NOW), f"may upgrade {NMP}", "every rule allows it", "coordinator"),
        (
            entries.released(HELD, FORCED, NOW),
            f"no longer holds the lease for {NMP}: forced",
            "it burns",
            "ada@hub",
        ),
        (entries.suspected(HELD, "silent", NOW), f"holds the lease for {NMP}, and it is not known how that ended", "silent", "coordinator"),
        (
            entries.wait_changed(WAITER, NOW),
            f"waits to upgrade {NMP}: lease-held, paused",
            "o1/anna upgrades; paused by eva",
            "coordinator",
        ),
        (
            entries.exempted(values.ask(ANNA), Reason(code=Code.CLUSTER_NODE, text="it is a cluster"), NOW),
            f"may upgrade {NMP} without a lease: cluster-node",
            "it is a cluster",
            "coordinator",
        ),
        (
            entries.pause_set(PAUSE, NOW),
            "o1 is held until 2026-03-04T18:00:00.000Z: no new upgrades",
            "fair",
            "eva",
        ),
        (
            entries.pause_set(replace(PAUSE, scope="*", until=None), NOW),
            "the whole fleet is held: no new upgrades",
            "fair",
            "eva",
        ),
        (entries.pause_ended(PAUSE, "over", NOW, "ada"), "o1 is no longer held", "over", "ada"),
        (entries.brake_set(values.brake(), NOW, "crashed"), f"{NMP} is stopped in the group: failed", "crashed", "coordinator"),
        (
            Entry(at=NOW.wall, event="delivery.lost", facts={"sink": "mqtt", "receiver": "hall:1883", "first": 5, "last": 7}),
            "mqtt hall:1883 had not taken events 5 to 7 when the journal's time was over",
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


def test_a_lease_taken_over_names_the_one_from_whom() -> None:
    suspect = leases.suspect(replace(HELD, group=GROUP))
    after = leases.grant(suspect, values.claim(BERT), NOW, values.TTL)

    shown = history.view(entries.granted(after, NOW))

    assert shown.event == "lease.taken_over"
    assert shown.what == f"may upgrade {NMP}, with the lease of {ANNA}"


def test_every_event_that_the_coordinator_journals_has_words() -> None:
    source = Path(entries.__file__).read_text(encoding="utf-8")
    written = {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in EVENTS
    }

    bare = Entry(at=NOW.wall, event="", group=GROUP, node=ANNA, subject=NMP)
    unsaid = {name for name in written if history.view(replace(bare, event=name)).what == re.sub("[._]", " ", name)}
    assert "lease.granted" in written
    assert unsaid == set()


def test_a_hold_of_one_group_is_among_its_entries() -> None:
    assert entries.pause_set(replace(PAUSE, scope=GROUP), NOW).group == GROUP
    assert entries.pause_ended(replace(PAUSE, scope=GROUP), "over", NOW).group == GROUP
    assert entries.pause_set(PAUSE, NOW).group is None


def test_a_kind_is_a_name_or_a_noun() -> None:
    assert history.events_of(["pause"]) == ("pause.set", "pause.ended")
    assert history.events_of(["wait.changed", "pause.set", "wait"]) == ("wait.changed", "pause.set", "wait.ended")
    with pytest.raises(LookupError, match="leese"):
        history.events_of(["lease", "leese"])


def test_what_only_goes_on_is_left_out_unless_it_is_asked_for() -> None:
    assert "lease.renewed" not in history.ORDINARY
    assert {"lease.granted", "lease.released", "wait.changed", "pause.set", "brake.set"} <= set(history.ORDINARY)
    assert "lease.renewed" in history.events_of(["lease"])


def test_a_lease_that_was_never_held_is_told_too() -> None:
    assert history.view(entries.released(Lease(group=GROUP), FORCED, NOW)).why == "it burns"
