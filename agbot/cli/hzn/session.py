"""One command at one Exchange: connects, checks the version, and maps errors to exit codes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import click

from agbot.cli.failure import Exit, Failure
from agbot.cli.hzn import environment
from agbot.cli.hzn.environment import Asker, Options
from agbot.exchange import version
from agbot.exchange.administration import Administration, NodeRecord
from agbot.exchange.errors import ExchangeError, Forbidden, Refused, Unreachable
from agbot.exchange.transport import HttpTransport
from agbot.foreign_text import escaped
from agbot.rules import ids
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.nearest import did_you_mean

T = TypeVar("T")
Result = TypeVar("Result")

_READS_AT_ONCE: Final = 8
_LIST_GROUPS: Final = "`agbot hagroup list` lists the groups of your organisation, with -o those of another one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The dependencies of a command."""

    asker: Asker
    exchange: Administration
    is_dry: bool
    """Read everything, change nothing."""

    def group_id(self, name: str) -> GroupId:
        """Return the group's id; complete a bare name."""
        return GroupId(self.qualified(name))

    async def no_group(self, group: GroupId) -> Failure:
        """Return the failure for a group that does not exist, with the nearest one.

        Raises:
            ExchangeError: the groups cannot be listed.
        """
        near = did_you_mean(group, [each.id for each in await self.exchange.groups(ids.org_of(group))])
        return self._absent(f"HA group {ids.name_of(group)} in {ids.org_of(group)}{near}", _LIST_GROUPS)

    async def no_node(self, node: NodeId, next_step: str) -> Failure:
        """Return the failure for a node that does not exist, with the nearest one.

        Raises:
            ExchangeError: the nodes cannot be listed.
        """
        near = did_you_mean(node, await self.exchange.nodes(ids.org_of(node)))
        return self._absent(f"node {ids.name_of(node)} in {ids.org_of(node)}{near}", next_step)

    async def no_policy(self, policy: PolicyId) -> Failure:
        """Return the failure for a management policy that does not exist, with the nearest one.

        Raises:
            ExchangeError: the policies cannot be listed.
        """
        near = did_you_mean(policy, await self.exchange.management_policies(ids.org_of(policy)))
        what = f"node management policy {ids.name_of(policy)} in {ids.org_of(policy)}{near}"
        return self._absent(what, "check the name and the organisation")

    def _absent(self, what: str, next_step: str) -> Failure:
        tried = f"finding it at {self.asker.url} as {self.asker.credentials.identity}"
        return Failure(Exit.NOT_FOUND, tried=tried, problem=f"there is no {what}", next_step=next_step)

    async def device(self, name: str, group: GroupId) -> NodeRecord:
        """Read a node that is to become a member; a bare name is of the group's organisation.

        Raises:
            Failure: there is none, it is a cluster node, or of another organisation.
            ExchangeError: it cannot be read.
        """
        node = node_in(name, group)
        found = await self.exchange.node(node)
        if found is None:
            raise await self.no_node(node, "its agent or `hzn exchange node create` creates it; nothing has changed")
        if found.is_cluster:
            raise Failure(
                Exit.BAD_INPUT,
                tried=f"putting {node} into {group}",
                problem=f"{node} is a cluster node: HA groups gate device nodes only; a cluster node upgrades without asking",
                next_step="leave it out; nothing has changed",
            )
        if ids.org_of(node) != ids.org_of(group):
            raise other_org(node, group)
        return found

    def qualified(self, name: str) -> str:
        """Complete a bare name with the asker's organisation.

        Raises:
            Failure: there is no name, as from a variable of the shell that is not set.
        """
        return _named(name, self.asker.org)


def node_in(name: str, group: GroupId) -> NodeId:
    """Return the node's id; complete a bare name with the group's organisation.

    Raises:
        Failure: there is no name, as from a variable of the shell that is not set.
    """
    return NodeId(_named(name, ids.org_of(group)))


def _named(name: str, org: str) -> str:
    full = name if "/" in name else f"{org}/{name}"
    if not all(full.partition("/")):
        raise Failure(
            Exit.BAD_INPUT,
            tried=f"using {name!r} as a name",
            problem="the name is empty" if not name else "it is not org/name",
            next_step="is a variable of the shell not set? Nothing has changed",
        )
    return full


def other_org(node: NodeId, group: GroupId) -> Failure:
    """Return the failure for a node of another organisation than the group's."""
    return Failure(
        Exit.BAD_INPUT,
        tried=f"using {node} in {group}",
        problem="the node is of another organisation than the group",
        next_step="an HA group has nodes of its own organisation only; nothing has changed",
    )


def run(options: Options, work: Callable[[Session], Awaitable[T]], *, is_verbose: bool, is_dry: bool) -> T:
    """Run work at the Exchange of the options and the environment.

    Raises:
        Failure: it failed.
    """
    try:
        file = environment.LAST_RESORT.read_text(encoding="utf-8", errors="replace")
    except OSError:
        file = ""
    asker = environment.asker(options, environment.complete(os.environ, file))
    if not asker.is_checked:
        click.echo("agbot: warning: HZN_SSL_SKIP_VERIFY is set, the Exchange's certificate is not verified", err=True)
    return asyncio.run(_run(asker, work, is_verbose=is_verbose, is_dry=is_dry))


async def _run(asker: Asker, work: Callable[[Session], Awaitable[T]], *, is_verbose: bool, is_dry: bool) -> T:
    def trace(line: str) -> None:
        if is_verbose:
            click.echo(f"[verbose] {escaped(line)}", err=True)

    try:
        transport = HttpTransport(asker.url, ca_file=asker.ca_file, is_checked=asker.is_checked)
    except ValueError as error:
        raise Failure(
            Exit.UNREACHABLE, tried=f"using {asker.url!r}", problem=str(error), next_step="correct HZN_EXCHANGE_URL"
        ) from error
    exchange = Administration(transport, asker.credentials, request_seconds=asker.request_seconds, trace=trace)
    trace(f"the Exchange is {asker.url}, asked as {asker.credentials.identity}")
    try:
        await _make_sure_of_version(asker, exchange)
        return await work(Session(asker=asker, exchange=exchange, is_dry=is_dry))
    except ExchangeError as error:
        raise failure(error, asker) from error
    except ValueError as error:
        raise Failure(
            Exit.BAD_INPUT,
            tried=f"asking {asker.url}",
            problem=str(error),
            next_step="check the names",
        ) from error
    finally:
        await exchange.close()


async def _make_sure_of_version(asker: Asker, exchange: Administration) -> None:
    """Check the version, as `hzn` does: an old Exchange must not look like one without groups."""
    text = await exchange.version()
    numbers = version.numbers(text)
    if numbers is not None and numbers < version.OLDEST:
        raise Failure(
            Exit.REFUSED,
            tried=f"asking {asker.url} for its version",
            problem=f"the Exchange is {text}; HA groups need {version.OLDEST_TEXT} or newer",
            next_step="upgrade the hub",
        )


def failure(error: ExchangeError, asker: Asker) -> Failure:
    """Return a failure that states what was tried, what came back and what to do."""
    who = asker.credentials.identity
    if isinstance(error, Unreachable):
        next_step = "check HZN_EXCHANGE_URL and the network; for https also HZN_MGMT_HUB_CERT_PATH"
    elif isinstance(error, Refused):
        next_step = f"check the name and the secret of {who}: -u, HZN_EXCHANGE_USER_AUTH, -o for its organisation"
    elif isinstance(error, Forbidden):
        next_step = (
            f"{who} may not do this: a node is for its owner or an admin of its organisation, a group that an admin "
            f"created for admins; ask one of them"
        )
    else:
        next_step = error.what_next
    return Failure(
        Exit.UNREACHABLE,
        tried=f"{error.method} {asker.url}{error.path} as {who}",
        problem=error.what_came_back,
        next_step=next_step,
    )


@contextmanager
def stating(session: Session, did: str, names: Sequence[str]) -> Iterator[None]:
    """State with an error of the Exchange what has been done before it: that is not undone.

    Raises:
        Failure: an error after these names.
    """
    try:
        yield
    except ExchangeError as error:
        if not names:
            raise
        found = failure(error, session.asker)
        raise Failure(
            Exit(found.exit_code),
            tried=found.tried,
            problem=f"{found.problem}; {did} before that: {', '.join(names)}",
            next_step=found.next_step,
        ) from error


async def at_once(things: Iterable[T], read: Callable[[T], Awaitable[Result]]) -> list[Result]:
    """Read these, a few at a time; return the results in order. The first error is raised."""
    turns = asyncio.Semaphore(_READS_AT_ONCE)

    async def one(thing: T) -> Result:
        async with turns:
            return await read(thing)

    tasks = [asyncio.ensure_future(one(thing)) for thing in things]
    try:
        return [await task for task in tasks]
    finally:
        # after an error no one waits for the others, and their connections are about to be closed
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
