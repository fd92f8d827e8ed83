"""Finds the rows of the agbot that are stuck, orphaned or doubled, and how each is deleted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from agbot.agreementbot import cures
from agbot.agreementbot.client import Listed
from agbot.coordinator.contract import GroupView, StuckView
from agbot.doctor import judging
from agbot.doctor.finding import Slot, Standing
from agbot.doctor.judging import Look, Opinion
from agbot.doctor.reading import Reading
from agbot.rules.facts import Row
from agbot.rules.ids import NodeId, PolicyId

Sleep = Callable[[float], Awaitable[None]]
Known = Mapping[tuple[str, NodeId, PolicyId], StuckView]
"""What a running daemon knows to be stuck, by kind, node and policy."""
AGAIN_SECONDS = 10.0
"""Between two looks, as between the two reads that confirm an absence (decision 17)."""


def known_by_daemon(groups: Iterable[GroupView]) -> Known:
    """Return the rows that a running daemon has watched until they counted as stuck."""
    return {(each.kind, each.node, each.subject): each for group in groups for each in group.stuck}


async def slots(listed: Listed, reading: Reading, known: Known, sleep: Sleep) -> tuple[Slot, ...]:
    """Judge all rows, with a second look at those that need one."""
    looks = [await reading.look(row) for row in listed.rows]
    opinions = [judging.judge(look) for look in looks]
    if any(each.look_again for each in opinions):
        await sleep(AGAIN_SECONDS)
        pairs = zip(looks, opinions, strict=True)
        opinions = [await _again(look, opinion, reading) for look, opinion in pairs]
    doubled = judging.doubled(listed.rows, listed.repeated)
    judged = zip(looks, opinions, strict=True)
    return tuple(_slot(look, opinion, listed, known, doubled.get(look.row, "")) for look, opinion in judged)


async def _again(look: Look, opinion: Opinion, reading: Reading) -> Opinion:
    return judging.judge(await reading.look(look.row), before=look) if opinion.look_again else opinion


def _slot(look: Look, opinion: Opinion, listed: Listed, known: Known, doubled: str) -> Slot:
    claim = look.claim
    watched = known.get((str(claim.kind), claim.holder, claim.subject))
    standing, why, defect = opinion.standing, opinion.why, opinion.defect
    if standing is not Standing.STUCK and watched is not None:
        standing, defect = Standing.STUCK, watched.defect
        why = f"{watched.why} (as the running coordinator has seen for minutes)"
    is_stuck = standing is Standing.STUCK
    return Slot(
        row=look.row,
        subject=claim.subject,
        standing=standing,
        why=why,
        defect=defect,
        doubled=doubled,
        cure=cures.cure(look.row, _of_group(look.row, listed.rows), listed.url).command if is_stuck else "",
    )


def _of_group(row: Row, rows: Sequence[Row]) -> list[Row]:
    return [each for each in rows if each.group == row.group]
