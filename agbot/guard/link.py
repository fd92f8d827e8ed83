"""The coordinator's connection to the guard's tables and to the agbot's two tables.

Every call is one short transaction in one message (`agbot.store.postgres.channel`): no lock and no
snapshot outlives it, so that the agbot, which locks its tables as a whole, never waits for us. What
a leader writes carries its epoch, and does nothing when another one leads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from agbot.agreementbot.client import Listed, Listing, Unreadable
from agbot.agreementbot.wire import distinct, to_row
from agbot.coordinator.guarded.port import Decided, Gate, GuardGoneError, GuardUnavailableError, Outcome
from agbot.guard.scripts import TRIGGERS, Schemas
from agbot.rules import ids
from agbot.rules.facts import Row
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind
from agbot.store.contract import Store, StoreUnavailableError
from agbot.store.postgres.address import Address
from agbot.store.postgres.channel import Channel, RefusedError, Rows, Timeouts
from agbot.store.postgres.quoting import filled
from agbot.store.postgres.term import TermStore

# the agbot locks its tables as a whole, so that whatever we hold or wait for delays all its claims
_TIMEOUTS: Final = Timeouts(statement_ms=2000, lock_ms=1000)
_MOST: Final = 500
"""Decisions that are taken in at once; the others follow in the next cycle."""

_WITH_UPGRADE_SECONDS: Final = 5
"""The first version of the guard that has a column for how long an upgrade may take."""
_ABSENT: Final = ("42P01", "42703", "42883", "3F000")
"""A table, column, function or schema does not exist."""
_UNASKED: Final = (
    "so the agbot's own upgrades begin without a lease; `agbot guard status` shows what is wrong, and "
    "`agbot guard install` repairs it"
)

_LEADS: Final = "EXISTS (SELECT FROM leader WHERE epoch = :epoch)"
_NEWS: Final = "SELECT EXISTS (SELECT FROM guard_outbox) AS found"
_UNDELIVERED: Final = f"""SELECT group_id, kind, node, subject, outcome, token, code, reason, tries,
 extract(epoch FROM clock_timestamp() - at)::float8 AS age, extract(epoch FROM clock_timestamp() - since)::float8 AS waits
 FROM guard_outbox ORDER BY at LIMIT {_MOST}"""
_DELIVERED: Final = f"""DELETE FROM guard_outbox WHERE group_id = :group AND kind = :kind AND node = :node
 AND subject = :subject AND outcome = :outcome AND token = :token AND tries = :tries AND {_LEADS}"""
_VERSION: Final = "SELECT max(version) AS found FROM guard_setting"
_SETTINGS: Final = f"""UPDATE guard_setting SET agents_without_leader = :agents, services_without_leader = :services,
 lease_seconds = :lease_ms / 1000.0 WHERE {_LEADS}"""
_SINCE_5: Final = f"UPDATE guard_setting SET upgrade_seconds = :upgrade_ms / 1000.0 WHERE {_LEADS}"
_JUDGED: Final = f"""UPDATE guard_setting SET judged_until = clock_timestamp() + make_interval(secs => :judged_ms / 1000.0)
 WHERE {_LEADS}"""
_AT_WORK: Final = """SELECT count(*) AS found FROM pg_trigger WHERE tgenabled IN ('O', 'A')
 AND tgfoid IN (to_regproc('guard_agent_asks'), to_regproc('guard_agent_answered'), to_regproc('guard_service_asks'))"""
_RESET: Final = f"DELETE FROM guard_gate WHERE {_LEADS}"
_NOTHING_PASSES: Final = f"DELETE FROM guard_gate WHERE verdict = 'pass' AND {_LEADS}"
_PUT: Final = f"""INSERT INTO guard_gate (scope, kind, subject, node, verdict, code, reason, known_until)
 SELECT :scope, :kind, :subject, :node, :verdict, :code, :reason,
 clock_timestamp() + make_interval(secs => :known_ms / 1000.0) WHERE {_LEADS}
 ON CONFLICT (scope, kind, subject, node) DO UPDATE SET verdict = excluded.verdict, code = excluded.code,
 reason = excluded.reason, known_until = excluded.known_until"""
_DROP: Final = f"""DELETE FROM guard_gate WHERE scope = :scope AND kind = :kind AND subject = :subject AND node = :node
 AND {_LEADS}"""
_ROWS: Final = """SELECT 'agent' AS kind, org_id, group_name, node_id, nmp_id AS subject, updated = '-infinity' AS is_answer
 FROM @theirs@.ha_group_updates UNION ALL
 SELECT 'service', org_id, group_name, node_id, policy_name, false FROM @theirs@.ha_workload_upgrade"""
_ANSWERS: Final = "DELETE FROM @theirs@.ha_group_updates WHERE updated = '-infinity'"
_UNLESS_HELD: Final = f"""NOT EXISTS (SELECT FROM lease WHERE group_id = :group AND state = 'held' AND kind = :kind
 AND holder = :node AND substr(subject, strpos(subject, '/') + 1) IN (:name, substr(:name, strpos(:name, '/') + 1)))
 AND {_LEADS} RETURNING 1 AS one"""
_DELETE: Final = {
    Kind.AGENT: f"""DELETE FROM @theirs@.ha_group_updates WHERE org_id = :org AND group_name = :group_name
 AND node_id = :bare_node AND nmp_id = :name AND {_UNLESS_HELD}""",
    Kind.SERVICE: f"""DELETE FROM @theirs@.ha_workload_upgrade WHERE org_id = :org AND group_name = :group_name
 AND node_id = :node AND policy_name = :name AND {_UNLESS_HELD}""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unjudged:
    """What the triggers do with a free lease while no coordinator decides: `wait` or `go`."""

    agents: str = "wait"
    services: str = "wait"
    lease_seconds: float = 600.0
    """For how long the lease of such a grant is valid."""
    upgrade_seconds: float = 7200.0
    """For how long after the database was replaced a group waits all the same, if it has had no
    grant since."""


class Links:
    """One coordinator's connection, for all its terms."""

    def __init__(self, address: Address, schemas: Schemas, unjudged: Unjudged) -> None:
        """Connect to nothing before the first call."""
        self.place = str(address)
        self.schemas = schemas
        self.unjudged = unjudged
        self.channel = Channel(address, _TIMEOUTS, purpose="guard")
        self.channel.open()

    def of(self, store: Store) -> Link:
        """Return the guard's tables for the term that uses this store."""
        return Link(self, store)

    async def close(self) -> None:
        """Disconnect."""
        await self.channel.close()


class Link:
    """See `agbot.coordinator.guarded.port.Guard`. It lists the agbot's rows as well."""

    def __init__(self, links: Links, store: Store) -> None:
        self._links = links
        self._store = store
        self._has_set = False

    async def has_news(self) -> bool:
        """Return whether there is anything to take in."""
        (rows,) = await self._run(_NEWS)
        return bool(rows[0]["found"])

    async def undelivered(self) -> Sequence[Decided]:
        """Read what has been decided since it was last delivered, in order."""
        (rows,) = await self._run(_UNDELIVERED)
        return [_decided(row) for row in rows]

    async def delivered(self, decided: Sequence[Decided]) -> None:
        """Drop decisions that are journalled. One that was repeated meanwhile stays."""
        if decided:
            await self._run(*(filled(_DELIVERED, self._with_epoch(_key_of(each))) for each in decided))

    async def write(
        self, judged_seconds: float | None, put: Sequence[Gate], drop: Sequence[Gate], *, resets: bool
    ) -> None:
        """Let the triggers rely on this coordinator for so long from now on, and change gates."""
        statements: list[str] = []
        # A pass lets an upgrade go without a lease, and outlives a coordinator that cannot judge:
        # the next upgrade of that member would go beside another one. A wait only keeps waiting.
        if resets or judged_seconds is None:
            statements.append(filled(_RESET if resets else _NOTHING_PASSES, self._with_epoch({})))
        statements += [filled(_PUT, self._with_epoch(_gate(each))) for each in put]
        statements += [filled(_DROP, self._with_epoch(_gate(each))) for each in drop]
        settings, is_newest = ([], True) if self._has_set else await self._settings()
        statements += settings
        if judged_seconds is not None:
            statements.append(filled(_JUDGED, self._with_epoch({"judged_ms": int(judged_seconds * 1000)})))
        if statements:
            *_, (triggers,) = await self._run(*statements, _AT_WORK)
            self._has_set = is_newest
            if triggers["found"] < len(TRIGGERS):
                raise GuardGoneError(f"{self._links.place}: a trigger of the guard is missing or disabled, {_UNASKED}")

    async def _settings(self) -> tuple[list[str], bool]:
        """Return how to write the settings, and whether the guard that is installed takes them all.

        After an update of this program, the guard of the older one works until it is updated too.
        """
        unjudged = self._links.unjudged
        row: dict[str, Any] = {"agents": unjudged.agents, "services": unjudged.services}
        row["lease_ms"] = int(unjudged.lease_seconds * 1000)
        row["upgrade_ms"] = int(unjudged.upgrade_seconds * 1000)
        (rows,) = await self._run(_VERSION)
        is_newest = (rows[0]["found"] or 0) >= _WITH_UPGRADE_SECONDS
        known = [_SETTINGS, _SINCE_5] if is_newest else [_SETTINGS]
        return [filled(each, self._with_epoch(row)) for each in known], is_newest

    async def delete(self, row: Row) -> bool:
        """Delete a row of the agbot, unless its upgrade holds the lease; return whether it did."""
        names = {
            "org": ids.org_of(row.group),
            "group": row.group,
            "group_name": ids.name_of(row.group),
            "kind": str(row.kind),
            "node": row.node,
            "bare_node": ids.name_of(row.node),
            "name": ids.name_of(row.subject) if row.kind is Kind.AGENT else row.subject,
        }
        (rows,) = await self._run(filled(self._links.schemas.filled(_DELETE[row.kind]), self._with_epoch(names)))
        return bool(rows)

    async def list_rows(self) -> Listing:
        """List the agbot's upgrades, as its local API does."""
        try:
            (rows,) = await self._run(self._links.schemas.filled(_ROWS))
            # the deferred trigger deletes them in their own transaction: one that is visible has
            # been left behind, such as by a trigger that was disabled, and would refuse every later
            # question
            if any(row["is_answer"] for row in rows):
                await self._run(self._links.schemas.filled(_ANSWERS))
        except GuardUnavailableError as error:
            return Unreadable(why=str(error))
        found = [_row(row) for row in rows if not row["is_answer"]]
        return Listed(rows=distinct(found), url="")

    def _with_epoch(self, row: dict[str, Any]) -> dict[str, Any]:
        # while no term has begun, nothing is written
        return {**row, "epoch": self._store.epoch if isinstance(self._store, TermStore) else -1}

    async def _run(self, *statements: str) -> list[Rows]:
        try:
            return await self._links.channel.run(*statements)
        except RefusedError as error:
            raise _refused(self._links.place, error) from error
        except StoreUnavailableError as error:
            raise GuardUnavailableError(str(error)) from error


def _refused(place: str, error: RefusedError) -> GuardUnavailableError:
    """Return what the refusal of a statement means, without the statement."""
    what = " ".join(str(error).partition("\nLINE ")[0].split())
    # the agbot's own tables may be missing as well, which `install` does not repair
    if error.code in _ABSENT and "guard_" in what:
        return GuardGoneError(f"{place}: the guard is not installed, {_UNASKED}")
    advice = "; `agbot guard status` shows what is wrong" if error.code.startswith("42") else ""
    return GuardUnavailableError(f"{place} refused: {what}{advice}")


def _decided(row: dict[str, Any]) -> Decided:
    claim = Claim(holder=NodeId(row["node"]), kind=Kind(row["kind"]), subject=PolicyId(row["subject"]))
    return Decided(
        group=GroupId(row["group_id"]),
        claim=claim,
        outcome=Outcome(row["outcome"]),
        token=row["token"],
        code=row["code"],
        reason=row["reason"],
        age_seconds=row["age"],
        waits_seconds=row["waits"],
        tries=row["tries"],
    )


def _key_of(decided: Decided) -> dict[str, Any]:
    claim = decided.claim
    return {
        "group": decided.group,
        "kind": str(claim.kind),
        "node": claim.holder,
        "subject": claim.subject,
        "outcome": str(decided.outcome),
        "token": decided.token,
        "tries": decided.tries,
    }


def _gate(gate: Gate) -> dict[str, Any]:
    scope, kind, subject, node = gate.key
    return {
        "scope": scope,
        "kind": str(kind),
        "subject": subject,
        "node": node,
        "verdict": str(gate.verdict),
        "code": gate.code,
        "reason": gate.reason,
        "known_ms": int(gate.known_seconds * 1000),
    }


def _row(row: dict[str, Any]) -> Row:
    return to_row(Kind(row["kind"]), row["org_id"], row["group_name"], row["node_id"], row["subject"])
