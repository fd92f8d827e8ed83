"""Where tests keep their files: in memory, where there is room.

What a power failure would leave is no test's matter, and a disk makes whoever commits wait, for as
long as it is busy with others.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - only new folders are made there
_LARGE_ENOUGH_BYTES = 2**30
"""All tests together need a tenth of it. A container often has 64 MB."""


def place() -> Path:
    """Return a folder on a file system of memory if there is one with room, and else the usual one. Its path is short."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _LARGE_ENOUGH_BYTES:
        return _MEMORY
    return Path("/tmp")  # noqa: S108 - as above


def use() -> None:
    """Let this process, and all that it starts, make temporary files there, unless TMPDIR names another place."""
    os.environ.setdefault("TMPDIR", str(place()))
    tempfile.tempdir = None  # it is looked up again
