"""One daemon per store: an advisory lock on the store's file itself, and one on a file beside it.

The lock on the file itself is on what is really written: a hard link, a bind mount or a symlink leads to the same one. The lock beside it
is on the name: it keeps a second daemon out while somebody replaces the file under the first. The kernel frees both when their holder dies,
however it dies. They are `flock` locks, which do not meet the record locks that SQLite takes on the same file. The lock file stays:
removing it would let two daemons lock two different files of the same name. The number in it only serves the message.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from agbot.store.contract import StoreLockedError, StoreUnavailableError


class FileLock:
    """The locks of one store file."""

    def __init__(self, store: Path) -> None:
        self._name = store
        self._store = store.resolve()  # two names of one file share one lock
        self.path = self._store.with_name(f"{self._store.name}.lock")
        self._beside: int | None = None
        self._itself: int | None = None

    def take(self) -> None:
        """Take the locks, without waiting for them. A store that is not there yet is made as an empty file.

        Raises:
            StoreLockedError: somebody has one of them, perhaps this very process.
            StoreUnavailableError: the lock file or the store cannot be made.
        """
        try:
            self._beside = self._open(self.path, 0o600)
            self._lock_beside(self._beside)
            self._itself = self._open(self._store, 0o644)
            self._lock_itself(self._itself)
        except BaseException:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Let go of the locks, if they are held. Only when the store is closed: closing its file ends SQLite's locks as well."""
        for descriptor in (self._itself, self._beside):
            if descriptor is not None:
                os.close(descriptor)
        self._itself = self._beside = None

    def _open(self, path: Path, mode: int) -> int:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        except IsADirectoryError:
            message = f"could not open {path}: SQLITE_CANTOPEN, it is a directory; give the store a file"
            raise StoreUnavailableError(message) from None
        except OSError as error:
            message = (
                f"cannot make {'the lock file ' if path == self.path else ''}{path}: {error.strerror}; the directory must exist and"
                " be writable for this user"
                " (it is not created here: an empty store in place of one that is not mounted would forget who holds a lease)"
            )
            raise StoreUnavailableError(message) from error

    def _lock_beside(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            who = f"process {holder}" if holder else "another process"
            message = f"{self._store} is in use by {who} (lock file {self.path}); stop that one first, or give this one a store of its own"
            raise StoreLockedError(message) from error
        except OSError as error:
            raise self._unlockable(self.path, error) from error
        with suppress(OSError):  # on a full disk the message names nobody, and the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def _lock_itself(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = (
                f"{self._name} ([store] path) is in use by another process under another name: a hard link or a mount leads to the same"
                " file; stop that one first, or give this one a store of its own"
            )
            raise StoreLockedError(message) from error
        except OSError as error:
            raise self._unlockable(self._store, error) from error

    def _unlockable(self, path: Path, error: OSError) -> StoreUnavailableError:
        return StoreUnavailableError(f"cannot lock {path}: {error.strerror}; a store needs a local file system")
