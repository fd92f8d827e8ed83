"""How long a simulated node's work takes, and how its upgrades end.

The defaults are those of real agents. Times are simulated seconds. A pair is a range from which a
seeded generator draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Range = tuple[float, float]


class Fate(StrEnum):
    """How an agent upgrade goes on one node."""

    SUCCEEDS = "succeeds"
    ROLLS_BACK = "rolls back"
    """`failed`, shown for moments, then `rollback started` and `rollback successful`."""
    ROLLBACK_FAILS = "rollback fails"
    PRECHECK_FAILS = "precheck fails"
    DOWNLOAD_FAILS = "download fails"
    HANGS = "hangs"
    """The install never ends; the agent stays up and keeps its heartbeat."""
    LOSES_REPORT = "loses its report"
    """The install succeeds, but its end is never reported: the Exchange shows `initiated`
    forever."""
    DIES_ON_GRANT = "dies on grant"
    """The node is lost after it saved the permission and before it reported it."""
    DIES_DOWNLOADED = "dies downloaded"
    """The node is lost after it reported `downloaded`."""
    DIES_INSTALLING = "dies installing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """The times of one node."""

    heartbeat_seconds: float = 60.0
    """Real agents: 10 to 120."""
    ask_seconds: float = 60.0
    """From the end of one run of the management worker to the start of the next (recorded)."""
    retry_seconds: float = 10.0
    """Between repetitions after a transport error, which go on indefinitely (recorded)."""
    cron_seconds: float = 300.0
    """Period of the upgrade script's cron job. A slow install delays the next run."""
    cron_phase: Range = (0.0, 1.0)
    """The time of the first run, as a share of the period."""
    download_seconds: Range = (0.3, 0.6)
    precheck_seconds: Range = (1.0, 5.0)
    install_seconds: Range = (30.0, 120.0)
    """During this time the agent is down and sends no heartbeat."""
    boot_seconds: Range = (2.0, 10.0)
    settle_seconds: Range = (0.5, 2.0)
    """From the agent's return to the script's report."""
    failed_shows_seconds: Range = (5.0, 30.0)
    """How long `failed` is shown before `rollback started`."""
    rollback_seconds: Range = (30.0, 90.0)
    revision_seconds: Range = (0.0, 0.0)
    """How long a node that waits for permission keeps asking under its old download after a new
    revision of the policy."""
    mail_seconds: Range = (1.5, 10.5)
    """Until a message of the agbot is read (recorded: 1.5 to 10.5)."""
    start_seconds: Range = (0.1, 2.0)
    """Until containers run."""
    crash_noticed_seconds: Range = (0.0, 50.0)
    """Until the agent notices and reports that containers have exited (seen: up to 50)."""
    final_seconds: Range = (0.0, 0.0)
    """How long after that the agent's own list shows the agreement as final; 0 is before (both were
    seen: 10 s, and in the recording before)."""


class Outcome(StrEnum):
    """What a version of a service does on a node."""

    RUNS = "runs"
    NEVER_STARTS = "never starts"
    CRASHES = "crashes"
    """Reports `running` and exits 20 s later; the agreement stays."""
    VANISHES = "vanishes"
    """Reports `running`, exits 20 s later, and about 2 s after that its agreement is gone: the
    agbot makes a new one."""


CRASH_SECONDS = 20.0
CRASH_SHOWS_SECONDS = (1.7, 3.5)
"""How long the Exchange shows the failed state before the agreement disappears (seen three
times)."""
