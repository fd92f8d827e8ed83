"""Deletes one stuck row of the agbot, and proves that no other row went with it.

Immediately before, the node and then the lists are read again: the row must still be there and
stuck. Over the local API that leaves a moment in which the agbot itself may delete the row and give
the slot to another node; the statement for the database names the node, so it cannot free another
one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agbot.agreementbot import cures
from agbot.agreementbot.client import Listed
from agbot.agreementbot.source import Source, Unreached
from agbot.doctor.finding import Slot, Standing
from agbot.doctor.reading import RowReader
from agbot.doctor.slots import Known, Sleep, slots


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a cure."""

    slot: Slot
    is_cured: bool
    text: str
    """What was done, or why nothing was."""


async def cure(slot: Slot, source: Source, reader: RowReader, known: Known, sleep: Sleep) -> Outcome:
    """Check the evidence once more, and delete the row if it still holds."""
    listed = await _listed(slot, source)
    if isinstance(listed, Outcome):
        return listed
    [present] = await slots(replace(listed, rows=(slot.row,)), reader, known, sleep)
    if present.standing is not Standing.STUCK:
        return _not(slot, f"it is no longer stuck ({present.why or present.standing}); nothing was deleted")
    # Proof by two readings takes ten seconds, in which the agbot may give the slot to another node:
    # what the API would delete is decided by the rows of now.
    before = await _listed(slot, source)
    if isinstance(before, Outcome):
        return before
    chosen = cures.cure(slot.row, before.rows, before.url)
    if not chosen.url and not source.deletes_rows:
        why = "its local API would delete other rows too"
        return _not(slot, f"{why}; run this in the agbot's database, or set [agbot] database: {chosen.command}")
    try:
        await source.delete(slot.row, chosen)
    except Unreached as error:
        return _not(slot, str(error))
    return _checked(slot, before, await source.list_rows())


async def _listed(slot: Slot, source: Source) -> Listed | Outcome:
    """List the rows, with this one among them; or return why nothing is deleted."""
    found = await source.list_rows()
    if not isinstance(found, Listed):
        return _not(slot, f"the agbot's rows cannot be read any more: {found.why}")
    if slot.row not in found.rows:
        return _not(slot, "the row has gone in the meantime; nothing was deleted")
    return found


def _checked(slot: Slot, before: Listed, after: object) -> Outcome:
    if not isinstance(after, Listed):
        return _not(slot, "the row was deleted, but the lists cannot be read to check that")
    if slot.row in after.rows:
        return _not(slot, "the agbot accepted the deletion, and still lists the row")
    gone = [each for each in before.rows if each not in after.rows and each != slot.row]
    beside = [each for each in gone if each.group == slot.row.group]
    if beside:
        named = ", ".join(f"{each.node} for {each.subject}" for each in beside)
        return Outcome(slot=slot, is_cured=True, text=f"deleted; the agbot deleted meanwhile: {named}")
    return Outcome(slot=slot, is_cured=True, text="deleted; no other row of the group has gone")


def _not(slot: Slot, text: str) -> Outcome:
    return Outcome(slot=slot, is_cured=False, text=text)
