"""Shows something again and again: in place on a terminal, one below the other in a pipe."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import click
from rich.console import Console

from agbot.cli import screen
from agbot.cli.failure import Failure
from agbot.cli.outages import PASSING, waited_out
from agbot.foreign_text import escaped_json

Draw = Callable[[Console], object]
_HOME, _REST_OF_LINE, _REST_OF_SCREEN, _CLEAR = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"


def watch(draw: Draw, seconds: float) -> None:
    """Draw until Ctrl-C. While the coordinator does not answer, its error is shown instead."""
    out = screen.console()
    try:
        if out.is_terminal:
            click.echo(_CLEAR, nl=False)
        while True:
            text = _drawn(draw, out)
            click.echo(_in_place(text, out.height) if out.is_terminal else text, nl=False)
            time.sleep(seconds)
    except KeyboardInterrupt:
        click.echo()


def watch_json(ask: Callable[[], bytes], seconds: float) -> None:
    """Print each answer as one line of JSON, until Ctrl-C.

    Raises:
        Failure: the first answer is an error; later ones are waited out.
    """
    try:
        content = ask()
        while True:
            click.echo(escaped_json(json.dumps(json.loads(content), ensure_ascii=False)))
            time.sleep(seconds)
            content = waited_out(ask)
    except KeyboardInterrupt:
        return


def _drawn(draw: Draw, out: Console) -> str:
    # captured, so that a picture is written in one piece and none is seen half drawn
    with out.capture() as captured:
        try:
            draw(out)
        except Failure as failure:
            if failure.exit_code not in PASSING:
                raise
            screen.say(out, ("NO ANSWER", "bold red"), f": {failure.problem}")
    return captured.get()


def _in_place(text: str, height: int) -> str:
    """Write over the last picture; what the terminal has no lines for is counted."""
    lines = text.splitlines()
    room = max(height - 1, 2)  # behind the last line is the cursor, whose line would scroll
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… {len(lines) - room + 1} more lines: name an organisation or a group"]
    return _HOME + "".join(f"{line}{_REST_OF_LINE}\n" for line in lines) + _REST_OF_SCREEN
