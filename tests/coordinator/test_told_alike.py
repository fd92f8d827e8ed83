"""One refusal is reported alike everywhere: in `explain`, in the journal, in the log.

And its facts are put together once.
"""

from __future__ import annotations

import asyncio
import io
import json
from datetime import timedelta
from typing import Any, Literal

import pytest

from agbot.console import replies
from agbot.console.metrics import Metrics
from agbot.coordinator import decision_record
from agbot.coordinator.permission import Granted
from agbot.daemon import logging as daemon_logging
from agbot.daemon.measuring import Reporter
from agbot.events.event import DECISION_RECORD
from agbot.rules.decide import Grant, Wait, decide
from agbot.rules.facts import Ask
from agbot.rules.ids import node_id, policy_id
from agbot.rules.records import Allowance, Hold, Waiter
from agbot.rules.rule import Case
from agbot.rules.rulebook import RULES
from agbot.rules.seen_time import SeenTime
from agbot.settings.running import LogSettings
from agbot.sim.exchange import seed
from agbot.store.contract import Entry, JournalQuery, Writes
from tests.support.clocks import NOON
from tests.support.faulty_store import Failure
from tests.support.hub import NMP, ORG, Hub, codes
from tests.support.terminal import Terminal
from tests.support.virtual_time import in_virtual_time

DAY = timedelta(days=1)
pytestmark = pytest.mark.usefixtures("logging_put_back")


def logged(entry: Entry, out: io.StringIO, level: Literal["debug", "info"] = "info") -> str:
    """Log an entry as the daemon does, and return the last line."""
    daemon_logging.set_up(LogSettings(level=level), {}, out)
    Reporter(Metrics()).report(entry)
    return out.getvalue().splitlines()[-1]


async def two_of_three_wait() -> Hub:
    """Let n1 hold the lease of three, for an upgrade that is under way.

    N3 is silent for ten minutes.
    """
    hub = Hub()
    hub.group("g1", "n1", "n2", "n3")
    hub.report("n1", "ha node waiting")
    await hub.start()
    await hub.live("n1", "n2", seconds=600)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "downloaded")
    await asyncio.sleep(5)
    return hub


def explained(hub: Hub, node: str) -> Any:
    """Return what `/v1/explain` answers."""
    return json.loads(replies.json(hub.coordinator.explain(hub.question(node, "g1").node)).body)  # type: ignore[arg-type]  # a reply made at once has bytes


async def journalled(hub: Hub, event: str = "wait.changed") -> Entry:
    (entry,) = await hub.store.journal(JournalQuery(events=(event,), limit=1))
    return entry


@in_virtual_time
async def test_the_rules_words_on_a_refusal_are_one_object_in_explain_journal_and_log() -> None:
    hub = await two_of_three_wait()
    assert codes(await hub.ask("n2", "g1")) == ["lease-held", "peers-unavailable"]
    shown = explained(hub, "n2")

    await asyncio.sleep(3)

    entry = await journalled(hub)
    line = json.loads(logged(entry, io.StringIO(), "debug"))
    first = json.loads(logged(entry, io.StringIO()))
    assert len(shown["rules"]) == len(RULES)
    assert entry.facts["rules"] == shown["rules"]
    assert line["rules"] == shown["rules"]
    failed = [each for each in line["rules"] if not each["passes"]]
    assert line["reasons"] == [{"code": each["code"], "text": each["text"]} for each in failed]
    assert [each["code"] for each in failed] == ["lease-held", "peers-unavailable"]
    assert (first["code"], first["reason"], first["others"]) == (failed[0]["code"], failed[0]["text"], 1)
    await hub.stop()


@in_virtual_time
async def test_every_rule_that_rests_on_a_read_says_how_old_it_is() -> None:
    hub = await two_of_three_wait()
    await hub.ask("n2", "g1")
    await asyncio.sleep(4)

    found = hub.coordinator.explain(hub.question("n2", "g1").node)
    assert found is not None
    rules = {each.rule: each for each in found.rules}

    assert rules["lease-free"].facts["token"] == 1
    assert rules["lease-free"].facts["holder"] == f"{ORG}/n1"
    assert rules["lease-free"].age_seconds is None, "the lease is our own"
    assert rules["policy"].facts["revision"]
    assert rules["peers"].facts["oldest_heartbeat_of"] == f"{ORG}/n3"
    read_at = hub.coordinator._situation.picture.node_read_at  # noqa: SLF001 - the truth behind the views
    oldest = min(read_at(hub.question(node, "g1").node) or SeenTime(NOON) for node in ("n1", "n3"))
    assert rules["peers"].age_seconds == (SeenTime(hub.clock.now()) - oldest).total_seconds() > 0
    assert {name for name, each in rules.items() if each.age_seconds is not None} == {
        "trust",
        "member",
        "no-other-upgrade",
        "policy",
        "no-brake",
        "peers",
    }
    await hub.stop()


@in_virtual_time
async def test_a_terminal_gets_codes_and_texts_and_no_line_of_the_log_gets_the_decision_record() -> None:
    hub = await two_of_three_wait()
    await hub.ask("n2", "g1")
    await asyncio.sleep(3)

    for event in ("wait.changed", "lease.granted"):
        entry = await journalled(hub, event)
        assert DECISION_RECORD in entry.facts
        for out in (io.StringIO(), Terminal()):
            assert "heartbeat_stale_seconds" not in logged(entry, out)
    shown = logged(await journalled(hub), Terminal())

    assert "lease-held" in shown
    assert f"{ORG}/n1 has been upgrading {ORG}/{NMP} since" in shown
    assert "oldest_heartbeat_of" not in shown
    await hub.stop()


@in_virtual_time
async def test_each_decision_in_the_journal_can_be_derived_again() -> None:
    hub = await two_of_three_wait()
    await hub.ask("n2", "g1")
    await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="eva", why="fair"))
    await hub.ask("n2", "g1")
    await asyncio.sleep(3)

    derived: dict[str, tuple[Entry, Grant | Wait]] = {}
    for entry in await hub.store.journal(JournalQuery(events=("lease.granted", "wait.changed"))):
        case = decision_record.read(entry.facts[DECISION_RECORD])
        assert case.at.wall == entry.at
        derived[entry.event] = entry, decide(case)

    assert derived["lease.granted"][1] == Grant()
    entry, wait = derived["wait.changed"]
    assert isinstance(wait, Wait)
    assert [{"code": str(each.code), "text": each.text} for each in wait.reasons] == entry.facts["reasons"]
    await hub.stop()


@in_virtual_time
async def test_an_exempted_node_s_yes_keeps_its_facts_too() -> None:
    hub = Hub()
    hub.group("g1", "n2")
    seed.node(hub.exchange, ORG, "n1")
    await hub.start()
    hub.report("n1", "initiated")
    hub.admin("POST", "/hagroups/g1/nodes/n1")
    await asyncio.sleep(11)

    assert isinstance(await hub.ask("n1", "g1"), Granted)

    case = decision_record.read((await journalled(hub, "lease.exempted")).facts[DECISION_RECORD])
    decision = decide(case)
    assert isinstance(decision, Grant)
    assert decision.exempt is not None
    await hub.stop()


@in_virtual_time
async def test_a_refusal_that_no_rule_gave_shows_the_rules_and_keeps_no_decision_record() -> None:
    """The store failed under the grant: the same facts would have given yes."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    hub.report("n1", "ha node waiting")
    await hub.start()
    await hub.live("n1", "n2", seconds=60)
    hub.store.fail_next(Failure.BEFORE_COMMIT)  # type: ignore[attr-defined]  # a memory store

    assert codes(await hub.ask("n1", "g1")) == ["store-unavailable"]
    shown = explained(hub, "n1")
    await asyncio.sleep(5)

    entry = await journalled(hub)
    assert DECISION_RECORD not in entry.facts
    assert entry.facts["rules"] == shown["rules"]
    await hub.stop()


@in_virtual_time
async def test_facts_are_put_together_for_news_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = await two_of_three_wait()
    written: list[Ask] = []
    write = decision_record.write

    def counted(case: Case) -> dict[str, Any]:
        written.append(case.ask)
        return write(case)

    monkeypatch.setattr(decision_record, "write", counted)
    for _ in range(50):
        await hub.ask("n2", "g1", is_remembered=True)
    await asyncio.sleep(3)
    assert len(written) == 1

    await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="eva", why="fair"))
    for _ in range(50):
        assert codes(await hub.ask("n2", "g1", is_remembered=True)) == ["lease-held", "paused", "peers-unavailable"]
    await asyncio.sleep(3)
    assert len(written) == 2
    await hub.stop()


@in_virtual_time
async def test_a_refusal_is_recorded_with_the_facts_of_its_moment_though_the_cycle_writes_it_later() -> None:
    hub = await two_of_three_wait()
    refused = await hub.ask("n2", "g1")
    allowance = Allowance(
        node=node_id(ORG, "n2"), subject=policy_id(ORG, NMP), since=NOON, until=NOON + DAY, by="ann", why="urgent"
    )
    hub.coordinator._situation.ledger.allowances[allowance.node] = allowance  # noqa: SLF001 - as a commit changes it
    await asyncio.sleep(5)
    [entry] = [each for each in hub.events("wait.changed") if each.node == "o1/n2"]
    case = decision_record.read(entry.facts[DECISION_RECORD])
    assert not case.group.allowances
    decided = decide(case)
    assert isinstance(decided, Wait)
    assert [str(reason.code) for reason in decided.reasons] == codes(refused)
    await hub.stop()


@in_virtual_time
async def test_many_new_waiters_are_written_in_many_short_transactions() -> None:
    hub = Hub()
    names = [f"n{number}" for number in range(41)]
    hub.group("g1", *names)
    hub.report("n0", "ha node waiting")
    await hub.start()
    assert isinstance(await hub.ask("n0", "g1"), Granted)
    await asyncio.sleep(2.5)
    written, write = list[int](), hub.store.write

    async def counted(writes: Writes) -> None:
        written.append(sum(isinstance(record, Waiter) for record in writes.put))
        await write(writes)

    hub.store.write = counted  # type: ignore[method-assign]  # it counts what it passes on
    for name in names[1:]:
        await hub.ask(name, "g1")
    await asyncio.sleep(5)
    assert sum(written) == 40
    assert max(written) <= 32
    await hub.stop()
