"""`agbot guard`: triggers in the agbot's database that decide its own upgrades by our leases."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agbot.cli import options, screen, settings_file
from agbot.cli.failure import Exit, Failure
from agbot.cli.folding import say
from agbot.settings import load
from agbot.settings.checks import DATABASE
from agbot.settings.load import Loaded
from agbot.settings.model import GuardSettings, StoreSettings
from agbot.settings.secret import Secret

if TYPE_CHECKING:
    from agbot.guard.installing import Connection
    from agbot.guard.scripts import Schemas
    from agbot.guard.status import GuardStatus

_Result = TypeVar("_Result")
_Command = TypeVar("_Command", bound=Callable[..., object])


def _place(command: _Command) -> _Command:
    """Give a command the options that name the database and the two schemas."""
    for option in (
        click.option("--agbot-schema", help="Schema of the agbot's tables.  [default: [guard] agbot_schema]"),
        click.option("--schema", help="Schema of the lease store.  [default: [store] schema]"),
        click.option("--database", help="Address of the agbot's database.  [default: [store] url]"),
        click.option(
            "--config",
            type=click.Path(dir_okay=False, path_type=Path),
            help=f"Settings file (TOML), as `agbot run` takes it.  {settings_file.WHERE_IT_IS}",
        ),
    ):
        command = option(command)
    return command


@click.group("guard")
def guard() -> None:
    """Let the agbot's own upgrades wait for the leases, by triggers in its database."""


@guard.command("install")
@click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing. No database is needed.")
@_place
@options.as_json
def install(*, dry_run: bool, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - the options of `_Place.of`
    """Install or update the triggers. The agbot may run.

    The role needs SELECT, TRIGGER and DELETE on the agbot's tables `ha_group_updates` and
    `ha_workload_upgrade`, SELECT on `version`, and CREATE on the database. It must be the role of
    the lease store.
    """
    from agbot.guard import installing, scripts

    place = _Place.of(**given)
    schemas = place.schemas
    if dry_run:
        sql = scripts.install(schemas)
        click.echo(json.dumps({"sql": sql}, indent=2) if as_json else sql)
        return
    is_new = _do("install the guard", place, lambda connection: installing.install(connection, schemas), prepares=True)
    text = "the guard is installed" if is_new else "the guard was installed already, and is up to date"
    _say({"installed": True, "was_new": is_new, "version": scripts.VERSION}, text, as_json=as_json)


@guard.command("uninstall")
@click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing. No database is needed.")
@_place
@options.as_json
def uninstall(*, dry_run: bool, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - the options of `_Place.of`
    """Remove the triggers and everything else that `install` has created. The leases stay."""
    from agbot.guard import installing, scripts

    place = _Place.of(**given)
    schemas = place.schemas
    if dry_run:
        sql = scripts.uninstall(schemas)
        click.echo(json.dumps({"sql": sql}, indent=2) if as_json else sql)
        return
    was_there = _do("remove the guard", place, lambda connection: installing.uninstall(connection, schemas))
    text = "the guard is removed" if was_there else "the guard was not installed"
    _say({"installed": False, "was_installed": was_there}, text, as_json=as_json)


@guard.command("status")
@_place
@options.as_json
def status(*, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - the options of `_Place.of`
    """Show whether the guard is installed and works.

    Exit code 8: it is not installed; 7: it is, and something is wrong with it.
    """
    from agbot.guard import status as statuses

    place = _Place.of(**given)
    schemas = place.schemas
    found = _do("look at the guard", place, lambda connection: statuses.look(connection, schemas))
    _say(found.plain(), _in_words(found), as_json=as_json)
    if not found.is_good:
        raise SystemExit(int(Exit.NOT_FOUND if found.version is None else Exit.REFUSED))


def _in_words(found: GuardStatus) -> str:
    if found.version is None:
        return "the guard is not installed"
    until = f"until {found.judged_until:%Y-%m-%d %H:%M:%SZ}" if found.judged_until else "not yet"
    lines = [
        f"the guard is installed (version {found.version}) on the tables in {found.agbot_schema}",
        f"a coordinator decides: {until}",
        f"without one, agent upgrades {found.agents_without_leader} and service upgrades {found.services_without_leader}",
        f"{found.gates} gates, {found.undelivered} decisions that no coordinator has taken in yet",
        *(f"wrong: {each}" for each in found.troubles),
    ]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The database, as options or settings name it."""

    url: str
    schemas: Schemas
    password: Secret | None

    @classmethod
    def of(cls, *, config: Path | None, database: str | None, schema: str | None, agbot_schema: str | None) -> _Place:
        """Read the settings only for what no option says."""
        from agbot.guard.scripts import Schemas

        loaded = _loaded(config) if database is None or config is not None else None
        store, guard = (loaded.settings.store, loaded.settings.guard) if loaded else (StoreSettings(), GuardSettings())
        try:
            schemas = Schemas(ours=schema or store.schema, theirs=agbot_schema or guard.agbot_schema)
        except ValueError as error:
            raise Failure(
                Exit.BAD_INPUT, tried="read the names of the schemas", problem=str(error), next_step="correct the name"
            ) from error
        password = loaded.secrets.store_password if loaded is not None and database is None else None
        return cls(url=database or store.url, schemas=schemas, password=password)


def _loaded(config: Path | None) -> Loaded | None:
    """Return the settings; None if there is no file."""
    file = settings_file.find(config)
    if file is None:
        return None
    reading = load.read(file, os.environ, may_lack_secrets=True)
    if reading.loaded is None:
        raise Failure(
            Exit.BAD_INPUT,
            tried="read the settings for the agbot's database",
            problem="; ".join(str(each) for each in reading.mistakes),
            next_step=f"agbot check-config {file} explains each mistake; --config names another file",
        )
    return reading.loaded


def _do(tried: str, place: _Place, work: Callable[[Connection], _Result], *, prepares: bool = False) -> _Result:
    if not place.url:
        raise click.UsageError("No database is given: use --database, or set [store] url.")
    if find_spec("psycopg") is None:
        raise Failure(
            Exit.BAD_INPUT,
            tried=tried,
            problem="the package psycopg is not installed",
            next_step="pip install 'agbot[postgres]'",
        )
    wrong = DATABASE.wrong(place.url)
    if wrong:
        raise Failure(Exit.BAD_INPUT, tried=tried, problem=wrong, next_step=DATABASE.expected)
    from agbot.guard import connecting
    from agbot.guard.installing import GuardError, GuardUnreachableError
    from agbot.store.postgres.address import Address

    address = Address(url=place.url, schema=place.schemas.ours, password=place.password)
    try:
        if prepares:
            connecting.prepare_store(address)
        return connecting.perform(address, work)
    except GuardUnreachableError as error:
        raise Failure(
            Exit.UNREACHABLE,
            tried=f"{tried} in {address}",
            problem=str(error),
            next_step="nothing of the guard has changed; look whether a session keeps the agbot's tables locked",
        ) from error
    except GuardError as error:
        raise Failure(
            Exit.REFUSED,
            tried=f"{tried} in {address}",
            problem=str(error),
            next_step="nothing has changed; see docs/guard.md",
        ) from error


def _say(content: Mapping[str, object], text: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(content, ensure_ascii=False, indent=2))
    else:
        say(screen.clean(text))
