"""However a coordinator came to stand by, and however the leader ends, it leads and may grant within 2 s or 15 s."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping

import pytest

from agbot.coordinator.contract import Done, NotDone
from agbot.rules.limits import Limits
from tests.simulation.leaders import NAMES, Program, Site, new_exchange
from tests.simulation.process import watch_tasks
from tests.support.examples import some
from tests.support.virtual_time import in_virtual_time

ADA, BOB, CYD = NAMES
_MOST_SECONDS = 120.0
Course = Callable[[Site], Awaitable[None]]


def a_site() -> Site:
    watch_tasks(asyncio.get_running_loop())
    return Site(1, Limits(), new_exchange(1))


def is_ready(site: Site, name: str) -> bool:
    """Whether this coordinator leads and may grant."""
    program = site.programs[name]
    return program.leading.where().leads and program.coordinator.overview().ready


async def until(what: str, condition: Callable[[], bool]) -> float:
    """Wait for something; return for how long."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while not condition():
        assert loop.time() - begun < _MOST_SECONDS, f"{what} has not come"
        await asyncio.sleep(0.05)
    return loop.time() - begun


async def leads(site: Site, name: str) -> None:
    site.start(name)
    await until(f"{name} leads", lambda: is_ready(site, name))


async def stands_by(site: Site, name: str) -> None:
    program = site.start(name)
    await until(f"{name} stands by", lambda: follows(program))
    await asyncio.sleep(3.0)  # and both have announced themselves


def is_announced(site: Site, name: str) -> bool:
    """Whether a coordinator was seen in the last seconds, so that it may be handed to."""
    content = site.database.content
    return (content.now() - content.announced[name][1]).total_seconds() < 3.0


def follows(program: Program) -> bool:
    where = program.leading.where()
    return not where.leads and where.leader is not None


async def stop(site: Site, name: str) -> None:
    """End a coordinator as SIGTERM does."""
    program = site.programs.pop(name)
    await program.call(program.leading.stop())
    program.kill()


async def hand_over(site: Site, name: str, to: str = "") -> Done | NotDone:
    program = site.programs[name]
    return await program.call(program.leading.hand_over(to=to, reason="a trial", who="ada"))


async def stood_by(site: Site) -> None:
    await leads(site, ADA)
    await stands_by(site, BOB)


async def led_before(site: Site) -> None:
    await leads(site, BOB)
    await stands_by(site, ADA)


async def handed_over_by_name(site: Site) -> None:
    await led_before(site)
    assert isinstance(await hand_over(site, BOB, to=ADA), Done)


async def handed_over_to_any(site: Site) -> None:
    await led_before(site)
    assert isinstance(await hand_over(site, BOB), Done)


async def handed_over_to_any_of_two(site: Site) -> None:
    await led_before(site)
    await stands_by(site, CYD)
    assert isinstance(await hand_over(site, BOB), Done)
    await stop(site, CYD)
    await until("ada leads", lambda: is_ready(site, ADA))


async def got_it_back_and_handed_over_again(site: Site) -> None:
    await handed_over_by_name(site)
    for by, to in ((ADA, BOB), (BOB, ADA)):
        assert isinstance(await hand_over(site, by, to=to), Done)


async def named_one_that_did_not_come(site: Site) -> None:
    await led_before(site)
    await stands_by(site, CYD)
    site.kill(CYD)
    refused = await hand_over(site, BOB, to=CYD)
    assert isinstance(refused, NotDone), refused
    await until("a leader", lambda: is_ready(site, ADA) or is_ready(site, BOB))
    if is_ready(site, BOB):
        assert isinstance(await hand_over(site, BOB, to=ADA), Done)


async def was_frozen_and_deposed(site: Site) -> None:
    await led_before(site)
    site.machines[BOB].freeze()
    await until("ada leads", lambda: is_ready(site, ADA))
    site.machines[BOB].thaw()
    await until("bob stands by", lambda: follows(site.programs[BOB]))


async def was_cut_off_and_deposed(site: Site) -> None:
    await led_before(site)
    site.machines[BOB].is_cut = True
    await until("ada leads", lambda: is_ready(site, ADA))
    site.machines[BOB].is_cut = False
    await until("bob stands by", lambda: follows(site.programs[BOB]))


async def has_just_thawed(site: Site) -> None:
    await stood_by(site)
    site.machines[BOB].freeze()
    await asyncio.sleep(60.0)
    site.machines[BOB].thaw()


async def has_just_started(site: Site) -> None:
    await leads(site, ADA)
    program = site.start(BOB)
    await until("bob stands by", lambda: follows(program))


async def was_stopped_and_started_again(site: Site) -> None:
    await led_before(site)
    await stop(site, BOB)
    await until("ada leads", lambda: is_ready(site, ADA))
    await stands_by(site, BOB)


async def was_killed_and_is_let_in_again(site: Site) -> None:
    await led_before(site)
    site.kill(BOB)
    await until("ada leads", lambda: is_ready(site, ADA))
    await stands_by(site, BOB)
    await asyncio.sleep(4.0)  # three announcements of the earlier run would have come


STANDING: Mapping[str, Course] = {
    each.__name__: each
    for each in (
        stood_by,
        handed_over_by_name,
        handed_over_to_any,
        handed_over_to_any_of_two,
        got_it_back_and_handed_over_again,
        named_one_that_did_not_come,
        was_frozen_and_deposed,
        was_cut_off_and_deposed,
        has_just_thawed,
        has_just_started,
        was_stopped_and_started_again,
        was_killed_and_is_let_in_again,
    )
}


async def is_stopped(site: Site) -> None:
    await stop(site, ADA)


async def hands_over_by_name(site: Site) -> None:
    assert isinstance(await hand_over(site, ADA, to=BOB), Done)


async def hands_over_to_any(site: Site) -> None:
    assert isinstance(await hand_over(site, ADA), Done)


async def is_killed(site: Site) -> None:
    site.kill(ADA)


async def freezes(site: Site) -> None:
    site.machines[ADA].freeze()


async def is_cut_off(site: Site) -> None:
    site.machines[ADA].is_cut = True


ENDING: Mapping[str, tuple[Course, float]] = {
    each.__name__: (each, seconds)
    for each, seconds in (
        (is_stopped, 2.0),
        (hands_over_by_name, 2.0),
        (hands_over_to_any, 2.0),
        (is_killed, 15.0),
        (freezes, 15.0),
        (is_cut_off, 15.0),
    )
}


@pytest.mark.parametrize(("standing", "ending"), some(itertools.product(STANDING, ENDING), every=5))
@in_virtual_time
async def test_a_coordinator_that_stands_by_leads_in_time_whatever_befell_both(standing: str, ending: str) -> None:
    site, (end, seconds) = a_site(), ENDING[ending]
    await STANDING[standing](site)
    if end in {hands_over_by_name, hands_over_to_any}:  # refused until bob has announced itself again
        await until("bob is seen", lambda: is_announced(site, BOB))
    begun = asyncio.get_running_loop().time()
    await end(site)
    await until("bob leads", lambda: is_ready(site, BOB))
    took = asyncio.get_running_loop().time() - begun
    assert took <= seconds, f"it took {took:.1f} s"
    site.heal()
    for name in NAMES:
        site.kill(name)


@pytest.mark.parametrize("to", [ADA, ""])
@pytest.mark.parametrize(("end", "seconds"), [(is_stopped, 2.0), (is_killed, 15.0)])
@in_virtual_time
async def test_a_leader_whose_heir_ends_before_it_has_taken_over_leads_on_in_time(
    to: str, end: Course, seconds: float
) -> None:
    site = a_site()
    await led_before(site)
    taking = asyncio.create_task(hand_over(site, BOB, to=to))
    await until("bob has given it up", lambda: site.programs[BOB].leading.where().leader is None)
    await end(site)
    begun = asyncio.get_running_loop().time()
    await until("bob leads again", lambda: is_ready(site, BOB))
    took = asyncio.get_running_loop().time() - begun
    assert took <= seconds, f"it took {took:.1f} s"
    answer = await taking
    assert isinstance(answer, NotDone)
    assert "bob takes it again" in answer.text
    site.kill(BOB)
