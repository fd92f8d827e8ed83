"""`agbot sim exchange`: a simulated Exchange as a process, to try the coordinator or `hzn` against without a hub."""

from __future__ import annotations

import asyncio
import signal

import click

_PORT_DIGITS = 5


@click.group("sim")
def sim() -> None:
    """Simulated parts of a hub, for trials and tests. Nothing here is for production."""


@sim.command("exchange")
@click.option("--listen", default="127.0.0.1:3090", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option(
    "--root-password",
    default="rootpw",
    show_default=True,
    metavar="PW",
    help="Password of root/root. The simulator holds nothing worth keeping, so it may stand on the command line.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the faults' chances.")
def exchange(listen: str, root_password: str, seed: int) -> None:
    """Run a simulated Exchange, empty as a new one: the organisations root and IBM, and root/root.

    Set HZN_EXCHANGE_URL to the URL it prints. Faults are set with PUT /sim/faults, what was asked is in GET /sim/report (both as root).
    """
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or len(port) > _PORT_DIGITS:
        raise click.BadParameter(f"{listen!r} is not HOST:PORT, such as 127.0.0.1:3090", param_hint="--listen")
    try:
        asyncio.run(_serve(host.strip("[]"), int(port), root_password, seed))
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {listen}: {error.strerror or error}. Is the port taken?"
        ) from error


async def _serve(host: str, port: int, root_password: str, seed: int) -> None:
    from agbot.sim.clock import ScaledClock
    from agbot.sim.exchange import SimExchange
    from agbot.sim.exchange.server import ExchangeServer

    simulated = SimExchange(clock=ScaledClock(), root_password=root_password, seed=seed)
    server = ExchangeServer(simulated)
    await server.start(host, port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    click.echo(f"simulated Exchange at {server.url} (root/root); Ctrl-C ends it and forgets everything")
    await stop.wait()
    await server.close()
