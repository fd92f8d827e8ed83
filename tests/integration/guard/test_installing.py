"""Installation and removal, with no more rights than the documents ask for."""

from __future__ import annotations

import re
import subprocess

import psycopg
import pytest

from agbot.guard import installing, scripts, status
from agbot.guard.installing import GuardError, GuardLockedError, GuardUnreachableError, Installation
from agbot.sim.agbot_rows import AgentRow, ServiceRow
from tests.support.examples import some
from tests.support.guarded import AGBOT, COORDINATOR, RIGHTS, SCHEMAS, Guarded
from tests.support.postgres import program

ROW = AgentRow(org="o1", group="g1", node="n1", nmp="up1")


def dump(hub: Guarded) -> str:
    """Return the schema of the whole database, as pg_dump writes it."""
    done = subprocess.run(
        [program("pg_dump"), "--schema-only", hub.server.socket_url(hub.database)],
        check=True,
        capture_output=True,
        text=True,
    )
    return re.sub(r"(?m)^\\(un)?restrict .*$", "", done.stdout)


def test_the_role_is_no_superuser_and_owns_none_of_the_agbots_tables(hub: Guarded) -> None:
    hub.install()
    assert hub.read("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user") == [
        (False, False, False)
    ]
    assert hub.read("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == [(AGBOT,)]


def test_uninstall_leaves_no_trace(hub: Guarded) -> None:
    before = dump(hub)
    hub.install()
    assert "guard" in dump(hub)
    hub.agbot().close()
    hub.uninstall()
    assert dump(hub) == before


def test_an_agbot_without_the_guard_and_after_it_behaves_as_before(hub: Guarded) -> None:
    agbot = hub.agbot()

    def course() -> list[object]:
        other = ServiceRow(org="o1", group="g1", policy="o1/dp1", node="o1/n2")
        seen: list[object] = [agbot.claim_agent(ROW), agbot.claim_service(other), agbot.agents, agbot.services]
        agbot.delete_agents()
        agbot.delete_services()
        return [*seen, agbot.agents, agbot.services]

    before = course()
    hub.install()
    assert course() != before
    hub.uninstall()
    assert course() == before
    agbot.close()


def test_a_second_installation_changes_nothing_and_keeps_the_settings_and_gates(hub: Guarded) -> None:
    hub.install(unjudged="go")
    before, kept = dump(hub), hub.read("SELECT guard_setting::text FROM agbot_ha.guard_setting")
    with hub.coordinator() as connection:
        assert installing.install(connection, SCHEMAS) == Installation(is_new=False)
    assert dump(hub) == before
    assert hub.read("SELECT guard_setting::text FROM agbot_ha.guard_setting") == kept


def test_a_second_removal_and_one_of_nothing_change_nothing(hub: Guarded) -> None:
    with hub.coordinator() as connection:
        assert not installing.uninstall(connection, SCHEMAS)
        installing.install(connection, SCHEMAS)
        assert installing.uninstall(connection, SCHEMAS)
        assert not installing.uninstall(connection, SCHEMAS)


def test_the_guard_survives_a_restart_of_the_agbot_and_its_functions_made_again(hub: Guarded) -> None:
    hub.install()
    for _ in range(2):
        agbot = hub.agbot()  # CREATE TABLE IF NOT EXISTS, CREATE OR REPLACE FUNCTION
        assert not agbot.claim_agent(ROW)
        agbot.close()
    with hub.coordinator() as connection:
        assert status.look(connection, SCHEMAS).is_good


@pytest.mark.parametrize("right", ["SELECT", "TRIGGER", "DELETE"])
def test_a_right_that_lacks_is_named_as_the_statement_that_grants_it(hub: Guarded, right: str) -> None:
    hub.server.run(hub.database, f"REVOKE {right} ON ha_workload_upgrade FROM {COORDINATOR}")
    before = dump(hub)
    with pytest.raises(GuardError, match=f"GRANT {right} ON public.ha_workload_upgrade TO {COORDINATOR};"):
        hub.install()
    assert dump(hub) == before


@pytest.mark.parametrize(
    ("change", "why"),
    some(
        [
            ("ALTER TABLE ha_group_updates ADD COLUMN more text", "more is"),
            ("ALTER TABLE ha_workload_upgrade ALTER COLUMN node_id DROP NOT NULL", "node_id is"),
            ("ALTER TABLE ha_group_updates RENAME TO other", "there is no table public.ha_group_updates"),
            ("UPDATE version SET ver = 2", "has version 2"),
            ("ALTER TABLE version RENAME TO other", "there is no table public.version"),
            ("DROP FUNCTION ha_group_add_if_not_present", "no single function public.ha_group_add_if_not_present"),
            ("DROP SCHEMA agbot_ha CASCADE", "has no table lease"),
            (f"REVOKE SELECT ON version FROM {COORDINATOR}", f"GRANT SELECT ON public.version TO {COORDINATOR};"),
        ]
    ),
)
def test_tables_of_another_version_or_shape_are_not_guarded(hub: Guarded, change: str, why: str) -> None:
    hub.server.run(hub.database, change)
    before = dump(hub)
    with pytest.raises(GuardError, match=re.escape(why)):
        hub.install()
    assert dump(hub) == before


def test_the_guard_of_a_newer_program_is_left_alone(hub: Guarded) -> None:
    hub.install()
    hub.read("UPDATE agbot_ha.guard_setting SET version = 99")
    with pytest.raises(GuardError, match="a newer program has installed the guard's version 99"):
        hub.install()


def test_an_installation_that_finds_the_tables_locked_gives_up_and_changes_nothing(hub: Guarded) -> None:
    before = dump(hub)
    with psycopg.connect(hub.url(AGBOT)) as agbot:
        agbot.execute("LOCK TABLE ha_group_updates")
        with pytest.raises(GuardLockedError, match="LockNotAvailable"):
            hub.install()
    assert dump(hub) == before


PUT_BACK = "`agbot guard install` puts it back"


def test_an_installation_repairs_whatever_the_status_names(hub: Guarded) -> None:
    with hub.coordinator() as connection:
        assert status.look(connection, SCHEMAS).version is None
        installing.install(connection, SCHEMAS)
        found = status.look(connection, SCHEMAS)
        assert (found.is_good, found.version, found.troubles) == (True, scripts.VERSION, ())
        hub.server.run(
            hub.database,
            "ALTER TABLE ha_group_updates DISABLE TRIGGER agbot_guard_asks",
            "DROP TRIGGER agbot_guard_asks ON ha_workload_upgrade",
            "CREATE OR REPLACE FUNCTION agbot_ha.guard_stamp(moment timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT '' $$",
        )
        hub.server.run(hub.database, "DROP TABLE agbot_ha.guard_gate, agbot_ha.guard_outbox")
        found = status.look(connection, SCHEMAS)
        assert not found.is_good
        assert found.troubles == (
            f"the table agbot_ha.guard_gate is missing; {PUT_BACK}",
            f"the table agbot_ha.guard_outbox is missing; {PUT_BACK}",
            f"the function agbot_ha.guard_stamp is not the one that was installed; {PUT_BACK}",
            f"the trigger of guard_agent_asks on public.ha_group_updates is disabled; {PUT_BACK}",
            f"the trigger of guard_service_asks on public.ha_workload_upgrade is missing; {PUT_BACK}",
        )
        assert installing.install(connection, SCHEMAS) == Installation(is_new=False, repaired=found.troubles)
        assert status.look(connection, SCHEMAS).is_good
        assert installing.install(connection, SCHEMAS) == Installation(is_new=False)


def test_an_update_enables_a_trigger_as_well_and_keeps_the_settings(hub: Guarded) -> None:
    hub.install(unjudged="go")
    hub.read("UPDATE agbot_ha.guard_setting SET version = 1")
    hub.read("ALTER TABLE agbot_ha.guard_setting DROP COLUMN upgrade_seconds")
    hub.server.run(hub.database, "ALTER TABLE ha_workload_upgrade DISABLE TRIGGER USER")
    with hub.coordinator() as connection:
        installing.install(connection, SCHEMAS)
        found = status.look(connection, SCHEMAS)
    assert (found.troubles, found.agents_without_leader) == ((), "go")
    assert hub.read("SELECT upgrade_seconds FROM agbot_ha.guard_setting") == [(7200.0,)]


def test_what_an_installation_cannot_repair_is_refused_and_nothing_has_changed(hub: Guarded) -> None:
    hub.install()
    hub.server.run(
        hub.database,
        "DROP TRIGGER agbot_guard_asks ON ha_group_updates",
        "CREATE FUNCTION public.other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$",
        "CREATE TRIGGER agbot_guard_asks BEFORE INSERT ON ha_group_updates FOR EACH ROW EXECUTE FUNCTION public.other()",
    )
    before = dump(hub)
    with pytest.raises(GuardError, match="DuplicateObject") as refused:
        hub.install()
    assert not isinstance(refused.value, GuardUnreachableError)
    assert dump(hub) == before


def test_the_agbots_role_may_not_call_the_guards_functions_or_read_its_tables(hub: Guarded) -> None:
    hub.install()
    with (
        psycopg.connect(hub.url(AGBOT), autocommit=True) as agbot,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        agbot.execute("SELECT agbot_ha.guard_stamp(now())")


@pytest.mark.parametrize("name", ["", "Agbot", "a-b", "a.b", "a'b", 'a"b', "x" * 64])
def test_a_schema_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a schema"):
        scripts.Schemas(ours=name)


def test_only_the_role_of_the_store_installs_the_guard(hub: Guarded) -> None:
    """Another role's tables and functions could not be used, updated or removed by the coordinator."""
    before = dump(hub)
    with (
        psycopg.connect(hub.server.socket_url(hub.database), autocommit=True) as superuser,
        pytest.raises(GuardError, match=f"belongs to the role {COORDINATOR}: install the guard as that role"),
    ):
        installing.install(superuser, SCHEMAS)
    assert dump(hub) == before


def test_uninstall_removes_an_answer_that_an_error_has_left_and_no_row_of_the_agbot(hub: Guarded) -> None:
    hub.install()
    agbot = hub.agbot()
    hub.server.run(
        hub.database,
        "ALTER TABLE ha_group_updates DISABLE TRIGGER ALL",
        "INSERT INTO ha_group_updates VALUES ('g1', 'o1', '(no node)', '(refused)', '-infinity'), ('g2', 'o1', 'n2', 'up1', now())",
    )
    hub.uninstall()
    assert agbot.agents == [AgentRow(org="o1", group="g2", node="n2", nmp="up1")]
    agbot.close()


def test_uninstall_needs_neither_the_agbots_tables_nor_a_right_to_them(hub: Guarded) -> None:
    hub.install()
    hub.server.run(hub.database, f"REVOKE ALL ON ha_group_updates, ha_workload_upgrade FROM {COORDINATOR}")
    hub.uninstall()
    hub.server.run(hub.database, *RIGHTS)
    hub.install()
    hub.server.run(hub.database, "DROP TABLE ha_group_updates, ha_workload_upgrade")
    hub.uninstall()
    assert "guard" not in dump(hub)
