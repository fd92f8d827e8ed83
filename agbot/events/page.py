"""The table of events in `docs/events.md`: `python -m agbot.events.page` prints it."""

from __future__ import annotations

import sys

from agbot.events.catalogue import EVENTS

_HEAD = "| event | level | journal | meaning |\n|---|---|---|---|\n"


def table() -> str:
    """Return the table as it is on the page, which a test compares."""
    return _HEAD + "".join(
        f"| `{name}` | {event.level} | {'yes' if event.is_journalled else ''} | {event.meaning()} |\n"
        for name, event in EVENTS.items()
    )


if __name__ == "__main__":
    sys.stdout.write(table())
