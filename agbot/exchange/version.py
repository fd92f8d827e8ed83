"""The version of an Exchange, and the oldest one that has HA groups as they are now. Pure."""

from __future__ import annotations

import re
from typing import Final

OLDEST: Final = (2, 124, 0)
"""`hzn` refuses older ones, too (`agbot-ha.md`, 9)."""
OLDEST_TEXT: Final = ".".join(map(str, OLDEST))


def numbers(text: str) -> tuple[int, ...] | None:
    """Return the numbers of a version; None if the text is no version."""
    found = re.match(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})", text)
    return tuple(map(int, found.groups())) if found else None
