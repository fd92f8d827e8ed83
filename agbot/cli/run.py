"""`agbot run`: the daemon."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agbot.settings.load import Loaded

BAD_SETTINGS = 1
STORE_IN_USE = 4
CANNOT_START = 7


@click.command(
    "run",
    epilog="Exit codes: 0 asked to stop, 1 bad settings, 4 another daemon uses the store, 7 cannot start (address or store).",
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
    from agbot.settings import load
    from agbot.settings.problems import SettingsError

    try:
        loaded = load.load(config, os.environ)
    except SettingsError as error:
        for problem in error.problems:
            click.echo(f"agbot: {problem}", err=True)
        click.echo(f"agbot: not started; `agbot check-config {config or ''}` explains each mistake", err=True)
        sys.exit(BAD_SETTINGS)
    daemon_logging.set_up(loaded.settings.log)
    sys.exit(asyncio.run(_run(config, loaded)))


async def _run(config: Path | None, loaded: Loaded) -> int:
    import structlog

    from agbot.daemon.daemon import Daemon, ordinary
    from agbot.settings import load
    from agbot.store.contract import StoreError, StoreLockedError

    log = structlog.get_logger()
    for warning in loaded.warnings:
        log.warning("settings.doubtful", problem=str(warning))
    try:
        await Daemon(loaded, ordinary(reload=lambda: load.load(config, os.environ))).run()
    except StoreLockedError as error:
        log.error("daemon.failed", error=str(error))
        return STORE_IN_USE
    except (StoreError, OSError) as error:
        log.error("daemon.failed", error=str(error))
        return CANNOT_START
    return 0
