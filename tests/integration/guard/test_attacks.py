"""What another role, a node that makes names up, or an unusual statement can do to the guard: nothing."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from agbot.sim.agbot_database import AgbotDatabase
from agbot.sim.agbot_rows import AgentRow, ServiceRow
from tests.support.guarded import AGBOT, Guarded

GROUP = "o1/g1"
TWO_NODES = "INSERT INTO ha_workload_upgrade VALUES ('g1', 'o1', 'o1/dp1', 'o1/n1'), ('g1', 'o1', 'o1/dp2', 'o1/n2')"


def agent(node: str, nmp: str = "up1") -> AgentRow:
    return AgentRow(org="o1", group="g1", node=node, nmp=nmp)


def service(node: str, policy: str = "o1/dp1") -> ServiceRow:
    return ServiceRow(org="o1", group="g1", policy=policy, node=f"o1/{node}")


@pytest.fixture
def agbot(hub: Guarded) -> Iterator[AgbotDatabase]:
    """An agbot on a guarded database, where nobody judges and everything may go that the leases let go."""
    hub.install(unjudged="go")
    found = hub.agbot()
    yield found
    found.close()


def as_agbot(hub: Guarded) -> psycopg.Connection:
    return psycopg.connect(hub.url(AGBOT), autocommit=True)


def test_objects_of_the_same_names_in_the_agbots_path_change_nothing(hub: Guarded, agbot: AgbotDatabase) -> None:
    """The functions run with the rights of their owner, so that they must not find what a caller has put in their way."""
    with as_agbot(hub) as caller:
        for statement in (
            "CREATE TEMP TABLE lease (LIKE ha_group_updates)",
            "CREATE TEMP TABLE guard_gate (scope text)",
            "CREATE FUNCTION public.split_part(text, text, int) RETURNS text LANGUAGE sql AS $$ SELECT (1/0)::text $$",
            "CREATE FUNCTION public.no(text, text) RETURNS bool LANGUAGE sql AS $$ SELECT false $$",
            "CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.no)",
            "SET search_path = pg_temp, public, pg_catalog",
        ):
            caller.execute(statement.encode())
        caller.execute(TWO_NODES.encode())
    assert hub.lease(GROUP) == (1, "held", "o1/n1", "service", "o1/dp1")
    assert [outcome for *_, outcome, _ in hub.outcomes()] == ["granted", "refused"]
    assert agbot.services == [service("n1")]


def test_a_statement_with_several_rows_is_decided_row_by_row(hub: Guarded, agbot: AgbotDatabase) -> None:
    with as_agbot(hub) as caller:
        caller.execute(TWO_NODES.encode())
        assert agbot.services == [service("n1")]
        caller.execute(f"{TWO_NODES} ON CONFLICT DO NOTHING".encode())
        assert agbot.services == [service("n1"), service("n1")], "the holder's own claim is granted again"
        with caller.cursor().copy("COPY ha_workload_upgrade FROM STDIN") as rows:
            rows.write_row(("g1", "o1", "o1/dp2", "o1/n2", None))
    assert service("n2", "o1/dp2") not in agbot.services
    assert hub.lease(GROUP) == (1, "held", "o1/n1", "service", "o1/dp1")


def test_a_claim_whose_connection_ends_before_the_commit_leaves_no_lease_and_no_row(
    hub: Guarded, agbot: AgbotDatabase
) -> None:
    cut = psycopg.connect(hub.url(AGBOT))
    assert cut.execute("SELECT * FROM ha_group_add_if_not_present('g1', 'o1', 'n1', 'up1')").fetchall()
    cut.close()
    assert hub.lease(GROUP) is None
    assert agbot.claim_agent(agent("n2"))


def test_a_claim_whose_answer_is_lost_after_the_commit_is_granted_again_under_the_same_token(
    hub: Guarded, agbot: AgbotDatabase
) -> None:
    assert agbot.claim_agent(agent("n1"))
    with as_agbot(hub) as again:
        assert again.execute("SELECT * FROM ha_group_add_if_not_present('g1', 'o1', 'n1', 'up1')").fetchall() == [
            ("n1", "up1")
        ]
    assert hub.lease(GROUP) == (1, "held", "o1/n1", "agent", "o1/up1")


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_an_agbot_that_reads_old_snapshots_is_refused_and_never_let_in_twice(
    hub: Guarded, agbot: AgbotDatabase, isolation: str
) -> None:
    with psycopg.connect(hub.url(AGBOT)) as late:
        late.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}".encode())
        late.execute("SELECT 1 FROM version")  # its snapshot is from here on
        assert agbot.claim_service(service("n1"))
        found = late.execute("SELECT * FROM ha_group_add_if_not_present('g1', 'o1', 'n2', 'up1')").fetchall()
    assert found != [("n2", "up1")]
    assert hub.lease(GROUP) == (1, "held", "o1/n1", "service", "o1/dp1")


def test_a_node_that_is_called_like_a_refusal_is_refused(hub: Guarded, agbot: AgbotDatabase) -> None:
    hub.read("UPDATE agbot_ha.guard_setting SET agents_without_leader = 'wait'")
    assert not agbot.claim_agent(agent("(no node)", "(refused)"))
    assert agbot.agents == []


def test_names_of_any_length_are_refused_and_not_an_error_of_the_agbot(hub: Guarded, agbot: AgbotDatabase) -> None:
    long = "".join(f"{number:x}" for number in range(40_000))  # too long for an index, also compressed
    hub.read("UPDATE agbot_ha.guard_setting SET agents_without_leader = 'wait', services_without_leader = 'wait'")
    assert not agbot.claim_agent(agent("n1", long))
    assert not agbot.claim_service(service(long))
    assert not agbot.claim_agent(AgentRow(org="o1", group=long, node="n1", nmp="up1"))


def test_a_node_that_makes_policies_up_fills_no_more_than_200_rows_of_its_group(
    hub: Guarded, agbot: AgbotDatabase
) -> None:
    """The agbot does not check that a policy exists, and without a coordinator no one takes refusals in."""
    hub.read("UPDATE agbot_ha.guard_setting SET agents_without_leader = 'wait'")
    with as_agbot(hub) as caller:
        caller.execute(
            "INSERT INTO ha_group_updates SELECT 'g1', 'o1', 'n1', 'up' || number FROM generate_series(1, 300) AS number"
        )
    assert not agbot.claim_agent(agent("n2"))
    assert hub.read("SELECT count(*) FROM agbot_ha.guard_outbox") == [(200,)]
    assert agbot.claim_service(service("n2")), "grants are noted in any case"
    assert hub.read("SELECT count(*) FROM agbot_ha.guard_outbox WHERE outcome = 'granted'") == [(1,)]


def test_tables_that_belong_to_another_role_than_the_agbots_are_guarded_as_well(hub: Guarded) -> None:
    owner = "hub_owner"
    hub.server.run(
        hub.database,
        f"DO $$ BEGIN CREATE ROLE {owner}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
        *(
            f"ALTER TABLE {table} OWNER TO {owner}; GRANT SELECT, INSERT, DELETE ON {table} TO {AGBOT}"
            for table in ("ha_group_updates", "ha_workload_upgrade")
        ),
    )
    hub.install(unjudged="go")
    agbot = AgbotDatabase(hub.url(AGBOT), starts=False)
    assert agbot.claim_agent(agent("n1"))
    assert not agbot.claim_service(service("n2"))
    agbot.delete_agents()
    assert not agbot.claim_agent(agent("n2"))
    assert agbot.agents == []
    agbot.close()
    hub.uninstall()
