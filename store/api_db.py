"""`api.db`: what the HTTP API must know beyond messages: idempotency keys, references, batches.

One writer, group commits with synchronous=FULL, short readers. A message itself lives in the day files; here is
written first, so that after a crash a row tells which message to look for, and a row without its message means
that it never came to be.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Self

import msgspec
from sqlite_utils import Database, Migrations

from store.files import StoreError, make_data_directory, open_private
from store.port import StoreFailed
from store.webhook_schema import WEBHOOK_TABLES

FILE = "api.db"
BUSY_TIMEOUT_MS = 5000
RANGES_MAX = 1_000_000  # passes of one batch; a million messages are a thousand
PURGE_ROWS = 20_000  # taken out by one `purge`: some 50 ms
api_migrations = Migrations("api")

_TABLES = (
    # `subject` is the message or batch that the first request became; `status` 0: its answer is not known yet.
    """CREATE TABLE idempotency (
        account INTEGER, key TEXT, fingerprint BLOB NOT NULL, created_at INTEGER NOT NULL,
        subject INTEGER NOT NULL, status INTEGER NOT NULL, location TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (account, key)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX idempotency_age ON idempotency(created_at)",
    """CREATE TABLE reference (
        account INTEGER, ref TEXT, message INTEGER, PRIMARY KEY (account, ref, message)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX reference_age ON reference(message)",
    """CREATE TABLE batch (
        id INTEGER PRIMARY KEY, account INTEGER NOT NULL, created_at INTEGER NOT NULL, ref TEXT NOT NULL,
        stage INTEGER NOT NULL, total INTEGER NOT NULL, accepted INTEGER NOT NULL, rejected INTEGER NOT NULL,
        parts INTEGER NOT NULL, refusals BLOB NOT NULL
    ) STRICT""",
    # The messages of one pass through the door have ids that follow each other, and nobody else's in between.
    """CREATE TABLE batch_range (
        batch INTEGER, first INTEGER, last INTEGER NOT NULL, PRIMARY KEY (batch, first)
    ) STRICT, WITHOUT ROWID""",
)


@api_migrations()
def create_tables(database: Database) -> None:
    """The tables of the first release."""
    for statement in _TABLES:
        database.execute(statement)


@api_migrations()
def create_pauses(database: Database) -> None:
    """Batches that are paused. Apart from their rows, which are written again while a batch is received."""
    database.execute("CREATE TABLE batch_pause (batch INTEGER PRIMARY KEY) STRICT")


@api_migrations()
def remember_webhooks(database: Database) -> None:
    """How far each endpoint has heard, and what could not be delivered to it yet or at all."""
    for statement in WEBHOOK_TABLES:
        database.execute(statement)


@api_migrations()
def remember_told_batches(database: Database) -> None:
    """Batches whose end is on their account's log; those of before need not be told any more."""
    database.execute("CREATE TABLE batch_told (batch INTEGER PRIMARY KEY) STRICT")
    database.execute("INSERT INTO batch_told SELECT id FROM batch")


@api_migrations()
def remember_announcements(database: Database) -> None:
    """What is being told (`store/announcements.py`), and what was said last of whom."""
    database.execute(
        "CREATE TABLE announcement (id INTEGER PRIMARY KEY AUTOINCREMENT, after INTEGER NOT NULL,"
        " events BLOB NOT NULL, told BLOB NOT NULL) STRICT"
    )
    database.execute(
        "CREATE TABLE note (kind TEXT, subject INTEGER, value TEXT NOT NULL, PRIMARY KEY (kind, subject))"
        " STRICT, WITHOUT ROWID"
    )


class KeyRow(msgspec.Struct, gc=False):
    """One idempotency key and what came of its first request."""

    account: int
    key: str
    fingerprint: bytes
    created_at: int
    subject: int
    status: int = 0
    location: str = ""
    body: bytes = b""


RECEIVING, WHOLE, INTERRUPTED = 0, 1, 2


class BatchRow(msgspec.Struct):
    """One batch. `refusals`: JSON, the first so many."""

    id: int
    account: int
    created_at: int
    ref: str = ""
    stage: int = RECEIVING
    total: int = 0
    accepted: int = 0
    rejected: int = 0
    parts: int = 0
    refusals: bytes = b"[]"


class ApiChanges(msgspec.Struct):
    """One caller's share of a round; all of it is durable together."""

    keys: list[KeyRow] = []  # put or replaced
    references: list[tuple[int, str, int]] = []  # account, reference, message
    batches: list[BatchRow] = []  # put or replaced
    ranges: list[tuple[int, int, int]] = []  # batch, first part id, last part id
    pauses: list[tuple[int, bool]] = []  # batch, whether it is paused from now on

    def add(self, other: "ApiChanges") -> None:
        """Take over another's rows."""
        self.keys += other.keys
        self.references += other.references
        self.batches += other.batches
        self.ranges += other.ranges
        self.pauses += other.pauses


class ApiFull(StoreError):
    """The disk is full: nothing of the round was stored."""


class ApiStore:
    """The open `api.db`. Writing calls belong to one thread at a time; reads come from any."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._reading = Lock()
        self._reader: sqlite3.Connection | None = None

    @classmethod
    def open(cls, data: Path) -> Self:
        """Open (or make) `api.db`. The caller holds the directory's `DataLock`. Raises StoreError."""
        make_data_directory(data)
        path = data / FILE
        try:
            open_private(path, os.O_RDWR | os.O_CREAT).close()
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}.") from error
        try:
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                f"busy_timeout={BUSY_TIMEOUT_MS}",
                "journal_size_limit=67108864",
                "temp_store=MEMORY",
            ):
                connection.execute("PRAGMA " + pragma).fetchall()
            api_migrations.apply(Database(connection, execute_plugins=False))
        except sqlite3.DatabaseError as error:
            connection.close()
            raise StoreError(
                f"{path} cannot be used: {error}. If it is damaged, put back a copy from `sluice backup`."
            ) from error
        return cls(path, connection)

    def close(self) -> None:
        """Checkpoint and close."""
        with self._reading:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing ----------------------------------------------------------------------------------

    def apply(self, changes: ApiChanges) -> None:
        """Make one round durable. Raises ApiFull, StoreFailed."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                map(msgspec.structs.astuple, changes.keys),
            )
            connection.executemany("INSERT OR IGNORE INTO reference VALUES (?, ?, ?)", changes.references)
            connection.executemany(
                "INSERT OR REPLACE INTO batch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                map(msgspec.structs.astuple, changes.batches),
            )
            connection.executemany("INSERT OR REPLACE INTO batch_range VALUES (?, ?, ?)", changes.ranges)
            for batch, paused in changes.pauses:
                connection.execute(
                    "INSERT OR IGNORE INTO batch_pause VALUES (?)"
                    if paused
                    else "DELETE FROM batch_pause WHERE batch = ?",
                    (batch,),
                )
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(error)

    def _roll_back(self, error: sqlite3.Error) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        if (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF == sqlite3.SQLITE_FULL:
            raise ApiFull(f"{self.path} cannot grow: the disk is full.") from error
        raise StoreFailed(f"{self.path} cannot be written: {error}.") from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, durable at its end. Raises ApiFull, StoreFailed."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(error)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def purge(self, *, keys_before_ms: int, messages_before: int) -> bool:
        """Take out what is older; True when there is more."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            keys = connection.execute(
                "DELETE FROM idempotency WHERE (account, key) IN"
                " (SELECT account, key FROM idempotency WHERE created_at < ? LIMIT ?)",
                (keys_before_ms, PURGE_ROWS),
            ).rowcount
            references = connection.execute(
                "DELETE FROM reference WHERE (account, ref, message) IN"
                " (SELECT account, ref, message FROM reference WHERE message < ? LIMIT ?)",
                (messages_before, PURGE_ROWS),
            ).rowcount
            connection.execute(
                "DELETE FROM batch_range WHERE batch IN (SELECT id FROM batch WHERE id < ?)",
                (messages_before,),
            )
            connection.execute("DELETE FROM batch_pause WHERE batch < ?", (messages_before,))
            connection.execute("DELETE FROM batch_told WHERE batch < ?", (messages_before,))
            connection.execute("DELETE FROM batch WHERE id < ?", (messages_before,))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(error)
        return PURGE_ROWS in (keys, references)

    # -- reading ----------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection, for one short call."""
        with self._reading:
            if self._reader is None:
                self._reader = sqlite3.connect(
                    f"{self.path.absolute().as_uri()}?mode=ro",
                    uri=True,
                    isolation_level=None,
                    check_same_thread=False,
                )
                self._reader.execute("PRAGMA wal_autocheckpoint=0").fetchall()
                self._reader.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}").fetchall()
            yield self._reader

    def find_keys(self, wanted: Sequence[tuple[int, str]]) -> dict[tuple[int, str], KeyRow]:
        """(account, key) -> row, for those that are known."""
        found = {}
        with self.reading() as connection:
            for pair in wanted:
                row = connection.execute(
                    "SELECT * FROM idempotency WHERE account = ? AND key = ?", pair
                ).fetchone()
                if row is not None:
                    found[pair] = KeyRow(*row)
        return found

    def messages_by_reference(self, account: int, ref: str, before: int, limit: int) -> list[int]:
        """Ids of messages that were given this reference, newest first."""
        with self.reading() as connection:
            return [
                row[0]
                for row in connection.execute(
                    "SELECT message FROM reference WHERE account = ? AND ref = ? AND message < ?"
                    " ORDER BY message DESC LIMIT ?",
                    (account, ref, before, limit),
                )
            ]

    def messages_with_references(self, account: int, refs: Sequence[str], after: int) -> dict[str, list[int]]:
        """reference -> ids above `after` of messages that were given it, newest first; those there are."""
        found: dict[str, list[int]] = {}
        with self.reading() as connection:
            for ref in refs:
                rows = connection.execute(
                    "SELECT message FROM reference WHERE account = ? AND ref = ? AND message > ?"
                    " ORDER BY message DESC LIMIT 100",
                    (account, ref, after),
                ).fetchall()
                if rows:
                    found[ref] = [row[0] for row in rows]
        return found

    def batch(self, batch: int) -> BatchRow | None:
        """A batch by id."""
        with self.reading() as connection:
            row = connection.execute("SELECT * FROM batch WHERE id = ?", (batch,)).fetchone()
        return None if row is None else BatchRow(*row)

    def ranges(self, batch: int, after: int = 0, limit: int = 10_000) -> list[tuple[int, int]]:
        """(first, last) part ids of a batch's passes that end behind `after`, ascending."""
        with self.reading() as connection:
            return connection.execute(
                "SELECT first, last FROM batch_range WHERE batch = ? AND last > ? ORDER BY first LIMIT ?",
                (batch, after, limit),
            ).fetchall()

    def untold_batches(self, after: int, limit: int) -> list[BatchRow]:
        """Batches whose end is not on the log yet, by id, behind one."""
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM batch WHERE id > ? AND id NOT IN (SELECT batch FROM batch_told)"
                " ORDER BY id LIMIT ?",
                (after, limit),
            ).fetchall()
        return [BatchRow(*row) for row in rows]

    def paused(self) -> list[int]:
        """Batches that are paused."""
        with self.reading() as connection:
            return [row[0] for row in connection.execute("SELECT batch FROM batch_pause")]

    def batches(self, account: int, before: int, limit: int) -> list[BatchRow]:
        """Batches of an account, newest first."""
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM batch WHERE account = ? AND id < ? ORDER BY id DESC LIMIT ?",
                (account, before, limit),
            ).fetchall()
        return [BatchRow(*row) for row in rows]


def paused_ranges(data: Path) -> dict[int, list[tuple[int, int]]]:
    """Paused batches of a data directory with their ranges of part ids, whether or not HTTP is served."""
    if not (data / FILE).exists():
        return {}
    with ApiStore.open(data) as store:
        return {batch: store.ranges(batch, 0, RANGES_MAX) for batch in store.paused()}


def copy_api_db(data: Path, folder: Path) -> list[Path]:
    """A consistent copy of a data directory's `api.db` in `folder`, made while everything goes on; [] without one."""
    original = data / FILE
    if not original.exists():
        return []
    copy = folder / FILE
    open_private(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL).close()
    source = sqlite3.connect(f"{original.absolute().as_uri()}?mode=ro", uri=True)
    try:
        source.execute("VACUUM INTO ?", (str(copy),))
    finally:
        source.close()
    return [copy]
