"""`agbot run`: the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agbot.cli import settings_file
from agbot.cli.folding import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agbot.daemon.log_queue import LogQueue
    from agbot.settings.load import Loaded

_BAD_SETTINGS = 1
_STORE_IN_USE = 4
_CANNOT_START = 7
_FAILED = 70
"""EX_SOFTWARE of sysexits(3)."""


@click.command(
    "run",
    epilog="Exit codes: 0 asked to stop, 1 bad settings, 4 another daemon uses the store or its name, 7 cannot start (address or store), "
    "70 an error of the program.",
)
@settings_file.config
@click.option(
    "--mode", type=click.Choice(["gateway", "shadow"]), help="Override [run] mode. shadow: grant nothing, only compare."
)
def run(config: Path | None, mode: str | None) -> None:
    """Run the coordinator until SIGTERM or Ctrl-C.

    SIGHUP reads the settings again; an invalid file is refused, and the old settings stay in force.
    Logs go to standard error.
    """
    from agbot.daemon import logging as daemon_logging
    from agbot.daemon.log_queue import LogQueue

    # Whatever the program writes there from now on, a traceback of the interpreter included, waits
    # for no reader.
    with LogQueue(sys.stderr, daemon_logging.report_dropped) as lines, contextlib.redirect_stderr(lines):
        code = _settle(settings_file.find(config), lines, {**os.environ, **({"AGBOT_RUN_MODE": mode} if mode else {})})
    sys.exit(code)


def _settle(config: Path | None, lines: LogQueue, environ: Mapping[str, str]) -> int:
    from agbot.daemon import logging as daemon_logging
    from agbot.foreign_text import escaped
    from agbot.settings import load
    from agbot.settings.problems import SettingsError

    try:
        loaded = load.load(config, environ)
    except SettingsError as error:
        for problem in error.problems:
            say(f"agbot: {escaped(str(problem))}", err=True)
        say(f"agbot: not started; {settings_file.next_step(config)}", err=True)
        return _BAD_SETTINGS
    daemon_logging.set_up(loaded.settings.log)
    return asyncio.run(_run(config, loaded, lines, environ))


async def _run(config: Path | None, loaded: Loaded, lines: LogQueue, environ: Mapping[str, str]) -> int:
    from agbot import log
    from agbot.daemon import garbage
    from agbot.daemon.context import Context
    from agbot.daemon.daemon import Daemon
    from agbot.events.process import DaemonFailed, SettingsDoubtful
    from agbot.settings import load
    from agbot.store.contract import StoreError, StoreLockedError

    for warning in loaded.warnings:
        log.write(SettingsDoubtful(problem=str(warning)))
    context = Context(reload=lambda: load.load(config, environ), dropped_lines=lambda: lines.dropped)
    try:
        await Daemon(loaded, context).run(garbage.begin)
    # before StoreError, of which it is one: it has an exit code of its own
    except StoreLockedError as error:
        log.write(DaemonFailed(error=str(error)))
        return _STORE_IN_USE
    except (StoreError, OSError) as error:
        log.write(DaemonFailed(error=str(error)))
        return _CANNOT_START
    except Exception:  # noqa: BLE001 - whatever it is, the log has the traceback
        log.write_with_traceback(DaemonFailed())
        return _FAILED
    return 0
