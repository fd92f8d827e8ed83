"""The commands that the pages tell an operator to type, in the order of the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.command_lines import refused

ROOT = Path(__file__).parents[3]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
WALKED_ELSEWHERE = {"docs/first-hour.md": "tests/acceptance/test_first_hour.py"}
"""Pages that another test types as one script."""

PROGRAMS = frozenset(
    """
    agbot apt cat cd chown cp curl dpkg df docker echo export fuser git install journalctl kill ln make mosquitto_pub
    pg_dump pg_restore pip psql python python3 rm sqlite3 ssh sudo systemctl tar timedatectl until (umask
    ./deploy-mgmt-hub.sh /opt/agbot/bin/pip .venv/bin/agbot
    """.split()  # noqa: SIM905 - one string is shorter
)
"""What a command begins with."""

_CI = "it builds this repository; continuous integration does so (`.ci/run`)"
_RELEASE = "`make release` installs what it has built in the same way (`packaging/release`)"
_NETWORK = "it fetches packages from a network"
_MINUTES = "it takes minutes"
PARSED_ONLY = {
    "apt install python3 python3-venv make": _NETWORK,
    "apt install python3 python3-venv make mosquitto prometheus postgresql pgbouncer": _NETWORK,
    "git clone URL-OF-THIS-REPOSITORY agbot": _NETWORK,
    "/opt/agbot/bin/pip install 'agbot[postgres]'": _NETWORK,
    "make demo": _CI,
    "make test": _CI,
    "make venv": _CI,
    "make wheel && python3 -m venv /opt/agbot && /opt/agbot/bin/pip install dist/agbot-*.whl"
    " && ln -s /opt/agbot/bin/agbot /usr/local/bin/": _RELEASE,
    "python3 -m venv /opt/agbot && /opt/agbot/bin/pip install dist/agbot-*.whl"
    " && ln -s /opt/agbot/bin/agbot /usr/local/bin/agbot": _RELEASE,
    "tar -xf agbot-*-wheels-*.tar": _RELEASE,
    "python3 -m venv /opt/agbot": _RELEASE,
    "/opt/agbot/bin/pip install --no-index --find-links wheels --require-hashes -r agbot-*-constraints.txt": _RELEASE,
    "/opt/agbot/bin/pip install --no-index --no-deps agbot-*.whl": _RELEASE,
    "agbot demo": "tests/acceptance/test_demo.py runs demos",
    "agbot demo --json --duration 20 --picture docs/images/demo.svg": "the same; it writes into the repository",
    "python -m bench": _MINUTES,
    "python -m bench scale": _MINUTES,
    "python -m bench scale --nodes 400,4000,40000": _MINUTES,
    "python -m bench scale --nodes 4000,40000": _MINUTES,
    "ssh -L 8084:127.0.0.1:8084 HUB": "it needs another machine",
}
"""The commands that no test runs, each with the reason. That `agbot` takes them is tested in tests/docs."""

_PIECE = re.compile(
    r"^```(?P<language>\w*)\n(?P<fenced>.*?)^```$"
    r"|(?<=\n\n)(?P<block>(?: {4,}\S[^\n]*\n|\n(?= {4,}\S))+)"
    r"|`(?P<span>[^`]+)`",
    re.MULTILINE | re.DOTALL,
)
_SQL = re.compile(r"(ALTER|CREATE|DELETE|DROP|GRANT|INSERT|REVOKE|SELECT|UPDATE|VACUUM) +[\w*]")
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


def commands(page: str) -> list[str]:
    """Return the commands of a page that a test runs."""
    return [each for each in written(page) if each not in PARSED_ONLY]


def written(page: str) -> list[str]:
    """Return all commands of a page; what the text names again is left out."""
    found: list[str] = []
    for piece in _PIECE.finditer((ROOT / page).read_text(encoding="utf-8")):
        if piece["span"]:
            found += [each for each in _in_span(piece["span"]) if each not in found]
        elif piece["block"] or piece["language"] in {"sh", "bash"}:
            found += _in_block(piece["block"] or piece["fenced"])
    return found


def _in_block(block: str) -> Iterator[str]:
    """Yield the commands of a block of code, if it is one of a shell."""
    lines = iter([line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip()])
    is_shown = block.lstrip().startswith("$ ")  # below each command is what it prints
    for number, line in enumerate(lines):
        command = _plain(line.removeprefix("$ "))
        if number == 0 and not _is_command(command):
            return
        if is_shown and not line.startswith("$ "):
            continue
        if document := re.search(r"<<(\w+)$", command):
            content = list(iter(lambda: next(lines), document[1]))
            command = "\n".join([command, *content, document[1]])
        yield command


def _in_span(span: str) -> Iterator[str]:
    """Yield what the text tells to type.

    What it only names, without what the command needs, is left out, and so is `make`, whose targets
    are tested in tests/docs.
    """
    text = _plain(span.replace(r"\|", "|"))
    program, _, rest = text.partition(" ")
    if program == "agbot":
        text = re.sub(r" ?\[[^]]*\]", "", text)
        rest = text.partition(" ")[2]
    if (
        (rest or program == "timedatectl")
        and program != "make"
        and _is_command(text)
        and not (program == "agbot" and refused(rest))
    ):
        yield text


def _plain(line: str) -> str:
    """Return a line of code without its comment and needless space."""
    return " ".join(re.sub(r"(?<=\S)\s+# .*", "", line).split())


def _is_command(line: str) -> bool:
    words = line.split()
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words.pop(0)
    return not words or words[0] in PROGRAMS


def statements(page: str) -> list[str]:
    """Return the SQL of a page, each statement once and without its semicolon."""
    found: list[str] = []
    for piece in _PIECE.finditer((ROOT / page).read_text(encoding="utf-8")):
        text = piece["span"] or piece["block"] or (piece["fenced"] if piece["language"] in {"", "sql"} else "")
        found += [each for each in map(str.strip, text.split(";")) if _SQL.match(each) and each not in found]
    return found
