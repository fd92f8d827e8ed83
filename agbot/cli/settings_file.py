"""The settings file: where every command finds it, and how it fails if it cannot be used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from agbot.cli.failure import Exit, Failure

if TYPE_CHECKING:
    from agbot.settings.load import Loaded, Reading

DEFAULT: Final = Path("/etc/agbot/agbot.toml")
config: Final = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path, readable=False),
    help=f"Settings file (TOML).  [default: {DEFAULT} if there is one; else defaults and environment]",
)


def find(given: Path | None) -> Path | None:
    """Return the settings file: the one that is given, or the default where there is one."""
    try:
        return given or (DEFAULT if DEFAULT.exists() else None)
    except PermissionError:  # who may not look may not read either, which the reading reports
        return DEFAULT


def next_step(file: Path | None) -> str:
    """Return what to do about settings that cannot be used."""
    if file is None:
        return f"there is no {DEFAULT}: `agbot install-units` writes one, --config names another"
    return f"`agbot check-config {file}` explains each mistake; --config names another file"


def bad(reading: Reading) -> Exit:
    """Return the exit code for settings that cannot be used."""
    return Exit.BAD_FILE if reading.is_unreadable else Exit.BAD_INPUT


def load(given: Path | None, environ: Mapping[str, str] | None = None, *, may_lack_secrets: bool = True) -> Loaded:
    """Read the settings for a command that is not the daemon.

    Raises:
        Failure: with every mistake there is.
    """
    from agbot.settings.load import read

    file = find(given)
    # secrets may be lacking: systemd has them for the daemon, and this user may not read them
    reading = read(file, os.environ if environ is None else environ, may_lack_secrets=may_lack_secrets)
    if reading.loaded is None:
        raise Failure(
            bad(reading),
            tried=f"reading the settings from {file or f'{DEFAULT}, which does not exist, and from the environment'}",
            problem="; ".join(str(each) for each in reading.mistakes),
            next_step=next_step(file),
        )
    return reading.loaded
