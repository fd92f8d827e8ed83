"""`agbot store`: backup, restore and compacting of the lease store. They work on the file, without the daemon's listeners."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from agbot.cli import options, screen
from agbot.cli.failure import Exit, Failure
from agbot.settings import load
from agbot.store import compacting, copies
from agbot.store.contract import StoreError, StoreLockedError

DEFAULT_CONFIG: Final = Path("/etc/agbot/agbot.toml")

config = click.option(
    "--config",
    "config",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Settings file (TOML) that names the store, as `agbot run` takes it.  [default: {DEFAULT_CONFIG} where it is]",
)


@click.group("store")
def store() -> None:
    """Back the lease store up, put a backup in its place, and make its file smaller."""


@store.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@config
@options.as_json
def backup(*, file: Path, config: Path | None, as_json: bool) -> None:
    """Copy the lease store into one new file, while the daemon runs or not."""
    path = _path(config)
    doubt = f"it is a backup made at {_now()}"
    _do(f"back {path} up", lambda: copies.back_up(path, file, doubt))
    _say({"store": str(path), "backup": str(file)}, f"copied {path} to {file}", as_json=as_json)


@store.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@options.reason
@config
@options.as_json
def restore(*, file: Path, reason: str, config: Path | None, as_json: bool) -> None:
    """Put a backup in the place of the lease store. The daemon must be stopped.

    FILE is checked first, and stays. The store from before is kept beside the new one. The daemon grants nothing after its next start
    until it has looked at every organisation, and its tokens begin above all earlier ones.
    """
    path = _path(config)
    doubt = f"{file} was restored by {options.person()} at {_now()}: {reason}"
    kept: list[Path | None] = []
    _do(f"restore {file}", lambda: kept.append(copies.restore(path, file, doubt)))
    before = f"; the store from before is {kept[0]}" if kept[0] else ""
    content = {"store": str(path), "restored": str(file), "kept": str(kept[0]) if kept[0] else None}
    _say(content, f"restored {file} as {path}{before}. Start the daemon again", as_json=as_json)


@store.command("restored")
@options.reason
@config
@options.as_json
def restored(*, reason: str, config: Path | None, as_json: bool) -> None:
    """Mark the store as an older copy. The daemon must be stopped.

    For a store that was put back with a snapshot of the machine or its disk: that puts back everything that could show it.
    """
    path = _path(config)
    doubt = f"{options.person()} said at {_now()} that it was put back: {reason}"
    _do(f"declare {path} restored", lambda: copies.declare_restored(path, doubt))
    _say(
        {"store": str(path)},
        f"{path} counts as an older copy: after its next start the daemon grants nothing until it has looked at every organisation",
        as_json=as_json,
    )


@store.command("compact")
@config
@options.as_json
def compact(*, config: Path | None, as_json: bool) -> None:
    """Give the room of deleted entries back to the disk. The daemon must be stopped.

    Needs as much free room beside the store as the store holds, and says how much if it is not there. The leases stay as they are.
    """
    path = _path(config)
    done: list[compacting.Sizes] = []
    _do(f"compact {path}", lambda: done.append(compacting.compact(path)))
    (sizes,) = done
    content: dict[str, str | int] = {"store": str(path), "bytes_before": sizes.before, "bytes_after": sizes.after}
    text = f"{path} took {sizes.before / 1e6:.1f} MB and takes {sizes.after / 1e6:.1f} MB. Start the daemon again"
    _say(content, text, as_json=as_json)


def _path(config: Path | None) -> Path:
    file = config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    reading = load.read(file, os.environ, may_lack_secrets=True)
    if reading.loaded is None:
        raise Failure(
            Exit.BAD_INPUT,
            tried="read the settings for the store's path",
            problem="; ".join(str(each) for each in reading.mistakes),
            next_step=f"agbot check-config {file or ''} explains each mistake; --config names another file",
        )
    return reading.loaded.settings.store.path


def _do(tried: str, work: Callable[[], None]) -> None:
    try:
        work()
    except StoreLockedError as error:
        raise Failure(Exit.REFUSED, tried=tried, problem=str(error), next_step="systemctl stop agbot") from error
    except StoreError as error:
        raise Failure(
            Exit.BAD_FILE, tried=tried, problem=str(error), next_step="nothing was changed; try again"
        ) from error


def _say(content: Mapping[str, str | int | None], text: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(content, ensure_ascii=False, indent=2))
    else:
        click.echo(screen.clean(text))


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"
