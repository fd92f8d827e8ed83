"""`agbot sim`: a simulated Exchange, or a whole simulated hub, as a process, for trials."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agbot.sim.agbot_rows import AgbotRows


class _HostAndPort(click.ParamType[tuple[str, int]]):
    name = "HOST:PORT"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        from agbot.settings.hosts import host_and_port

        try:
            return host_and_port(value)
        except ValueError as error:
            self.fail(f"{error}, such as 127.0.0.1:3090", param, ctx)


_ADDRESS = _HostAndPort()
_ADDRESS_OF_ASYNCIO = re.compile(r"error while attempting to bind on address \('([^']+)', (\d+).*?\)")


@click.group("sim")
def sim() -> None:
    """Simulated parts of a hub, for trials and tests. Not for production."""


@sim.command("exchange")
@click.option("--listen", default="127.0.0.1:3090", show_default=True, type=_ADDRESS, help="Where to listen.")
@click.option(
    "--root-password",
    default="rootpw",
    show_default=True,
    metavar="PW",
    help="Password of root/root. The simulator keeps no secrets, so it may be on the command line.",
)
@click.option("--seed", default=0, show_default=True, help="Random seed of the faults.")
def exchange(listen: tuple[str, int], root_password: str, seed: int) -> None:
    """Run a simulated Exchange, as empty as a new one.

    It has the organisations root and IBM, and the user root/root. Set HZN_EXCHANGE_URL to the URL
    it prints. Faults are set with PUT /sim/faults, requests are in GET /sim/report (both as root).
    """
    _run(_serve(*listen, root_password, seed))


@sim.command("hub")
@click.option("--exchange", default="127.0.0.1:3090", show_default=True, type=_ADDRESS, help="The Exchange.")
@click.option("--api", default="127.0.0.1:8080", show_default=True, type=_ADDRESS, help="The agbot's local API.")
@click.option("--secure-api", default="127.0.0.1:8083", show_default=True, type=_ADDRESS, help="Where its agents ask.")
@click.option(
    "--defect", "defects", multiple=True, metavar="NAME", help="Leave the row of this defect behind. Repeatable; `all`."
)
@click.option("--upgrades-after", default=60.0, show_default=True, help="Seconds until upgrades begin; -1: none.")
@click.option("--gateway", metavar="URL", help="Let the agents ask the coordinator with this gateway.")
@click.option("--fails", metavar="GROUP", help="Let the first agent upgrade of this group fail.")
@click.option("--fast", is_flag=True, help="Agents ask, upgrade and report within seconds.")
@click.option("--database", metavar="URL", help="Keep the agbot's tables in this PostgreSQL, empty or its own.")
def hub(
    *,
    exchange: tuple[str, int],
    api: tuple[str, int],
    secure_api: tuple[str, int],
    defects: tuple[str, ...],
    upgrades_after: float,
    gateway: str | None,
    fails: str | None,
    fast: bool,
    database: str | None,
) -> None:
    """Run a simulated hub: Exchange, agbot, agents and HA groups.

    Without --gateway no agent asks a coordinator, as on a hub that has none yet: this is what
    shadow mode and `agbot doctor` are tried on. With it, the agents of all groups upgrade under one
    policy. Upgrades take the time of real ones, with a cron job every minute, unless --fast is
    given. With --database the agbot's tables are in PostgreSQL, to try the guard.
    """
    from agbot.cli import sim_hub
    from agbot.sim.leftovers import SCENES

    named = tuple(SCENES) if "all" in defects else defects
    unknown = [each for each in named if each not in SCENES]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(SCENES)}, all", param_hint="--defect")
    plan = sim_hub.Plan(
        exchange=exchange,
        agbot=api,
        secure=secure_api,
        defects=named,
        upgrades_after_seconds=upgrades_after,
        gateway=gateway,
        fails=fails,
        is_fast=fast,
        rows=None if database is None else _rows(database),
    )
    if fails not in {None, *sim_hub.GROUPS}:
        raise click.BadParameter(f"{fails!r} is none of {', '.join(sim_hub.GROUPS)}", param_hint="--fails")
    _run(sim_hub.run(plan))


def _rows(url: str) -> AgbotRows:
    """Return the agbot's tables in a database.

    Raises:
        Failure: the database cannot be used.
    """
    from agbot.cli import database
    from agbot.cli.failure import Exit, Failure

    tried = "keeping the simulated agbot's tables"
    database.address(url, "public", None, tried)  # a wrong one is named, without its password
    from agbot.sim.agbot_database import of_its_own
    from agbot.sim.agbot_rows import NoDatabaseError

    try:
        return of_its_own(url)
    except NoDatabaseError as error:
        step = "give a database for this trial alone: createdb agbot_trial"
        raise Failure(Exit.REFUSED, tried=f"{tried} in --database", problem=str(error), next_step=step) from error


def _run(serving: Coroutine[object, object, None]) -> None:
    from agbot.cli.failure import Exit, Failure
    from agbot.listening import binding
    from agbot.sim.agbot_rows import NoDatabaseError

    try:
        asyncio.run(serving)
    except OSError as error:
        problem = _ADDRESS_OF_ASYNCIO.sub(r"\1:\2", error.strerror or str(error))
        step = binding.NEXT_STEPS.get(error.errno or 0, "set another address")
        step += " (--help names the options)"
        raise Failure(Exit.BAD_INPUT, tried="listening", problem=problem, next_step=step) from error
    except ExceptionGroup as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        if not isinstance(first, NoDatabaseError):
            raise
        tried, step = "keeping the simulated agbot's tables in --database", "start the server, and the hub again"
        raise Failure(Exit.UNREACHABLE, tried=tried, problem=str(first), next_step=step) from errors


async def _serve(host: str, port: int, root_password: str, seed: int) -> None:
    from agbot.cli import ending
    from agbot.sim.clock import ScaledClock
    from agbot.sim.exchange import SimExchange
    from agbot.sim.exchange.server import ExchangeServer

    ended = ending.on_signal()
    simulated = SimExchange(clock=ScaledClock(), root_password=root_password, seed=seed)
    server = ExchangeServer(simulated)
    await server.start(host, port)
    click.echo(f"simulated Exchange at {server.url} (root/root); Ctrl-C ends it; nothing is kept")
    await ended.wait()
    await server.close()
