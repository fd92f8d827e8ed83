"""The demo as a person and as a script run it: its figures, its exit codes, its plain output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agbot.cli import demo
from agbot.cli.demo import Options
from agbot.cli.demo_figures import Summary, Told
from agbot.cli.demo_stories import Outcome, Story
from agbot.sim.links import Answered, Question, permit

AGBOT = Path(sys.executable).with_name("agbot")
QUICK = ("--groups", "2", "--members", "3", "--speed", "100", "--duration", "6")


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([AGBOT, "demo", *arguments], capture_output=True, text=True, timeout=28, check=False)


def test_the_json_summary_holds_the_promised_figures_and_no_violation() -> None:
    done = run_demo("--json", *QUICK)
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


def test_piped_output_is_plain_text_with_a_line_for_what_happens_and_a_summary() -> None:
    done = run_demo(*QUICK)

    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "may upgrade" in done.stdout
    assert "cluster-node-3 is a cluster node and upgrades by itself" in done.stdout
    assert "At most 1 member of any group" in done.stdout
    assert "agents that asked: p50 " in done.stdout


def test_input_that_makes_no_sense_is_refused_before_anything_starts() -> None:
    done = run_demo("--speed", "0")

    assert done.returncode == 2
    assert "--speed" in done.stderr


class AlwaysYes:
    """What nodes would do if nobody coordinated them."""

    async def ask(self, question: Question) -> Answered:
        return permit()

    async def report_end(self, question: Question, *, succeeded: bool) -> Answered:
        return permit()


async def test_the_observer_sees_two_at_once_when_everybody_is_told_yes_and_the_run_counts_as_broken(
    tmp_path: Path,
) -> None:
    options = Options(groups=1, speed=200, duration=4, as_json=True)

    summary = await demo.play(options, tmp_path, AlwaysYes())

    assert summary.violations > 0
    assert summary.max_concurrent_in_any_group > 1
    assert not summary.is_as_promised


async def test_a_story_that_breaks_ends_the_run_with_its_error_instead_of_going_on_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(_: Story) -> None:
        raise LookupError("the stage has gone")

    monkeypatch.setattr(Story, "tell", breaks)

    with pytest.raises(LookupError, match="the stage has gone"):
        await demo.play(Options(groups=0, as_json=True), tmp_path)


@pytest.mark.parametrize(
    ("violations", "overlaps", "outcome", "promised"),
    [
        (0, 0, Outcome.AS_TOLD, True),
        (0, 0, Outcome.CUT_SHORT, True),
        (0, 0, Outcome.OTHERWISE, False),
        (1, 0, Outcome.AS_TOLD, False),
        (0, 1, Outcome.AS_TOLD, False),
    ],
)
def test_a_run_is_as_promised_when_no_promise_was_broken_no_overlap_made_up_and_no_story_ended_otherwise(
    violations: int, overlaps: int, outcome: Outcome, promised: bool
) -> None:
    summary = Summary(
        grants=0,
        exempt=0,
        releases={},
        refusals={},
        max_concurrent_in_any_group=1,
        violations=violations,
        overlaps=overlaps,
        violation_stories=[],
        handoff_seconds={},
        exchange_requests=0,
        upgrades={},
        simulated_seconds=1,
        real_seconds=1,
        speed=1,
        seed=1,
        stories=[Told(name="story", sentence="", outcome=outcome)],
    )

    assert summary.is_as_promised is promised
