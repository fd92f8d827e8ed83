"""`agbot store`: backup, restore and compaction of the lease store, and moves to another one.

The commands use the file or the database, not the daemon.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from agbot.cli import database, options, screen, settings_file
from agbot.cli.failure import Exit, Failure, bad_secret
from agbot.settings import secret
from agbot.store import compacting, copies
from agbot.store.contract import StoreError, StoreLockedError, StoreTakenError

if TYPE_CHECKING:
    from agbot.store.moving import End
    from agbot.store.postgres.address import Address

Result = TypeVar("Result")

_PUTS_BACK: Final = (
    "pg_restore --list FILE | grep -v ' SCHEMA - ' > FILE.list && "
    "pg_restore --use-list=FILE.list --single-transaction --clean --if-exists --dbname={url} FILE"
)
"""All or nothing, without the schema itself, which its role may drop and not create again."""


@click.group("store")
def store() -> None:
    """Back up, restore, compact and move the lease store."""


@store.command("backup")
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@settings_file.config
@options.as_json
def backup(*, file: Path, config: Path | None, as_json: bool) -> None:
    """Copy the lease store into one new file. The daemon may run."""
    path = _path(config, "backing up")
    doubt = f"it is a backup made at {_now()}"
    _attempt(f"backing up {path}", lambda: copies.back_up(path, file, doubt))
    screen.print_result({"store": str(path), "backup": str(file)}, f"copied {path} to {file}", as_json=as_json)


@store.command("restore")
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@options.reason
@settings_file.config
@options.as_json
def restore(*, file: Path, reason: str, config: Path | None, as_json: bool) -> None:
    """Replace the lease store with a backup. The daemon must be stopped.

    FILE is checked first, and is kept. The previous store is kept beside the new one. After its
    next start the daemon grants nothing until it has read every organisation, and its tokens begin
    above all earlier ones.
    """
    path = _path(config, "restoring")
    doubt = f"{file} was restored by {options.person()} at {_now()}: {reason}"
    kept = _attempt(f"restoring {file}", lambda: copies.restore(path, file, doubt))
    before = f"; the previous store is {kept}" if kept else ""
    content = {"store": str(path), "restored": str(file), "kept": str(kept) if kept else None}
    screen.print_result(content, f"restored {file} as {path}{before}. Start the daemon again", as_json=as_json)


@store.command("restored")
@options.reason
@settings_file.config
@options.as_json
def restored(*, reason: str, config: Path | None, as_json: bool) -> None:
    """Mark the store as an older copy. The daemon must be stopped; on PostgreSQL, every daemon.

    Use it after restoring a snapshot of the machine or its disk, which the daemon cannot detect.
    """
    loaded = settings_file.load(config)
    settings, tried = loaded.settings.store, f"marking {loaded.settings.store.where} as an older copy"
    doubt = f"{options.person()} stated at {_now()} that it was restored: {reason}"
    if settings.url:
        address = database.address(settings.url, settings.schema, loaded.secrets.store_password, tried)
        _attempt(tried, lambda: _leave(address, doubt))
    else:
        _attempt(tried, lambda: copies.declare_restored(settings.path, doubt))
    screen.print_result(
        {"store": settings.where},
        f"{settings.where} is marked as an older copy: after its next start the daemon grants nothing until it has read every organisation",
        as_json=as_json,
    )


@store.command("compact")
@settings_file.config
@options.as_json
def compact(*, config: Path | None, as_json: bool) -> None:
    """Return the space of deleted events to the disk. The daemon must be stopped.

    It needs as much free space beside the store as its content takes, and states how much if there
    is too little. The leases do not change.
    """
    path = _path(config, "compacting")
    sizes = _attempt(f"compacting {path}", lambda: compacting.compact(path))
    content = {"store": str(path), "bytes_before": sizes.before, "bytes_after": sizes.after}
    text = f"{path} has shrunk from {sizes.before / 1e6:.1f} MB to {sizes.after / 1e6:.1f} MB. Start the daemon again"
    screen.print_result(content, text, as_json=as_json)


@store.command("move")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--schema", default="agbot_ha", show_default=True, help="Schema of the store in the database.")
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path, readable=False),
    help="File with the password for the database. Without it, libpq looks for one.",
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
        raise Failure(
            Exit.BAD_INPUT, tried="moving the store", problem="FROM and TO are the same", next_step="name two"
        )
    doubt = f"it was moved to {target} by {options.person()} at {_now()}"

    def work() -> Mapping[str, int]:
        with _end(source, schema, password_file, must_exist=True) as old, _end(target, schema, password_file) as new:
            return moving.move(old, new, doubt)

    counts = _attempt(f"moving {source} to {target}", work)
    content: dict[str, object] = {"from": source, "to": target, "moved": counts}
    rows = "\n".join(f"  {table:<16} {count:>8}" for table, count in counts.items())
    key = f'[store] url = "{target}"' if _is_database(target) else f'[store] path = "{target}"'
    screen.print_result(
        content, f"moved {source} to {target}:\n{rows}\nSet {key} and start the daemon", as_json=as_json
    )


def _end(
    store: str, schema: str, password_file: Path | None, *, must_exist: bool = False
) -> AbstractContextManager[End]:
    from agbot.store import moving

    if not _is_database(store):
        return moving.sqlite_end(Path(store), must_exist=must_exist)
    tried = "moving the store"
    try:
        password = None if password_file is None else secret.read(password_file).secret
    except secret.SecretError as error:
        raise Failure(bad_secret(error), tried=tried, problem=str(error), next_step="see --password-file") from error
    address = database.address(store, schema, password, tried)
    from agbot.store.postgres.moving import postgres_end

    return postgres_end(address)


def _is_database(store: str) -> bool:
    return "://" in store


def _leave(address: Address, doubt: str) -> None:
    from agbot.store.postgres.moving import postgres_end

    with postgres_end(address) as end:
        end.leave(doubt)


def _path(config: Path | None, tried: str) -> Path:
    """Return the file of the store; a database has its own commands."""
    settings = settings_file.load(config).settings.store
    if not settings.url:
        return settings.path
    commands = {
        "backing up": f"pg_dump --schema={settings.schema} --format=custom --file=FILE {shlex.quote(settings.url)}",
        "restoring": "stop every coordinator, remove the guard if there is one (`agbot guard uninstall`), and run: "
        f"{_PUTS_BACK.format(url=shlex.quote(settings.url))}",
        "compacting": f"VACUUM FULL {settings.schema}.journal, while every coordinator is stopped",
    }
    raise Failure(
        Exit.REFUSED,
        tried=f"{tried} the lease store",
        problem="it is on PostgreSQL ([store] url), which has its own tools for that",
        next_step=commands[tried],
    )


def _attempt(tried: str, work: Callable[[], Result]) -> Result:
    try:
        return work()
    # before StoreError, of which it is one: here the daemon runs, and nothing is broken
    except StoreLockedError as error:
        raise Failure(Exit.REFUSED, tried=tried, problem=str(error), next_step="systemctl stop agbot") from error
    except StoreError as error:
        code = Exit.REFUSED if isinstance(error, StoreTakenError) else Exit.BAD_FILE
        problem, advice = error.parted()
        next_step = f"{advice} (nothing has changed)" if advice else "nothing has changed; correct that first"
        raise Failure(code, tried=tried, problem=problem, next_step=next_step) from error


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"
