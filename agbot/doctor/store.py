"""Checks the coordinator's own store, file or database, as the daemon meets it at its start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agbot.clock import Clock
from agbot.doctor.at_start import is_of_unit
from agbot.doctor.clocks import against_ours
from agbot.doctor.finding import Finding, ok, warning, wrong
from agbot.rules.words import count
from agbot.settings.load import Loaded
from agbot.settings.model import StoreSettings
from agbot.store import inspecting
from agbot.store.contract import StoreError

if TYPE_CHECKING:
    from agbot.store.postgres.inspecting import Inspection

_CHECK: Final = "store"


async def check(loaded: Loaded, clock: Clock, *, coordinator_answers: bool) -> tuple[Finding, ...]:
    """Check the database of `[store] url`, or the file of `[store] path`."""
    settings = loaded.settings.store
    if not settings.url:
        return (of_file(settings, coordinator_answers=coordinator_answers),)
    try:
        from agbot.store.postgres.address import Address  # noqa: PLC0415 - its driver is an extra
        from agbot.store.postgres.inspecting import inspect  # noqa: PLC0415 - see above
    except ImportError as error:
        step = "pip install 'agbot[postgres]'"
        return (wrong(_CHECK, f"[store] url needs the extra postgres ({error})", next_step=step),)
    sent_at = clock.now()
    try:
        address = Address(url=settings.url, schema=settings.schema, password=loaded.secrets.store_password)
        found = await inspect(address)
    except StoreError as error:
        return (wrong(_CHECK, str(error), tried=settings.where),)
    return (*judged(found, str(address)), against_ours("the store's clock", found.now, sent_at, clock.now()))


def of_file(settings: StoreSettings, *, coordinator_answers: bool) -> Finding:
    """Check the file of the store; nothing is changed or created."""
    found = inspecting.inspect(settings.path)
    if found.problem and is_of_unit(settings):
        return ok(_CHECK, "the folder of [store] path does not exist yet; the unit creates it (StateDirectory=)")
    if found.depends_on_user:
        step = "run it as a user who may use the file (sudo)"
        return warning(_CHECK, f"[store] path: {found.problem}", next_step=step)
    if found.problem:
        return wrong(_CHECK, f"[store] path: {found.problem}", next_step=found.next_step)
    return _of_usable(settings, found, coordinator_answers=coordinator_answers)


def _of_usable(settings: StoreSettings, found: inspecting.Inspection, *, coordinator_answers: bool) -> Finding:
    if found.holder and not coordinator_answers:
        text = f"[store] path: {found.holder} uses {settings.path}, and no coordinator answers at [console] listen"
        return wrong(_CHECK, text, next_step="stop that process (`ps -p NUMBER`), or set another path")
    if found.holder:
        return ok(_CHECK, f"{found.holder} uses the file of [store] path")
    if found.occupied and not coordinator_answers:
        number, them = count(found.occupied, "lease is", "leases are"), "it" if found.occupied == 1 else "them"
        text = f"[store] path can be used; {number} held in it, and no coordinator runs that ends {them}"
        return warning(_CHECK, text, next_step="start the coordinator (`systemctl start agbot`)")
    state = "can be used" if found.exists else "is a new file, which the first start creates"
    return ok(_CHECK, f"[store] path {state}")


def judged(found: Inspection, address: str) -> tuple[Finding, ...]:
    """Return what an operator has to know of a store that can be reached."""
    pooler = ", behind a pooler" if found.is_pooled else ""
    version = f"; {_version(found)}" if found.has_schema or found.may_create else ""
    results = [ok(_CHECK, f"{address} answers, PostgreSQL {found.server}{pooler}{version}")]
    if found.is_replica:
        step = "add target_session_attrs=read-write and all hosts to [store] url"
        results.append(wrong(_CHECK, "this server is a replica, which takes no writes", next_step=step))
    if not found.keeps_transactions:
        text = "the pooler gives each statement another session (pool_mode = statement)"
        results.append(wrong(_CHECK, text, next_step="set pool_mode to transaction or session for this database"))
    return (*results, *_rights(found), *_durability(found))


def _version(found: Inspection) -> str:
    if found.version == found.newest:
        return f"its schema has version {found.version}, that of this program"
    if not found.version:
        return "it has no tables yet, and the first start creates them"
    return f"its schema has version {found.version}, and the next start makes it {found.newest}"


def _rights(found: Inspection) -> list[Finding]:
    """Check what the role may do, now and at the next migration."""
    if not found.has_schema:
        step = f"as the owner of the database: CREATE SCHEMA {found.schema} AUTHORIZATION {found.role};"
        text = f"the schema {found.schema} does not exist, and the role {found.role} may not create it"
        return [] if found.may_create else [wrong(_CHECK, text, next_step=step)]
    if found.denied:
        text = f"the role may not read and write {', '.join(found.denied)}"
        return [wrong(_CHECK, text, next_step="let the user of [store] url own the schema and everything in it")]
    if not found.owns_schema:
        text = "the role does not own the schema, so that a newer version of the program cannot migrate it"
        step = f"ALTER SCHEMA {found.schema} OWNER TO {found.role}; and the same for its tables"
        return [warning(_CHECK, text, next_step=step)]
    return []


def _durability(found: Inspection) -> list[Finding]:
    """Check whether a grant that was answered can be lost with the server."""
    if not found.keeps_commits:
        text = "fsync or synchronous_commit is off: a crash of the server may lose leases that were granted"
        step = f"set both on; for this role alone: ALTER ROLE {found.role} SET synchronous_commit = on;"
        return [warning(_CHECK, text, next_step=step)]
    if found.replicas and not found.waits_for_replicas:
        number = count(found.replicas, "replica follows", "replicas follow")
        text = f"{number} without being waited for: a promoted one may lack the last commits,"
        return [ok(_CHECK, f"{text} which is noticed, and nothing is granted until every organisation has been read")]
    return []
