"""The agbot's tables for HA groups in a real PostgreSQL, with the statements of a real agbot.

Tables, functions and lock modes are those of `agbot-ha.md` 3.2 to 3.4, and so is the way in which
an agbot calls them: each claim is one statement in a transaction of its own, which takes the whole
table (`LOCK TABLE`); deletions are plain. What else may be in that database, an agbot does not
know. While the server is away, such as for a restart, the whole simulation stands still.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from agbot.sim.agbot_rows import AgbotRows, AgentRow, NoDatabaseError, ServiceRow, UnexpectedReplyError

START = """
CREATE TABLE IF NOT EXISTS version (
    id serial PRIMARY KEY, ver int NOT NULL, description text NOT NULL, updated timestamptz DEFAULT current_timestamp
);
DO $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM version WHERE id = 1) THEN
        INSERT INTO version (id, ver, description) VALUES (1, 0, 'initial tables');
    END IF;
END $$;

CREATE TABLE IF NOT EXISTS ha_group_updates (
    group_name text NOT NULL, org_id text NOT NULL, node_id text NOT NULL, nmp_id text NOT NULL,
    updated timestamptz DEFAULT current_timestamp
);
CREATE TABLE IF NOT EXISTS ha_workload_upgrade (
    group_name text NOT NULL, org_id text NOT NULL, policy_name text NOT NULL, node_id text NOT NULL,
    updated timestamptz DEFAULT current_timestamp
);
CREATE TABLE IF NOT EXISTS workload_usages (
    device_id text NOT NULL, policy_name text NOT NULL, partition text NOT NULL, workload_usage jsonb NOT NULL,
    updated timestamptz DEFAULT current_timestamp
);

CREATE OR REPLACE FUNCTION ha_group_add_if_not_present(
    asked_group varchar, asked_org varchar, asked_node varchar, asked_nmp varchar
) RETURNS TABLE (db_node_id text, db_nmp_id text) LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE ha_group_updates;
    IF NOT EXISTS (SELECT 1 FROM ha_group_updates WHERE group_name = asked_group AND org_id = asked_org) THEN
        INSERT INTO ha_group_updates (group_name, org_id, node_id, nmp_id)
        VALUES (asked_group, asked_org, asked_node, asked_nmp);
    END IF;
    RETURN QUERY SELECT node_id, nmp_id FROM ha_group_updates WHERE group_name = asked_group AND org_id = asked_org;
END $$;

CREATE OR REPLACE FUNCTION ha_workload_add_if_not_present(
    asked_group varchar, asked_org varchar, asked_policy varchar, asked_node varchar
) RETURNS TABLE (db_node_id text) LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE ha_workload_upgrade;
    IF NOT EXISTS (
        SELECT 1 FROM ha_workload_upgrade
        WHERE group_name = asked_group AND org_id = asked_org AND policy_name = asked_policy
    ) THEN
        INSERT INTO ha_workload_upgrade (group_name, org_id, policy_name, node_id)
        VALUES (asked_group, asked_org, asked_policy, asked_node);
    END IF;
    RETURN QUERY SELECT node_id FROM ha_workload_upgrade
    WHERE group_name = asked_group AND org_id = asked_org AND policy_name = asked_policy;
END $$;
"""
"""What an agbot executes at each start."""

_FOREIGN = """
    SELECT tablename FROM pg_tables WHERE schemaname = current_schema()
    AND tablename NOT IN ('version', 'ha_group_updates', 'ha_workload_upgrade', 'workload_usages') ORDER BY 1 LIMIT 1
"""
_CLAIM_AGENT = "SELECT * FROM ha_group_add_if_not_present(%s, %s, %s, %s)"
_CLAIM_SERVICE = "SELECT * FROM ha_workload_add_if_not_present(%s, %s, %s, %s)"
_FIND_SERVICE = "SELECT node_id FROM ha_workload_upgrade WHERE group_name = %s AND org_id = %s AND policy_name = %s"
_ALL_AGENTS = "SELECT org_id, group_name, node_id, nmp_id FROM ha_group_updates"
_ALL_SERVICES = "SELECT org_id, group_name, policy_name, node_id FROM ha_workload_upgrade"
_DELETE_AGENTS = "DELETE FROM ha_group_updates WHERE org_id = %s AND group_name = %s"
_DELETE_SERVICE = """
    DELETE FROM ha_workload_upgrade WHERE org_id = %s AND group_name = %s AND policy_name = %s AND node_id = %s
"""

_AWAY_SECONDS = 30.0
"""How long a restart of the server may take."""
_AGAIN_SECONDS = 0.2


def of_its_own(url: str) -> AgbotDatabase:
    """Connect a simulated agbot to a database of its own, and delete what an earlier one has left.

    Raises:
        NoDatabaseError: it cannot be used, or has a table that is not of a simulated agbot.
    """
    try:
        rows = AgbotDatabase(url, starts=False)
        foreign = rows.foreign_table()
        if foreign:
            rows.close()
            message = f"the database has a table {foreign}, and so is not one of a simulated agbot alone"
            raise NoDatabaseError(message)
        rows.start()
        rows.delete_services()
        rows.delete_agents()
    except psycopg.Error as error:
        raise NoDatabaseError(" ".join(str(error).split())) from error
    return rows


class AgbotDatabase(AgbotRows):
    """One agbot's connection to the database that all agbots of the hub share."""

    def __init__(self, url: str, *, starts: bool = True) -> None:
        """Connect; an agbot that `starts` creates what is missing."""
        self._url = url
        self._connection: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        self.on_deleted: Callable[[AgentRow | ServiceRow], None] = lambda _row: None
        if starts:
            self.start()

    def start(self) -> None:
        """Create the tables where they are missing, and the functions again."""
        self._execute(START)

    def foreign_table(self) -> str:
        """Return a table beside its own in the schema, as a real agbot has; empty if none."""
        found = self._read(_FOREIGN)
        return str(found[0][0]) if found else ""

    def close(self) -> None:
        """Close the connection; the rows stay."""
        self._connection.close()

    @property
    def services(self) -> list[ServiceRow]:
        """The service upgrades of all agbots."""
        rows = self._read(_ALL_SERVICES)
        return [ServiceRow(org=org, group=group, policy=policy, node=node) for org, group, policy, node in rows]

    @services.setter
    def services(self, rows: list[ServiceRow]) -> None:
        raise AttributeError("the rows of a database are changed one by one")

    @property
    def agents(self) -> list[AgentRow]:
        """The permitted agent upgrades of all agbots."""
        rows = self._read(_ALL_AGENTS)
        return [AgentRow(org=org, group=group, node=node, nmp=nmp) for org, group, node, nmp in rows]

    @agents.setter
    def agents(self, rows: list[AgentRow]) -> None:
        raise AttributeError("the rows of a database are changed one by one")

    def claim_agent(self, wanted: AgentRow) -> bool:
        """Answer an agent: whether its group's row names this node and policy.

        Raises:
            UnexpectedReplyError: the agent gets a 500.
        """
        try:
            found = self._read(_CLAIM_AGENT, wanted.group, wanted.org, wanted.node, wanted.nmp)
        except psycopg.Error as error:
            raise UnexpectedReplyError(str(error)) from error
        if not found:
            raise UnexpectedReplyError("node id returned from ha group updates table search is not valid")
        return bool(found[0] == (wanted.node, wanted.nmp))

    def claim_service(self, wanted: ServiceRow) -> bool:
        """Return whether a row was inserted for this node; a row that is there already is none."""
        if self.has_service(wanted.org, wanted.group, wanted.policy):
            return False
        found = self._read(_CLAIM_SERVICE, wanted.group, wanted.org, wanted.policy, wanted.node)
        return bool(found) and found[0] == (wanted.node,)

    def has_service(self, org: str, group: str, policy: str) -> bool:
        """Return whether a group and policy have a row of any node."""
        return bool(self._read(_FIND_SERVICE, group, org, policy))

    def keep_services(self, wanted: Callable[[ServiceRow], bool]) -> None:
        """Delete the service rows that are not wanted."""
        for row in self.services:
            if not wanted(row):
                self._execute(_DELETE_SERVICE, row.org, row.group, row.policy, row.node)
                self.on_deleted(row)

    def delete_agents(self, org: str = "", group: str = "") -> None:
        """Delete the rows of a group, whichever member holds it (A4), or all of them."""
        for row in self.agents:
            if row.is_selected(org, group):
                self._execute(_DELETE_AGENTS, row.org, row.group)
                self.on_deleted(row)

    def _read(self, statement: str, *values: object) -> Sequence[tuple[Any, ...]]:
        return self._execute(statement, *values).fetchall()

    def _execute(self, statement: str, *values: object) -> psycopg.Cursor[Any]:
        """Execute one statement, on a new connection if the server has ended the former one.

        Each may be executed twice: what became of it on the former one is not known.

        Raises:
            NoDatabaseError: the server stays away.
        """
        gives_up_at = time.monotonic() + _AWAY_SECONDS
        while True:
            try:
                if self._connection.closed:
                    self._connection = psycopg.connect(self._url, autocommit=True)
                return self._connection.execute(statement.encode(), values or None)
            except psycopg.OperationalError as error:
                if not self._connection.closed:
                    raise
                if time.monotonic() > gives_up_at:
                    raise NoDatabaseError(" ".join(str(error).split())) from error
            time.sleep(_AGAIN_SECONDS)
