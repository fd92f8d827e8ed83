"""`agbot guard` as an operator uses it."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from agbot.cli.main import main
from agbot.guard import scripts
from tests.support.guarded import AGBOT, COORDINATOR, SCHEMAS, Guarded
from tests.support.postgres import Postgres

ALL_WAITS = (
    "warning: from now on the agbot's agent and service upgrades wait until a coordinator runs with [guard] enabled = true; "
    "none leads at present"
)


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ("guard", *words), prog_name="agbot")


def test_the_guard_is_installed_shown_and_removed(hub: Guarded) -> None:
    place = ("--database", hub.url(COORDINATOR))
    before = run("status", *place)
    assert (before.exit_code, before.stdout) == (8, "the guard is not installed; `agbot guard install` installs it\n")
    assert run("install", *place).stdout == f"the guard is installed\n{ALL_WAITS}\n"
    assert run("install", *place).stdout == f"the guard was installed already, and is up to date\n{ALL_WAITS}\n"
    shown = run("status", *place, "--json")
    found = json.loads(shown.stdout)
    assert shown.exit_code == 0
    assert (found["version"], found["troubles"], found["judged_until"]) == (scripts.VERSION, [], None)
    hub.server.run(hub.database, "ALTER TABLE ha_group_updates DISABLE TRIGGER ALL")
    shown = run("status", *place)
    assert shown.exit_code == 7
    assert "wrong: the trigger of guard_agent_asks on public.ha_group_updates is disabled" in shown.stdout
    repaired = run("install", *place)
    assert repaired.exit_code == 0
    assert repaired.stdout.splitlines()[:2] == [
        "the guard was installed already, and is repaired",
        "repaired: the trigger of guard_agent_asks on public.ha_group_updates is disabled",
    ]
    assert run("status", *place).exit_code == 0
    assert run("uninstall", "--yes", *place).stdout == "the guard is removed\n"
    assert run("uninstall", *place).stdout == "the guard was not installed\n"


def test_a_coordinator_that_leads_or_decides_is_named_before_anything_waits_or_is_removed(hub: Guarded) -> None:
    place = ("--database", hub.url(COORDINATOR))
    hub.read("UPDATE agbot_ha.leader SET epoch = 1, name = 'hub-1', expires_at = now() + interval '1 minute'")
    assert "wait until hub-1, which leads, decides with [guard] enabled = true" in run("install", *place).stdout
    alone = run("uninstall", *place)
    assert (alone.exit_code, "Nothing keeps the agbot's own upgrades waiting" in alone.output) == (2, True), (
        alone.output
    )
    assert "counts on the guard" not in alone.output
    hub.read("UPDATE agbot_ha.guard_setting SET judged_until = now() + interval '1 minute'")
    assert run("install", *place).stdout == "the guard was installed already, and is up to date\n"
    relied_on = run("uninstall", *place)
    assert (relied_on.exit_code, "hub-1 counts on the guard at present" in " ".join(relied_on.output.split())) == (
        2,
        True,
    )
    assert run("status", *place).exit_code == 0, "nothing was removed"


def test_a_schema_that_is_not_the_agbots_is_named_as_that_and_nothing_else_is(hub: Guarded) -> None:
    place = ("--database", hub.url(COORDINATOR))
    other = (*place, "--agbot-schema", "nope")
    refused = run("install", *other)
    assert (refused.exit_code, refused.stderr.splitlines()[0]) == (
        7,
        "agbot: there is no schema nope: correct [guard] agbot_schema, or --agbot-schema",
    )
    run("install", *place)
    shown = run("status", *other)
    assert (shown.exit_code, [line for line in shown.stdout.splitlines() if "schema" in line or "tables" in line]) == (
        7,
        [
            f"the guard is installed (version {scripts.VERSION}) on the tables in public",
            "wrong: the triggers are in the schema public, not in nope: correct [guard] agbot_schema, or --agbot-schema",
        ],
    )
    assert shown.stdout.count("wrong:") == 1


def test_a_role_without_the_rights_or_the_password_is_refused_and_a_database_out_of_reach_is_not(
    hub: Guarded,
) -> None:
    hub.server.run(hub.database, "CREATE ROLE bystander LOGIN")
    try:
        place = ("--database", hub.url("bystander"))
        for words, why in (((), "lacks rights"), (("--schema", "other"), "permission denied for database")):
            refused = run("install", *place, *words)
            assert (refused.exit_code, why in refused.output) == (7, True), refused.output
    finally:
        hub.server.run(hub.database, "DROP ROLE bystander")
    stranger = run("install", "--database", hub.url("no_such_role"))
    assert (stranger.exit_code, "does not exist" in stranger.output) == (7, True), stranger.output
    absent = run("status", "--database", f"postgresql://{COORDINATOR}@127.0.0.1:9/agbot")
    assert absent.exit_code == 5, absent.output


def test_a_dry_run_prints_what_an_installation_executes_and_needs_no_database(hub: Guarded) -> None:
    for command in ("install", "uninstall"):
        printed = run(command, "--dry-run")
        assert printed.exit_code == 0
        assert "@" not in printed.stdout
        with hub.coordinator() as connection:
            connection.execute(printed.stdout.encode())
        assert run("status", "--database", hub.url(COORDINATOR)).exit_code == {"install": 0, "uninstall": 8}[command]
    assert json.loads(run("install", "--dry-run", "--json").stdout) == {"sql": scripts.install(SCHEMAS)}
    assert "x_1.guard_setting" in run("install", "--dry-run", "--schema", "x_1").stdout


def test_a_dry_run_on_a_database_that_is_not_the_agbots_states_that_an_installation_would_be_refused(
    postgres_server: Postgres, postgres_database: str
) -> None:
    place = ("--database", postgres_server.url(postgres_database))
    printed = run("install", "--dry-run", *place)
    assert printed.exit_code == run("install", *place).exit_code == 7
    assert "there is no table public.ha_group_updates" in printed.stdout.splitlines()[0]
    assert all(line.startswith("-- agbot would refuse") for line in printed.stdout.splitlines()[:2])
    assert "there is no table public.ha_group_updates" in printed.stderr
    found = json.loads(run("install", "--dry-run", "--json", *place).stdout)
    assert (found["sql"], "no table" in found["problems"][0]) == (scripts.install(SCHEMAS), True)


def test_a_dry_run_states_that_a_role_which_may_not_use_the_store_would_be_refused(hub: Guarded) -> None:
    hub.install()
    place = ("--database", hub.url(AGBOT))
    printed = run("install", "--dry-run", *place)
    assert printed.exit_code == run("install", *place).exit_code == 7
    assert (
        "it has to be the role that owns the lease store, with the rights that docs/guard.md grants" in printed.stderr
    )


def test_a_database_that_does_not_exist_is_named_as_that(hub: Guarded) -> None:
    absent = run("status", "--database", hub.server.socket_url("no_such_database", user=COORDINATOR))
    assert (absent.exit_code, "create the database, or correct its name" in " ".join(absent.output.split())) == (
        7,
        True,
    )


def test_what_cannot_be_done_states_why_and_what_to_do_without_a_password(hub: Guarded) -> None:
    hub.server.run(hub.database, f"REVOKE DELETE ON ha_group_updates FROM {COORDINATOR}")
    refused = run("install", "--database", hub.url(COORDINATOR), "--json")
    assert refused.exit_code == 7
    assert "GRANT DELETE ON public.ha_group_updates" in json.loads(refused.stdout)["error"]["problem"]
    told = run("status", "--database", "postgresql://me:s3cret@127.0.0.1:1/agbot")
    assert told.exit_code == 1, "every user of the machine can read arguments"
    assert "s3cret" not in told.output
    nowhere = run("status", "--database", "postgresql://me@127.0.0.1:1/agbot")
    assert nowhere.exit_code == 5
    assert "127.0.0.1:1/agbot" in nowhere.stderr
    assert "locked" not in nowhere.stderr
    unseen = run("install", "--dry-run", "--database", "postgresql://me@127.0.0.1:1/agbot")
    assert (unseen.exit_code, unseen.stdout) == (0, f"{scripts.install(SCHEMAS)}\n")
    assert "whether an installation would be refused is not known" in unseen.stderr
    assert run("status").exit_code == 2
    assert run("status", "--database", "nonsense://").exit_code == 1
    assert run("install", "--dry-run", "--schema", "a'b").exit_code == 1


def test_the_settings_name_the_database_and_a_new_store_is_prepared(
    postgres_server: Postgres, hub: Guarded, tmp_path: Path
) -> None:
    postgres_server.run(hub.database, "DROP SCHEMA agbot_ha CASCADE")
    config = tmp_path / "agbot.toml"
    config.write_text(
        '[exchange]\nurl = "https://hub.example.com/v1"\nidentity = "IBM/c"\n[leadership]\ngateway_url = "https://me"\n'
        f'[store]\nurl = "{hub.server.url(hub.database, user=COORDINATOR)}"\nschema = "leases"\n[guard]\nenabled = true\n',
        encoding="utf-8",
    )
    installed = run("install", "--config", str(config))
    assert (installed.exit_code, installed.stdout) == (0, f"the guard is installed\n{ALL_WAITS}\n"), installed.output
    assert run("status", "--config", str(config)).exit_code == 0
    assert hub.read("SELECT count(*) FROM leases.guard_setting") == [(1,)]
    assert "leases.guard_setting" in run("install", "--config", str(config), "--dry-run").stdout
