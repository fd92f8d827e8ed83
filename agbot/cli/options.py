"""Options that several commands share, each with one meaning everywhere."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from agbot.cli.client import DEFAULT_TOKEN_FILE, DEFAULT_URL

F = TypeVar("F", bound=Callable[..., Any])


def as_json(command: F) -> F:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")(command)


def url(command: F) -> F:
    """Add `--url`."""
    return click.option(
        "--url",
        envvar="AGBOT_URL",
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        help="The coordinator's operators' listener.",
    )(command)


def token_file(command: F) -> F:
    """Add `--token-file`. The token itself is never an argument: everybody on the machine can read those."""
    return click.option(
        "--token-file",
        envvar="AGBOT_OPERATOR_TOKEN_FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        show_envvar=True,
        help=f"File with the operator token.  [default: {DEFAULT_TOKEN_FILE}]",
    )(command)


def org(command: F) -> F:
    """Add `-o`."""
    return click.option(
        "-o", "--org", envvar="HZN_ORG_ID", show_envvar=True, help="Organisation of a name that is given without one."
    )(command)


def reason(command: F) -> F:
    """Add `--reason`."""
    return click.option("--reason", required=True, help="Why, for whoever reads the journal.")(command)


def qualified(name: str, org: str | None, noun: str) -> tuple[str, str]:
    """Split `org/name`, or complete a bare name with the organisation.

    Raises:
        click.UsageError: there is no organisation.
    """
    given, slash, bare = name.partition("/")
    if slash and given and bare:
        return given, bare
    if slash or not name or not org:
        raise click.UsageError(
            f"{name!r} does not name a {noun}: give org/name, or a name with -o ORG (or HZN_ORG_ID)."
        )
    return org, name


def person() -> str:
    """Name who acts, for the journal: the user behind sudo if there is one."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
