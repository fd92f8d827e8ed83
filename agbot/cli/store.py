"""`agbot store`: backup, restore and compaction of the lease store, and moves to another one.

The commands use the file or the database, not the daemon.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agbot.cli import options, screen, settings_file
from agbot.cli.failure import Exit, Failure
from agbot.cli.folding import say
from agbot.settings import load, secret
from agbot.settings.checks import DATABASE
from agbot.settings.load import Loaded
from agbot.store import compacting, copies
from agbot.store.contract import StoreError, StoreLockedError

if TYPE_CHECKING:
    from agbot.store.moving import End
    from agbot.store.postgres.address import Address

config = click.option(
    "--config",
    "config",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Settings file (TOML) that names the store, as `agbot run` takes it.  {settings_file.WHERE_IT_IS}",
)


@click.group("store")
def store() -> None:
    """Back up, restore, compact and move the lease store."""


@store.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@config
@options.as_json
def backup(*, file: Path, config: Path | None, as_json: bool) -> None:
    """Copy the lease store into one new file, while the daemon runs or not."""
    path = _path(config, "back up")
    doubt = f"it is a backup made at {_now()}"
    _do(f"back {path} up", lambda: copies.back_up(path, file, doubt))
    _say({"store": str(path), "backup": str(file)}, f"copied {path} to {file}", as_json=as_json)


@store.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@options.reason
@config
@options.as_json
def restore(*, file: Path, reason: str, config: Path | None, as_json: bool) -> None:
    """Replace the lease store by a backup. The daemon must be stopped.

    FILE is checked first, and is kept. The previous store is kept beside the new one. After its
    next start the daemon grants nothing until it has read every organisation, and its tokens begin
    above all earlier ones.
    """
    path = _path(config, "restore")
    doubt = f"{file} was restored by {options.person()} at {_now()}: {reason}"
    kept: list[Path | None] = []
    _do(f"restore {file}", lambda: kept.append(copies.restore(path, file, doubt)))
    before = f"; the previous store is {kept[0]}" if kept[0] else ""
    content = {"store": str(path), "restored": str(file), "kept": str(kept[0]) if kept[0] else None}
    _say(content, f"restored {file} as {path}{before}. Start the daemon again", as_json=as_json)


@store.command("restored")
@options.reason
@config
@options.as_json
def restored(*, reason: str, config: Path | None, as_json: bool) -> None:
    """Mark the store as an older copy. The daemon must be stopped, on PostgreSQL every one.

    Use it after restoring a snapshot of the machine or its disk, which the daemon cannot detect.
    """
    loaded = _loaded(config)
    path, url = loaded.settings.store.path, loaded.settings.store.url
    doubt = f"{options.person()} stated at {_now()} that it was restored: {reason}"
    if url:
        _do(f"declare {url} restored", lambda: _leave(_database(url, loaded), doubt))
    else:
        _do(f"declare {path} restored", lambda: copies.declare_restored(path, doubt))
    _say(
        {"store": url or str(path)},
        f"{url or path} is marked as an older copy: after its next start the daemon grants nothing until it has read every organisation",
        as_json=as_json,
    )


@store.command("compact")
@config
@options.as_json
def compact(*, config: Path | None, as_json: bool) -> None:
    """Return the space of deleted events to the disk. The daemon must be stopped.

    It needs as much free space beside the store as its content takes, and states how much if there
    is too little. The leases do not change.
    """
    path = _path(config, "compact")
    done: list[compacting.Sizes] = []
    _do(f"compact {path}", lambda: done.append(compacting.compact(path)))
    (sizes,) = done
    content = {"store": str(path), "bytes_before": sizes.before, "bytes_after": sizes.after}
    text = f"{path} has shrunk from {sizes.before / 1e6:.1f} MB to {sizes.after / 1e6:.1f} MB. Start the daemon again"
    _say(content, text, as_json=as_json)


@store.command("move")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--schema", default="agbot_ha", show_default=True, help="Schema of the store in the database.")
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the password for the database. Without it, libpq's own ways.",
)
@options.as_json
def move(*, source: str, target: str, schema: str, password_file: Path | None, as_json: bool) -> None:
    """Move everything from one lease store to another. No daemon may run on either.

    FROM and TO are a file (SQLite) or a postgresql:// address. TO must be empty. FROM is kept, and
    marked: a daemon that is started on it grants nothing until it has read every organisation.
    Then set [store] path or url to TO.
    """
    from agbot.store import moving

    if source == target:
        raise Failure(Exit.BAD_INPUT, tried="move the store", problem="FROM and TO are the same", next_step="name two")
    doubt = f"it was moved to {target} by {options.person()} at {_now()}"
    counts: dict[str, int] = {}

    def work() -> None:
        with _end(source, schema, password_file, must_exist=True) as old, _end(target, schema, password_file) as new:
            counts.update(moving.move(old, new, doubt))

    _do(f"move {source} to {target}", work)
    content: dict[str, object] = {"from": source, "to": target, "moved": counts}
    rows = "\n".join(f"  {table:<16} {count:>8}" for table, count in counts.items())
    key = f'[store] url = "{target}"' if _is_database(target) else f'[store] path = "{target}"'
    _say(content, f"moved {source} to {target}:\n{rows}\nSet {key} and start the daemon", as_json=as_json)


def _end(
    store: str, schema: str, password_file: Path | None, *, must_exist: bool = False
) -> AbstractContextManager[End]:
    from agbot.store import moving

    if not _is_database(store):
        return moving.sqlite_end(Path(store), must_exist=must_exist)
    _require_driver()
    from agbot.store.postgres.address import Address
    from agbot.store.postgres.moving import postgres_end

    try:
        password = None if password_file is None else secret.read(password_file).secret
        address = Address(url=store, schema=schema, password=password)
        wrong = DATABASE.wrong(store)
    except (secret.SecretError, ValueError) as error:
        raise Failure(Exit.BAD_INPUT, tried="move the store", problem=str(error), next_step="see --help") from error
    if wrong:
        raise Failure(Exit.BAD_INPUT, tried="move the store", problem=wrong, next_step=DATABASE.expected)
    return postgres_end(address)


def _is_database(store: str) -> bool:
    return "://" in store


def _leave(address: Address, doubt: str) -> None:
    from agbot.store.postgres.moving import postgres_end

    with postgres_end(address) as end:
        end.leave(doubt)


def _database(url: str, loaded: Loaded) -> Address:
    _require_driver()
    from agbot.store.postgres.address import Address

    return Address(url=url, schema=loaded.settings.store.schema, password=loaded.secrets.store_password)


def _require_driver() -> None:
    if find_spec("psycopg") is None:
        raise Failure(
            Exit.BAD_INPUT,
            tried="use a store on PostgreSQL",
            problem="the package psycopg is not installed",
            next_step="pip install 'agbot[postgres]'",
        )


def _path(config: Path | None, tried: str) -> Path:
    """Return the file of the store; a database has its own commands."""
    settings = _loaded(config).settings.store
    if not settings.url:
        return settings.path
    dump = f"pg_dump --schema={settings.schema} --format=custom --file=FILE '{settings.url}'"
    commands = {
        "back up": dump,
        "restore": f"stop every coordinator, then pg_restore --clean --if-exists --dbname='{settings.url}' FILE",
        "compact": f"VACUUM FULL {settings.schema}.journal, while every coordinator is stopped",
    }
    raise Failure(
        Exit.REFUSED,
        tried=f"{tried} the lease store",
        problem="it is on PostgreSQL ([store] url), which has its own tools for that",
        next_step=commands[tried],
    )


def _loaded(config: Path | None) -> Loaded:
    reading = load.read(settings_file.find(config), os.environ, may_lack_secrets=True)
    if reading.loaded is None:
        raise Failure(
            Exit.BAD_INPUT,
            tried="read the settings for the store's path",
            problem="; ".join(str(each) for each in reading.mistakes),
            next_step=f"agbot check-config {settings_file.find(config) or ''} explains each mistake; --config names another file",
        )
    return reading.loaded


def _do(tried: str, work: Callable[[], None]) -> None:
    try:
        work()
    except StoreLockedError as error:
        raise Failure(Exit.REFUSED, tried=tried, problem=str(error), next_step="systemctl stop agbot") from error
    except StoreError as error:
        raise Failure(
            Exit.BAD_FILE, tried=tried, problem=str(error), next_step="nothing has changed; try again"
        ) from error


def _say(content: Mapping[str, object], text: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(content, ensure_ascii=False, indent=2))
    else:
        say("\n".join(screen.clean(line) for line in text.split("\n")))


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"
