"""`agbot install-units`: copies the systemd unit and the documented sample out of the installation.

It never overwrites a file that differs without being told to, and then keeps the old one beside it.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from agbot import _dist
from agbot.cli import options
from agbot.cli.failure import Exit, Failure

_UNITS = Path("etc/systemd/system")
_SETTINGS = Path("etc/agbot")
_PROGRAM = Path("/opt/agbot/bin/agbot")


@click.command("install-units")
@click.option(
    "--prefix",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/"),
    show_default=True,
    help="Where the file system begins, for images and packages.",
)
@click.option("--force", is_flag=True, help="Replace files that differ; the old one stays as NAME.old.")
@options.as_json
def install_units(prefix: Path, force: bool, as_json: bool) -> None:
    """Copy the systemd unit and the sample settings out.

    The unit goes to PREFIX/etc/systemd/system, the documented sample to PREFIX/etc/agbot/agbot.toml. A file that is there already and
    differs is kept, unless --force is given.
    """
    done: dict[str, str] = {}
    for source, folder in _sources():
        target = prefix / folder / source.name
        try:
            done[str(target)] = _install(source.read_bytes(), target, force=force)
        except OSError as error:
            raise Failure(
                Exit.BAD_INPUT,
                tried=f"writing {target}",
                problem=f"{target} cannot be written: {error.strerror}",
                next_step="run it as root, or give --prefix a folder of your own",
            ) from error
    if as_json:
        click.echo(json.dumps({"files": done}, indent=2))
        return
    for name, outcome in done.items():
        click.echo(f"{outcome:9} {name}")
    _say_what_is_next(
        kept=[name for name, outcome in done.items() if outcome == "kept"], is_this_machine=prefix == Path("/")
    )


def _sources() -> list[tuple[Traversable, Path]]:
    units = [(each, _UNITS) for each in _dist.folder("systemd").iterdir() if each.is_file()]
    settings = [(each, _SETTINGS) for each in _dist.folder("config").iterdir() if each.name.endswith(".toml")]
    return sorted(units + settings, key=lambda pair: pair[0].name)


def _install(content: bytes, target: Path, *, force: bool) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    outcome = "written"
    if target.exists():
        if target.read_bytes() == content:
            return "unchanged"
        if not force:
            return "kept"
        target.replace(target.with_name(f"{target.name}.old"))
        outcome = "replaced"
    # Complete or not at all: systemd may read it at any moment.
    draft = target.with_name(f".{target.name}.draft")
    draft.write_bytes(content)
    draft.chmod(0o644)
    draft.replace(target)
    return outcome


def _say_what_is_next(kept: list[str], *, is_this_machine: bool) -> None:
    click.echo()
    if kept:
        click.echo(
            "Kept files differ from what this version ships: --force replaces them and leaves the old ones as NAME.old."
        )
    program = Path(sys.argv[0]).resolve()
    if program.name == "agbot" and os.access(program, os.X_OK) and program != _PROGRAM:
        click.echo(
            f"The unit starts {_PROGRAM}, this program is {program}: put it there, or change ExecStart with `systemctl edit agbot`."
        )
    if is_this_machine:
        click.echo(
            "Next: set url and identity in /etc/agbot/agbot.toml, put the token of that identity into the file that LoadCredential names,"
        )
        click.echo(
            "check it with `agbot check-config`, then `systemctl daemon-reload && systemctl enable --now agbot`."
        )
