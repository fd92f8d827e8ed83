"""A reload: which changed settings and secrets take effect while the daemon runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Final

from agbot import log
from agbot.daemon import logging as daemon_logging
from agbot.daemon.context import Context
from agbot.daemon.parts import Parts
from agbot.events.process import SettingChanged, SettingsFailed, SettingsRefused, SettingsReloaded
from agbot.exchange import credentials
from agbot.settings import secret
from agbot.settings.changes import changes
from agbot.settings.load import Loaded
from agbot.settings.problems import SettingsError
from agbot.settings.scopes import limits_of
from agbot.settings.secret_files import Secrets

_FIXED_SECTIONS: Final = (
    "run",
    "exchange",
    "agbot",
    "gateway",
    "console",
    "store",
    "leadership",
    "guard",
    "mqtt",
    "webhook",
    "notify",
)
"""Sections that take effect at the next start only."""


_SIGNAL: Final = "SIGHUP"


class Reloading:
    """Applies the settings again on SIGHUP."""

    def __init__(self, loaded: Loaded, context: Context, parts: Parts) -> None:
        self.loaded = loaded
        """The settings and secrets in force."""
        self._context = context
        self._parts = parts
        self._reporting: asyncio.Future[None] | None = None
        """The last report; a task without a reference could be collected before its end."""

    def reload(self) -> None:
        """Read the settings again; with a mistake the old settings stay in force."""
        read = self._context.reload
        if read is None:
            return
        self._context.notifier.reloading()
        try:
            self._reload(read)
        except Exception:  # noqa: BLE001 - a bug in a reload must not end the daemon; the log has the traceback
            log.write_with_traceback(SettingsFailed())
        finally:
            # Without it the unit stays in "reloading": systemd keeps every later `systemctl reload`
            # waiting, and with Type=notify-reload reports this one as failed.
            self._context.notifier.ready()

    def _reload(self, read: Callable[[], Loaded]) -> None:
        try:
            loaded = read()
        except SettingsError as error:
            mistakes = tuple(map(str, error.problems))
            self._parts.coordinator.settings_refused = mistakes
            log.write(SettingsRefused(mistakes=mistakes))
        else:
            self._use(loaded)

    def _use(self, loaded: Loaded) -> None:
        before, new = self.loaded, loaded.settings
        old = before.settings
        # what follows reads it, and so does each request that needs the operator token
        self.loaded = replace(loaded, settings=replace(new, **{name: getattr(old, name) for name in _FIXED_SECTIONS}))
        self._parts.coordinator.set_limits(limits_of(new), new.scopes)
        if new.log != old.log:
            daemon_logging.set_up(new.log)
        renewed = (*self._use_secrets(before.secrets, loaded.secrets), *self._parts.renewals.renew())
        self._report(
            SettingsReloaded(
                who=_SIGNAL,
                changed=tuple(
                    SettingChanged(setting=key, old=was, new=now) for key, (was, now) in changes(old, new).items()
                ),
                needs_restart=tuple(name for name in _FIXED_SECTIONS if getattr(old, name) != getattr(new, name)),
                renewed=renewed,
                copied_at_start=tuple(secret.provided_by_systemd(os.environ)),
            )
        )

    def _report(self, event: SettingsReloaded) -> None:
        """Journal it, which logs it too; only the leader may write to the journal."""
        leading = self._parts.leading
        if leading is None or leading.where().leads:
            self._reporting = asyncio.ensure_future(self._journal(event))
        else:
            log.write(event)

    async def _journal(self, event: SettingsReloaded) -> None:
        if not await self._parts.receivers.deliveries.note(event):
            log.write(event)

    def _use_secrets(self, before: Secrets, now: Secrets) -> list[str]:
        """Use the secrets as they are now; return the names of those that have changed."""
        changed = [field.name for field in fields(Secrets) if getattr(before, field.name) != getattr(now, field.name)]
        self._parts.exchange.use(credentials.own(self.loaded))
        self._parts.receivers.use_secrets(now)
        return [name.replace("_", " ") for name in changed]
