"""The recorded `hzn` series, in order, with `hzn exchange` replaced by `agbot`: the same exit code, and for lists the same JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.hzn.conftest import Hub

RECORDED = Path(__file__).parents[2] / "recorded"
SEED = [json.loads(line) for line in (RECORDED / "hzn-seed.jsonl").read_text(encoding="utf-8").splitlines()]
SERIES = [json.loads(line) for line in (RECORDED / "hzn-hagroup.jsonl").read_text(encoding="utf-8").splitlines()]
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_PORT = "http://127.0.0.1:8180/v1"


def without_times(text: str) -> Any:
    """Return JSON with its times taken out: they are those of the run."""
    return json.loads(_TIME.sub("<time>", text))


def is_list(case: dict[str, Any]) -> bool:
    stated: str = case["stdout"]
    return case["exit_code"] == 0 and case["note"] != "new" and stated.lstrip().startswith(("[", "{"))


def test_every_recorded_command_ends_with_the_same_exit_code_and_lists_the_same(
    empty_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for write in SEED:
        sent = empty_hub.send(*(write[key] for key in ("identity", "secret", "method", "path", "request_body")))
        assert sent == 201, write
    ours, theirs, lists = {}, {}, 0
    for case in SERIES:
        words = case["args"].split() if isinstance(case["args"], str) else case["args"]
        if words[0] != "exchange":  # `hzn version` is about `hzn` itself
            continue
        for name, content in case.get("files", {}).items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        environ = {key: value.replace(_PORT, empty_hub.url) for key, value in case["env"].items()}
        done = empty_hub.run(*words[1:], environ=environ, stdin=case["stdin"])
        named = f"{case['seq']} {case['note']}"
        ours[named], theirs[named] = done.exit_code, case["exit_code"]
        if is_list(case):
            lists += 1
            assert without_times(done.stdout) == without_times(case["stdout"]), named

    assert ours == theirs
    assert (len(ours), lists) == (58, 12)


def test_the_template_is_the_recorded_one_but_its_comments_say_what_is_required(hub: Hub) -> None:
    recorded = next(case for case in SERIES if case["note"] == "new")

    shown = hub.run("hagroup", "new").stdout

    assert re.sub(r"\s*/\*.*?\*/", "", shown) == re.sub(r"\s*/\*.*?\*/", "", recorded["stdout"])
    assert [line.partition(":")[0].strip() for line in shown.splitlines() if "Required" in line] == [
        '"name"',
        '"description"',
    ]
    assert max(map(len, shown.splitlines())) <= 80
