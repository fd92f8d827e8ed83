"""`agbot notify`: the receivers of events, and a test event for all of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import msgspec

from agbot.cli import options, screen
from agbot.cli.client import Client
from agbot.cli.failure import Exit, Failure
from agbot.cli.outages import PASSING
from agbot.console import api
from agbot.console.bodies import TestBody
from agbot.delivery.receiver import Kind, Receiver
from agbot.rules.words import count

_LOOK_SECONDS: Final = 0.5


@click.command("notify")
@click.option("--test", "is_test", is_flag=True, help="Send a test event to every receiver and wait for it.")
@click.option(
    "--wait",
    "wait_seconds",
    type=options.Seconds(0, 600),
    default=90.0,
    show_default=True,
    help="How long to wait, in seconds.",
)
@options.token_file
@options.url
@options.as_json
def notify(*, is_test: bool, wait_seconds: float, token_file: Path | None, url: str, as_json: bool) -> None:
    """List the receivers of events, or send them a test event.

    Receivers are the MQTT broker, the webhooks and the services for notifications. The test event
    is journalled and delivered like any other. The exit code is 7 if a receiver has not accepted it
    in time.
    """
    client = Client(url=url)
    wanted = 0  # without a test event every receiver has confirmed enough, and nothing is waited for
    if is_test:
        body = TestBody(by=options.person())
        answer = client.post(api.TEST_RECEIVERS, body=body, token_file=token_file)
        wanted = client.decoded(answer, api.TEST_RECEIVERS).event
    receivers = _wait(client, wanted, wait_seconds, shows=is_test and not as_json)
    is_accepted = all(each.confirmed >= wanted for each in receivers)
    if as_json:
        screen.print_json({"event": wanted or None, "receivers": msgspec.to_builtins(receivers)})
    elif not is_test:
        _list(receivers)
    if not is_accepted:
        raise SystemExit(Exit.REFUSED)


def _wait(client: Client, wanted: int, seconds: float, *, shows: bool) -> Sequence[Receiver]:
    """Return the receivers once all have confirmed this event, or after so many seconds.

    `shows`: print the result of each as it comes, and what the last ones lack.
    """
    give_up_at, shown = time.monotonic() + seconds, dict[int, str]()
    while True:
        is_last = time.monotonic() >= give_up_at
        try:
            receivers = client.read(api.RECEIVERS).receivers
        except Failure as failure:
            # the test event is in the journal: another leader delivers it, and reports that
            if not wanted or is_last or failure.exit_code not in PASSING:
                raise
            time.sleep(_LOOK_SECONDS)
            continue
        for number, each in enumerate(receivers if shows else ()):
            result = _result(each, wanted, seconds if is_last else None)
            if result and shown.get(number) != result:
                screen.say(screen.console(), f"{each.kind.value} {each.receiver}: {result}", indent=4)
                shown[number] = result
        if is_last or all(each.confirmed >= wanted for each in receivers):
            return receivers
        time.sleep(_LOOK_SECONDS)


def _result(receiver: Receiver, wanted: int, waited_seconds: float | None) -> str:
    """State what is known of the test event; empty while nothing is."""
    if receiver.confirmed >= wanted:
        return "has the test event"
    if waited_seconds is None:
        return f"fails, and is tried again: {receiver.error}" if receiver.error else ""
    return f"does not have the test event after {waited_seconds:g} s: {receiver.error or _why_silent(receiver)}"


def _why_silent(receiver: Receiver) -> str:
    no_error = "no attempt has failed or succeeded yet"
    return f"{no_error}; it gets one message a minute at most" if receiver.kind is Kind.NOTIFY else no_error


def _list(receivers: Sequence[Receiver]) -> None:
    out = screen.console()
    if not receivers:
        out.print("there is no receiver: set [mqtt], [webhook] or [notify]")
        return
    rows = [(each.kind.value, each.receiver, _state(each), each.error) for each in receivers]
    screen.table(out, ("KIND", "RECEIVER", "STATE", "ERROR"), rows)


def _state(receiver: Receiver) -> str:
    return f"{count(receiver.behind, 'event')} behind" if receiver.behind else "up to date"
