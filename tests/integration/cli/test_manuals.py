"""Man pages and shell completion: one page for each command, and names that a shell can complete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from agbot.cli import manuals
from agbot.cli.main import COMMANDS, main

FILES = dict(manuals.files(main))
PAGES = {path.name: content.decode() for path, content in FILES.items() if path.suffix == ".1"}
MACROS = {".TH", ".SH", ".PP", ".TP", ".nf", ".fi"}


def completed(words: str, shell: str = "bash") -> list[str]:
    """Ask as the script of a shell does; return the names."""
    asked = {"_AGBOT_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = subprocess.run(
        [Path(sys.executable).with_name("agbot")], env=os.environ | asked, capture_output=True, text=True, check=True
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_every_command_has_a_man_page() -> None:
    assert {f"agbot-{name}.1" for name in COMMANDS} | {"agbot.1"} <= PAGES.keys()


@pytest.mark.parametrize("name", PAGES)
def test_a_man_page_has_only_known_macros_and_the_exit_codes(name: str) -> None:
    starts = {line.split()[0] for line in PAGES[name].splitlines() if line.startswith((".", "'"))}

    assert starts <= MACROS
    assert ".SH EXIT STATUS\n0 done; 1 bad input" in PAGES[name]


def test_a_man_page_lists_every_option_of_its_command() -> None:
    page = PAGES["agbot-hold.1"].replace("\\-", "-")
    command = main.get_command(click.Context(main), "hold")
    assert command is not None

    named = {option for each in command.params if isinstance(each, click.Option) for option in each.opts}

    assert named <= set(re.findall(r"--?\w[\w-]*", page))


def test_text_that_roff_would_read_as_a_macro_is_escaped() -> None:
    @click.command(help="A \\ here.\n\n.so /etc/passwd")
    def odd() -> None: ...

    page = manuals.man_page(click.Context(odd, info_name="odd"))

    assert "A \\e here." in page
    assert "\n\\&.so /etc/passwd\n" in page


def test_bash_completes_commands_and_options() -> None:
    assert completed("agbot ho") == ["hold"]
    assert "--until" in completed("agbot hold --un")


def test_bash_accepts_its_script(tmp_path: Path) -> None:
    script = tmp_path / "agbot"
    script.write_text(manuals.completion(main, "bash"), encoding="utf-8")

    subprocess.run(["/bin/bash", "-n", str(script)], check=True)
