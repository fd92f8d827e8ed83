"""Where every command finds the settings if none are named."""

from __future__ import annotations

from pathlib import Path
from typing import Final

DEFAULT: Final = Path("/etc/agbot/agbot.toml")
WHERE_IT_IS: Final = f"[default: {DEFAULT} where it is; else defaults and environment]"


def find(given: Path | None) -> Path | None:
    """Return the settings file: the one that is given, or the default where there is one."""
    try:
        return given or (DEFAULT if DEFAULT.exists() else None)
    except PermissionError:  # who may not look may not read either, which the reading reports
        return DEFAULT
