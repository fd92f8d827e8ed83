"""Leaders that are deposed in the middle of anything never let two members upgrade at once, and the fence is what keeps them from it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from agbot.rules.ids import GroupId
from agbot.rules.lease import State
from agbot.rules.limits import Limits
from agbot.sim.actions import Act, Action
from agbot.sim.exchange import seed
from agbot.sim.links import Kind, Question
from agbot.sim.observer import Observer
from tests.simulation import deposed
from tests.simulation.leaders import NAMES, Site, new_exchange
from tests.simulation.process import watch_tasks
from tests.simulation.stage import ORG
from tests.support import virtual_time
from tests.support.clocks import LoopClock
from tests.support.examples import thorough
from tests.support.shared_memory import SharedContent

GROUP, NMP, OLD = "g1", "up1", "2.31.0"


@thorough
@pytest.mark.parametrize("number", range(1))
def test_whatever_deposes_leaders_one_member_upgrades_at_a_time_and_all_get_there(number: int) -> None:
    outcome = deposed.play(number)
    assert outcome.violations == []
    assert outcome.is_complete
    assert outcome.upgrades >= deposed.GROUPS * deposed.MEMBERS
    assert outcome.epochs > 5, "hardly any leader was deposed: this proves nothing"


async def _a_late_release() -> list[str]:
    """Let a leader freeze with a forced release on its way, which the operator takes for failed.

    anna has the lease and begins. Another leads, the first one thaws, and a third takes over from
    the store alone; ben asks.
    """
    watch_tasks(asyncio.get_running_loop())
    site = Site(1, Limits(), new_exchange(1))
    observer = Observer(LoopClock())
    site.exchange.subscribe(observer.on_write)
    _seed(site)
    first = site.start(NAMES[0])
    await asyncio.sleep(5)
    assert await _granted(site, "anna")
    observer.on_action(_down("anna"))
    first.machine.freezes_before = lambda _expected, new: new.state is State.FREE
    first.start(first.coordinator.release(GroupId(f"{ORG}/{GROUP}"), token=None, reason="is it stuck?", who="ada"))
    await asyncio.sleep(1)
    assert first.machine.is_frozen
    site.start(NAMES[1])
    await asyncio.sleep(20)
    assert site.leader() == NAMES[1]
    first.machine.thaw()
    await asyncio.sleep(1)
    site.kill(NAMES[0])
    site.kill(NAMES[1])
    site.start(NAMES[2])
    for _ in range(2):
        _live(site)
        await asyncio.sleep(10)
    assert site.leader() == NAMES[2]
    if await _granted(site, "ben"):
        observer.on_action(_down("ben"))
    site.kill(NAMES[2])
    return [str(each) for each in observer.violations]


def _seed(site: Site) -> None:
    seed.org(site.exchange, ORG)
    seed.management_policy(site.exchange, ORG, NMP)
    for node in ("anna", "ben", "carl"):
        seed.node(site.exchange, ORG, node, version=OLD)
    seed.group(site.exchange, ORG, GROUP, ["anna", "ben", "carl"])


def _live(site: Site) -> None:
    for node in ("anna", "ben", "carl"):
        seed.send(site.exchange, "POST", f"/orgs/{ORG}/nodes/{node}/heartbeat", caller=f"{ORG}/{node}")


def _down(node: str) -> Action:
    """Return that a node acts on its grant."""
    return Action(at=LoopClock().now(), act=Act.DOWN, node=f"{ORG}/{node}", subject=f"{ORG}/{NMP}")


async def _granted(site: Site, node: str) -> bool:
    """Ask at whichever coordinator leads."""
    identity = f"{ORG}/{node}"
    question = Question(
        kind=Kind.AGENT, org=ORG, group=GROUP, node=node, policy=NMP, identity=identity, secret=seed.token_of(node)
    )
    for _ in range(20):
        leading = [each for each in site.programs.values() if each.leading.where().leads and not each.machine.is_frozen]
        for program in leading:
            answer = await program.call(program.answer(question))
            if answer.status == 201:
                return True
        await asyncio.sleep(1)
    return False


@contextmanager
def _without_fence() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SharedContent, "fence", lambda _self, _epoch: None)
        yield


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    structlog.configure(processors=[deposed._drop], cache_logger_on_first_use=False)  # noqa: SLF001 - the same silence
    yield
    structlog.reset_defaults()


def test_a_release_that_a_deposed_leader_had_on_its_way_frees_nothing() -> None:
    assert virtual_time.run(_a_late_release()) == []


def test_without_the_fence_the_observer_sees_two_at_once() -> None:
    with _without_fence():
        violations = virtual_time.run(_a_late_release())
    assert len(violations) == 1
    assert "one at a time" in violations[0]
