"""Adding, removing and moving members."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence

from agbot.cli.failure import Exit, Failure
from agbot.cli.hzn import asking, in_use, plan
from agbot.cli.hzn.groups import Outcome, outcome
from agbot.cli.hzn.in_use import Leaving
from agbot.cli.hzn.session import Session, node_in, other_org, stating
from agbot.exchange.administration import HaGroup, NodeRecord
from agbot.exchange.errors import ExchangeError, Forbidden
from agbot.rules import ids
from agbot.rules.ids import GroupId, NodeId


async def add(session: Session, name: str, nodes: Sequence[str]) -> Outcome:
    """Add nodes to a group; nodes in another group are reported and not moved.

    Raises:
        Failure: no such group or node, a cluster node, or a node in another group (the others have
            been added then).
        ExchangeError: the Exchange refused; nodes before it have been added.
    """
    group = session.group_id(name)
    records = await _devices(session, group, nodes)
    elsewhere = plan.elsewhere(records, group)
    inside = tuple(ids.name_of(each.id) for each in records if each.group == ids.name_of(group))
    added: list[str] = []
    with stating(session, "added", added):
        for record in records:
            if not record.group:
                if not session.is_dry:
                    await session.exchange.add_member(group, record.id)
                added.append(ids.name_of(record.id))
    would_be = "would be" if session.is_dry else "are"
    lines = [f"Node {node} is already in HA group {group}." for node in inside]
    lines += [f"The following nodes {would_be} added to HA group {group}: {', '.join(added)}"] if added else []
    # last, as in hzn: one node in the wrong group keeps the others from nothing
    if elsewhere:
        raise _in_another(group, elsewhere, added)
    did = "updated" if added and not session.is_dry else "nothing"
    return outcome(group, did, *lines, nodes_added=tuple(added), nodes_unchanged=inside)


def _in_another(group: GroupId, found: dict[str, str], added: list[str]) -> Failure:
    done = f"; added nevertheless: {', '.join(added)}" if added else "; nothing has changed"
    return Failure(
        Exit.BAD_INPUT,
        tried=f"adding nodes to HA group {group}",
        problem=f"a node is in one HA group at most: {plan.elsewhere_text(found)}{done}",
        next_step=f"`agbot hagroup member move {ids.name_of(group)} --node …` moves a node in one step",
    )


async def remove(session: Session, name: str, nodes: Sequence[str], *, is_forced: bool, coordinator: str) -> Outcome:
    """Remove nodes from a group; nodes that are not in it are reported.

    Raises:
        Failure: there is no such group or node, or the question was not answered.
        ExchangeError: the Exchange refused; nodes before it have been removed.
    """
    group = session.group_id(name)
    before = await session.exchange.group(group)
    wanted = [node_in(node, group) for node in dict.fromkeys(nodes)]
    leaving = [node for node in wanted if before and _is_member(node, before)]
    if leaving:
        await in_use.warn(session, Leaving(group=group, nodes=frozenset(leaving)), coordinator)
    question = f"Are you sure you want to remove {', '.join(wanted)} from HA group {group} in the Horizon Exchange?"
    if asking.declines(question, session, is_forced=is_forced):
        return outcome(group, "nothing")
    if before is None:
        raise await session.no_group(group)
    foreign = next((node for node in wanted if ids.org_of(node) != ids.org_of(group)), None)
    if foreign is not None:
        raise other_org(foreign, group)
    for node in wanted:
        if node not in leaving and not await _may_exist(session, node):
            raise await session.no_node(node, f"`agbot hagroup list {group}` shows its members; nothing has changed")
    removed: list[str] = []
    with stating(session, "removed", removed):
        for node in leaving:
            if session.is_dry or await session.exchange.remove_member(group, node):
                removed.append(ids.name_of(node))  # noqa: PERF401 - an error states those that were removed before
    return _removed(group, wanted, removed, is_dry=session.is_dry)


async def _may_exist(session: Session, node: NodeId) -> bool:
    """Whether a node exists, or may: one of another owner cannot be read."""
    try:
        return await session.exchange.node(node) is not None
    except Forbidden:
        return True


def _removed(group: GroupId, wanted: list[NodeId], removed: list[str], *, is_dry: bool) -> Outcome:
    absent_nodes = tuple(ids.name_of(node) for node in wanted if ids.name_of(node) not in removed)
    lines = [f"Node {node} is not in HA group {group}." for node in absent_nodes]
    if removed:
        verb = "would be" if is_dry else "is" if len(removed) == 1 else "are"
        noun = "Node" if len(removed) == 1 else "Nodes"
        lines.append(f"{noun} {', '.join(removed)} {verb} removed from HA group {group} in the Horizon Exchange")
    did = "updated" if removed and not is_dry else "nothing"
    return outcome(group, did, *lines, nodes_removed=tuple(removed), nodes_unchanged=absent_nodes)


async def move(session: Session, name: str, nodes: Sequence[str], *, is_forced: bool, coordinator: str) -> Outcome:
    """Move nodes from their groups to this one, each completely or not at all.

    Raises:
        Failure: no such group or node, a cluster node, no answer to the question, or a half that
            could not be undone.
        ExchangeError: the Exchange refused; that node has not been moved, nodes before it have.
    """
    group = session.group_id(name)
    records = await _devices(session, group, nodes)
    moving = [each for each in records if each.group != ids.name_of(group)]
    for each in moving:
        if (old := _group_of(each)) is not None:
            await in_use.warn(session, Leaving(group=old, nodes=frozenset({each.id}), to=group), coordinator)
    way = ", ".join(f"{each.id} from {each.group or 'no group'}" for each in moving)
    if moving and asking.declines(f"Move {way} to HA group {group}?", session, is_forced=is_forced):
        return outcome(group, "nothing")
    moved: list[str] = []
    with stating(session, "moved", moved):
        for each in moving:
            if not session.is_dry:
                await _move_one(session, each, group)
            moved.append(ids.name_of(each.id))
    inside = tuple(ids.name_of(each.id) for each in records if each not in moving)
    lines = [f"Node {node} is already in HA group {group}." for node in inside]
    lines += [f"{'Would move' if session.is_dry else 'Moved'} {way} to HA group {group}"] if moving else []
    did = "moved" if moving and not session.is_dry else "nothing"
    return outcome(group, did, *lines, nodes_added=tuple(moved), nodes_unchanged=inside)


async def _move_one(session: Session, node: NodeRecord, group: GroupId) -> None:
    """Remove a node from its group and add it to this one.

    Any interruption, also Ctrl-C, puts it back.
    """
    old = _group_of(node)
    try:
        if old is not None:
            await _to_its_end(session.exchange.remove_member(old, node.id))
        await _to_its_end(session.exchange.add_member(group, node.id))
    except (ExchangeError, asyncio.CancelledError) as error:
        has_arrived = await asyncio.shield(_arrived_or_put_back(session, node.id, old, group, error))
        if not has_arrived or isinstance(error, asyncio.CancelledError):  # Ctrl-C ends the other moves
            raise


async def _to_its_end(request: Coroutine[None, None, object]) -> None:
    """Wait for a request, also if this is cancelled: one that is cut off may still arrive later."""
    task = asyncio.ensure_future(request)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


async def _arrived_or_put_back(
    session: Session, node: NodeId, old: GroupId | None, group: GroupId, cause: BaseException
) -> bool:
    """Whether the node is in the new group, because only the answer was lost.

    If not, undo the first half.
    """
    try:
        now = await session.exchange.node(node)
        if now is not None and now.group == ids.name_of(group):
            return True
        # its answer may be the one that was lost, before anything was done
        is_home = now is not None and old is not None and now.group == ids.name_of(old)
        if old is not None and not is_home:
            await session.exchange.add_member(old, node)
    except ExchangeError as error:
        home = f"back into {old}" if old else "where it was"
        raise Failure(
            Exit.UNREACHABLE,
            tried=f"putting {node} {home}, because it could not be moved ({cause})",
            problem=f"that failed too: {error.what_came_back}; {node} may be in no group now, and then upgrades without asking",
            next_step=f"`agbot node list {ids.name_of(node)}` shows its group, `agbot hagroup member add` adds it to one",
        ) from error
    return False


async def _devices(session: Session, group: GroupId, nodes: Sequence[str]) -> list[NodeRecord]:
    """Read the nodes that are to become members of a group, which must exist."""
    if await session.exchange.group(group) is None:
        raise await session.no_group(group)
    return [await session.device(node, group) for node in dict.fromkeys(nodes)]


def _group_of(node: NodeRecord) -> GroupId | None:
    return ids.group_id(ids.org_of(node.id), node.group) if node.group else None


def _is_member(node: NodeId, group: HaGroup) -> bool:
    return ids.org_of(node) == ids.org_of(group.id) and ids.name_of(node) in group.members
