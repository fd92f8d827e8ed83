"""The entries of an agent's database for node management policies, and its next steps. Pure.

Status words, their order and what survives a restart are those of real agents (`agbot-ha.md` 1.1 to
1.6; recorded order in `agent-status-sequence.jsonl`). A status is saved here first and reported
afterwards; a report can get lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from agbot.sim.matching import matches

Doc = dict[str, Any]

DOWNLOAD_ATTEMPTS = 4


class Word(StrEnum):
    """The status words on the wire."""

    RESET = "reset"
    WAITING = "waiting"
    DOWNLOADING = "download started"
    HA_WAITING = "ha node waiting"
    DOWNLOADED = "downloaded"
    INITIATED = "initiated"
    SUCCESSFUL = "successful"
    NO_ACTION = "no action required"
    FAILED = "failed"
    DOWNLOAD_FAILED = "download failed"
    PRECHECK_FAILED = "precheck failed"
    ROLLBACK_STARTED = "rollback started"
    ROLLBACK_SUCCESSFUL = "rollback successful"
    ROLLBACK_FAILED = "rollback failed"


IN_FLIGHT = frozenset({Word.DOWNLOADED, Word.INITIATED, Word.DOWNLOADING, Word.HA_WAITING})
"""While one policy has one of these, no other is started. `rollback started` is not among them
(`agbot-ha.md` 1.3)."""

PAST_THE_GATE = frozenset({Word.DOWNLOADED, Word.INITIATED, Word.ROLLBACK_STARTED})


@dataclass(slots=True, kw_only=True)
class Entry:
    """One policy on one node.

    `nmp` is its bare name, `manifest` is what it requests, and `version` is the agent version in
    the manifest.
    """

    nmp: str
    version: str
    scheduled_at: datetime
    manifest: str = ""
    word: Word = Word.WAITING
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    attempts: int = 0

    def report(self) -> Doc:
        """Return the body of `PUT …/managementStatus/{nmp}` (`agbot-ha.md` 1.7)."""
        return {
            "agentUpgradePolicyStatus": {
                "scheduledTime": _rfc3339(self.scheduled_at),
                "startTime": _rfc3339(self.started_at),
                "endTime": _rfc3339(self.ended_at),
                "upgradedVersions": {"softwareVersion": self.version, "certVersion": "", "configVersion": ""},
                "status": self.word.value,
                "errorMessage": self.error,
            }
        }

    def restart(self) -> bool:
        """Update an entry as the start of an agent does; return whether it changed.

        A download starts again from the beginning if it was interrupted, if it was reset, or if it
        waits for permission and requests `latest`.
        """
        again = self.word in (Word.DOWNLOADING, Word.RESET)
        if not again and not (self.word is Word.HA_WAITING and self.manifest.endswith("latest")):
            return False
        self.word = Word.WAITING
        return True

    def fail_download(self) -> None:
        """Count a failed download; the fourth is the last."""
        self.attempts += 1
        self.word = Word.DOWNLOAD_FAILED if self.attempts >= DOWNLOAD_ATTEMPTS else Word.WAITING


def _rfc3339(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else ""


class Move(StrEnum):
    """What one run of the agent's management worker does with one entry."""

    ASK = "ask"
    PROCEED = "proceed"
    """The node has left its group while it waited: it continues without a question."""
    DOWNLOAD = "download"


@dataclass(slots=True)
class Notebook:
    """All entries of a node, by bare policy name."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def moves(self, group: str, now: datetime) -> list[tuple[Move, Entry]]:
        """Return what one run does (`agbot-ha.md` 1.3).

        Entries that wait for permission come first, without any others.
        """
        waiting = [entry for entry in self.entries.values() if entry.word is Word.HA_WAITING]
        if waiting:
            return [(Move.ASK if group else Move.PROCEED, entry) for entry in waiting]
        if any(entry.word in IN_FLIGHT for entry in self.entries.values()):
            return []
        due = [entry for entry in self.entries.values() if entry.word is Word.WAITING and entry.scheduled_at <= now]
        return [(Move.DOWNLOAD, max(due, key=lambda entry: entry.scheduled_at))] if due else []

    def next_job(self) -> Entry | None:
        """Return the entry for the upgrade script: downloaded, with the earliest schedule."""
        ready = [entry for entry in self.entries.values() if entry.word is Word.DOWNLOADED]
        return min(ready, key=lambda entry: entry.scheduled_at) if ready else None

    def is_idle(self) -> bool:
        """Return whether a run would have nothing to do, at any time and in any group."""
        return not any(entry.word in (Word.HA_WAITING, Word.WAITING) for entry in self.entries.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a node reads from an enabled node management policy."""

    nmp: str
    manifest: str
    version: str
    start: str


def wanted(policies: Doc, properties: dict[str, str]) -> dict[str, Wanted]:
    """Return the policies of `GET …/managementpolicies` that match these properties, by bare name.

    The only constraint that is understood is `name == value`. The version is what follows the last
    underscore of the manifest.
    """
    found: dict[str, Wanted] = {}
    for name, doc in policies.items():
        upgrade = doc.get("agentUpgradePolicy")
        if not doc.get("enabled") or not upgrade or not matches(doc.get("constraints") or [], properties):
            continue
        nmp, manifest = name.split("/", 1)[1], upgrade["manifest"]
        version = manifest.rpartition("_")[2]
        found[nmp] = Wanted(nmp=nmp, manifest=manifest, version=version, start=doc.get("start", "now"))
    return found
