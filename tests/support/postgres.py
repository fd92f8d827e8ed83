"""A real PostgreSQL for the tests, started, frozen, stopped, killed and promoted as they want.

It is Debian's server, or that of the folders in `AGBOT_POSTGRES_BIN` (`make postgres`).

It refuses to run as root, so that root's tests start it as the user `postgres` (or `nobody`). Its files are in a folder of
their own: nobody else may look into pytest's folders, and the path of a socket is short. Each server begins with a copy of
one empty cluster: initdb takes 0.8 s of processor.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.programs import free_port
from tests.support.patience import PATIENCE_SECONDS
from tests.support.places import place

_FOLDERS = "/usr/lib/postgresql"
"""Where Debian keeps the programs of each version, outside of the PATH."""
_SUPERUSER = "postgres"
_LOOK_SECONDS = 0.02
_FIRST_WITH_STRATEGY = 15
FAST: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "max_connections": "60",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",  # else a server that is killed leaves a megabyte in /dev/shm
    "autovacuum": "off",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %d ",
}
"""Durability through a power failure is not what the tests are about; `kill -9` loses nothing without fsync either."""


def program(name: str) -> str:
    """Find one of PostgreSQL's programs, or pgbouncer; without it a test is skipped."""
    newest_first = sorted(Path(_FOLDERS).glob("*/bin"), key=lambda each: float(each.parent.name), reverse=True)
    folders = [os.environ.get("AGBOT_POSTGRES_BIN", ""), *map(str, newest_first)]
    found = shutil.which(name, path=":".join([*folders, os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"]))
    if found is None:
        package = "pgbouncer" if name == "pgbouncer" else "postgresql"
        pytest.skip(f"{name} is missing: install the Debian package {package}")
    return found


def own_folder(prefix: str) -> Path:
    """Make a folder that belongs to the user who runs the servers."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place()))
    if (user := _unprivileged()) is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    return folder


@cache
def _empty_cluster() -> Path:
    """Make what every server of this process begins with. Everybody who reaches it is trusted."""
    folder = own_folder("agbot-pg-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = [
        program("initdb"),
        "-D",
        str(folder / "data"),
        "-U",
        _SUPERUSER,
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-sync",
    ]
    subprocess.run(_as_user([*command, "--locale=C.UTF-8"]), check=True, capture_output=True, cwd="/")
    return folder / "data"


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a server as that user. It ends with this process, however this ends."""
    with log.open("ab") as lines:
        return subprocess.Popen(
            _as_user(command), stdin=subprocess.DEVNULL, stdout=lines, stderr=lines, cwd="/", start_new_session=True
        )


def _unprivileged() -> pwd.struct_passwd | None:
    """Return whom the servers run as; None if as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    return pytest.fail("there is no user postgres or nobody to run PostgreSQL as")


def _as_user(command: list[str]) -> list[str]:
    user = _unprivileged()
    ids = [] if user is None else [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", "--pdeathsig", "INT", *ids, *command]


@dataclass
class Postgres:
    """One server with its cluster. It listens on a socket in its folder, and on a TCP port of 127.0.0.1."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=lambda: FAST)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=count)

    @classmethod
    def create(cls, settings: Mapping[str, str] = FAST) -> Postgres:
        """Make a cluster, not started."""
        made = cls(own_folder("agbot-pg-"), settings)
        subprocess.run(_as_user(["cp", "-R", "-p", str(_empty_cluster()), str(made.data)]), check=True, cwd="/")
        return made

    @property
    def data(self) -> Path:
        """The folder of the cluster."""
        return self.folder / "data"

    @property
    def log(self) -> str:
        return (self.folder / "postgres.log").read_text(encoding="utf-8")

    def url(self, database: str = "postgres", *, user: str = _SUPERUSER, port: int | None = None) -> str:
        """Return an address over TCP; `port` is that of a proxy in front of it."""
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def socket_url(self, database: str = "postgres", *, user: str = _SUPERUSER) -> str:
        """Return an address over its socket."""
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [f"-c{name}={value}" for name, value in self.settings.items()]
        command = [program("postgres"), "-D", str(self.data), "-k", str(self.folder), "-p", str(self.port)]
        self.process = start([*command, "-c", "listen_addresses=127.0.0.1", *options], self.folder / "postgres.log")
        self.wait()

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert self.process is not None
            assert self.process.poll() is None, self.log
            try:
                with self.connect():
                    return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, self.log
            time.sleep(_LOOK_SECONDS)

    @contextmanager
    def connect(self, database: str = "postgres", *, user: str = _SUPERUSER) -> Iterator[psycopg.Connection]:
        """Give a connection of the test's own, without a transaction around its statements."""
        with psycopg.connect(self.socket_url(database, user=user), autocommit=True, connect_timeout=5) as connection:
            yield connection

    def run(self, database: str, *statements: str) -> list[tuple[object, ...]]:
        """Execute statements, and return the rows of the last one."""
        rows: list[tuple[object, ...]] = []
        with self.connect(database) as connection:
            for statement in statements:
                done = connection.execute(statement.encode())
                rows = done.fetchall() if done.description is not None else []
        return rows

    def database(self, template: str = "template1") -> str:
        """Create a database, empty or like another one, and return its name."""
        name = f"test_{os.getpid()}_{self.number()}"
        # the usual way since 15 writes every page to the log too: 28 ms of processor and not 20 with the removal
        is_choice = (
            int((self.data / "PG_VERSION").read_text(encoding="ascii").partition(".")[0]) >= _FIRST_WITH_STRATEGY
        )
        self.run("postgres", f"CREATE DATABASE {name} TEMPLATE {template}{' STRATEGY file_copy' * is_choice}")
        return name

    def number(self) -> int:
        """Return a number that no other name of this server has."""
        return next(self._numbers)

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.run("postgres", f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def stop(self) -> None:
        """End it as its service does (fast): transactions are rolled back, and whoever is connected is told."""
        self._end(signal.SIGINT)

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End all of its processes as `kill -9` does."""
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let all of its processes keep their connections and do nothing."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def replica(self) -> Postgres:
        """Make a replica of this running server, not started, that follows it."""
        made = Postgres(own_folder("agbot-pg-"), self.settings)
        command = [program("pg_basebackup"), "-D", str(made.data), "-d", self.socket_url(), "-R", "--no-sync"]
        subprocess.run(_as_user([*command, "-c", "fast", "-X", "stream"]), check=True, capture_output=True, cwd="/")
        # what a newer pg_basebackup writes has options that an older server does not know
        with (made.data / "postgresql.auto.conf").open("a", encoding="utf-8") as written:
            written.write(f"primary_conninfo = 'host={self.folder} port={self.port} user={_SUPERUSER}'\n")
        return made

    def until_followed(self) -> None:
        """Wait until the replicas of this server have what has been committed so far."""
        followed = "SELECT bool_and(replay_lsn >= pg_current_wal_lsn()) FROM pg_stat_replication"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.run("postgres", followed) != [(True,)]:
            assert time.monotonic() < deadline, self.log
            time.sleep(_LOOK_SECONDS)

    def promote(self) -> None:
        """Let a replica take writes from now on, and wait until it does."""
        assert self.run("postgres", "SELECT pg_promote(true, 120)") == [(True,)], self.log

    def remove(self) -> None:
        """Kill it and remove its files."""
        self.kill()
        shutil.rmtree(self.folder)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE_SECONDS)
            self.process = None

    def _pids(self) -> list[int]:
        if self.process is None:
            return []
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [self.process.pid, *map(int, children.read_text(encoding="ascii").split())]


@dataclass
class PgBouncer:
    """A pooler in front of a server, by default in transaction mode: two transactions may meet two sessions of the server."""

    folder: Path
    server: Postgres
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    mode: str = "transaction"

    @classmethod
    def before(cls, server: Postgres, *, mode: str = "transaction") -> PgBouncer:
        """Start one and wait until it answers."""
        program_file = program("pgbouncer")
        made = cls(own_folder("agbot-pgbouncer-"), server, mode=mode)
        config = made.folder / "pgbouncer.ini"
        config.write_text(made._configuration(), encoding="utf-8")
        config.chmod(0o644)
        made.process = start([program_file, str(config)], made.folder / "pgbouncer.log")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert made.process.poll() is None, (made.folder / "pgbouncer.log").read_text(encoding="utf-8")
            with suppress(psycopg.OperationalError), psycopg.connect(made.url("postgres"), connect_timeout=5):
                return made
            assert time.monotonic() < deadline, "pgbouncer does not answer"
            time.sleep(_LOOK_SECONDS)

    def url(self, database: str) -> str:
        """Return the address of a database behind it."""
        return self.server.url(database, port=self.port)

    def remove(self) -> None:
        """End it and remove its files."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_SECONDS)
        shutil.rmtree(self.folder)

    def _configuration(self) -> str:
        lines = (
            "[databases]",
            f"* = host={self.server.folder} port={self.server.port} user={_SUPERUSER}",
            "[pgbouncer]",
            f"listen_port = {self.port}",
            "listen_addr = 127.0.0.1",
            "auth_type = any",
            "unix_socket_dir =",
            f"pool_mode = {self.mode}",
            "default_pool_size = 4",
        )
        return "\n".join(lines) + "\n"
