"""Which source of the agbot's rows the settings name: its local API, or its database.

The database needs a driver, which is an extra, so it is imported only where it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agbot.agreementbot.client import AgreementBot
from agbot.agreementbot.deleting import ApiSource, Source
from agbot.clock import Clock
from agbot.settings.model import AgbotSettings

if TYPE_CHECKING:
    from agbot.agreementbot.tables import Tables


def for_reading(settings: AgbotSettings, clock: Clock) -> AgreementBot | Tables | None:
    """Return the source for the daemon: the API, which also shows that no agbot runs."""
    return AgreementBot(settings, clock) if settings.api else _database(settings, clock)


def for_deleting(settings: AgbotSettings, clock: Clock) -> Source | None:
    """Return the source for the doctor: the database, in which every single row can be deleted."""
    return _database(settings, clock) or (ApiSource(settings, clock) if settings.api else None)


def _database(settings: AgbotSettings, clock: Clock) -> Tables | None:
    """Return the database.

    Raises:
        OSError: its driver is not installed.
    """
    if not settings.database:
        return None
    try:
        from agbot.agreementbot.tables import Tables  # noqa: PLC0415 - see above
    except ImportError as error:
        message = f"[agbot] database needs the extra postgres: pip install 'agbot[postgres]' ({error})"
        raise OSError(message) from error
    return Tables(settings.database, clock, seconds=settings.request_seconds)
