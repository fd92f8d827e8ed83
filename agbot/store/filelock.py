"""One daemon per store: an advisory lock on the store's file, and one on a lock file beside it.

The lock on the store's file covers hard links, bind mounts and symlinks to the same file. The lock
file covers the name: it keeps a second daemon out while the file is replaced under the first. The
kernel releases both when the process ends in any way. They are `flock` locks, which do not conflict
with SQLite's record locks on the same file. The lock file is never removed: two daemons could then
lock two different files of the same name. The number in it is only for the message.
"""

from __future__ import annotations

import errno
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
        """Take the locks without waiting. A missing store is created as an empty file.

        Raises:
            StoreLockedError: one of them is taken, perhaps by this process.
            StoreUnavailableError: the lock file or the store cannot be created.
        """
        try:
            # the name first: the file behind it may be about to be replaced (`copies.restore`)
            self._beside = self._open(self.path, 0o600)
            self._lock_beside(self._beside)
            self._itself = self._open(self._store, 0o644)
            self._lock_itself(self._itself)
        except BaseException:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Release the locks, if they are held.

        Only once the store is closed: closing its file ends SQLite's locks too.
        """
        # the one beside goes last: whoever takes it next has to find the other one free
        for descriptor in (self._itself, self._beside):
            if descriptor is not None:
                os.close(descriptor)
        self._itself = self._beside = None

    def _open(self, path: Path, mode: int) -> int:
        try:
            # No link: root types commands for a store in a folder of the daemon's user, who could
            # lead them to any file. The store's own path was resolved before.
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        except IsADirectoryError:
            message = f"could not open {path}: SQLITE_CANTOPEN, it is a directory; set a file as the store"
            raise StoreUnavailableError(message) from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                message = f"{path} is a symbolic link, which is not followed; remove it"
                raise StoreUnavailableError(message) from error
            message = (
                f"cannot create {'the lock file ' if path == self.path else ''}{path}: {error.strerror}; the directory must exist and"
                " be writable for this user"
                " (it is not created here: an empty store in place of one that is not mounted would lose all leases)"
            )
            raise StoreUnavailableError(message) from error

    def _lock_beside(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            who = f"process {holder}" if holder else "another process"
            message = f"{self._store} is in use by {who} (lock file {self.path}); stop that one first, or set another store for this one"
            raise StoreLockedError(message) from error
        except OSError as error:
            raise self._unlockable(self.path, error) from error
        # on a full disk the message names no process, but the lock is taken
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def _lock_itself(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = (
                f"{self._name} ([store] path) is in use by another process under another name: a hard link or a mount refers to the same"
                " file; stop that one first, or set another store for this one"
            )
            raise StoreLockedError(message) from error
        except OSError as error:
            raise self._unlockable(self._store, error) from error

    def _unlockable(self, path: Path, error: OSError) -> StoreUnavailableError:
        return StoreUnavailableError(f"cannot lock {path}: {error.strerror}; a store needs a local file system")
