"""Checks the guard in the agbot's database: it works where it is enabled, and is nowhere else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from agbot.doctor.finding import Finding, ok, warning, wrong
from agbot.settings.load import Loaded

if TYPE_CHECKING:
    from agbot.guard.status import GuardStatus

_CHECK: Final = "guard"


async def check(loaded: Loaded, *, coordinator_answers: bool) -> tuple[Finding, ...]:
    """Check the guard in the database of `[store] url`, the only one in which it can be."""
    store, guard = loaded.settings.store, loaded.settings.guard
    if not store.url:
        return ()
    try:
        from agbot.guard import installing, status  # noqa: PLC0415 - the driver is an extra
        from agbot.guard.installing import GuardError  # noqa: PLC0415 - see above
        from agbot.guard.scripts import Schemas  # noqa: PLC0415 - see above
        from agbot.store.contract import StoreError  # noqa: PLC0415 - see above
        from agbot.store.postgres.address import Address  # noqa: PLC0415 - see above
    except ImportError:
        return ()  # the check of the store names the extra
    try:
        address = Address(url=store.url, schema=store.schema, password=loaded.secrets.store_password)
        schemas = Schemas(ours=store.schema, theirs=guard.agbot_schema)
        found = await asyncio.to_thread(installing.perform, address, lambda link: status.look(link, schemas))
    except (GuardError, StoreError) as error:
        return (wrong(_CHECK, str(error), tried=store.where),) if guard.enabled else ()
    return judged(found, is_enabled=guard.enabled, coordinator_answers=coordinator_answers)


def judged(found: GuardStatus, *, is_enabled: bool, coordinator_answers: bool) -> tuple[Finding, ...]:
    """Return what to know of the guard; nothing where there is none and should be none."""
    if found.version is None:
        if not is_enabled:
            return ()
        text = "[guard] enabled is true, and the guard is not installed: the agbot's upgrades begin without a lease"
        return ((wrong if coordinator_answers else warning)(_CHECK, text, next_step="agbot guard install"),)
    if not is_enabled:
        text = "the guard is installed, and [guard] enabled is not true: no coordinator decides what its triggers keep waiting"
        return (warning(_CHECK, text, next_step="set it, or `agbot guard uninstall`"),)
    if found.troubles:
        step = "`agbot guard install` repairs it, or names what it cannot"
        return tuple(wrong(_CHECK, each.partition(";")[0], next_step=step) for each in found.troubles)
    if not found.is_judged:
        text = "the guard is installed, and no coordinator decides at present: what has no lease waits"
        return ((warning if coordinator_answers else ok)(_CHECK, text),)
    return (ok(_CHECK, f"the guard is installed (version {found.version}), and a coordinator decides"),)
