"""The `agbot` command. Knows the name and the one line of each command, and imports a command only when it is called."""

from __future__ import annotations

import difflib
import importlib
import io
import sys
from collections.abc import Mapping
from typing import Final

import click

from agbot import __version__

# Name -> module below agbot.cli, line of help. The command is the module's attribute of the same name, with underscores.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "run": ("run", "Run the coordinator until SIGTERM or Ctrl-C."),
    "demo": ("demo", "Watch a simulated hub upgrade its groups, one member at a time."),
    "status": ("status", "Show the coordinator and every group where something happens."),
    "explain": ("explain", "Answer why a node is not upgrading, rule by rule."),
    "history": (
        "history",
        "Tell what happened, the newest first: grants, changed reasons, releases, holds, forced actions.",
    ),
    "leases": ("leases", "List the leases."),
    "release": ("act", "Free a group's lease by force."),
    "hold": ("act", "Stop new grants for everything, an organisation, a group or a node."),
    "resume": ("act", "End a hold or a rest, or lift the brakes on an upgrade."),
    "allow": ("act", "Let one upgrade of a node past health, window, brakes, approval, canary, pace and turn, once."),
    "approve": ("act", "Let a release begin where the settings ask for a person's word."),
    "hagroup": ("hzn.hagroup", "List and change HA groups in the Exchange, as `hzn exchange hagroup` does."),
    "node": ("hzn.looking", "Show nodes as the Exchange has them."),
    "nmp": ("hzn.looking", "Show node management policies as nodes carry them out."),
    "version": ("hzn.looking", "Show the versions of this program and of the Exchange."),
    "store": ("store", "Back the lease store up, and put a backup in its place."),
    "check-config": ("check_config", "Report every mistake in a settings file."),
    "install-units": ("install_units", "Copy the systemd unit and the sample settings out."),
    "sim": ("sim", "Start simulated parts, for trying things out."),
}
ALIASES: Final[Mapping[str, str]] = {"hagr": "hagroup"}
"""What `hzn` users type."""
EPILOG: Final = (
    "Exit codes: 0 done; 1 bad input; 2 wrong usage; 3 bad JSON; 4 a file cannot be read; "
    "5 the coordinator or the Exchange cannot be reached or failed; 7 it refused; 8 there is no such thing."
)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, and not for `--help`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"agbot.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        if not isinstance(command, click.Command):
            raise TypeError(f"{module.__name__} has no command {cmd_name}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant, with a proposal when there is none."""
        name = args[0] if args else ""
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        if name and not name.startswith("-") and name not in {*COMMANDS, *ALIASES}:
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="agbot")
def main() -> None:
    """Upgrade coordinator for Open Horizon HA node groups: one member of a group upgrades at a time."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that this terminal cannot show must not end the command
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    main()
