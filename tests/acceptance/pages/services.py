"""systemd, as far as the pages use it: units that are read from their files, and what `systemctl` and `journalctl` do with them.

What systemd refuses is refused here too, with its words and its exit code.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.pages.played import Call
from tests.acceptance.programs import environment
from tests.acceptance.template import Forked, Template
from tests.support.patience import PATIENCE_SECONDS

_GLANCE_SECONDS = 0.01
_PRIORITIES = {"emerg": 0, "alert": 1, "crit": 2, "err": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}
_OVER = b"over"
_ALWAYS_THERE = {"systemd-journald"}
"""Systemd's own services."""


def directives(*files: Path) -> dict[str, list[str]]:
    """Read unit files, the later ones over the earlier: an empty value takes back what was before."""
    found: dict[str, list[str]] = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.startswith(("#", ";")):
                found[key] = [*found.get(key, []), value] if value else []
    return found


@dataclass
class Service:
    """One unit that is installed."""

    name: str
    root: Path
    here: Callable[[str], str]
    template: Template
    is_enabled: bool = False
    process: Forked | None = None
    status: str = ""
    """The last sentence that it has stated."""
    _ready: threading.Event = field(default_factory=threading.Event)

    @property
    def file(self) -> Path:
        return self.root / f"etc/systemd/system/{self.name}.service"

    @property
    def drop_in(self) -> Path:
        return self.file.with_name(f"{self.file.name}.d") / "override.conf"

    @property
    def journal(self) -> Path:
        return self.root / f"var/log/{self.name}.journal"

    @property
    def is_active(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> str:
        """Start it, wait until it is ready, and return why it is not."""
        if self.is_active:
            return ""
        stated = directives(*[each for each in (self.file, self.drop_in) if each.exists()])
        program, *words = shlex.split(self.here(stated["ExecStart"][-1]))
        if Path(program).name != "agbot":  # another program's service, which is not here
            return ""
        environ = {"STATE_DIRECTORY": self._folder("var/lib", stated["StateDirectory"][-1])}
        environ["CREDENTIALS_DIRECTORY"] = self._folder("run/credentials", self.file.name)
        for name, _, source in (each.partition(":") for each in stated.get("LoadCredential", [])):
            try:
                shutil.copy(self.here(source), Path(environ["CREDENTIALS_DIRECTORY"]) / name)
            except OSError as error:
                return f"Failed to set up credentials: {error.strerror}"
        if not os.access(program, os.X_OK):
            return f"Failed to locate executable {program}: No such file or directory"
        return self._run(words, environ)

    def _folder(self, below: str, name: str) -> str:
        folder = self.root / below / name
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    def _run(self, words: list[str], environ: dict[str, str]) -> str:
        line, address = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), self.root / f"run/{self.name}.notify"
        address.unlink(missing_ok=True)
        line.bind(str(address))
        threading.Thread(target=self._listen, args=(line,), daemon=True).start()
        self._ready.clear()
        with self.journal.open("ab") as log:
            named = os.fstat(log.fileno())
            environ |= {"NOTIFY_SOCKET": str(address), "JOURNAL_STREAM": f"{named.st_dev}:{named.st_ino}"}
            number = log.fileno()
            self.process = self.template.fork(
                words, environment(**environ), stdout=number, stderr=number, open_files=None
            )
        while self.process.poll() is None and not self._ready.wait(_GLANCE_SECONDS):
            continue
        return "" if self.is_active else "the control process exited with error code"

    def _listen(self, line: socket.socket) -> None:
        """Take in what the service states, until another one takes its place."""
        with line:
            while (text := line.recv(65_536)) != _OVER:
                stated = dict(each.partition("=")[::2] for each in text.decode().split("\n"))
                self.status = stated.get("STATUS", self.status)
                if stated.get("READY") == "1":
                    self._ready.set()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait for its end."""
        if self.process is None:
            return
        self.process.send_signal(number)
        self.process.wait(PATIENCE_SECONDS)
        self.process = None
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto(_OVER, str(self.root / f"run/{self.name}.notify"))

    def reload(self) -> None:
        """Do what ExecReload says: send SIGHUP."""
        assert directives(self.file)["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)


@dataclass
class Services:
    """All units, and the two commands."""

    root: Path
    here: Callable[[str], str]
    template: Template
    known: dict[str, Service] = field(default_factory=dict)

    def find(self, name: str) -> Service | None:
        """Return the unit of that name, if it is installed."""
        bare = name.removesuffix(".service")
        found = self.known.setdefault(bare, Service(bare, self.root, self.here, self.template))
        return found if found.file.exists() else None

    def end(self) -> None:
        """End every service."""
        for each in self.known.values():
            each.stop(signal.SIGKILL)

    def systemctl(self, call: Call) -> int:
        """Play `systemctl VERB [UNIT]`."""
        options = [each for each in call.words if each.startswith("-")]
        verb, *names = [each for each in call.words if not each.startswith("-")]
        if set(options) - {"--now", "--quiet"}:
            return call.complain(f"systemctl: unrecognized option '{options[0]}'")
        if verb not in self._verbs:
            return call.complain(f"Unknown command verb {verb}.")
        if not names or names[0] in _ALWAYS_THERE:
            return call.say("State: running\n     Active: active (running)")
        unit = self.find(names[0])
        if unit is None:
            return call.complain(f"Failed to {verb} {names[0]}.service: Unit {names[0]}.service not found.", 5)
        code = self._verbs[verb](unit, call)
        if "--now" in options and code == 0:
            return self._verbs["start" if verb == "enable" else "stop"](unit, call)
        return code

    @property
    def _verbs(self) -> dict[str, Callable[[Service, Call], int]]:
        return {
            "start": self._start,
            "stop": self._stop,
            "restart": self._restart,
            "try-restart": lambda each, call: self._restart(each, call) if each.is_active else 0,
            "reload": self._reload,
            "status": self._status,
            "enable": self._enable,
            "disable": self._disable,
            "edit": self._edit,
            "daemon-reload": lambda _each, _call: 0,
        }

    def _start(self, unit: Service, call: Call) -> int:
        why = unit.start()
        return (
            call.complain(f'Job for {unit.file.name} failed because {why}.\nSee "journalctl -xeu {unit.file.name}".')
            if why
            else 0
        )

    def _stop(self, unit: Service, call: Call) -> int:
        unit.stop()
        return 0

    def _restart(self, unit: Service, call: Call) -> int:
        unit.stop()
        return self._start(unit, call)

    def _reload(self, unit: Service, call: Call) -> int:
        if not unit.is_active:
            return call.complain(f"{unit.file.name} is not active, cannot reload.")
        unit.reload()
        return 0

    def _status(self, unit: Service, call: Call) -> int:
        stated = directives(unit.file)["Description"][-1]
        call.say(f"● {unit.file.name} - {stated}\n     Loaded: loaded ({'enabled' if unit.is_enabled else 'disabled'})")
        call.say(f"     Active: {'active (running)' if unit.is_active else 'inactive (dead)'}")
        call.say(f'     Status: "{unit.status}"')
        return 0 if unit.is_active else 3

    def _enable(self, unit: Service, call: Call) -> int:
        unit.is_enabled = True
        return 0

    def _disable(self, unit: Service, call: Call) -> int:
        unit.is_enabled = False
        return 0

    def _edit(self, unit: Service, call: Call) -> int:
        """Put what is typed into the drop-in, as with `--stdin`."""
        unit.drop_in.parent.mkdir(exist_ok=True)
        with os.fdopen(os.dup(call.streams[2]), encoding="utf-8") as typed:
            unit.drop_in.write_text(typed.read(), encoding="utf-8")
        return 0

    def journalctl(self, call: Call) -> int:
        """Play `journalctl -u UNIT [-n N] [-p PRIORITY]`."""
        options = argparse.ArgumentParser(prog="journalctl", exit_on_error=False)
        options.add_argument("-u", required=True)
        options.add_argument("-n", type=int)
        options.add_argument("-p", choices=_PRIORITIES, default="debug")
        given = options.parse_args(call.words)
        unit = self.find(given.u)
        text = unit.journal.read_text(encoding="utf-8") if unit and unit.journal.exists() else ""
        lines = [line for line in text.splitlines() if _priority(line) <= _PRIORITIES[given.p]]
        for line in lines[-given.n :] if given.n else lines:
            call.say(f"{time.strftime('%b %d %H:%M:%S')} hub {given.u}[1]: {line[3:] if line[:1] == '<' else line}")
        return 0 if lines else call.say("-- No entries --")


def _priority(line: str) -> int:
    """Return the priority that journald reads at the beginning of a line."""
    return int(line[1]) if line[:1] == "<" and line[2:3] == ">" else _PRIORITIES["info"]
