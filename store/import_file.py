"""The judged rows of one import, in its own folder: those to be written, and those that are not, with their reasons.

Made by the process that reads the upload; thrown away and made anew when the file is read in another way.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec

from store.files import open_private

ROWS = "rows.db"
_TABLES = (
    "CREATE TABLE good (n INTEGER PRIMARY KEY, line INTEGER NOT NULL, fields TEXT NOT NULL) STRICT",
    "CREATE TABLE bad (id INTEGER PRIMARY KEY, line INTEGER NOT NULL, original TEXT NOT NULL,"
    " kind TEXT NOT NULL, reason TEXT NOT NULL) STRICT",
)


class BadRow(msgspec.Struct, frozen=True):
    """A row that is not written, and why."""

    id: int
    line: int
    original: str
    kind: str
    reason: str


class ImportFile:
    """An open `rows.db` of an import. Calls block on the disk; one thread at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def make(cls, path: Path) -> Self:
        """A new file; an older one goes."""
        for suffix in ("", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        open_private(path, os.O_RDWR | os.O_CREAT).close()
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=MEMORY").fetchall()
        connection.execute("PRAGMA synchronous=OFF").fetchall()  # only its end must be durable
        connection.execute("BEGIN")
        for statement in _TABLES:
            connection.execute(statement)
        return cls(connection)

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """The file, read-only."""
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            yield cls(connection)
        finally:
            connection.close()

    def add(self, good: Sequence[tuple[int, int, str]], bad: Sequence[tuple[int, str, str, str]]) -> None:
        """Rows to write as (n, line, fields as JSON), others as (line, original, kind, reason)."""
        self._connection.executemany("INSERT INTO good VALUES (?, ?, ?)", good)
        self._connection.executemany(
            "INSERT INTO bad (line, original, kind, reason) VALUES (?, ?, ?, ?)", bad
        )

    def finish(self) -> None:
        """Keep what was added."""
        self._connection.execute("COMMIT")
        self._connection.close()

    def good(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Rows to write behind the `after`th, in order."""
        rows = self._connection.execute(
            "SELECT fields FROM good WHERE n > ? ORDER BY n LIMIT ?", (after, limit)
        )
        return [msgspec.json.decode(row[0]) for row in rows]

    def bad(self, kind: str, after: int, limit: int) -> list[BadRow]:
        """Rows of a class ("" for all) that are not written, by id."""
        rows = self._connection.execute(
            "SELECT * FROM bad WHERE id > ?1 AND (?2 = '' OR kind = ?2) ORDER BY id LIMIT ?3",
            (after, kind, limit),
        )
        return [BadRow(*row) for row in rows]
