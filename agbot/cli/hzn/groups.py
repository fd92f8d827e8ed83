"""Creating, replacing and removing groups."""

from __future__ import annotations

from dataclasses import dataclass

from agbot.cli import options, screen
from agbot.cli.failure import Exit, Failure
from agbot.cli.folding import say
from agbot.cli.hzn import asking, in_use, plan
from agbot.cli.hzn.file import GroupFile
from agbot.cli.hzn.in_use import Leaving
from agbot.cli.hzn.session import Session, at_once
from agbot.exchange.administration import HaGroup
from agbot.exchange.errors import Conflicting
from agbot.rules import ids
from agbot.rules.ids import GroupId
from agbot.rules.words import count


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a command, for people and programs."""

    text: str
    group: GroupId
    did: str
    """`added`, `updated`, `removed`, `moved`, or `nothing`."""
    nodes_added: tuple[str, ...] = ()
    nodes_removed: tuple[str, ...] = ()
    nodes_unchanged: tuple[str, ...] = ()


def outcome(group: GroupId, did: str, *lines: str, **nodes: tuple[str, ...]) -> Outcome:
    """Return an outcome in these lines; a line end in a name begins no new one."""
    return Outcome(text="\n".join(map(screen.clean, lines)), group=group, did=did, **nodes)


async def add(session: Session, given: str | None, file: GroupFile, *, says_yes: bool, coordinator: str) -> Outcome:
    """Create a group, or replace the one that exists.

    Raises:
        Failure: it is not possible, or was not confirmed.
        ExchangeError: the Exchange refused.
    """
    group = _named(session, given or file.name, file)
    asking.warn(file.remarks)
    named = [name for name in file.members if name]
    nodes = await at_once(named, lambda name: session.device(name, group))
    members = tuple(dict.fromkeys(ids.name_of(node.id) for node in nodes))
    before = await session.exchange.group(group)
    elsewhere = plan.elsewhere(nodes, group)
    if elsewhere:
        raise _in_another(group, elsewhere, exists=before is not None)
    if not members:
        asking.warn([f"{group} has no members: it gates no node"])
    if before is not None:
        return await _replace(session, before, members, file.description, says_yes=says_yes, coordinator=coordinator)
    if session.is_dry:
        line = f"dry run: HA group {group} would be created with {count(len(members), 'member')}"
        return outcome(group, "nothing", line)
    try:
        await session.exchange.create_group(group, file.description, members)
    except Conflicting as error:
        raise _overtaken(group, error) from error
    return outcome(group, "added", f"HA group {group} added in the Horizon Exchange", nodes_added=members)


def _named(session: Session, name: str, file: GroupFile) -> GroupId:
    if not name or not file.description:
        missing = "the group has no name" if not name else "the group has no description"
        raise Failure(
            Exit.BAD_INPUT,
            tried="reading the group",
            problem=missing,
            next_step="write it into the file" + ("" if name else ", or give the name as argument"),
        )
    return session.group_id(name)


async def _replace(
    session: Session, before: HaGroup, members: tuple[str, ...], description: str, *, says_yes: bool, coordinator: str
) -> Outcome:
    change = plan.replacement(before, members, description)
    # hzn asks no one here, so its scripts have no answer ready: only a person is asked
    asks = options.is_person() and not says_yes and not session.is_dry and not change.changes_nothing
    if asks or session.is_dry or change.removed:
        say(f"HA group {screen.clean(before.id)} exists. Replacing it", err=not asks)
        for line in change.lines():
            say(f"  {screen.clean(line)}", err=not asks, indent=4)
    leaving = frozenset(ids.node_id(ids.org_of(before.id), name) for name in change.removed)
    if leaving:
        await in_use.warn(session, Leaving(group=before.id, nodes=leaving), coordinator)
    if session.is_dry or (asks and not asking.agrees(f"Replace HA group {before.id}?")):
        return outcome(before.id, "nothing", nodes_unchanged=before.members)
    await session.exchange.replace_group(before.id, description, members)
    return outcome(
        before.id,
        "updated",
        f"HA group {before.id} updated in the Horizon Exchange{_what_changed(change)}",
        nodes_added=change.added,
        nodes_removed=change.removed,
        nodes_unchanged=change.kept,
    )


def _what_changed(change: plan.Replacement) -> str:
    parts = [f"added {', '.join(change.added)}"] if change.added else []
    parts += [f"removed {', '.join(change.removed)}"] if change.removed else []
    return f": {'; '.join(parts)}" if parts else ""


async def remove(session: Session, name: str, *, is_forced: bool, coordinator: str) -> Outcome:
    """Remove a group.

    Raises:
        Failure: there is none, or the question was not answered.
        ExchangeError: the Exchange refused.
    """
    group = session.group_id(name)
    before = await session.exchange.group(group)
    if before is not None:
        members = frozenset(ids.node_id(ids.org_of(group), member) for member in before.members)
        leaving = Leaving(group=group, nodes=members, group_goes=True)
        await in_use.warn(session, leaving, coordinator)
    question = f"Are you sure you want to remove HA group {group} from the Horizon Exchange?"
    if asking.declines(question, session, is_forced=is_forced):
        return outcome(group, "nothing", nodes_unchanged=before.members if before else ())
    # also if it has been deleted since it was read
    if before is None or (not session.is_dry and not await session.exchange.delete_group(group)):
        raise await session.no_group(group)
    if session.is_dry:
        line = f"dry run: HA group {group} with {count(len(before.members), 'member')} would be removed"
        return outcome(group, "nothing", line)
    text = f"HA group {group} removed from the Horizon Exchange."
    return outcome(group, "removed", text, nodes_removed=before.members)


def _in_another(group: GroupId, found: dict[str, str], *, exists: bool) -> Failure:
    """Return the failure.

    The exit codes are those of `hzn`: bad input for a new group, a server error for an existing
    one.
    """
    first = "" if exists else "create the group without them; then "
    return Failure(
        Exit.UNREACHABLE if exists else Exit.BAD_INPUT,
        tried=f"{'replacing' if exists else 'creating'} HA group {group}",
        problem=f"a node is in one HA group at most: {plan.elsewhere_text(found)}",
        next_step=f"{first}`agbot hagroup member move {ids.name_of(group)} --node …` moves them; nothing has changed",
    )


def _overtaken(group: GroupId, error: Conflicting) -> Failure:
    return Failure(
        Exit.BAD_INPUT,
        tried=f"creating HA group {group}",
        problem=f"something has changed in the meantime: {error.what_came_back}",
        next_step="check the group and its nodes, and repeat the command",
    )
