"""`agbot guard`: triggers in the agbot's database that decide its own upgrades by our leases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from agbot.cli import database, options, screen, settings_file
from agbot.cli.failure import Exit, Failure
from agbot.foreign_text import escaped
from agbot.rules.words import count
from agbot.settings.model import GuardSettings, StoreSettings
from agbot.settings.secret import Secret

if TYPE_CHECKING:
    from agbot.guard.installing import Installation
    from agbot.guard.scripts import Schemas
    from agbot.guard.shape import Connection
    from agbot.guard.status import GuardStatus

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The database and the two schemas, as options or settings name them."""

    url: str
    schemas: Schemas
    password: Secret | None


def place(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name the database and the two schemas, as the parameter `place`."""

    @wraps(command)
    def gathered(
        *, config: Path | None, url: str | None, schema: str | None, agbot_schema: str | None, **own: object
    ) -> None:
        command(place=_place(config, url, schema, agbot_schema), **own)

    for option in (
        click.option("--agbot-schema", help="Schema of the agbot's tables.  [default: [guard] agbot_schema]"),
        click.option("--schema", help="Schema of the lease store.  [default: [store] schema]"),
        click.option("--database", "url", help="Address of the agbot's database.  [default: [store] url]"),
        settings_file.config,
    ):
        gathered = option(gathered)
    return gathered


def _place(config: Path | None, url: str | None, schema: str | None, agbot_schema: str | None) -> _Place:
    """Read the settings only for what no option states."""
    from agbot.guard.scripts import Schemas

    is_asked = (config is not None or None in {url, schema, agbot_schema}) and settings_file.find(config) is not None
    loaded = settings_file.load(config) if is_asked else None
    store, guard = (loaded.settings.store, loaded.settings.guard) if loaded else (StoreSettings(), GuardSettings())
    try:
        schemas = Schemas(ours=schema or store.schema, theirs=agbot_schema or guard.agbot_schema)
    except ValueError as error:
        tried = "reading the names of the schemas"
        raise Failure(Exit.BAD_INPUT, tried=tried, problem=str(error), next_step="correct the name") from error
    # it is for the database of the settings, and goes to no other
    password = loaded.secrets.store_password if loaded is not None and url is None else None
    return _Place(url=url or store.url, schemas=schemas, password=password)


@click.group("guard")
def guard() -> None:
    """Let the agbot's own upgrades wait for the leases, by triggers in its database."""


@guard.command("install")
@click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing. A database that is named is checked.")
@place
@options.as_json
def install(*, dry_run: bool, place: _Place, as_json: bool) -> None:
    """Install or update the triggers. The agbot may run.

    The role needs SELECT, TRIGGER and DELETE on the agbot's tables `ha_group_updates` and
    `ha_workload_upgrade`, SELECT on `version`, and CREATE on the database. It must be the role of
    the lease store.
    """
    from agbot.guard import scripts

    schemas = place.schemas
    if dry_run:
        problems = _why_not_installed(place)
        _show_sql(scripts.install(schemas), as_json=as_json, problems=problems)
        if problems:
            raise SystemExit(int(Exit.REFUSED))
        return
    done, found = _attempt("installing the guard", place, lambda link: _install(link, schemas), prepares=True)
    repaired = [f"repaired: {each.partition(';')[0]}" for each in done.repaired]
    warning = _why_all_waits(found)
    text = "\n".join([_installed_in_words(done), *repaired, *([warning] if warning else [])])
    content = {"installed": True, "was_new": done.is_new, "version": scripts.VERSION, "repaired": done.repaired}
    screen.print_result({**content, **({"warning": warning} if warning else {})}, text, as_json=as_json)


@guard.command("uninstall")
@click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing. No database is needed.")
@options.yes
@place
@options.as_json
def uninstall(*, dry_run: bool, yes: bool, place: _Place, as_json: bool) -> None:
    """Remove the triggers and all else that `install` has created. The leases stay.

    It asks first if there is a guard: nothing keeps the agbot's own upgrades waiting after that.
    """
    from agbot.guard import installing, scripts

    schemas = place.schemas
    if dry_run:
        sql = scripts.uninstall(schemas)
        _show_sql(sql, as_json=as_json)
        return
    from agbot.guard import status as statuses

    found = _attempt("looking at the guard", place, lambda connection: statuses.look(connection, schemas))
    if found.version is not None:  # without a guard there is nothing to lose, and a script goes on
        options.confirm(_loss(found), "Remove the guard?", yes=yes)
    was_there = _attempt("removing the guard", place, lambda connection: installing.uninstall(connection, schemas))
    text = "the guard is removed" if was_there else "the guard was not installed"
    screen.print_result({"installed": False, "was_installed": was_there}, text, as_json=as_json)


@guard.command("status")
@place
@options.as_json
def status(*, place: _Place, as_json: bool) -> None:
    """Show whether the guard is installed and works.

    Exit code 8: it is not installed; 7: it is, and something is wrong with it.
    """
    from agbot.guard import status as statuses

    schemas = place.schemas
    found = _attempt("looking at the guard", place, lambda connection: statuses.look(connection, schemas))
    screen.print_result(found.plain(), _in_words(found), as_json=as_json)
    if not found.is_good:
        raise SystemExit(int(Exit.NOT_FOUND if found.version is None else Exit.REFUSED))


def _install(connection: Connection, schemas: Schemas) -> tuple[Installation, GuardStatus]:
    from agbot.guard import installing, status

    return installing.install(connection, schemas), status.look(connection, schemas)


def _installed_in_words(done: Installation) -> str:
    if done.is_new:
        return "the guard is installed"
    return "the guard was installed already, and " + ("is repaired" if done.repaired else "is up to date")


def _why_all_waits(found: GuardStatus) -> str:
    """Return which upgrades wait until a coordinator decides them; empty if none does."""
    kinds = (("agent", found.agents_without_leader), ("service", found.services_without_leader))
    waiting = " and ".join(kind for kind, word in kinds if word == "wait")
    if found.is_judged or not waiting:
        return ""
    if found.leader:
        until = f"{found.leader}, which leads, decides with [guard] enabled = true: `agbot guard status` shows it"
    else:
        until = "a coordinator runs with [guard] enabled = true; none leads at present"
    return f"warning: from now on the agbot's {waiting} upgrades wait until {until}"


def _loss(found: GuardStatus) -> str:
    relied = f" {found.leader or 'A coordinator'} counts on the guard at present." if found.is_judged else ""
    return f"Nothing keeps the agbot's own upgrades waiting for a lease any longer after that.{relied}"


def _who_decides(found: GuardStatus) -> str:
    if found.judged_until is None:
        return "no coordinator has decided yet: is [guard] enabled, and does one run?"
    until = f"{found.judged_until:%Y-%m-%d %H:%M:%SZ}"
    if not found.is_judged:
        return f"no coordinator decides now; one did until {until}"
    return f"a coordinator decides; should it stop now, the triggers go on without it from {until} on"


def _in_words(found: GuardStatus) -> str:
    if found.version is None:
        return "the guard is not installed; `agbot guard install` installs it"
    decided, untaken = _who_decides(found), count(found.undelivered, "decision")
    lines = [
        f"the guard is installed (version {found.version}) on the tables in {found.agbot_schema}",
        decided,
        f"without one, agent upgrades {found.agents_without_leader} and service upgrades {found.services_without_leader}",
        f"{count(found.gates, 'gate')}, {untaken} that no coordinator has taken in yet",
        *(f"wrong: {each}" for each in found.troubles),
    ]
    return "\n".join(lines)


def _attempt(tried: str, place: _Place, work: Callable[[Connection], _Result], *, prepares: bool = False) -> _Result:
    if not place.url:
        raise click.UsageError(
            "No database is given: use --database, or set [store] url in the settings file (--config)."
        )
    address = database.address(place.url, place.schemas.ours, place.password, tried)
    from agbot.guard import installing
    from agbot.guard.installing import GuardError, GuardLockedError, GuardUnreachableError

    try:
        if prepares:  # the guard's own tables are in the schema of the lease store
            installing.prepare_store(address)
        return installing.perform(address, work)
    except GuardUnreachableError as error:
        # the agbot locks its tables for moments only: another session does, such as an open psql
        is_locked = isinstance(error, GuardLockedError)
        step = (
            "look whether a session keeps the agbot's tables locked" if is_locked else "correct --database or [store]"
        )
        raise Failure(
            Exit.UNREACHABLE,
            tried=f"{tried} in {address}",
            problem=str(error),
            next_step=f"nothing of the guard has changed; {step}",
        ) from error
    except GuardError as error:
        raise Failure(
            Exit.REFUSED,
            tried=f"{tried} in {address}",
            problem=str(error),
            next_step="nothing has changed; correct that, and repeat the command",
        ) from error


def _why_not_installed(place: _Place) -> list[str]:
    """Return why `install` would be refused; empty if it would not, or no database is named."""
    if not place.url:
        return []
    from agbot.guard import shape

    try:
        return _attempt("looking at the agbot's tables", place, lambda found: shape.obstacles(found, place.schemas))
    except Failure as failure:
        if failure.exit_code == Exit.REFUSED:
            return [failure.problem]
        text = f"agbot: whether an installation would be refused is not known: {escaped(failure.problem)}"
        click.echo(text, err=True)
        return []


def _show_sql(sql: str, *, as_json: bool, problems: Sequence[str] = ()) -> None:
    """Print the statements, after what keeps an installation from them."""
    if as_json:
        screen.print_json({"sql": sql, **({"problems": problems} if problems else {})})
        return
    for each in problems:
        text = " ".join(escaped(each).split())
        click.echo(f"agbot: an installation would be refused: {text}", err=True)
        click.echo(f"-- agbot would refuse to install this: {text}")
    click.echo(sql)
