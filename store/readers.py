"""Read-only connections to day files, lent to whichever thread asks.

A connection serves one thread at a time. Each read is short; none stays inside a transaction, since an open
reader keeps the write-ahead log from being reused.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from store.day_file import Connect

READER_CACHE_KIB = 4096
KEPT_A_FILE = 4  # readers at once in a daemon


class ReaderPool:
    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._lock = Lock()
        self._idle: dict[Path, list[sqlite3.Connection]] = {}
        self._renewed: Counter[Path] = Counter()  # how often another file took this name
        self._closed = False

    @contextmanager
    def lend(self, path: Path) -> Iterator[sqlite3.Connection]:
        """A `mode=ro` connection to a file. Raises sqlite3.Error when it is gone."""
        with self._lock:
            renewed = self._renewed[path]
            idle = self._idle.get(path)
            connection = idle.pop() if idle else None
        if connection is None:
            connection = self._open(path)
        try:
            yield connection
        finally:
            with self._lock:
                idle = self._idle.setdefault(path, [])
                if self._closed or renewed != self._renewed[path] or len(idle) >= KEPT_A_FILE:
                    connection.close()
                else:
                    idle.append(connection)

    def _open(self, path: Path) -> sqlite3.Connection:
        connection = self._connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA query_only = 1")
            connection.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
            connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def renew(self, path: Path) -> None:
        """The file was removed or replaced: no connection to the old one is lent again."""
        with self._lock:
            self._renewed[path] += 1
            for connection in self._idle.pop(path, []):
                connection.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for idle in self._idle.values():
                for connection in idle:
                    connection.close()
            self._idle.clear()
