"""`agbot simulate` against a simulated Exchange on a real socket, and the coordinator's listener."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from agbot.cli.main import main
from agbot.cli.simulate import simulate
from agbot.coordinator.contract import GroupView, LeaseView
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.rules.records import Brake, Hold
from agbot.sim.clock import ScaledClock
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.exchange.server import serve
from agbot.store.contract import Entry
from tests.integration.cli.conftest import console_of
from tests.integration.console.scripted import NOW, Scripted
from tests.support.loop_thread import LoopThread

_NOWHERE = "http://127.0.0.1:1"


@dataclass
class Desk:
    """A person with settings for a hub."""

    exchange: SimExchange
    folder: Path
    url: str

    def run(self, *words: str, coordinator: str = _NOWHERE, **more: str) -> Result:
        environ = {"AGBOT_URL": coordinator, "HZN_ORG_ID": "o1", "HZN_EXCHANGE_URL": None, "TZ": "UTC", **more}
        config = ("--config", str(self.folder / "agbot.toml"))
        return CliRunner().invoke(main, ["simulate", *words, *config], env=environ, prog_name="agbot")

    def forecast(self, *words: str, coordinator: str = _NOWHERE) -> dict[str, Any]:
        result = self.run("--nmp", "agent-2.32", "--json", *words, coordinator=coordinator)
        assert result.exit_code == 0, result.output
        found = json.loads(result.output)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    exchange = SimExchange(clock=ScaledClock(), root_password="rootpw", seed=0)
    seed.agbot(exchange, "IBM", "coordinator")
    seed.org(exchange, "o1")
    seed.management_policy(exchange, "o1", "agent-2.32")
    seed.management_policy(exchange, "o1", "agent-2.31")
    for group in ("g1", "g2"):
        for node in ("a", "b"):
            seed.node(exchange, "o1", f"{group}-{node}")
        seed.group(exchange, "o1", group, [f"{group}-a", f"{group}-b"])
    loop = LoopThread()
    server = loop.run(serve(exchange, "127.0.0.1", 0))
    token = tmp_path / "token"
    token.write_text(f"{seed.token_of('coordinator')}\n", encoding="utf-8")
    token.chmod(0o600)
    settings = f'[exchange]\nurl = "{server.url}"\nidentity = "IBM/coordinator"\ntoken_file = "{token}"\n'
    (tmp_path / "agbot.toml").write_text(settings, encoding="utf-8")
    yield Desk(exchange, tmp_path, server.url)
    loop.run(server.close())
    loop.close()


def test_a_hub_is_forecast_as_a_table_and_is_only_read(desk: Desk) -> None:
    last, before = desk.exchange.world.log.last_id, desk.exchange.requests.copy()
    result = desk.run("--nmp", "agent-2.32", "--duration", "5m")

    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.output.splitlines()[:3]] == ["GROUP", "o1/g1", "o1/g2"]
    assert "upgrades    4 members of 2 groups" in result.output
    assert "5 min for each agent upgrade, as given" in result.output
    assert "leases, orders and history were not read: the coordinator at http://127.0.0.1:1" in result.output
    assert desk.exchange.world.log.last_id == last
    sent = desk.exchange.requests - before
    assert {key.method for key in sent} == {"GET"}
    assert sent.total() == 4 + 4 * 2, "four lists, and of each member its statuses and its agreements"


def test_a_snapshot_has_no_secrets_and_gives_the_same_forecast(desk: Desk) -> None:
    file, drawing = desk.folder / "hub.json", desk.folder / "forecast.svg"
    first = desk.forecast("--duration", "5m", "--save", str(file), "--picture", str(drawing))

    again = desk.forecast("--from", str(file), "--duration", "5m")
    assert again == first
    assert "secret" not in file.read_text(encoding="utf-8")
    assert drawing.read_text(encoding="utf-8").startswith("<svg")
    assert (first["upgraded"], first["blocked"], first["most_upgrading"]) == (4, 0, 2)


def test_leases_holds_brakes_and_durations_come_from_the_coordinator(desk: Desk) -> None:
    nmp = PolicyId("o1/agent-2.32")
    operations = Scripted()
    groups = (GroupId("o1/g1"), GroupId("o1/g2"))
    operations.known = [
        GroupView(id=each, members=(), lease=LeaseView(group=each, state="free", token=3)) for each in groups
    ]
    policy = desk.exchange.world.management_policies["o1", "agent-2.32"]
    brake = Brake(
        group=groups[1],
        kind=Kind.AGENT,
        subject=nmp,
        revision=policy.doc["lastUpdated"],
        since=NOW,
        cause=Cause.FAILED,
        node=NodeId("o1/g2-a"),
        token=3,
    )
    hold = Hold(scope="node:o1/g1-a", since=NOW, by="ada", why="broken disk")
    operations.ordered = replace(operations.ordered, holds=[hold], brakes=[brake])
    released = {"cause": Cause.SUCCEEDED, "why": "done", "held_seconds": 420.0}
    operations.entries = [
        Entry(
            at=NOW,
            event="lease.released",
            group=GroupId("o1/g1"),
            node=NodeId("o1/g1-a"),
            subject=nmp,
            token=2,
            facts=released,
            id=1,
        )
    ]
    with console_of(operations) as url:
        found = desk.forecast(coordinator=url)

    blocked = {left["node"]: left["code"] for group in found["groups"] for left in group["blocked"]}
    assert blocked == {"o1/g1-a": "paused", "o1/g2-a": "brake", "o1/g2-b": "brake"}
    assert found["durations"] == {"agent": "7 min: the only agent upgrade of the history"}
    assert found["lacks"] == []


def test_a_group_that_rests_begins_later_and_the_summary_counts_what_there_is_to_do(desk: Desk) -> None:
    settings, file = desk.folder / "agbot.toml", desk.folder / "hub.json"
    settings.write_text(f"{settings.read_text(encoding='utf-8')}[rules]\nagent_soak_seconds = 3600\n", encoding="utf-8")
    seed.group(desk.exchange, "o1", "empty", [])
    ended_at = datetime.now(UTC) - timedelta(minutes=1)
    lease = LeaseView(
        group=GroupId("o1/g1"),
        state="free",
        token=3,
        last_holder=NodeId("o1/g1-a"),
        last_kind=Kind.AGENT,
        last_subject=PolicyId("o1/agent-2.31"),
        last_cause=Cause.SUCCEEDED,
        last_end_at=ended_at,
    )
    operations = Scripted()
    operations.known = [GroupView(id=lease.group, members=(), lease=lease)]

    with console_of(operations) as url:
        result = desk.run("--nmp", "agent-2.32", "--duration", "5m", "--save", str(file), coordinator=url)
        operations.known = [GroupView(id=lease.group, members=(), lease=replace(lease, last_rest_ended=True))]
        rested = desk.forecast("--duration", "5m", coordinator=url)
    found = desk.forecast("--from", str(file), "--duration", "5m")

    until = ended_at + timedelta(hours=1)
    assert "upgrades    4 members of 2 groups; 1 other group has nothing to do\n" in result.output
    assert f"resting     1 group after an upgrade that ended before, until {until:%Y-%m-%d %H:%M} UTC" in result.output
    assert list(found["resting_before"]) == ["o1/g1"]
    begins = {each["group"]: datetime.fromisoformat(each["begins_at"]) for each in found["groups"]}
    assert begins["o1/g1"] >= until > begins["o1/g2"]
    assert rested["resting_before"] == {}


def _upgrading(operations: Scripted) -> None:
    """Let g1-a upgrade its agent."""
    lease = LeaseView(
        group=GroupId("o1/g1"),
        state="held",
        token=3,
        holder=NodeId("o1/g1-a"),
        kind=Kind.AGENT,
        subject=PolicyId("o1/agent-2.31"),
        granted_at=NOW,
    )
    operations.known = [GroupView(id=lease.group, members=(), lease=lease)]


def test_of_an_upgrade_under_way_that_is_not_forecast_no_duration_is_asked(desk: Desk) -> None:
    seed.deployment_policy(desk.exchange, "o1", "web", service="svc", versions=["1.1.0"])
    agreement = {"services": [], "agreementService": {"orgid": "o1", "pattern": "", "url": "o1/svc"}, "state": "up"}
    seed.send(desk.exchange, "PUT", "/orgs/o1/nodes/g2-a/agreements/1", agreement)
    operations = Scripted()
    _upgrading(operations)

    with console_of(operations) as url:
        result = desk.run("--policy", "web", "--service-duration", "2m", coordinator=url)
        refused = desk.run("--policy", "web", coordinator=url)

    assert result.exit_code == 0, result.output
    assert "upgrades    1 member of 1 group" in result.output
    assert "under way   1 upgrade that began before" in result.output
    assert "agent       not known; 2 min is taken for those under way" in result.output
    assert (refused.exit_code, "--service-duration 5m" in refused.output) == (1, True)


def test_where_nothing_is_upgraded_the_upgrades_at_once_are_said_to_be_earlier_ones(desk: Desk) -> None:
    seed.deployment_policy(desk.exchange, "o1", "web", service="svc", versions=["1.1.0"])
    operations = Scripted()
    _upgrading(operations)

    with console_of(operations) as url:
        result = desk.run("--policy", "web", coordinator=url)

    assert result.exit_code == 0, result.output
    assert "nothing is upgraded" in result.output
    assert "under way   1 upgrade that began before, counted in the next two lines" in result.output


@pytest.mark.parametrize(
    ("words", "code", "texts"),
    [
        (("--nmp", "agnt-2.32", "--duration", "5m"), 8, ("no node management policy o1/agnt-2.32", "o1/agent-2.32")),
        (("--policy", "web", "--duration", "5m"), 8, ("no deployment policy o1/web", "there are none")),
        (("--nmp", "agent-2.32"), 1, ("not known how long agent upgrades take", "--duration 5m")),
        ((), 2, ("--nmp, --policy or both",)),
        (("--nmp", "a/x", "--policy", "b/y"), 2, ("one organisation",)),
        (("--nmp", "agent-2.32", "--duration", "soon"), 2, ("not a duration such as",)),
        (("--nmp", "agent-2.32", "--from", "http://127.0.0.1:1/v1"), 5, ("http://127.0.0.1:1/v1/orgs/o1", "IBM/coord")),
        (("--nmp", "agent-2.32", "--from", "missing.json"), 4, ("missing.json cannot be read", "--save")),
        (("--nmp", "agent-2.32", "--duration", "5m", "--save", "/proc/no"), 4, ("/proc/no cannot be written",)),
    ],
)
def test_mistakes_are_named_with_what_was_tried(
    desk: Desk, words: tuple[str, ...], code: int, texts: tuple[str, ...]
) -> None:
    result = desk.run(*words)

    assert result.exit_code == code, result.output
    for text in texts:
        assert text in result.output


@pytest.mark.parametrize("variable", ["AGBOT_EXCHANGE_URL", "HZN_EXCHANGE_URL"])
def test_the_hub_that_is_named_is_read_whatever_the_environment_names(desk: Desk, variable: str) -> None:
    result = desk.run("--nmp", "agent-2.32", "--from", "http://127.0.0.1:1/v1", **{variable: desk.url})

    assert (result.exit_code, "http://127.0.0.1:1/v1/orgs/o1" in result.output) == (5, True), result.output


def test_a_snapshot_of_another_organisation_is_named(desk: Desk) -> None:
    file = desk.folder / "hub.json"
    desk.forecast("--duration", "5m", "--save", str(file))

    result = desk.run("--nmp", "o2/up", "--from", str(file), "--duration", "5m")

    assert result.exit_code == 8
    assert "is a snapshot of organisation o1" in result.output


def test_a_wrong_token_is_named_and_not_shown(desk: Desk) -> None:
    (desk.folder / "token").write_text("wrong-token-1\n", encoding="utf-8")

    result = desk.run("--nmp", "agent-2.32", "--duration", "5m")

    assert result.exit_code == 5
    assert "check the identity and its token" in result.output
    assert "wrong-token-1" not in result.output


def test_a_duration_may_be_in_days() -> None:
    option = next(each for each in simulate.params if each.name == "duration")
    context = click.Context(simulate)

    assert option.process_value(context, "2d") == 2 * option.process_value(context, "24h") == 172_800.0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
def test_a_snapshot_that_does_not_fit_on_the_disk_needs_space_and_no_other_folder(desk: Desk) -> None:
    result = desk.run("--nmp", "agent-2.32", "--duration", "5m", "--save", "/dev/full")

    assert result.exit_code == 4
    assert "next:  free space there" in result.output, result.output
