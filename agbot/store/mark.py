"""The mark beside the store: its last commit, so that a start detects an older copy.

A copy of the store's file is complete and does not show later grants. The mark does: it has the
generation, the last journal entry and the highest token, in a small file that every commit
overwrites in place. It is not synced: it has to survive `kill -9`; after a power failure it is at
most half a minute old, while the store itself is synced. A mark behind the store is therefore
harmless; a store behind its mark is an older copy.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from agbot.store.contract import StoreUnavailableError
from agbot.store.files import sync

_BYTES = 512
"""Always written completely, within one block: the space is allocated once, when the file is
created."""
_TOUCHED_NS = 10_000_000_000
"""The kernel stamps the file as we write our time into it; a file that was put here later has
another timestamp."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of the file."""

    generation: str
    entry: int = 0
    """The last journal entry."""
    token: int = 0
    """The highest token of any group."""
    boot: str = ""
    """The boot of the machine during which this was written: a power failure may leave older
    files."""
    file: tuple[int, int, int] = (0, 0, 0)
    """The main file after the last commit: inode, size, time of its last change in nanoseconds."""
    log: tuple[int, str] = (0, "")
    """The write-ahead log of that file: its inode, and what distinguishes it from earlier logs."""
    is_writing: bool = False
    """A commit is in progress, and may be moving the log into the main file."""
    at: int = 0
    """The system's time of this write, in nanoseconds. It is only compared with the kernel's
    timestamp of this file."""


def boot_id() -> str:
    """Return the id of this boot of the machine; empty if the kernel has none."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class MarkFile:
    """The file of the mark. It belongs to the process with the store's lock."""

    def __init__(self, store: Path) -> None:
        self.path = store.with_name(f"{store.name}.mark")
        self._descriptor: int | None = None

    def read(self) -> tuple[Mark | None, str]:
        """Return the mark, and what is wrong with it, if anything."""
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
        # a folder that was put back with its mark: the content says when it was written, and the
        # kernel when it came here
        if abs(changed_at - found.at) > _TOUCHED_NS:
            return found, f"its mark {self.path} was put there or changed by another program"
        return found, ""

    def make(self, mark: Mark) -> None:
        """Create or replace the mark, synced, and keep it open.

        Raises:
            StoreUnavailableError: it could not be written.
        """
        self.close()
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            # a new file in any case: what a kill has left, or a link, is not written to
            new.unlink(missing_ok=True)
            self._descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._put(mark)
            os.fsync(self._descriptor)
            new.replace(self.path)
            sync(self.path.parent)
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
        """Whether the open file is still the one beside the store."""
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
        # padded, so that it always covers what was there before
        written = os.pwrite(self._descriptor, msgspec.json.encode(stamped).ljust(_BYTES - 1) + b"\n", 0)
        if written != _BYTES:
            message = f"could not write {self.path}: only {written} of {_BYTES} bytes; free space on its disk"
            raise StoreUnavailableError(message)

    def _failed(self, error: OSError) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"could not write {self.path}: {error.strerror}; free space on its disk, or look for errors of the disk"
        )
