"""The walk in docs/first-hour.md, typed as it stands there, on a machine with an empty home.

`agbot` is a fork of the template: the walk calls it a hundred times.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.pages.played import Stage
from tests.acceptance.programs import free_port
from tests.acceptance.template import Template
from tests.support.examples import thorough

DOCS = Path(__file__).parents[2] / "docs"
_NEEDS_PERSON = 6  # of `agbot status`, which the walk shows on purpose


def code(document: str) -> str:
    """Return all code of a document but the clone."""
    blocks = re.findall(r"(?:^(?: {4}.*)?\n)+", document, flags=re.MULTILINE)
    lines = [re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in blocks if block.strip()]
    return "\n".join(block for block in lines if "git clone" not in block)


def script(commands: str) -> str:
    """Return these commands as a script that ends at the first failure, with free ports.

    `AGBOT_URL` replaces the default that the documents rely on.
    """
    text = commands.replace("agbot sim hub", "agbot sim hub --exchange 127.0.0.1:3090 --api 127.0.0.1:8080")
    text = text.replace("--upgrades-after 20", "--upgrades-after 6")  # whoever types takes longer
    text = text.replace("sleep 0.5", "sleep 1")
    text = f"trap '(($? == {_NEEDS_PERSON})) || exit 99' ERR\nexport AGBOT_URL=http://127.0.0.1:8084\n{text}"
    for port in sorted(set(re.findall(r"127\.0\.0\.1:(\d+)", text))):
        text = text.replace(f":{port}", f":{free_port()}")
    return text


@pytest.fixture
def typed(tmp_path: Path, template: Template) -> Iterator[Callable[[str], str]]:
    """Types commands into a bash with an empty home, and returns what was shown."""
    stage, home = Stage(tmp_path / "bin"), tmp_path / "home"
    stage.play("agbot", lambda call: call.fork(template))
    home.mkdir()
    yield lambda commands: _typed(commands, home, stage.folder)
    stage.close()


def _typed(commands: str, home: Path, programs: Path) -> str:
    path = f"{programs}:/usr/local/bin:/usr/bin:/bin"
    transcript = home / "transcript"
    with (
        transcript.open("w") as output,
        subprocess.Popen(
            ["/bin/bash", "-xc", script(commands)],
            cwd=home,
            env={"HOME": str(home), "PATH": path, "LANG": "C.UTF-8"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as bash,
    ):
        try:
            bash.wait(timeout=600)
        finally:
            with contextlib.suppress(ProcessLookupError):  # what runs in the background, if it broke off
                os.killpg(bash.pid, signal.SIGKILL)
    said = transcript.read_text(encoding="utf-8")
    assert bash.returncode == 0, said
    return said


@thorough
def test_no_command_of_the_first_hour_fails_as_written(typed: Callable[[str], str]) -> None:
    said = typed(code((DOCS / "first-hour.md").read_text(encoding="utf-8")))

    assert "o1/agents may go on in o1/shop" in said
    resumed = said.partition("+ agbot resume o1/shop")[2].partition("agbot store backup")[0]
    assert re.search(
        r"1 member failed its last upgrade by o1/agents: o1/shop-\d. Its agent does not try it again until another revision",
        resumed,
    )
    assert "upgrades may begin again after the change of the lease store" in said
    assert "exit code 4" in said  # two daemons on one store
    assert "SHADOW MODE" in said


def test_the_smoke_test_of_the_gateway_prints_what_the_page_says(typed: Callable[[str], str]) -> None:
    walk, page = ((DOCS / name).read_text(encoding="utf-8") for name in ("first-hour.md", "in-and-out.md"))
    begin = code(walk.split("## 4.")[0]).replace("--upgrades-after 20", "--upgrades-after -1")
    smoke = page.split("## Smoke test")[1].split("\n## ")[0]

    said = typed(
        f"{begin}\necho SMOKE\n{code(smoke)}\ngrep -o login.failed agbot.log | sort -u\nkill $coordinator $hub\nwait"
    )

    shown = [line for line in said.split("\nSMOKE\n")[1].splitlines() if not line.startswith("+")]
    assert shown == [*re.findall(r"prints.*`(\d{3})`[:,.]", smoke), "login.failed"]
