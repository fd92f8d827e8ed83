"""Finds the rows of the agbot that are stuck, orphaned or doubled, and how each is deleted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from agbot.agreementbot import cures
from agbot.agreementbot.client import Listed
from agbot.coordinator.contract import GroupView, StuckView
from agbot.doctor import judging
from agbot.doctor.finding import Slot, Standing
from agbot.doctor.judging import Opinion, RowReading
from agbot.doctor.reading import RowReader
from agbot.rules.ids import NodeId, PolicyId

Sleep = Callable[[float], Awaitable[None]]
Known = Mapping[tuple[str, NodeId, PolicyId], StuckView]
"""What a running daemon knows to be stuck, by kind, node and policy."""
_AGAIN_SECONDS = 10.0
"""Between two readings, as between the two reads that confirm an absence (decision 17)."""


def known_by_daemon(groups: Iterable[GroupView]) -> Known:
    """Return the rows that a running daemon has watched until they counted as stuck."""
    return {(each.kind, each.node, each.subject): each for group in groups for each in group.stuck}


async def slots(listed: Listed, reader: RowReader, known: Known, sleep: Sleep) -> tuple[Slot, ...]:
    """Judge all rows, and read those a second time that need it."""
    readings = [await reader.read(row) for row in listed.rows]
    opinions = [judging.judge(reading) for reading in readings]
    if any(each.needs_another for each in opinions):
        await sleep(_AGAIN_SECONDS)
        pairs = zip(readings, opinions, strict=True)
        opinions = [await _again(reading, opinion, reader) for reading, opinion in pairs]
    doubled = judging.doubled(listed.rows, listed.repeated)
    judged = zip(readings, opinions, strict=True)
    return tuple(_slot(reading, opinion, listed, known, doubled.get(reading.row, "")) for reading, opinion in judged)


async def _again(reading: RowReading, opinion: Opinion, reader: RowReader) -> Opinion:
    return judging.judge(await reader.read(reading.row), before=reading) if opinion.needs_another else opinion


def _slot(reading: RowReading, opinion: Opinion, listed: Listed, known: Known, doubled: str) -> Slot:
    claim = reading.claim
    watched = known.get((str(claim.kind), claim.holder, claim.subject))
    standing, why, defect = opinion.standing, opinion.why, opinion.defect
    # the daemon has watched for minutes what one look cannot show, such as that nothing begins (W1)
    if standing is not Standing.STUCK and watched is not None:
        standing, defect = Standing.STUCK, watched.defect
        why = f"{watched.why} (as the running coordinator has seen for minutes)"
    is_stuck = standing is Standing.STUCK
    return Slot(
        row=reading.row,
        subject=claim.subject,
        standing=standing,
        why=why,
        defect=defect,
        doubled=doubled,
        cure=cures.cure(reading.row, listed.rows, listed.url).command if is_stuck else "",
    )
