"""What `agbot run` finds on this machine when it starts, beside the settings themselves.

That is the file of the store, the addresses of the listeners, and the days left of certificates. An
address or a store that is in use is no mistake here: the coordinator that runs uses them.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from datetime import datetime
from importlib.util import find_spec

from agbot.doctor import certificates
from agbot.doctor.finding import Verdict
from agbot.doctor.listeners import bound
from agbot.settings.model import Settings, StoreSettings
from agbot.settings.rule_consistency import Mismatch
from agbot.store.inspecting import inspect


def mismatches(settings: Settings, now: datetime) -> Iterator[Mismatch]:
    """Find what would stop a start on this machine, and what will soon.

    What another user may do, or the unit provides, is a lack of whoever asks, and no mistake.
    """
    if settings.store.url:
        yield from _database(settings.store)
    else:
        yield from _store(settings.store)
    listens = {"console.listen": settings.console.listen}
    if settings.run.mode != "shadow":
        listens["gateway.listen"] = settings.gateway.listen
    for key, listen in listens.items():
        yield from _listener(key, listen)
    for key, finding in certificates.own(settings, now):
        if finding.verdict is not Verdict.OK:
            yield Mismatch(key=key, problem=finding.found, expected=finding.next_step, is_warning=True)


def _database(settings: StoreSettings) -> Iterator[Mismatch]:
    if find_spec("psycopg") is None:  # which the settings' own checks report
        return
    from agbot.store.postgres.address import why_not_of_libpq  # noqa: PLC0415 - its driver is an extra

    wrong = why_not_of_libpq(settings.url)
    if wrong:
        yield Mismatch(key="store.url", problem=wrong, expected="parameters and ports that libpq knows")


def _store(settings: StoreSettings) -> Iterator[Mismatch]:
    found = inspect(settings.path)
    if found.problem and is_of_unit(settings):
        yield Mismatch(key="store.path", problem="", lacks=True)
    elif found.problem:
        problem = "; ".join(each for each in (found.problem, found.next_step) if each)
        yield Mismatch(key="store.path", problem=problem, lacks=found.depends_on_user)


def is_of_unit(settings: StoreSettings) -> bool:
    """Whether the folder of the store is missing, and the unit creates it (`StateDirectory=`)."""
    folder = settings.path.parent
    return folder == StoreSettings().path.parent and not folder.exists()


def _listener(key: str, listen: str) -> Iterator[Mismatch]:
    try:
        bound(listen)
    except socket.gaierror as error:
        problem = f"the host of {listen} cannot be resolved ({error.strerror})"
        yield Mismatch(key=key, problem=problem, expected="an address of this machine")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return
        is_of_user = error.errno in {errno.EACCES, errno.EPERM}
        problem = f"{listen} cannot be listened on: {os.strerror(error.errno or 0).lower()}"
        expected = (
            "a higher port, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit"
            if is_of_user
            else "an address of this machine (`ip addr` shows them)"
        )
        yield Mismatch(key=key, problem=problem, expected=expected, lacks=is_of_user)
