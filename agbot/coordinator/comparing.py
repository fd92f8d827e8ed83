"""Comparing the Exchange's clock with ours, and what follows when one of them has moved."""

from __future__ import annotations

from collections.abc import Iterable

from agbot.coordinator.situation import Situation
from agbot.exchange.client import ExchangeClient
from agbot.exchange.errors import ExchangeError
from agbot.rules.ids import OrgId


async def compare_clocks(situation: Situation, exchange: ExchangeClient, orgs: Iterable[OrgId]) -> None:
    """See how far the Exchange's clock is from ours, if it is time. To be called right after the change feed was read.

    What was read in other terms is read anew. When it is theirs that has moved, what they wrote before says nothing about who is silent.
    """
    time = exchange.time
    if not situation.clocks.is_due:
        return
    offset, was_known = time.offset, time.is_known
    try:
        was_told = await exchange.compare_clocks()
    except ExchangeError:
        return  # tried again with the next look; a comparison stays good for a while
    if was_told:
        situation.clocks.compared()
        if time.is_known:
            situation.learnt_offset(time.offset)
    has_moved = time.offset != offset
    if has_moved and was_known:
        for org in orgs:
            situation.picture.shows_the_past(org, situation.now())
    if time.is_known and (has_moved or not was_known):
        situation.picture.outdate_everything()
