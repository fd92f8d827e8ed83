"""What the observer makes of upgrades that the coordinator was not asked for: it could not prevent them, but it must wait for them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from agbot.sim.actions import Act, Action
from agbot.sim.episodes import Excuse
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.observer import Observer
from tests.sim.gates import EPOCH
from tests.support.clocks import HandClock

NODES = ("a", "b", "c")


class Watched:
    """A group of three whose nodes do what a test says."""

    def __init__(self) -> None:
        self.clock = HandClock(EPOCH)
        exchange = SimExchange(clock=self.clock, root_password="pw")
        self.observer = Observer(self.clock)
        exchange.subscribe(self.observer.on_write)
        seed.org(exchange, "o1")
        for name in NODES:
            seed.node(exchange, "o1", name)
        seed.group(exchange, "o1", "g", list(NODES))
        self.clock.advance(60)

    def begins(self, node: str, *, unasked: bool = False) -> None:
        self._does(Act.DOWN, node, is_unasked=unasked)

    def ends(self, node: str) -> None:
        self._does(Act.UP, node)

    def _does(self, act: Act, node: str, *, is_unasked: bool = False) -> None:
        at: datetime = self.clock.now()
        self.observer.on_action(Action(at=at, act=act, node=f"o1/{node}", subject="o1/up", is_unasked=is_unasked))

    def excuses(self) -> set[Excuse]:
        return {one.excuse for one in self.observer.forgiven}


def test_who_begins_unasked_beside_another_is_nobodys_fault_and_counted_all_the_same() -> None:
    hub = Watched()
    hub.begins("a")
    hub.clock.advance(60)
    hub.begins("b", unasked=True)

    assert hub.observer.violations == []
    assert hub.observer.max_concurrent == 2
    assert hub.excuses() == {Excuse.UNASKED}


@pytest.mark.parametrize(("seconds", "is_wrong"), [(5, False), (11, True)])
def test_no_one_may_be_let_go_beside_an_unasked_one_once_it_can_be_known(seconds: int, is_wrong: bool) -> None:
    hub = Watched()
    hub.begins("a", unasked=True)
    hub.clock.advance(seconds)
    hub.begins("b")

    assert bool(hub.observer.violations) is is_wrong


def test_an_overlap_that_could_not_be_helped_excuses_no_third() -> None:
    hub = Watched()
    hub.begins("a")
    hub.begins("b", unasked=True)
    hub.clock.advance(60)
    hub.ends("a")
    hub.begins("c")

    (violation,) = hub.observer.violations
    assert violation.nodes == ("o1/b", "o1/c")
    assert violation.at - EPOCH == timedelta(seconds=120)
