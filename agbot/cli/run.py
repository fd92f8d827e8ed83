"""`agbot run`: the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agbot.daemon.log_queue import LogQueue
    from agbot.settings.load import Loaded

BAD_SETTINGS = 1
STORE_IN_USE = 4
CANNOT_START = 7
FAILED = 70
"""EX_SOFTWARE of sysexits(3)."""


@click.command(
    "run",
    epilog="Exit codes: 0 asked to stop, 1 bad settings, 4 another daemon uses the store, 7 cannot start (address or store), "
    "70 an error of the program.",
)
@click.option(
    "--config",
    "config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings file (TOML). Without one: defaults and environment.",
)
def run(config: Path | None) -> None:
    """Run the coordinator until SIGTERM or Ctrl-C.

    SIGHUP reads the settings anew; a bad file is refused and the old settings stay. Logs go to standard error.
    """
    from agbot.daemon import logging as daemon_logging
    from agbot.daemon.log_queue import LogQueue

    # Whatever the program writes there from now on, a traceback of the interpreter included, waits for no reader.
    with LogQueue(sys.stderr, daemon_logging.tell_dropped) as lines, contextlib.redirect_stderr(lines):
        code = _settle(config, lines)
    sys.exit(code)


def _settle(config: Path | None, lines: LogQueue) -> int:
    from agbot.daemon import logging as daemon_logging
    from agbot.foreign_text import escaped
    from agbot.settings import load
    from agbot.settings.problems import SettingsError

    try:
        loaded = load.load(config, os.environ)
    except SettingsError as error:
        for problem in error.problems:
            click.echo(f"agbot: {escaped(str(problem))}", err=True)
        click.echo(f"agbot: not started; `agbot check-config {config or ''}` explains each mistake", err=True)
        return BAD_SETTINGS
    daemon_logging.set_up(loaded.settings.log)
    return asyncio.run(_run(config, loaded, lines))


async def _run(config: Path | None, loaded: Loaded, lines: LogQueue) -> int:
    import structlog

    from agbot.daemon.daemon import Daemon, ordinary
    from agbot.settings import load
    from agbot.store.contract import StoreError, StoreLockedError

    log = structlog.get_logger()
    for warning in loaded.warnings:
        log.warning("settings.doubtful", problem=str(warning))
    surroundings = replace(ordinary(reload=lambda: load.load(config, os.environ)), dropped_lines=lambda: lines.dropped)
    try:
        await Daemon(loaded, surroundings).run(
            gc.freeze
        )  # what the program itself consists of is looked through no more
    except StoreLockedError as error:
        log.error("daemon.failed", error=str(error))
        return STORE_IN_USE
    except (StoreError, OSError) as error:
        log.error("daemon.failed", error=str(error))
        return CANNOT_START
    except Exception:
        log.exception("daemon.failed")
        return FAILED
    return 0
