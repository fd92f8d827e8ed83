"""The command line of `agbot demo`, which starts without what the demo itself imports."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import click

from agbot.cli import options, screen

BROKEN: Final = 1


@click.command(
    "demo",
    epilog="Exit codes: 0 as promised, 1 a promise was broken, a story ended differently, or a part failed.",
)
@click.option(
    "--groups", default=3, show_default=True, type=click.IntRange(0, 200), help="Ordinary groups besides the stories."
)
@click.option(
    "--members", default=3, show_default=True, type=click.IntRange(1, 50), help="Members of each ordinary group."
)
@click.option("--seed", default=1, show_default=True, help="Random seed.")
@click.option(
    "--speed",
    default=60.0,
    show_default=True,
    type=options.Seconds(min=1, max=500),
    help="Simulated seconds per real second; set fewer on a slow machine.",
)
@click.option(
    "--duration", type=options.Seconds(min=1), help="Real seconds to run. Default: until all stories are over."
)
@click.option("--no-guard", is_flag=True, help="Leave out the story with the guard, and start no PostgreSQL.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path, readable=False),
    hidden=True,
    help="Save the view as SVG in the middle of the run.",
)
@click.option("--json", "as_json", is_flag=True, help="Print only the summary, as JSON.")
def demo(**given: Any) -> None:  # noqa: ANN401 - click's values, which `Options` names
    """Watch a simulated hub upgrade its groups, one member at a time.

    The daemon is the production daemon, over real HTTP on loopback. Nodes die, an upgrade fails, a
    node joins in the middle of its upgrade. An observer in the simulated hub counts what the nodes
    really do. Ctrl-C ends it with the summary.
    """
    from agbot.cli.demo.play import LOG, Options, play

    options = Options(**given)
    folder, is_kept = Path(tempfile.mkdtemp(prefix="agbot-demo-")), False
    try:
        try:
            summary = asyncio.run(play(options, folder))
        except Exception as error:  # noqa: BLE001 - the error is shown in one line; the log has the rest
            is_kept = True
            kept = f"the daemon's log is kept: {folder / LOG}"
            click.echo("\n".join((f"agbot demo: {_cause_of(error)}", *_tail(folder / LOG), kept)), err=True)
            sys.exit(BROKEN)
        if options.as_json:
            screen.print_json(summary.to_json())
        if not summary.is_as_promised:
            is_kept = True
            click.echo(f"agbot demo: not as promised; log and database are in {folder}", err=True)
            sys.exit(BROKEN)
    finally:  # also when no one reads the output any more
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)


def _cause_of(error: BaseException) -> str:
    """Return the error itself, not the group of tasks it occurred in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _tail(written: Path, lines: int = 5) -> list[str]:
    return written.read_text(encoding="utf-8").splitlines()[-lines:] if written.exists() else []
