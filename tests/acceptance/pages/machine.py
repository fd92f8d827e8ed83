"""A machine on which the coordinator is installed as the pages say: below a root of its own, with systemd and a shell.

What needs more than a test machine has is played (`played.py`, `services.py`); everything else is the real
program. Nothing outside of the root is written.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.publish

from tests.acceptance.hub import COORDINATOR, Hub, revealed, secret_of
from tests.acceptance.pages.commands import ROOT
from tests.acceptance.pages.played import Call, Stage
from tests.acceptance.pages.services import Services
from tests.acceptance.programs import Programs, environment
from tests.acceptance.site import OPERATOR, Site, Tables, toml
from tests.acceptance.template import Template
from tests.support.patience import PATIENCE_SECONDS, until

_PLACES = "etc|var|opt|usr/local|run/credentials|run/systemd"
_OF_THE_MACHINE = re.compile(rf"(?<![\w/.-])/(?=(?:{_PLACES})\b)")
_LARGEST_PIECE = 65_536
_END_OF_INPUT = b"\x04"


@dataclass(kw_only=True)
class Machine(Site):
    """One machine beside a hub. Its daemon is the service `agbot`."""

    root: Path
    template: Template
    environ: dict[str, str] = field(default_factory=dict)
    """What is set in the shell of whoever types."""
    working: Path = Path()
    """The folder of that shell."""
    going_on: dict[asyncio.subprocess.Process, int] = field(default_factory=dict)
    """What runs in other terminals, each with its terminal."""

    def __post_init__(self) -> None:
        for folder in (
            "etc/agbot",
            "etc/default",
            "etc/systemd/system",
            "var/backups",
            "var/log",
            "root",
            "run/systemd/system",
        ):
            (self.root / folder).mkdir(parents=True)
        super().__post_init__()
        self.working = self.home
        self.stage = Stage(self.root / "usr/local/bin")
        self.services = Services(self.root, self.here, self.template)
        for name in (
            "agbot",
            "systemctl",
            "journalctl",
            "timedatectl",
            "fuser",
            "dpkg",
            "apt",
            "sqlite3",
            "mosquitto_pub",
        ):
            self.stage.play(name, getattr(self, f"_{name}"))
        program = self.root / "opt/agbot/bin/agbot"
        program.parent.mkdir(parents=True)
        program.symlink_to(self.stage.folder / "agbot")
        shutil.copy(ROOT / "systemd/agbot.service", self.root / "etc/systemd/system")
        # the tokens are credentials, as in the unit
        del self.tables["exchange"]["token_file"], self.tables["console"]["token_file"], self.tables["log"]
        # no page is about how fast it is
        self.tables["exchange"] |= {
            "poll_seconds": 1.0,
            "busy_poll_seconds": 0.3,
            "view_max_age_seconds": 20.0,
            "request_seconds": 10.0,
        }
        self.tables["store"]["path"] = str(self.store_file)
        self.write()
        here, python = str(self.stage.folder), str(Path(sys.executable).parent)
        self.environ = environment(
            PATH=f"{here}:{python}:{os.environ['PATH']}", HOME=str(self.home), AGBOT_URL=self.console
        )
        self.environ["HZN_EXCHANGE_URL"] = self.exchange_url

    @property
    def home(self) -> Path:
        return self.root / "root"

    @property
    def store_file(self) -> Path:
        return self.root / "var/lib/agbot/agbot.db"

    @property
    def journal_text(self) -> str:
        """Everything that any service has logged."""
        return "".join(path.read_text(encoding="utf-8") for path in sorted((self.root / "var/log").glob("*.journal")))

    def here(self, text: str) -> str:
        """Move the paths in a text below the root."""
        return _OF_THE_MACHINE.sub(f"{self.root}/", text)

    def add_unit(self, name: str, tables: Tables) -> None:
        """Install a second coordinator: a unit, and settings of its own."""
        (self.folder / f"{name}.toml").write_text(toml(tables), encoding="utf-8")
        unit = (self.root / "etc/systemd/system/agbot.service").read_text(encoding="utf-8")
        unit = unit.replace("agbot.toml", f"{name}.toml").replace("StateDirectory=agbot", f"StateDirectory={name}")
        (self.root / f"etc/systemd/system/{name}.service").write_text(unit, encoding="utf-8")

    async def started(self) -> None:
        """Start the service, and wait until it is ready and has looked at the agbot, if there is one."""
        assert await self.typed("systemctl start agbot") == (0, "")
        await self.until_able()

    async def until_able(self) -> None:
        """Wait until it may grant."""
        await self.until_ready()
        if "agbot" in self.tables:
            await until("the first look at the agbot", lambda: self.shows_text("/healthz", '"agbot":"listed"'))

    async def shows_text(self, path: str, text: str) -> bool:
        """Whether the operators' listener shows this, whatever the space in it."""
        return text in (await self.get(path))[1].replace(" ", "")

    async def restarted(self) -> None:
        """Let it begin with the settings as they are now."""
        self.write()
        assert await self.typed("systemctl restart agbot") == (0, "")
        await self.until_able()

    async def typed(
        self, command: str, *, answer: str = "", until_shown: str = "", goes_on: bool = False
    ) -> tuple[int, str]:
        """Type a command into a shell, and return its exit code and what it showed.

        The answer is what a person types while it runs. With `until_shown` they wait for this text, and
        end the command by Ctrl-C, or let it go on.
        """
        terminal, keyboard = os.openpty()
        os.write(terminal, (f"{answer}\n" if answer else "").encode() + _END_OF_INPUT)
        bash = await asyncio.create_subprocess_exec(
            "/bin/bash", "-c", self.here(command),
            cwd=self.working, env=self.environ, stdin=keyboard, start_new_session=True,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        shown = b""
        try:
            assert bash.stdout
            async with asyncio.timeout(PATIENCE_SECONDS):
                while piece := await bash.stdout.read(_LARGEST_PIECE):
                    shown += piece
                    if until_shown and until_shown in plain(shown.decode(errors="replace")):
                        if goes_on:
                            self.going_on[bash] = os.dup(terminal)
                            return 0, shown.decode()
                        os.killpg(bash.pid, signal.SIGINT)
                        until_shown = ""
                return await bash.wait(), shown.decode()
        except TimeoutError:
            raise AssertionError(f"{command} does not end, and has shown:\n{shown.decode()}") from None
        finally:
            if bash.returncode is None and bash not in self.going_on:
                os.killpg(bash.pid, signal.SIGKILL)
                await bash.wait()
            os.close(terminal)
            os.close(keyboard)

    async def logged(self, text: str) -> None:
        """Wait until a service has logged this."""
        await until(f"{text!r} in the log", lambda: text in plain(self.journal_text))

    async def end(self) -> None:
        """End all services and what runs in other terminals, and answer no command any more."""
        for each, terminal in self.going_on.items():
            os.killpg(each.pid, signal.SIGTERM)
            await each.wait()
            os.close(terminal)
        self.services.end()
        self.stage.close()

    def _agbot(self, call: Call) -> int:
        if call.words[:1] == ["install-units"]:
            call.words += ["--prefix", str(self.root)]
        return call.fork(self.template)

    def _systemctl(self, call: Call) -> int:
        return self.services.systemctl(call)

    def _journalctl(self, call: Call) -> int:
        return self.services.journalctl(call)

    def _timedatectl(self, call: Call) -> int:
        return call.say("System clock synchronized: yes") if not call.words else call.complain("Unknown command verb")

    def _fuser(self, call: Call) -> int:
        (file,) = [Path(each).resolve() for each in call.words]
        users = {str(each).split("/")[2] for each in Path("/proc").glob("[0-9]*/fd/*") if _leads_to(each, file)}
        return call.say(f"{file}: {' '.join(sorted(users))}") if users else 1

    def _dpkg(self, call: Call) -> int:
        """Play the installation of a newer package: what its script does after the files are in place."""
        if len(call.words) != 2 or call.words[0] != "-i" or not (call.folder / call.words[1]).is_file():
            return call.complain(f"dpkg: error: cannot access archive '{call.words[-1]}': No such file or directory", 2)
        return self._maintain(call, "postinst configure 0.1.0")

    def _apt(self, call: Call) -> int:
        if call.words != ["purge", "agbot"]:
            return call.complain("E: Invalid operation", 100)
        shutil.rmtree(self.root / "opt/agbot")
        return self._maintain(call, "prerm remove") or self._maintain(call, "postrm purge")

    def _maintain(self, call: Call, script: str) -> int:
        """Run a script of the package, below the root."""
        name, *words = script.split()
        text = self.here((ROOT / "packaging/debian" / name).read_text(encoding="utf-8"))
        file = self.root / "run" / name
        file.write_text(text, encoding="utf-8")
        pid = os.posix_spawn(
            "/bin/sh", ["/bin/sh", str(file), *words], self.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, call.streams[0], 1), (os.POSIX_SPAWN_DUP2, call.streams[1], 2)],
        )  # fmt: skip
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _sqlite3(self, call: Call) -> int:
        file, command = call.words
        if not command.startswith(".backup "):
            return call.complain(f'Error: unknown command or invalid arguments:  "{command}".')
        target = call.folder / command.split()[1]
        with closing(sqlite3.connect(call.folder / file)) as store, closing(sqlite3.connect(target)) as copy:
            store.backup(copy)
        return 0

    def _mosquitto_pub(self, call: Call) -> int:
        """Play the options that the pages use."""
        given: dict[str, str] = {}
        words = iter(call.words)
        for word in words:
            given[word] = "" if word in {"-r", "-n"} else next(words)
        unknown = set(given) - {"-h", "-p", "-u", "-P", "-q", "-r", "-t", "-m", "-n"}
        if unknown:
            return call.complain(f"Error: Unknown option '{unknown.pop()}'.")
        paho.mqtt.publish.single(
            given["-t"], given.get("-m", ""), qos=int(given["-q"]), retain="-r" in given, hostname=given["-h"],
            port=int(given["-p"]), auth={"username": given["-u"], "password": given["-P"]},
        )  # fmt: skip
        return 0


def plain(text: str) -> str:
    """Return a text without its line breaks, which depend on the width."""
    return " ".join(text.split())


def made(hub: Hub, programs: Programs, template: Template, root: Path) -> Machine:
    """Make a machine beside a hub."""
    (root / "etc").mkdir(parents=True)
    return Machine(
        folder=root / "etc/agbot",
        programs=programs,
        session=hub.session,
        exchange_url=hub.url,
        root=root,
        template=template,
    )


def check_logs(machine: Machine, hub: Hub) -> None:
    """Require that nothing failed that nobody foresaw, and that no secret was logged."""
    logged = machine.journal_text
    assert "Traceback" not in logged, logged
    assert not revealed({*hub.auths, ("operator", OPERATOR), (COORDINATOR, secret_of(COORDINATOR))}, logged)


def _leads_to(link: Path, file: Path) -> bool:
    try:
        return link.readlink() == file
    except OSError:  # gone, or of another user
        return False
