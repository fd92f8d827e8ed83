"""The agbot's own claims are decided by the lease of their group, in the agbot's transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from agbot.sim.agbot_database import AgbotDatabase
from agbot.sim.agbot_rows import AgentRow, ServiceRow
from tests.support.guarded import AGBOT, Guarded

GROUP = "o1/g1"


def agent(node: str, nmp: str = "up1", group: str = "g1") -> AgentRow:
    return AgentRow(org="o1", group=group, node=node, nmp=nmp)


def service(node: str, policy: str = "o1/dp1", group: str = "g1") -> ServiceRow:
    return ServiceRow(org="o1", group=group, policy=policy, node=f"o1/{node}")


@pytest.fixture
def agbot(hub: Guarded) -> Iterator[AgbotDatabase]:
    """An agbot on a guarded database, where nobody judges and everything may go that the leases let go."""
    hub.install(unjudged="go")
    hub.read("INSERT INTO agbot_ha.generation (one, id, token_floor, doubt, home) VALUES (1, 'x', 0, '', '')")
    found = hub.agbot()
    yield found
    found.close()


def judged(hub: Guarded, seconds: int = 600) -> None:
    hub.read("UPDATE agbot_ha.guard_setting SET judged_until = now() + make_interval(secs => %s)", seconds)


def gate(hub: Guarded, verdict: str, *, scope: str = GROUP, kind: str = "", node: str = "", **more: object) -> None:
    values = {"subject": "", "code": "paused", "reason": "why", "seconds": 600, **more}
    hub.read(
        "INSERT INTO agbot_ha.guard_gate (scope, kind, node, subject, verdict, code, reason, known_until) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s))",
        *(scope, kind, node, values["subject"], verdict, values["code"], values["reason"], values["seconds"]),
    )


def test_a_granted_agent_keeps_its_row_and_has_the_lease_with_its_policy(hub: Guarded, agbot: AgbotDatabase) -> None:
    assert agbot.claim_agent(agent("n1"))
    assert agbot.agents == [agent("n1")]
    assert hub.lease(GROUP) == (1, "held", "o1/n1", "agent", "o1/up1")
    assert hub.outcomes() == [(GROUP, "o1/n1", "granted", "no-leader")]


def test_a_granted_service_keeps_its_row_and_has_the_lease_with_its_policy(hub: Guarded, agbot: AgbotDatabase) -> None:
    assert agbot.claim_service(service("n1"))
    assert agbot.services == [service("n1")]
    assert hub.lease(GROUP) == (1, "held", "o1/n1", "service", "o1/dp1")


def test_a_refused_agent_is_answered_with_the_holder_and_leaves_no_row(hub: Guarded, agbot: AgbotDatabase) -> None:
    agbot.claim_agent(agent("n1"))
    agbot.delete_agents("o1", "g1")  # A4: the agbot deletes by group, whoever has it by then
    with psycopg.connect(hub.url(AGBOT), autocommit=True) as another:
        answer = another.execute("SELECT * FROM ha_group_add_if_not_present('g1', 'o1', 'n2', 'up1')").fetchall()
    assert answer == [("n1", "up1")]
    assert agbot.agents == []
    assert hub.lease(GROUP) == (1, "held", "o1/n1", "agent", "o1/up1")


def test_a_service_upgrade_of_one_member_keeps_the_agent_of_another_waiting_and_the_other_way_round(
    hub: Guarded, agbot: AgbotDatabase
) -> None:
    """A10."""
    assert agbot.claim_service(service("n1"))
    assert not agbot.claim_agent(agent("n2"))
    assert agbot.claim_agent(agent("n1", group="g2"))
    assert not agbot.claim_service(service("n2", group="g2"))


def test_a_refused_service_leaves_no_row_also_for_another_policy(hub: Guarded, agbot: AgbotDatabase) -> None:
    """W5."""
    agbot.claim_service(service("n1"))
    assert not agbot.claim_service(service("n2", policy="o1/dp2"))
    assert agbot.services == [service("n1")]
    assert hub.outcomes()[-1] == (GROUP, "o1/n2", "refused", "lease-held")


def test_a_member_in_a_service_upgrade_is_not_let_into_an_agent_upgrade_of_the_same_name(
    hub: Guarded, agbot: AgbotDatabase
) -> None:
    agbot.claim_service(service("n1", policy="o1/up1"))
    assert not agbot.claim_agent(agent("n1", nmp="up1"))


def test_the_holder_is_granted_again_with_the_same_token(hub: Guarded, agbot: AgbotDatabase) -> None:
    agbot.claim_agent(agent("n1"))
    agbot.delete_agents()
    assert agbot.claim_agent(agent("n1"))
    assert hub.lease(GROUP) == (1, "held", "o1/n1", "agent", "o1/up1")
    assert not agbot.claim_agent(agent("n1", nmp="up2"))


def test_the_policy_of_a_pattern_is_the_same_with_and_without_its_organisation(
    hub: Guarded, agbot: AgbotDatabase
) -> None:
    """W18."""
    name = "pat_svc_IBM_amd64"
    assert agbot.claim_service(service("n1", policy=name))
    hub.read("UPDATE agbot_ha.lease SET subject = %s", f"IBM/{name}")
    agbot.delete_services()
    assert agbot.claim_service(service("n1", policy=name))
    assert hub.lease(GROUP) == (1, "held", "o1/n1", "service", f"IBM/{name}")


def test_a_deleted_row_changes_nothing_in_the_lease(hub: Guarded, agbot: AgbotDatabase) -> None:
    agbot.claim_service(service("n1"))
    agbot.delete_services()
    assert hub.lease(GROUP) == (1, "held", "o1/n1", "service", "o1/dp1")
    assert not agbot.claim_service(service("n2"))


def test_the_token_rises_with_each_grant_and_above_the_floor_of_the_generation(
    hub: Guarded, agbot: AgbotDatabase
) -> None:
    agbot.claim_service(service("n1"))
    agbot.delete_services()
    hub.free(GROUP)
    hub.read("UPDATE agbot_ha.generation SET token_floor = 50")
    agbot.claim_service(service("n2"))
    assert hub.lease(GROUP) == (51, "held", "o1/n2", "service", "o1/dp1")


def test_without_a_coordinator_the_first_grant_since_the_database_was_replaced_waits_as_long_as_an_upgrade_may_take(
    hub: Guarded, agbot: AgbotDatabase
) -> None:
    """The upgrade of another member may be lost with the lease and with the agbot's row, and go on all the same."""
    hub.read("UPDATE agbot_ha.guard_setting SET upgrade_seconds = 3600")
    replaced = "UPDATE agbot_ha.generation SET token_floor = extract(epoch FROM now() - %s::interval) * 1000"
    hub.read(replaced, "59 minutes")
    assert not agbot.claim_service(service("n1"))
    assert not agbot.claim_agent(agent("n2"))
    assert [outcome for _, _, *outcome in hub.outcomes()] == [["refused", "store-changed"]] * 2
    assert hub.lease(GROUP) == (0, "free", None, None, None)

    ((floor,),) = hub.read("SELECT token_floor FROM agbot_ha.generation")
    hub.read("UPDATE agbot_ha.lease SET token = %s", floor + 1)
    assert agbot.claim_service(service("n1")), "a coordinator has granted there since"

    hub.read(replaced, "61 minutes")
    assert agbot.claim_service(service("n1", group="g2"))


def test_a_store_in_doubt_grants_nothing(hub: Guarded, agbot: AgbotDatabase) -> None:
    hub.read("UPDATE agbot_ha.generation SET doubt = 'restored'")
    assert not agbot.claim_service(service("n1"))
    assert hub.outcomes() == [(GROUP, "o1/n1", "refused", "store-changed")]


def test_a_promoted_replica_grants_nothing_before_a_leader_has_looked(hub: Guarded, agbot: AgbotDatabase) -> None:
    hub.read("UPDATE agbot_ha.generation SET home = 'system/0000000F/1/2'")
    assert not agbot.claim_service(service("n1"))
    assert hub.outcomes() == [(GROUP, "o1/n1", "refused", "store-changed")]
    hub.read("UPDATE agbot_ha.generation SET home = 'system/00000001/1/2'")
    assert agbot.claim_service(service("n1"))


@pytest.mark.parametrize("status", ["initiated", "x\\u0000y", '\\"upheld_above\\":49}'])
def test_a_lease_from_before_the_database_was_replaced_is_repeated_once_it_was_decided_again_since(
    hub: Guarded, agbot: AgbotDatabase, status: str
) -> None:
    assert agbot.claim_service(service("n1"))
    agbot.delete_services()
    hub.read("UPDATE agbot_ha.generation SET token_floor = 50")
    for floor, is_granted in ((0, False), (49, False), (5, False), (500, False), (50, True)):
        progress = f'{{"status":"{status}","upheld_above":{floor}}}'
        hub.read("UPDATE agbot_ha.lease SET progress = %s", progress)
        assert not agbot.claim_service(service("n2"))
        assert agbot.claim_service(service("n1")) is is_granted
    assert hub.lease(GROUP) == (1, "held", "o1/n1", "service", "o1/dp1")
    assert hub.outcomes()[-1] == (GROUP, "o1/n1", "repeated", "")


def test_while_the_clock_of_the_database_is_behind_nothing_is_granted(hub: Guarded, agbot: AgbotDatabase) -> None:
    hub.read("UPDATE agbot_ha.leader SET seen_at = now() + interval '1 hour'")
    assert not agbot.claim_service(service("n1"))
    assert hub.outcomes() == [(GROUP, "o1/n1", "refused", "clock-untrusted")]


def test_a_suspect_lease_keeps_everybody_waiting_but_its_own_claim(hub: Guarded, agbot: AgbotDatabase) -> None:
    agbot.claim_service(service("n1"))
    agbot.delete_services()
    hub.read("UPDATE agbot_ha.lease SET state = 'suspect'")
    assert not agbot.claim_service(service("n2"))
    assert not agbot.claim_agent(agent("n2"))
    assert agbot.claim_service(service("n1"))


def test_without_a_coordinator_a_free_lease_waits_unless_the_settings_let_it_go(hub: Guarded) -> None:
    hub.install()
    agbot = hub.agbot()
    assert not agbot.claim_agent(agent("n1"))
    assert not agbot.claim_service(service("n1"))
    assert {(outcome, code) for *_, outcome, code in hub.outcomes()} == {("refused", "no-leader")}
    hub.read("UPDATE agbot_ha.guard_setting SET services_without_leader = 'go'")
    assert not agbot.claim_agent(agent("n1"))
    assert agbot.claim_service(service("n1"))
    agbot.close()


def test_while_a_coordinator_judges_a_free_lease_waits_for_it_and_its_grant_is_repeated(
    hub: Guarded, agbot: AgbotDatabase
) -> None:
    judged(hub)
    assert not agbot.claim_service(service("n1"))
    assert hub.outcomes()[-1][-1] == "not-judged"
    hub.read(
        "UPDATE agbot_ha.lease SET token = 7, state = 'held', holder = 'o1/n1', kind = 'service', subject = 'o1/dp1'"
    )
    assert not agbot.claim_service(service("n2"))
    assert agbot.claim_service(service("n1"))
    assert hub.lease(GROUP) == (7, "held", "o1/n1", "service", "o1/dp1")


def test_an_upgrade_that_may_pass_needs_no_lease_and_goes_before_every_reason_to_wait(
    hub: Guarded, agbot: AgbotDatabase
) -> None:
    agbot.claim_service(service("n1"))
    gate(hub, "wait")
    gate(hub, "pass", kind="agent", node="o1/n2", subject="o1/up1")
    assert agbot.claim_agent(agent("n2"))
    agbot.delete_agents()
    assert not agbot.claim_agent(agent("n2", nmp="up2"))
    assert not agbot.claim_agent(agent("n3"))
    assert hub.lease(GROUP) == (1, "held", "o1/n1", "service", "o1/dp1")


@pytest.mark.parametrize(
    "doubt",
    [
        "UPDATE agbot_ha.generation SET doubt = 'restored'",
        "UPDATE agbot_ha.generation SET home = 'system/0000000F/1/2'",
        "UPDATE agbot_ha.leader SET seen_at = now() + interval '1 hour'",
    ],
    ids=["restored", "promoted", "the clock has gone back"],
)
def test_what_passed_in_another_database_or_at_another_time_passes_no_more(
    hub: Guarded, agbot: AgbotDatabase, doubt: str
) -> None:
    gate(hub, "pass", kind="agent", node="o1/n2", subject="o1/up1")
    hub.read(doubt)
    assert not agbot.claim_agent(agent("n2"))


@pytest.mark.parametrize("scope", ["*", "o1", GROUP])
def test_a_known_reason_to_wait_holds_without_a_coordinator_until_its_time_is_over(
    hub: Guarded, agbot: AgbotDatabase, scope: str
) -> None:
    gate(hub, "wait", scope=scope)
    assert not agbot.claim_service(service("n1"))
    assert hub.outcomes() == [(GROUP, "o1/n1", "refused", "paused")]
    hub.read("UPDATE agbot_ha.guard_gate SET known_until = now() - interval '1 second'")
    assert agbot.claim_service(service("n1"))


def test_a_gate_of_another_node_policy_kind_or_scope_does_not_apply(hub: Guarded, agbot: AgbotDatabase) -> None:
    for more in ({"node": "o1/n2"}, {"subject": "o1/dp2"}, {"kind": "agent"}, {"scope": "o1/g2"}, {"scope": "o2"}):
        gate(hub, "wait", **more)
    assert agbot.claim_service(service("n1"))


def test_a_refused_agent_of_a_group_without_a_holder_is_answered_with_no_node(
    hub: Guarded, agbot: AgbotDatabase
) -> None:
    gate(hub, "wait")
    with psycopg.connect(hub.url(AGBOT), autocommit=True) as another:
        answer = another.execute("SELECT * FROM ha_group_add_if_not_present('g1', 'o1', 'n2', 'up1')").fetchall()
    assert answer == [("(no node)", "(refused)")]
    assert agbot.agents == []


def test_a_refusal_that_is_repeated_is_one_row_of_the_outbox(hub: Guarded, agbot: AgbotDatabase) -> None:
    gate(hub, "wait")
    for _ in range(3):
        agbot.claim_service(service("n1"))
    assert hub.read("SELECT node, tries, since < at FROM agbot_ha.guard_outbox") == [("o1/n1", 3, True)]


@pytest.mark.parametrize("broken", ["lease", "guard_setting", "guard_outbox"])
def test_an_error_inside_a_trigger_is_a_refusal_and_never_reaches_the_agbot(
    hub: Guarded, agbot: AgbotDatabase, broken: str
) -> None:
    hub.read(f"ALTER TABLE agbot_ha.{broken} RENAME TO gone")
    assert not agbot.claim_service(service("n1"))
    assert not agbot.claim_agent(agent("n1"))
    assert (agbot.services, agbot.agents) == ([], [])
    hub.read(f"ALTER TABLE agbot_ha.gone RENAME TO {broken}")
    assert agbot.claim_service(service("n1"))


def test_a_lease_row_that_is_locked_is_a_refusal_within_seconds(hub: Guarded, agbot: AgbotDatabase) -> None:
    agbot.claim_service(service("n1"))
    with hub.coordinator() as holder, holder.transaction():
        holder.execute("SELECT 1 FROM agbot_ha.lease FOR UPDATE")
        assert not agbot.claim_agent(agent("n2"))
    assert hub.outcomes()[-1] == (GROUP, "o1/n2", "failed", "internal-error")


def test_of_twenty_agbots_that_claim_at_once_one_gets_the_lease_of_each_group(
    hub: Guarded, agbot: AgbotDatabase
) -> None:
    groups, won, start = [f"g{number}" for number in range(10)], list[str](), threading.Barrier(20)

    def claim(number: int) -> None:
        connection = AgbotDatabase(hub.url(AGBOT), starts=False) if number else agbot
        start.wait()
        for group in groups:
            mine = (
                connection.claim_agent(agent(f"n{number}", group=group))
                if number % 2
                else connection.claim_service(service(f"n{number}", policy=f"o1/dp{number}", group=group))
            )
            won.extend([group] if mine else [])
        if number:
            connection.close()

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == sorted(groups)
    assert len(agbot.agents) + len(agbot.services) == len(groups)
    assert hub.read("SELECT count(*) FROM agbot_ha.lease WHERE state = 'held' AND token = 1") == [(10,)]
