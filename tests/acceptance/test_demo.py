"""The demo as a person and as a script run it: its figures, its exit codes, its plain output."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from agbot.cli.demo import guard, play
from agbot.cli.demo.clock import DemoClock
from agbot.cli.demo.figures import Played, Summary, render
from agbot.cli.demo.guard import LeftOutError
from agbot.cli.demo.observed import Observed
from agbot.cli.demo.play import LOG, Options
from agbot.cli.demo.running import running_hub
from agbot.cli.demo.stories import GUARD_STORY, Outcome, Plan, Story
from agbot.daemon.logging import set_up
from agbot.settings.running import LogSettings
from agbot.sim.links import Answered, Question, permit
from tests.support.examples import thorough
from tests.support.patience import PATIENCE_SECONDS, allowed_seconds, until
from tests.support.postgres import own_folder, program

AGBOT = Path(sys.executable).with_name("agbot")
FASTEST = 150.0
"""Simulated seconds per second on an idle machine."""


SUMMARY = Summary(
    grants=0,
    exempt=0,
    releases={},
    refusals={},
    max_concurrent_in_any_group=1,
    violations=0,
    overlaps=0,
    violation_stories=[],
    handoff_seconds={},
    exchange_requests=0,
    upgrades={},
    simulated_seconds=1,
    real_seconds=1,
    speed=1,
    seed=1,
    stories=[],
)


def quick() -> tuple[str, ...]:
    """Return the options of a short run, as fast as this machine can follow at present."""
    return "--no-guard", "--groups", "2", "--members", "3", "--speed", f"{max(FASTEST / allowed_seconds(1.0), 1):.0f}"


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [AGBOT, "demo", *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def test_the_json_summary_holds_the_promised_figures_and_no_violation() -> None:
    done = run_demo("--json", *quick(), "--duration", f"{allowed_seconds(4.0):.1f}")
    summary = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert summary["violations"] == 0
    assert summary["max_concurrent_in_any_group"] == 1
    assert summary["overlaps"] == 0
    assert summary["grants"] >= 2
    assert summary["releases"]["succeeded"] >= 1
    assert summary["refusals"]["lease-held"] >= 1
    handoffs = summary["handoff_seconds"]
    assert set(handoffs) == {"agent-asked", "agent-unasked", "service-asked", "service-unasked"}
    assert set(handoffs["agent-asked"]["whole"]) == {"count", "p50", "p99"}
    assert "after_agbot_row" in handoffs["service-unasked"]
    assert handoffs["agent-asked"]["whole"]["count"] >= 1
    assert summary["exchange_requests"] > 0
    assert summary["seed"] == 1
    assert summary["left_out"] == "--no-guard"


def test_piped_output_is_plain_text_with_a_line_for_what_happens_and_a_summary() -> None:
    emitted: list[str] = []
    with subprocess.Popen([AGBOT, "demo", *quick()], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        wanted = {
            "times, also those of the page, are simulated, and pass ",
            "lines with * are what happens in the hub, the others are events of the coordinator",
            "dead-node: * the story: A member dies with its permission",
            "cluster-node-3 is a cluster node and upgrades by itself",
            "may upgrade agent-group-1 (agent, token 2)",
        }
        for line in running.stdout:
            emitted.append(line)
            wanted -= {each for each in wanted if each in line}
            if not wanted:
                running.send_signal(signal.SIGINT)

    assert wanted == set()
    text = "".join(emitted)
    # A busy machine may be too slow for a story, which the summary says.
    assert (running.returncode == 1) is (" otherwise" in text or "BROKEN" in text), text
    assert " cut short" in text
    assert "\x1b" not in text
    assert "At most 1 member of any group" in text
    assert " simulated minutes" in text
    assert " s of real time at " in text
    assert "agents that asked: p50 " in text
    assert [line for line in emitted if line != line.rstrip() + "\n"] == []


async def test_lines_of_two_hubs_are_printed_in_the_order_of_their_times() -> None:
    began, out = datetime(2026, 1, 1, tzinfo=UTC), StringIO()
    observed = Observed()
    printing = asyncio.create_task(play.print_lines(observed, DemoClock(60, began), Console(file=out)))
    await asyncio.sleep(0)

    observed.line(began + timedelta(seconds=36), "of one hub")
    observed.line(began + timedelta(seconds=32), "of the other")
    printing.cancel()
    await asyncio.wait({printing})

    assert out.getvalue() == "00:00:32 of the other\n00:00:36 of one hub\n"


def test_a_reader_that_leaves_early_as_head_does_ends_the_run_and_nothing_stays_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command: list[str | Path] = [AGBOT, "demo", *quick()]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline().startswith("the page of the demo: ")
        assert [each.name.startswith("agbot-demo-") for each in tmp_path.iterdir()] == [True]
        running.stdout.close()
        said = running.stderr.read()

    # 1 and words only if a busy machine was too slow for a story; then the folder is kept on purpose
    assert (running.returncode, said) == (0, "") or "not as promised" in said
    assert list(tmp_path.iterdir()) == [] or "not as promised" in said


def test_input_that_makes_no_sense_is_refused_before_anything_starts() -> None:
    done = run_demo("--speed", "0")

    assert done.returncode == 2
    assert "--speed" in done.stderr


class AlwaysYes:
    """What nodes would do if no one coordinated them."""

    async def ask(self, question: Question) -> Answered:
        return permit()

    async def report_end(self, question: Question, *, succeeded: bool) -> Answered:
        return permit()


@thorough
async def test_the_observer_sees_two_at_once_when_everybody_is_granted_and_the_run_counts_as_broken(
    tmp_path: Path,
) -> None:
    options = Options(groups=1, speed=200, no_guard=True, duration=allowed_seconds(3.0), as_json=True)

    summary = await play.play(options, tmp_path, AlwaysYes())

    assert summary.violations > 0
    assert summary.max_concurrent_in_any_group > 1
    assert not summary.is_as_promised


async def test_a_story_that_breaks_ends_the_run_with_its_error_instead_of_going_on_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(_: Story) -> None:
        raise LookupError("the stage has gone")

    monkeypatch.setattr(Story, "play", breaks)

    with pytest.raises(LookupError, match="the stage has gone"):
        await play.play(Options(groups=0, no_guard=True, as_json=True), tmp_path)


@thorough
async def test_the_guard_keeps_an_unmodified_agbot_waiting_and_it_goes_on_by_itself(
    tmp_path: Path, logging_put_back: None
) -> None:
    program("initdb")
    clock, observed = DemoClock(FASTEST / allowed_seconds(1.0), datetime.now(UTC)), Observed()
    ticking = asyncio.create_task(clock.run())
    database = await guard.start()
    plan = Plan(groups=0, stories=(GUARD_STORY,))
    try:
        with (tmp_path / LOG).open("w", encoding="utf-8") as log:
            set_up(LogSettings(format="json"), {}, log)
            async with running_hub(
                plan, clock=clock, chance_seed=1, folder=tmp_path, observed=observed, database=database
            ) as hub:
                await hub.stories[0].play()
                assert hub.stories[0].wrong == []
    finally:
        await database.remove()
        ticking.cancel()
    assert not await asyncio.to_thread(Path(database.url.partition("host=")[2]).exists)
    lines = [text for _, text in observed.lines]
    assert any("the guard keeps guarded-" in text and "has the lease for agent-guarded" in text for text in lines)
    assert sum("(service, token" in text for text in lines) == 3


async def test_a_demo_that_is_killed_takes_its_postgresql_with_it() -> None:
    program("initdb")
    folder = own_folder("agbot-demo-")  # its server may run as another user
    command = (AGBOT, "demo", "--groups", "0")
    environment = {**os.environ, "TMPDIR": str(folder)}
    running = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL, env=environment)
    try:
        [server] = await until("a server that answers", lambda: postmasters(folder))
    finally:
        running.kill()
        await running.wait()

    await until("the end of the server", lambda: not is_running(server))
    shutil.rmtree(folder)


def postmasters(folder: Path) -> list[int]:
    """Return the pids of the servers that answer, by the files in which they note it."""
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("agbot-demo-pg-*/data/postmaster.pid")]
    return [int(text.split()[0]) for text in texts if "ready" in text]


def is_running(pid: int) -> bool:
    """Whether a process lives: an orphan that has ended may wait for whoever reaps it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return "State:\tZ" not in status


async def test_without_postgresql_the_story_with_the_guard_is_left_out_and_the_summary_states_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("agbot.sim.database_server._PLACES", ())
    with pytest.raises(LeftOutError, match=r"^no PostgreSQL server is installed here \(initdb is not found\)$"):
        await guard.start()
    summary = replace(SUMMARY, left_out="no PostgreSQL server is installed here (initdb is not found)")
    console = Console(width=80, record=True, file=StringIO())
    console.print(render(summary))
    assert "guarded  left out: no PostgreSQL server is installed here" in console.export_text()


@pytest.mark.parametrize(
    ("violations", "overlaps", "outcome", "promised"),
    [
        (0, 0, Outcome.AS_DESCRIBED, True),
        (0, 0, Outcome.CUT_SHORT, True),
        (0, 0, Outcome.OTHERWISE, False),
        (1, 0, Outcome.AS_DESCRIBED, False),
        (0, 1, Outcome.AS_DESCRIBED, False),
    ],
)
def test_a_run_is_as_promised_when_no_promise_was_broken_no_overlap_made_up_and_no_story_ended_otherwise(
    violations: int, overlaps: int, outcome: Outcome, promised: bool
) -> None:
    stories = [Played(name="story", sentence="", outcome=outcome)]
    summary = replace(SUMMARY, violations=violations, overlaps=overlaps, stories=stories)

    assert summary.is_as_promised is promised
