"""One daemon per store file: an advisory lock on a file beside it.

The kernel frees the lock when its holder dies, however it dies. The lock file itself stays: removing it would let two daemons lock two
different files of the same name. The number in it only serves the message; it is never taken as proof.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from agbot.store.contract import StoreLockedError, StoreUnavailableError


class FileLock:
    """The lock beside one store file."""

    def __init__(self, beside: Path) -> None:
        self._store = beside.resolve()  # two names of one file share one lock
        self.path = self._store.with_name(f"{self._store.name}.lock")
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take the lock, without waiting for it.

        Raises:
            StoreLockedError: somebody has it, perhaps this very process.
            StoreUnavailableError: the lock file cannot be made.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            message = (
                f"cannot make the lock file {self.path}: {error.strerror}; the directory must exist and be writable for this user"
                " (it is not created here: an empty store in place of one that is not mounted would forget who holds a lease)"
            )
            raise StoreUnavailableError(message) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise self._refusal(error, holder) from error
        self._descriptor = descriptor

    def give_back(self) -> None:
        """Let go of the lock, if it is held."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        os.close(descriptor)

    def _refusal(self, error: OSError, holder: str) -> StoreLockedError | StoreUnavailableError:
        if isinstance(error, BlockingIOError):
            who = f"process {holder}" if holder else "another process"
            return StoreLockedError(
                f"{self._store} is in use by {who} (lock file {self.path}); stop that one first, or give this one a store of its own"
            )
        return StoreUnavailableError(f"cannot lock {self.path}: {error.strerror}; a store needs a local file system")
