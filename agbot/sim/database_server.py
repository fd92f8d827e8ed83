"""A PostgreSQL of its own for a simulated agbot: started for a while, and gone afterwards.

It is the server that is installed on the machine, on a socket in a folder that no other user may
enter. PostgreSQL does not run as root, so that root starts it as another user. On Linux the kernel
ends it with its starter, however that ends.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from agbot.sim.agbot_database import AgbotDatabase

AGBOT, COORDINATOR, DATABASE = "agbot", "coordinator", "hub"
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
"""Where distributions keep the programs outside of the PATH."""
_USER = "postgres"
"""Whom root starts it as."""
_WITH_US = ("setpriv", "--pdeathsig", "QUIT", "--")
"""Of util-linux: the kernel sends this signal to what it starts when its starter has ended."""
_START_SECONDS = 15.0
_SETTINGS = ("listen_addresses=", "fsync=off", "full_page_writes=off", "autovacuum=off", "max_connections=20")
_ROLES = (
    f"CREATE ROLE {AGBOT} LOGIN",
    f"CREATE ROLE {COORDINATOR} LOGIN",
    f"CREATE DATABASE {DATABASE} OWNER {AGBOT}",
    f"GRANT CREATE ON DATABASE {DATABASE} TO {COORDINATOR}",
)
_RIGHTS = (
    f"GRANT SELECT, TRIGGER, DELETE ON ha_group_updates, ha_workload_upgrade TO {COORDINATOR}",
    f"GRANT SELECT ON version TO {COORDINATOR}",
)


class NoServerError(Exception):
    """There is no server, or it does not start."""


class DatabaseServer:
    """One server with the database of a hub."""

    def __init__(self) -> None:
        """Create the cluster and start the server.

        Raises:
            NoServerError: see above, in a few words for people.
        """
        initdb, postgres = _program("initdb"), _program("postgres")
        self._user = _user()
        self._folder = Path(tempfile.mkdtemp(prefix="agbot-demo-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            if self._user:
                os.chown(self._folder, self._user["user"], self._user["group"])
            data = self._folder / "data"
            self._run(initdb, "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
            options = [option for each in _SETTINGS for option in ("-c", each)]
            with_us = _WITH_US if shutil.which(_WITH_US[0]) else ()
            self._process = self._popen(*with_us, postgres, "-D", str(data), "-k", str(self._folder), *options)
            self._wait()
        except BaseException:
            self.remove()
            raise

    def url(self, user: str, database: str = DATABASE) -> str:
        """Return the address for a role."""
        return f"postgresql://{user}@/{database}?host={self._folder}"

    def hub(self) -> AgbotDatabase:
        """Create the hub's database with an agbot's tables and the coordinator's rights to them."""
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as superuser:
            for statement in _ROLES:
                superuser.execute(statement.encode())
        rows = AgbotDatabase(self.url(AGBOT))
        with psycopg.connect(self.url(AGBOT), autocommit=True) as owner:
            for statement in _RIGHTS:
                owner.execute(statement.encode())
        return rows

    def remove(self) -> None:
        """End the server and remove its files."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)  # at once: nothing of it is needed any longer
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with suppress(psycopg.OperationalError), psycopg.connect(self.url("postgres", "postgres")):
                return
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                message = f"PostgreSQL does not answer within {_START_SECONDS:g} s"
                raise NoServerError(message)
            time.sleep(0.05)

    def _run(self, *command: str) -> None:
        done = self._popen(*command)
        _, errors = done.communicate()
        if done.returncode:
            lines = errors.decode(errors="replace").split("\n") or [""]
            message = f"{Path(command[0]).name} failed: {next((line for line in lines if line), 'it states no reason')}"
            raise NoServerError(message)

    def _popen(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program as that user. Ctrl-C on the terminal does not reach it."""
        output = subprocess.PIPE if command[0].endswith("initdb") else subprocess.DEVNULL
        return subprocess.Popen(  # noqa: S603 - PostgreSQL's own programs, with arguments from here
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            cwd="/",
            start_new_session=True,
            **self._user,
        )


def _program(name: str) -> str:
    """Find one of PostgreSQL's programs: in the PATH, or the newest of a distribution."""
    found = [str(folder) for place in _PLACES for folder in Path("/").glob(place[1:])]
    newest = sorted(found, key=lambda folder: [int(part) for part in folder.split("/") if part.isdigit()], reverse=True)
    path = shutil.which(name) or shutil.which(name, path=":".join(newest))
    if path is None:
        message = f"no PostgreSQL server is installed here ({name} is not found)"
        raise NoServerError(message)
    return path


def _user() -> dict[str, Any]:
    """Return whom the server runs as; nothing if as ourselves."""
    if os.geteuid() != 0:
        return {}
    try:
        found = pwd.getpwnam(_USER)
    except KeyError:
        message = f"PostgreSQL does not run as root, and there is no user {_USER} here"
        raise NoServerError(message) from None
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
