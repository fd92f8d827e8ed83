"""The `agbot` command: names and help of all commands, which are imported when called."""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from agbot import __version__
from agbot.cli.failure import FREE_SPACE, REFUSED_BY_A_DISK, Exit, Failure
from agbot.cli.folding import folded

# Name -> module below agbot.cli, line of help. The command is the module's attribute of the same
# name, with underscores.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "run": ("run", "Run the coordinator until SIGTERM or Ctrl-C."),
    "demo": ("demo.command", "Watch a simulated hub upgrade its groups, one member at a time."),
    "status": ("status", "Show the coordinator and every busy group."),
    "explain": ("explain", "Explain why a node is not upgrading, rule by rule."),
    "history": (
        "history",
        "Show what happened, newest first: grants, changed reasons, releases, holds, forced actions.",
    ),
    "shadow": ("shadow", "Show where the real agbot's decisions differ from the coordinator's, newest first."),
    "rollout": ("rollout", "Show how far a rollout is in all groups, or list running and recent ones."),
    "simulate": ("simulate", "Forecast a rollout: when each group begins and ends, which stay blocked and why."),
    "leases": ("leases", "List the leases."),
    "release": ("act", "Free a group's lease by force."),
    "hold": ("act", "Stop new grants for the fleet, an organisation, a group or a node."),
    "resume": ("act", "End a hold or a rest, or lift the brakes on an upgrade."),
    "allow": ("act", "Let one upgrade of a node past health, window, brakes, approval, canary, pace and turn, once."),
    "approve": ("act", "Let an upgrade begin where the settings require an approval."),
    "orders": ("orders", "List holds, allowances, approvals and brakes, and the maintenance windows."),
    "lead": ("act", "Let another coordinator on the same PostgreSQL store lead."),
    "notify": ("notify", "List the receivers of events, or send them a test event."),
    "hagroup": ("hzn.hagroup", "List and change HA groups in the Exchange, as `hzn exchange hagroup` does."),
    "node": ("hzn.looking", "Show the nodes in the Exchange."),
    "nmp": ("hzn.looking", "Show the progress of nodes with node management policies."),
    "version": ("hzn.looking", "Show the versions of this program and of the Exchange."),
    "guard": ("guard", "Let the agbot's own upgrades wait for the leases, by triggers in its database."),
    "store": ("store", "Back up, restore and compact the lease store."),
    "doctor": ("doctor", "Check what the coordinator depends on, and find stuck slots of the real agbot."),
    "check-config": ("check_config", "Report every mistake in a settings file."),
    "install-units": (
        "install_units",
        "Install the systemd unit, sample settings, man pages, completion, alerts and dashboard.",
    ),
    "sim": ("sim", "Start simulated parts, for trials."),
}
_ALIASES: Final[Mapping[str, str]] = {"hagr": "hagroup"}
"""The names that `hzn` users expect."""
_AS_IN_HZN: Final = frozenset({"hagroup", "hagr", "node", "nmp", "version"})
"""Their exit code for wrong usage is 1."""
_GIVE_A_VALUE: Final = "Give a value, or leave it out; is a variable of the shell not set?"

_EPILOG: Final = (
    "Exit codes: 0 done; 1 bad input; 2 wrong usage; 3 bad JSON; 4 a file cannot be read or written; "
    "5 the coordinator or the Exchange cannot be reached or failed; 7 it refused; 8 not found. "
    "Of status: 6 something needs a person; 9 nothing is granted."
)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, not for `--help`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        cmd_name = _ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        gc.disable()  # nothing that an import creates is garbage, and looking for some is a tenth of it
        try:
            module = importlib.import_module(f"agbot.cli.{COMMANDS[cmd_name][0]}")
        finally:
            gc.enable()
        command = getattr(module, cmd_name.replace("-", "_"))
        if not isinstance(command, click.Command):
            raise TypeError(f"{module.__name__} has no command {cmd_name}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest a similar one."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in {*COMMANDS, *_ALIASES}:
            from agbot.rules.nearest import did_you_mean

            ctx.fail(f"No such command {name!r}{did_you_mean(name, COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - as in click
    ) -> click.Context:
        """Read the options of `agbot` itself."""
        with _folded_errors(), _output_refused():
            if not extra.get("resilient_parsing"):  # completion sees what is not typed yet
                _refuse_unusable(args)
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as in click
        """Run the command."""
        with _folded_errors(), _output_refused():
            return super().invoke(ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command from the table, without importing them all."""
        names = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return names or click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@contextmanager
def _folded_errors() -> Iterator[None]:
    """Fold the errors of the command line, which click prints as they are."""
    try:
        yield
    except click.UsageError as error:
        whole = f"Error: {error.format_message()}"
        shown = folded(whole, sys.stderr).removeprefix("Error: ")
        error.format_message = lambda: shown  # type: ignore[method-assign]  # of this error alone
        raise


@contextmanager
def _output_refused() -> Iterator[None]:
    """Say that the output cannot be written, as on a full disk.

    If only its reader has left, click ends the command quietly.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSED_BY_A_DISK or error.filename is not None:
            raise
        # what is left is not written at the exit either, which would fail once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise Failure(
            Exit.BAD_FILE,
            tried="writing to the standard output",
            problem=f"the output cannot be written: {error.strerror}",
            next_step=f"{FREE_SPACE}; what the command has changed stays changed",
        ) from error


def _refuse_unusable(words: Sequence[str]) -> None:
    """Refuse an empty word, an option with an empty value, and bytes that are not UTF-8.

    An empty one usually comes from a variable of a script that is not set. As the value of an
    option it would mean that the option is not given (a hold without an end), and as a path the
    current folder. Bytes of another encoding could be neither sent nor kept.

    Raises:
        click.UsageError: it has one.
    """
    for before, word in zip(["", *words], words, strict=False):
        if not word.isascii() and any("\ud800" <= letter <= "\udfff" for letter in word):
            shown = word.encode(errors="replace").decode()
            raise _refusal(f"{shown!r} is not UTF-8.", words, "Set the terminal or the script to UTF-8.")
        option, equals, value = word.partition("=")
        if word.startswith("--") and equals and not value.strip():
            raise _refusal(f"The value of {option} is empty.", words)
        if not word.strip():
            is_of_option = before.startswith("-") and "=" not in before and before != "--"
            raise _refusal(f"{f'The word after {before}' if is_of_option else 'An argument'} is empty.", words)


def _refusal(problem: str, words: Sequence[str], next_step: str = _GIVE_A_VALUE) -> click.UsageError:
    error = click.UsageError(f"{problem} {next_step}")
    if words[0] in _AS_IN_HZN:
        error.exit_code = int(Exit.BAD_INPUT)  # type: ignore[misc]  # click reads it from the instance
    return error


@click.group(
    cls=LazyGroup, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="agbot")
def main() -> None:
    """Upgrade coordinator for Open Horizon HA groups: one member of a group upgrades at a time."""
    for stream in (sys.stdout, sys.stderr):
        # a name that this terminal cannot show must not end the command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    main()
