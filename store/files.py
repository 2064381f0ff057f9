"""The data directory: made private, locked by one process, every file of mode 0600."""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO, Self

LOCK_FILE = "sluice.lock"


class StoreError(Exception):
    """The store cannot do this. The text says what, why, and what to do about it."""


class DataInUse(StoreError):
    """Another process holds the data directory."""


def open_private(path: Path, flags: int) -> BinaryIO:
    """Open a file, made with mode 0600 if it is new, whatever the umask."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "r+b" if flags & os.O_RDWR else "wb")


def make_data_directory(data: Path) -> None:
    """Make the directory with mode 0700 unless it exists.

    Raises StoreError when the path is no directory or cannot be made.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The data directory {data} cannot be made: {error.strerror}. Name another with --data."
        ) from error


def readable_by_others(data: Path) -> list[tuple[Path, int]]:
    """(path, mode) of the directory and its files that group or others may use; empty is as it should be."""
    found = []
    for path in (data, *sorted(data.rglob("*"))):
        mode = path.lstat().st_mode & 0o777
        if mode & 0o077 and not path.is_symlink():
            found.append((path, mode))
    return found


class DataLock:
    """Exclusive use of a data directory, for the life of a daemon or of one offline command.

    An advisory `flock` on `sluice.lock`: the kernel drops it when the process ends, however it ends.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    @classmethod
    def acquire(cls, data: Path) -> Self:
        """Take the lock at once.

        Raises DataInUse, naming the holder's process id, when somebody has it.
        """
        make_data_directory(data)
        path = data / LOCK_FILE
        file = open_private(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = file.read(32).decode("ascii", "replace").strip()
            file.close()
            raise DataInUse(
                f"The data directory {data} is in use by process {holder or '(unknown)'}."
                " Stop that process, or use another directory with --data."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
        return cls(file)

    def release(self) -> None:
        """Let go. The file stays: unlinking it would let two processes lock two files of one name."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
