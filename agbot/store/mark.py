"""The mark beside the store: what the coordinator last wrote there, so that a start can tell the same store from an older copy of it.

A copy of the store's file is whole and says nothing of what was granted after it was made. The mark says it: the generation, the newest
journal entry and the highest token, in a small file of its own that is overwritten in place with every commit. It is not synced there: it
has to survive `kill -9`, and after a loss of power it is half a minute old at most, while the store itself is synced. A mark that is
behind the store is therefore harmless; a store that is behind its mark is an older copy.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from agbot.store.contract import StoreUnavailableError

_BYTES = 512
"""Always written as a whole, within one block: room is taken once, when the file is made."""
_TOUCHED_NS = 10_000_000_000
"""The kernel stamps the change of a file as we write our own time into it; a file that was put here later shows another time."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands in the file."""

    generation: str
    entry: int = 0
    """The newest journal entry."""
    token: int = 0
    """The highest token of any group."""
    boot: str = ""
    """Of which start of the machine the rest speaks: a loss of power may leave files a moment older than it says."""
    file: tuple[int, int, int] = (0, 0, 0)
    """The main file after the last commit: inode, size, time of its last change in nanoseconds."""
    log: tuple[int, str] = (0, "")
    """Which write-ahead log belongs to that file: its inode, and what tells it from the logs before it."""
    is_writing: bool = False
    """A commit is under way, and may be moving the log into the main file."""
    at: int = 0
    """When this was written: the system's clock, nanoseconds. Only compared with what the kernel says of this file."""


def boot_id() -> str:
    """Return what names this start of the machine; empty where the kernel does not say."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class MarkFile:
    """The file with the mark. Belongs to whoever has the store's lock."""

    def __init__(self, store: Path) -> None:
        self.path = store.with_name(f"{store.name}.mark")
        self._descriptor: int | None = None

    def read(self) -> tuple[Mark | None, str]:
        """Return the mark, and what is wrong with it: empty where it can be relied on, or where there is none."""
        try:
            content = self.path.read_bytes()
            changed_at = self.path.stat().st_ctime_ns
        except FileNotFoundError:
            return None, ""
        except OSError as error:
            return None, f"its mark {self.path} cannot be read: {error.strerror}"
        try:
            found = msgspec.json.decode(content.strip(), type=Mark)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None, f"its mark {self.path} is damaged"
        if abs(changed_at - found.at) > _TOUCHED_NS:
            return found, f"its mark {self.path} was put there or touched by somebody else"
        return found, ""

    def make(self, mark: Mark) -> None:
        """Put a mark in place, synced, and keep it open.

        Raises:
            StoreUnavailableError: it could not be written.
        """
        self.close()
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            self._descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            self._put(mark)
            os.fsync(self._descriptor)
            new.replace(self.path)
            sync_folder(self.path)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, mark: Mark) -> None:
        """Overwrite the mark.

        Raises:
            StoreUnavailableError: it could not be written, or is not open.
        """
        try:
            self._put(mark)
        except OSError as error:
            raise self._failed(error) from error

    def is_in_place(self) -> bool:
        """Tell whether the file that is open still is the one beside the store."""
        try:
            found = self.path.stat()
        except OSError:
            return False
        return self._descriptor is not None and os.path.samestat(os.fstat(self._descriptor), found)

    def close(self) -> None:
        """Sync and close it, if it is open."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _put(self, mark: Mark) -> None:
        if self._descriptor is None:
            message = f"the mark {self.path} is not open"
            raise StoreUnavailableError(message)
        stamped = msgspec.structs.replace(mark, at=time.time_ns())
        written = os.pwrite(self._descriptor, msgspec.json.encode(stamped).ljust(_BYTES - 1) + b"\n", 0)
        if written != _BYTES:
            message = f"could not write {self.path}: only {written} of {_BYTES} bytes; free space on its disk"
            raise StoreUnavailableError(message)

    def _failed(self, error: OSError) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"could not write {self.path}: {error.strerror}; free space on its disk, or look for its errors"
        )


def sync_folder(file: Path) -> None:
    """Make the names in a file's folder durable."""
    descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
