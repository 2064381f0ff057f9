"""The recipients of one task: a folder of its own, `tasks/ID/`, with `rows.db`, the upload and the typed numbers.

Valid rows are numbered from 1 without gaps, so the position of a task is one number. Each pass through the gateway's
door is a row here, made durable *before* its messages are: after a crash a pass of which no message is stored never
was, and every other one is not sent again. One writer; readers are short.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec

from store.files import StoreError, open_private

FOLDER = "tasks"
ROWS = "rows.db"
UPLOAD = "upload"
TYPED = "typed.txt"
RESENT = "resent.txt"  # numbers of an earlier task, one a line
PACE_STEP_S = 5  # rows go through the door some hundred at a time: shorter steps show only that
ROWS_A_STATEMENT = 400  # of two or five columns: below SQLite's bound on variables
BUSY_TIMEOUT_MS = 5000

_TABLES = """
CREATE TABLE recipient (n INTEGER PRIMARY KEY, number INTEGER NOT NULL, source INTEGER NOT NULL) STRICT;
CREATE TABLE blocked (
    id INTEGER PRIMARY KEY, source INTEGER NOT NULL, line INTEGER NOT NULL, original TEXT NOT NULL,
    number INTEGER NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL) STRICT;
CREATE TABLE pass (
    first_row INTEGER PRIMARY KEY, last_row INTEGER NOT NULL, first_id INTEGER NOT NULL, last_id INTEGER NOT NULL,
    accepted INTEGER NOT NULL, at INTEGER NOT NULL, settled INTEGER NOT NULL DEFAULT 0,
    waiting INTEGER NOT NULL DEFAULT 0, sent INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0, unknown INTEGER NOT NULL DEFAULT 0,
    parts_sent INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX pass_open ON pass(first_row) WHERE settled = 0;
CREATE TABLE refused (n INTEGER PRIMARY KEY, reason INTEGER NOT NULL) STRICT;
"""

SOURCES = ("typed", "file", "contacts", "resent")


class Pass(msgspec.Struct):
    """Rows that went through the door together. Ids are 0 where all of them were refused."""

    first_row: int
    last_row: int
    first_id: int
    last_id: int
    accepted: int
    at: int


class Blocked(msgspec.Struct, frozen=True):
    """A row that is not sent to, and why."""

    id: int
    source: str
    line: int
    original: str
    number: int
    kind: str
    reason: str


class Figures(msgspec.Struct, frozen=True):
    """What became of the rows, in messages; `parts_sent` in parts. They add up to `rows`."""

    rows: int = 0
    fed: int = 0  # went through the door
    refused: int = 0  # by a rule at the door
    waiting: int = 0
    sent: int = 0
    delivered: int = 0
    failed: int = 0
    cancelled: int = 0  # taken back before a carrier had it
    unknown: int = 0
    parts_sent: int = 0

    @property
    def not_sent(self) -> int:
        """Never went through the door, or came back out of the queue."""
        return self.rows - self.fed + self.cancelled


def folder_of(data: Path, task: int) -> Path:
    """A task's folder."""
    return data / FOLDER / str(task)


def make_folder(data: Path, task: int) -> Path:
    """A task's folder, made private."""
    folder = folder_of(data, task)
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def folders_in(data: Path) -> list[int]:
    """Tasks that have a folder."""
    folder = data / FOLDER
    return [int(one.name) for one in folder.iterdir() if one.name.isdecimal()] if folder.is_dir() else []


def remove_folder(data: Path, task: int) -> None:
    """Drop everything of a task but its row."""
    shutil.rmtree(folder_of(data, task), ignore_errors=True)


def drop_sources(data: Path, task: int) -> None:
    """The upload and the typed numbers, once the rows count."""
    for name in (UPLOAD, TYPED, RESENT):
        (folder_of(data, task) / name).unlink(missing_ok=True)


def write_private(path: Path, octets: bytes) -> None:
    """A small file of mode 0600, whole or not at all."""
    partial = path.with_suffix(".partial")
    with open_private(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as file:
        file.write(octets)
    partial.replace(path)


class TaskFile:
    """An open `rows.db`. Calls block on the disk; one thread at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def make(cls, path: Path) -> Self:
        """A new file for the rows of a preparation; an older one goes."""
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        open_private(path, os.O_RDWR | os.O_CREAT).close()
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # Thrown away and made anew if it is cut short, so that only its end must be durable.
        connection.execute("PRAGMA journal_mode=MEMORY").fetchall()
        connection.execute("PRAGMA synchronous=OFF").fetchall()
        connection.execute("BEGIN")
        for statement in _TABLES.strip().split(";\n"):
            connection.execute(statement)
        return cls(path, connection)

    @classmethod
    def open(cls, path: Path, *, writes: bool = False) -> Self:
        """An existing file. Raises StoreError when it is gone or damaged."""
        try:
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'rw' if writes else 'ro'}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}").fetchall()
            if writes:
                connection.execute("PRAGMA journal_mode=WAL").fetchall()
                connection.execute("PRAGMA synchronous=FULL").fetchall()
            else:
                connection.execute("PRAGMA query_only=1").fetchall()
            connection.execute("SELECT 1 FROM pass LIMIT 1").fetchall()
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{path} cannot be read: {error}. The task's recipients are lost.") from error
        return cls(path, connection)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- preparing --------------------------------------------------------------------------------

    def add_recipients(self, rows: Sequence[tuple[int, int, int]]) -> None:
        """(n, number, source) of valid rows."""
        self._insert("recipient", rows)

    def add_blocked(self, rows: Sequence[tuple[int | None, int, int, str, int, str, str]]) -> None:
        """(None, source, line, original, number, kind, reason) of rows that are not sent to."""
        self._insert("blocked", rows)

    def _insert(self, table: str, rows: Sequence[tuple[object, ...]]) -> None:
        for start in range(0, len(rows), ROWS_A_STATEMENT):
            some = rows[start : start + ROWS_A_STATEMENT]
            marks = "(" + ",".join("?" * len(some[0])) + ")"
            self._connection.execute(
                f"INSERT INTO {table} VALUES {','.join([marks] * len(some))}",  # noqa: S608
                [value for row in some for value in row],
            )

    def finish(self) -> None:
        """All rows are there: make them durable."""
        self._connection.execute("COMMIT")
        self._connection.execute("PRAGMA journal_mode=WAL").fetchall()
        self._connection.close()
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())

    # -- sending ----------------------------------------------------------------------------------

    def position(self) -> int:
        """The last row that went through the door."""
        row = self._connection.execute("SELECT last_row FROM pass ORDER BY first_row DESC LIMIT 1").fetchone()
        return row[0] if row else 0

    def last_pass(self) -> Pass | None:
        """The newest pass: the one of which a crash may have taken the messages."""
        row = self._connection.execute(
            "SELECT first_row, last_row, first_id, last_id, accepted, at FROM pass ORDER BY first_row DESC LIMIT 1"
        ).fetchone()
        return Pass(*row) if row else None

    def numbers(self, after: int, limit: int) -> list[int]:
        """Numbers of the rows behind `after`, in order."""
        return [
            row[0]
            for row in self._connection.execute(
                "SELECT number FROM recipient WHERE n > ? ORDER BY n LIMIT ?", (after, limit)
            )
        ]

    def record(self, one: Pass, refused: Iterable[tuple[int, int]]) -> None:
        """Make a pass durable, with the (row, reason) that the door refused."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO pass (first_row, last_row, first_id, last_id, accepted, at, waiting)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*msgspec.structs.astuple(one), one.accepted),
            )
            connection.executemany("INSERT INTO refused VALUES (?, ?)", refused)

    def forget(self, one: Pass) -> None:
        """A pass whose messages never came to be."""
        with self._writing() as connection:
            connection.execute("DELETE FROM pass WHERE first_row = ?", (one.first_row,))
            connection.execute("DELETE FROM refused WHERE n BETWEEN ? AND ?", (one.first_row, one.last_row))

    def shorten(self, one: Pass, last_row: int, last_id: int, accepted: int) -> None:
        """A pass over midnight of which only the first day's messages were stored."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE pass SET last_row = ?, last_id = ?, accepted = ? WHERE first_row = ?",
                (last_row, last_id, accepted, one.first_row),
            )
            connection.execute("DELETE FROM refused WHERE n > ?", (last_row,))

    def unsettled(self, after_row: int, limit: int) -> list[Pass]:
        """Passes of which some message has no end yet, going on behind a row."""
        rows = self._connection.execute(
            "SELECT first_row, last_row, first_id, last_id, accepted, at FROM pass"
            " WHERE settled = 0 AND first_row > ? ORDER BY first_row LIMIT ?",
            (after_row, limit),
        )
        return [Pass(*row) for row in rows]

    def count(self, counted: Iterable[tuple[int, int, int, int, int, int, int, int, int]]) -> None:
        """(waiting, sent, delivered, failed, cancelled, unknown, parts sent, settled, first row) of passes."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE pass SET waiting = ?, sent = ?, delivered = ?, failed = ?, cancelled = ?, unknown = ?,"
                " parts_sent = ?, settled = ? WHERE first_row = ?",
                counted,
            )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    # -- looking ----------------------------------------------------------------------------------

    def figures(self, rows: int) -> Figures:
        """What became of the task's `rows` valid rows, as last counted."""
        sums = self._connection.execute(
            "SELECT ifnull(sum(last_row - first_row + 1), 0), ifnull(sum(waiting), 0), ifnull(sum(sent), 0),"
            " ifnull(sum(delivered), 0), ifnull(sum(failed), 0), ifnull(sum(cancelled), 0),"
            " ifnull(sum(unknown), 0), ifnull(sum(parts_sent), 0) FROM pass"
        ).fetchone()
        refused = self._connection.execute("SELECT count(*) FROM refused").fetchone()[0]
        return Figures(rows, sums[0], refused, *sums[1:])

    def pace(self, points_max: int) -> list[tuple[int, float]]:
        """How fast the rows left: (UTC s, messages a second) of up to `points_max` equal steps of time."""
        first, last = self._connection.execute(
            "SELECT min(at), max(at) FROM pass WHERE accepted > 0"
        ).fetchone()
        if first is None:
            return []
        first_s = first // 1000
        step_s = max(PACE_STEP_S, -(-(last // 1000 - first_s + 1) // points_max))
        rows = self._connection.execute(
            "SELECT (at / 1000 - ?1) / ?2, sum(accepted) FROM pass WHERE accepted > 0 GROUP BY 1",
            (first_s, step_s),
        )
        sums = dict(rows.fetchall())
        return [(first_s + n * step_s, round(sums.get(n, 0) / step_s, 2)) for n in range(max(sums) + 1)]

    def refusals(self) -> list[tuple[int, int]]:
        """(reason, rows) that the door refused."""
        return self._connection.execute(
            "SELECT reason, count(*) FROM refused GROUP BY 1 ORDER BY 2 DESC"
        ).fetchall()

    def blocked(self, kind: str, after: int, limit: int) -> list[Blocked]:
        """Rows of a class that are not sent to ("" for all), by id."""
        rows = self._connection.execute(
            "SELECT * FROM blocked WHERE id > ?1 AND (?2 = '' OR kind = ?2) ORDER BY id LIMIT ?3",
            (after, kind, limit),
        )
        return [Blocked(row[0], SOURCES[row[1]], *row[2:]) for row in rows]

    def recipients(self, after: int, limit: int) -> list[tuple[int, int, int]]:
        """(n, number, reason that refused it or 0) of valid rows behind `after`."""
        return self._connection.execute(
            "SELECT r.n, r.number, ifnull(f.reason, 0) FROM recipient r LEFT JOIN refused f ON f.n = r.n"
            " WHERE r.n > ? ORDER BY r.n LIMIT ?",
            (after, limit),
        ).fetchall()

    def refused_rows(self, after: int, limit: int) -> list[tuple[int, int, int]]:
        """(n, number, reason) of rows behind `after` that the door refused."""
        return self._connection.execute(
            "SELECT f.n, r.number, f.reason FROM refused f JOIN recipient r ON r.n = f.n WHERE f.n > ?"
            " ORDER BY f.n LIMIT ?",
            (after, limit),
        ).fetchall()

    def row_of(self, number: int) -> int:
        """The row of a number, 0 for none. Reads the file."""
        row = self._connection.execute("SELECT n FROM recipient WHERE number = ?", (number,)).fetchone()
        return row[0] if row else 0

    def passes(self, first_row: int, last_row: int) -> list[Pass]:
        """The passes that hold any of these rows."""
        rows = self._connection.execute(
            "SELECT first_row, last_row, first_id, last_id, accepted, at FROM pass"
            " WHERE last_row >= ? AND first_row <= ? ORDER BY first_row",
            (first_row, last_row),
        )
        return [Pass(*row) for row in rows]

    def id_range(self) -> tuple[int, int]:
        """The lowest and highest message id of all passes, 0 and 0 before the first."""
        row = self._connection.execute(
            "SELECT ifnull(min(first_id), 0), ifnull(max(last_id), 0) FROM pass WHERE first_id > 0"
        ).fetchone()
        return row[0], row[1]

    def failing(self, limit: int) -> list[Pass]:
        """Passes of which messages failed, the newest first."""
        rows = self._connection.execute(
            "SELECT first_row, last_row, first_id, last_id, accepted, at FROM pass"
            " WHERE failed > 0 OR unknown > 0 ORDER BY first_row DESC LIMIT ?",
            (limit,),
        )
        return [Pass(*row) for row in rows]

    def chosen(self, wanted: str, failing: Callable[[Pass], Iterable[int]]) -> Iterator[int]:
        """Numbers for a resend: `wanted` "all", "not-sent", or whatever `failing` gives of each pass.

        Rows that the door refused count as failed.
        """
        if wanted == "all":
            query = "SELECT number FROM recipient ORDER BY n"
            yield from (row[0] for row in self._connection.execute(query))
            return
        for one in self.passes(0, self.position()):
            yield from failing(one)
        if wanted == "not-sent":
            query = "SELECT number FROM recipient WHERE n > ? ORDER BY n"
            yield from (row[0] for row in self._connection.execute(query, (self.position(),)))
        elif wanted == "failed":
            query = "SELECT number FROM recipient WHERE n IN (SELECT n FROM refused) ORDER BY n"
            yield from (row[0] for row in self._connection.execute(query))


def copy_task_files(data: Path, target: Path) -> list[Path]:
    """Consistent copies of all tasks' recipients in another data directory, made while everything goes on."""
    copies = []
    for original in sorted((data / FOLDER).glob(f"*/{ROWS}")):
        copy = make_folder(target, int(original.parent.name)) / ROWS
        open_private(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL).close()
        source = sqlite3.connect(f"{original.absolute().as_uri()}?mode=ro", uri=True)
        try:
            source.execute("VACUUM INTO ?", (str(copy),))
        finally:
            source.close()
        copies.append(copy)
    return copies
