"""The options of all commands that correspond to `hzn`, and a group that behaves as there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

from agbot.cli import options
from agbot.cli.failure import Exit
from agbot.cli.hzn import session
from agbot.cli.hzn.environment import Options
from agbot.cli.hzn.session import Session

T = TypeVar("T")

_ALIASES = {"ls": "list", "rm": "remove", "mb": "member"}


class HznGroup(click.Group):
    """Commands with `hzn`'s aliases; the exit code of a usage error is 1, as there."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command by its name or alias."""
        return super().get_command(ctx, _ALIASES.get(cmd_name, cmd_name))

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - handed on as it is
    ) -> click.Context:
        """Parse this group's own options."""
        with _usage_as_in_hzn():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever a command returns
        """Find, parse and run the command."""
        with _usage_as_in_hzn():
            return super().invoke(ctx)


@contextmanager
def _usage_as_in_hzn() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        error.exit_code = int(Exit.BAD_INPUT)  # type: ignore[misc]  # click reads it from the instance
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The options of every command."""

    org: str | None
    user: str | None
    is_verbose: bool
    is_dry: bool
    as_json: bool

    def run(self, work: Callable[[Session], Awaitable[T]], *, node: str | None = None) -> T:
        """Run work with a session.

        Raises:
            Failure: it failed.
        """
        asked = Options(org=self.org, user=self.user, node=node)
        return session.run(asked, work, is_verbose=self.is_verbose, is_dry=self.is_dry)


def common(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every command, as in `hzn`, as the parameter `given`."""

    @wraps(command)
    def gathered(
        *, org: str | None, user_pw: str | None, verbose: bool, dry_run: bool, as_json: bool, **own: object
    ) -> None:
        command(given=Given(org=org, user=user_pw, is_verbose=verbose, is_dry=dry_run, as_json=as_json), **own)

    for option in (
        click.option("--dry-run", is_flag=True, help="Read everything, change nothing."),
        click.option("-v", "--verbose", is_flag=True, help="Print every request on standard error."),
        options.as_json,
        click.option(
            "-u",
            "--user-pw",
            metavar="[ORG/]USER:PW",
            help="Exchange credentials. Better in HZN_EXCHANGE_USER_AUTH: every user of the machine can see arguments.",
        ),
        options.org,
    ):
        gathered = option(gathered)
    return gathered
