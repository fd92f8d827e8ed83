"""Events of the process: its clock, its cycles, its settings, its certificates and its log."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from agbot.events.event import Event, Level, LogEvent
from agbot.rules.ids import GroupId
from agbot.rules.words import count


class ClockStepped(Event, frozen=True, kw_only=True):
    """The clock of this machine was set forward by `seconds`, or back if negative.

    Everything is read again, and nothing is granted until the Exchange's clock has been compared
    with it.
    """

    name: ClassVar[str] = "clock.stepped"
    level: ClassVar[Level] = Level.WARNING

    seconds: float

    def in_words(self) -> str:
        direction = "back" if self.seconds < 0 else "forward"
        return f"the clock of this machine was set {direction} by {abs(self.seconds):g} s"


class CycleDone(LogEvent, frozen=True, kw_only=True):
    """A summary of one cycle of the scheduler."""

    name: ClassVar[str] = "cycle.done"
    level: ClassVar[Level] = Level.DEBUG
    words: ClassVar[str] = "{self.sentence}"

    sentence: str
    seconds: float


class CycleFailed(LogEvent, frozen=True, kw_only=True):
    """A cycle of the scheduler failed unexpectedly. The next one tries again."""

    name: ClassVar[str] = "cycle.failed"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "a cycle has failed unexpectedly, and the next one tries again"


class PartFailed(LogEvent, frozen=True, kw_only=True):
    """A part of the cycle failed unexpectedly for one group. The other groups are not affected.

    Logged once until `part.recovered`.
    """

    name: ClassVar[str] = "part.failed"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "a part of the cycle has failed unexpectedly: {self.part}"

    group: GroupId | None = None
    part: str
    error: str
    where: tuple[str, ...]
    """The innermost frames of the traceback."""


class PartRecovered(LogEvent, frozen=True, kw_only=True):
    """That part of the cycle works again for the group."""

    name: ClassVar[str] = "part.recovered"
    words: ClassVar[str] = "a part of the cycle works again: {self.part}"

    group: GroupId | None = None
    part: str


class DaemonStarted(LogEvent, frozen=True, kw_only=True):
    """The process has started, with this version and these settings."""

    name: ClassVar[str] = "daemon.started"
    words: ClassVar[str] = "agbot {self.version} has started and reads {self.exchange}"

    version: str
    mode: str = "gateway"
    gateway: str
    """Empty in shadow mode, which listens for no agents."""
    console: str
    exchange: str
    identity: str
    store: str


class Standing(LogEvent, frozen=True, kw_only=True):
    """An event with the numbers of leases and waiters."""

    held: int
    suspect: int
    waiting: int
    orgs: int


class DaemonReady(Standing, frozen=True, kw_only=True):
    """The daemon may grant: the store is open and the picture of the Exchange is complete."""

    name: ClassVar[str] = "daemon.ready"

    def in_words(self) -> str:
        held = f"{count(self.held, 'lease')} held, {self.suspect} suspect"
        return f"ready: {count(self.orgs, 'organisation')}, {held}, {count(self.waiting, 'node')} waiting"


class DaemonUnready(LogEvent, frozen=True, kw_only=True):
    """The daemon may not grant; `why` is the reason."""

    name: ClassVar[str] = "daemon.unready"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "not ready, and nothing is granted"

    why: str


class DaemonStopping(Standing, frozen=True, kw_only=True):
    """The daemon was asked to stop. It finishes open answers and grants nothing new."""

    name: ClassVar[str] = "daemon.stopping"

    def in_words(self) -> str:
        return f"stopping, with {count(self.held, 'lease')} held and {count(self.waiting, 'node')} waiting"


class DaemonStopped(LogEvent, frozen=True, kw_only=True):
    """The daemon has stopped. Leases stay with their holders."""

    name: ClassVar[str] = "daemon.stopped"
    words: ClassVar[str] = "stopped; the leases stay with their holders"


class DaemonFailed(LogEvent, frozen=True, kw_only=True):
    """The daemon ends because of an error."""

    name: ClassVar[str] = "daemon.failed"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "the coordinator ends because of an error"

    error: str = ""
    """Empty if a traceback is logged with it."""


class CertificateExpiring(LogEvent, frozen=True, kw_only=True):
    """A certificate in `files` expires in `days_left` days, or has expired.

    It is the first of them to expire. Logged at startup and once a day.
    """

    name: ClassVar[str] = "certificate.expiring"
    level: ClassVar[Level] = Level.WARNING

    use: str
    days_left: float
    files: tuple[str, ...]

    def in_words(self) -> str:
        if self.days_left < 0:
            return f"the certificate of the {self.use} expired {-self.days_left:g} days ago"
        return f"the certificate of the {self.use} expires in {self.days_left:g} days"


class CertificateRefused(LogEvent, frozen=True, kw_only=True):
    """A renewed certificate, key or authority cannot be used; the previous one stays in use.

    `use` and `files` name it.
    """

    name: ClassVar[str] = "certificate.refused"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "a renewed certificate of the {self.use} cannot be used, and the previous one stays in use"

    use: str
    files: tuple[str, ...]
    error: str


class SettingsDoubtful(LogEvent, frozen=True, kw_only=True):
    """A setting is valid but probably not intended."""

    name: ClassVar[str] = "settings.doubtful"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "a setting is probably not intended: {self.problem}"

    problem: str


class SettingsUnmatched(LogEvent, frozen=True, kw_only=True):
    """A scope of the settings matches no organisation or HA group; its name is probably mistyped.

    Logged once the whole fleet has been read, and again when that has changed in between.
    """

    name: ClassVar[str] = "settings.unmatched"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "a scope of the settings has no effect: {self.problem}"

    scope: str
    """Its table, without the brackets."""
    problem: str


class SettingsMatched(LogEvent, frozen=True, kw_only=True):
    """That scope matches now, because of a group or an organisation that has appeared."""

    name: ClassVar[str] = "settings.matched"
    words: ClassVar[str] = "the scope [{self.scope}] of the settings has an effect now"

    scope: str


class SettingChanged(msgspec.Struct, frozen=True, kw_only=True):
    """One setting that has another value now. Both are written as in the file."""

    setting: str
    """`section.key`, or the key of a scope."""
    old: str
    new: str

    def __str__(self) -> str:
        """Return the change for people."""
        return f"{self.setting} from {self.old} to {self.new}"


class SettingsReloaded(Event, frozen=True, kw_only=True):
    """The settings were read again, because of the signal in `who`.

    `changed` is what differs, and `needs_restart` what of it is not in effect. Secrets are never
    shown. A coordinator that does not lead, or whose store fails, only logs it.
    """

    name: ClassVar[str] = "settings.reloaded"

    changed: tuple[SettingChanged, ...] = ()
    """The changed settings with their values, also those that are read only at startup."""
    needs_restart: tuple[str, ...]
    """Changed sections that are read only at startup."""
    renewed: tuple[str, ...]
    """New secrets and certificates."""
    copied_at_start: tuple[str, ...] = ()
    """Secrets from systemd, which change only with a restart."""

    def in_words(self) -> str:
        news = [*map(str, self.changed), *(f"a new {each}" for each in self.renewed)]
        restart = f"; a restart is needed for [{'], ['.join(self.needs_restart)}]" if self.needs_restart else ""
        return f"the settings were read again: {', '.join(news) or 'nothing has changed'}{restart}"


class SettingsRefused(LogEvent, frozen=True, kw_only=True):
    """Changed settings are invalid; the previous ones stay in effect."""

    name: ClassVar[str] = "settings.refused"
    level: ClassVar[Level] = Level.ERROR

    mistakes: tuple[str, ...]

    def in_words(self) -> str:
        return f"the changed settings are not used: {'; '.join(self.mistakes)}"


class SettingsFailed(LogEvent, frozen=True, kw_only=True):
    """A reload of the settings failed unexpectedly; the changed ones may be in effect in part."""

    name: ClassVar[str] = "settings.failed"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "the settings could not be reloaded; restart the daemon, which begins with the changed ones"


class LogDropped(LogEvent, frozen=True, kw_only=True):
    """`lines` lines of the log are missing before this one.

    The reader of the log was too slow, or they could not be written.
    """

    name: ClassVar[str] = "log.dropped"
    level: ClassVar[Level] = Level.WARNING

    lines: int

    def in_words(self) -> str:
        return f"{count(self.lines, 'line is', 'lines are')} missing before this one"


class LibraryLogged(LogEvent, frozen=True, kw_only=True):
    """A library, `logger`, logged a line. It has the level of that line."""

    name: ClassVar[str] = "library.logged"
    words: ClassVar[str] = "{self.text}"

    logger: str
    text: str
