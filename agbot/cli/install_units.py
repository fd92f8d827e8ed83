"""`agbot install-units`: writes what belongs to an installation to its places.

It overwrites a file that differs only with `--force`, and then keeps the old one beside it. Man
pages and completion scripts, which are made from the commands, are always overwritten.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import click

from agbot import _dist
from agbot.cli import manuals, options, screen
from agbot.cli.failure import unwritable
from agbot.cli.folding import say
from agbot.cli.main import main

_UNITS = Path("etc/systemd/system")
_SETTINGS = Path("etc/agbot")
_SHARED = Path("usr/local/share/agbot")
_PROGRAM = Path("/opt/agbot/bin/agbot")


@click.command("install-units")
@click.option(
    "--prefix",
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    default=Path("/"),
    show_default=True,
    help="Root of the file system, for images and packages.",
)
@click.option("--force", is_flag=True, help="Replace files that differ; the old one stays as NAME.old.")
@options.as_json
def install_units(prefix: Path, force: bool, as_json: bool) -> None:
    """Install the systemd unit, sample settings, man pages, completion, alerts and dashboard.

    The unit goes to PREFIX/etc/systemd/system, the documented sample to
    PREFIX/etc/agbot/agbot.toml. Man pages, completion for bash, zsh and fish, Prometheus's alerts
    and Grafana's dashboard go below PREFIX/usr/local/share. An existing file that differs is kept,
    unless --force is given; man pages and completion are always replaced.
    """
    done: dict[Path, str] = {}
    for path, content in _shipped():
        done[prefix / path] = _install(content, prefix / path, force=force)
    for path, content in manuals.files(main):
        done[prefix / path] = _install(content, prefix / path, keep_old=False)
    if as_json:
        screen.print_json({"files": {str(path): outcome for path, outcome in done.items()}})
        return
    _say(done)
    _say_what_is_next(kept="kept" in done.values(), is_this_machine=prefix == Path("/"))


def _shipped() -> list[tuple[Path, bytes]]:
    units = [(_UNITS, each) for each in _dist.folder("systemd").iterdir() if each.is_file()]
    others = [
        (_SETTINGS if each.name.endswith(".toml") else _SHARED, each) for each in _dist.folder("config").iterdir()
    ]
    return [(folder / each.name, each.read_bytes()) for folder, each in sorted(units + others, key=str)]


def _install(content: bytes, target: Path, *, force: bool = True, keep_old: bool = True) -> str:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        outcome = "written"
        if target.exists():
            if target.read_bytes() == content:  # and its NAME.old stays that of the last change
                return "unchanged"
            if not force:
                return "kept"
            if keep_old:
                _keep(target, target.with_name(f"{target.name}.old"))
            outcome = "replaced"
        _replace(target, content)
    except OSError as error:
        raise unwritable(target, error, "run it as root, or use --prefix with a folder of your own") from error
    return outcome


def _keep(target: Path, old: Path) -> None:
    """Give a file a second name, which is the old one once its own name has the new content.

    Renamed, it would be missing until then, and for good if the new content cannot be written.
    """
    old.unlink(missing_ok=True)
    os.link(target, old, follow_symlinks=False)


def _replace(target: Path, content: bytes) -> None:
    """Write a file as a whole or not at all: systemd may read it at any moment."""
    draft = target.with_name(f".{target.name}.draft")
    draft.unlink(missing_ok=True)  # of a run that was cut off
    try:
        # A new file: the folder may be another user's, and root must not write where a link leads.
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)  # whatever the umask of whoever types this
        draft.replace(target)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _say(done: dict[Path, str]) -> None:
    """Name each file with what became of it; the man pages only by their folder."""
    pages: Counter[tuple[str, Path]] = Counter()
    for path, outcome in done.items():
        if path.suffix == ".1":
            pages[outcome, path.parent] += 1
        else:
            click.echo(f"{outcome:9} {path}")
    for (outcome, folder), number in pages.items():
        click.echo(f"{outcome:9} {folder}: {number} man pages")


def _say_what_is_next(*, kept: bool, is_this_machine: bool) -> None:
    click.echo()
    if kept:
        say(
            "Kept files differ from what this version ships: --force replaces them and leaves the old ones as NAME.old."
        )
    program = Path(sys.argv[0]).resolve()
    if program.name == "agbot" and os.access(program, os.X_OK) and program != _PROGRAM:
        say(
            f"The unit starts {_PROGRAM}, this program is {program}: put it there, or change ExecStart with `systemctl edit agbot`."
        )
    if is_this_machine:
        say(
            "Next: set url and identity in /etc/agbot/agbot.toml, put the token of that identity into the file that LoadCredential names,"
            " check it with `agbot check-config`, then `systemctl daemon-reload && systemctl enable --now agbot`."
        )
