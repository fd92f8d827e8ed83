"""`agbot doctor` as people and programs run it: a process against a hub on sockets, beside a running daemon or without one."""

from __future__ import annotations

import asyncio
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from tests.acceptance.programs import environment, template
from tests.integration.doctor.ward import ORG, SECRET, Ward, ward
from tests.support.patience import PATIENCE_SECONDS
from tests.support.terminal import run_on_terminal


def words(hub: Ward, *arguments: str) -> list[str]:
    return ["doctor", str(hub.file), "--url", "http://127.0.0.1:1", *arguments]


async def agbot(hub: Ward, *arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code and what it wrote."""
    with (hub.folder / "written").open("w+b") as written:
        number, environ = written.fileno(), environment(HOME=str(hub.folder))
        process = template().fork(words(hub, *arguments), environ, stdout=number, stderr=number, open_files=None)
        code = await asyncio.to_thread(process.wait, PATIENCE_SECONDS)
        written.seek(0)
        return code, written.read().decode()


async def agbot_on_terminal(
    hub: Ward, *arguments: str, types: bytes = b"", interrupt_at: bytes = b""
) -> tuple[int, str]:
    environ = environment(HOME=str(hub.folder), COLUMNS="80")
    run = partial(run_on_terminal, words(hub, *arguments), environ, types, interrupt_at=interrupt_at)
    return await asyncio.to_thread(run)


async def test_every_line_fits_into_a_terminal_of_80_columns_but_the_commands_to_copy(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.leave("a1", "w14")
        code, seen = await agbot_on_terminal(hub)
        out = re.sub(r"\x1b\[[0-9;]*m", "", seen)
        assert code == 1
        # a path or a command that is broken over lines could not be copied
        whole = ("curl ", "DELETE ", str(hub.folder))
        long = [line for line in out.splitlines() if len(line) > 80]
        assert all(line.lstrip().startswith(whole) for line in long), long
        assert "stuck    agent slot      o1/a1: o1/a1-1 for o1/a1-policy (A1)" in out
        assert "evidence: o1/a1-1 is dead: last heartbeat 3 hours ago" in out
        assert "2 stuck slots (`agbot doctor --cure` deletes them one at a time)" in out
        assert SECRET not in out


async def test_a_pipe_gets_each_finding_and_what_to_do_in_whole_lines(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.leave("a1")
        _, out = await agbot(hub)
        report = json.loads((await agbot(hub, "--json"))[1])

    lines = out.splitlines()
    texts = [each[key] for each in report["findings"] for key in ("found", "next_step") if each["verdict"] != "ok"]
    assert all(any(line.endswith(text) for line in lines) for text in [*texts, report["slots"][0]["why"]]), out


async def test_a_sound_hub_ends_with_0(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        code, out = await agbot(hub)
        assert code == 0, out
        assert out.splitlines()[-1].endswith("nothing is wrong")


async def test_it_asks_before_each_cure_and_leaves_what_is_declined(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.leave("a1", "w2")
        code, out = await agbot_on_terminal(hub, "--cure", types=b"n\ny\n")
        assert code == 1, "one is left"
        assert [(row.group, row.node) for row in hub.rows.services] == [("w2", f"{ORG}/w2-1")]
        assert hub.rows.agents == []
        assert "cured: o1/a1-1 for o1/a1-policy: deleted; no other row of the group has gone" in " ".join(out.split())


async def test_ctrl_c_at_a_question_ends_it_and_nothing_more_is_asked_or_deleted(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.leave("a1", "w2")
        code, out = await agbot_on_terminal(hub, "--cure", interrupt_at=b"[y/N]")
        assert (code, out.count("[y/N]")) == (1, 1)
        assert (len(hub.rows.services), len(hub.rows.agents)) == (1, 1)


async def test_without_a_terminal_it_does_not_begin_what_it_would_have_to_ask_for(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        code, out = await agbot(hub, "--cure")
        assert code == 2
        assert "without a terminal, give --yes" in out
        assert hub.api.requests == []


async def test_a_program_cures_with_yes_and_reads_json(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.leave("a1", "w5")
        code, out = await agbot(hub, "--cure", "--yes", "--json")
        found: dict[str, Any] = json.loads(out)
        assert code == 7, "the row of w5 cannot be deleted alone over the API"
        assert {(each["group"], each["cured"]) for each in found["cures"]} == {("o1/a1", True), ("o1/w5", False)}
        assert {each["defect"] for each in found["slots"] if each["standing"] == "stuck"} == {"A1", "W2"}
        assert found["verdict"] == "wrong"
        assert {"check", "verdict", "found", "tried", "next_step"} == set(found["findings"][0])
        assert SECRET not in out


async def test_a_wrong_file_is_explained_and_nothing_else_is_tried(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.tables["exchange"]["identity"] = '"nobody"'
        before = len(hub.api.requests)
        code, out = await agbot(hub)
        assert code == 1
        assert "exchange.identity" in out
        assert len(hub.api.requests) == before


async def test_yes_without_cure_is_wrong_usage(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        assert (await agbot(hub, "--yes"))[0] == 2
        assert (await agbot(hub, "--cure", "--json"))[0] == 2
