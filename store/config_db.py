"""`config.db`: who may send, through whom, under which rules. One writer, many short readers.

Every write is one `BEGIN IMMEDIATE` transaction on one connection, durable with synchronous=FULL, with its
audit row in it. Readers are separate `mode=ro` connections, opened for one call. The daemon reads whole
values (`directory()`, `words()`, `blacklists()`) at start and after each change, never a row at a time.

The calls block on the disk: from the event loop, call them in a worker thread.
"""

import os
import sqlite3
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, Self

import msgspec
from sqlite_utils import Database

from store import audit, config_read, quota, rules
from store.apply import Change, apply_document, password_hashes
from store.config_schema import config_migrations, refuse_newer
from store.directory import BlacklistScope, Directory, Word
from store.document import Document
from store.export import export_document
from store.files import StoreError, make_data_directory, open_private
from store.port import StoreFailed
from store.rules import canonical_number
from store.secrets import Sealer
from store.sqlite_errors import is_failure
from store.word_hits import add_word_hits

FILE = "config.db"
BUSY_TIMEOUT_MS = 5000
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # an acknowledged change survives power loss
    f"busy_timeout={BUSY_TIMEOUT_MS}",
    "foreign_keys=ON",
    "journal_size_limit=67108864",
    "temp_store=MEMORY",
)
LINES_A_PIECE = 1000  # of an export: about 100 KB of blacklist


class Writing:
    """One write transaction in progress: SQL, who does it, when, and the audit log beside it."""

    def __init__(
        self, connection: sqlite3.Connection, sealer: Sealer, actor: str, at: int, context: Mapping[str, Any]
    ) -> None:
        self.connection = connection
        self.sealer = sealer
        self.actor = actor
        self.at = at
        self.context = context
        self.changed = False

    def run(self, sql: str, parameters: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """One statement."""
        return self.connection.execute(sql, parameters)

    def insert(self, sql: str, parameters: tuple[Any, ...]) -> int:
        """One INSERT; gives the new row's id."""
        identifier = self.connection.execute(sql, parameters).lastrowid
        assert identifier is not None
        return identifier

    def audit(self, action: str, target: str, *, changes: bool = True, **detail: Any) -> None:
        """Say what this transaction does; unless `changes` is False the directory counts as changed."""
        self.changed = self.changed or changes
        audit.append(
            self.connection,
            at=self.at,
            actor=self.actor,
            action=action,
            target=target,
            detail={**self.context, **detail},
        )


class ConfigStore:
    """The open `config.db` of a data directory."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, sealer: Sealer, wall_ms: Callable[[], int]
    ) -> None:
        self.path = path
        self.sealer = sealer
        self._connection = connection
        self._wall_ms = wall_ms
        self._lock = Lock()

    @classmethod
    def open(cls, data: str | Path, *, wall_ms: Callable[[], int] | None = None) -> Self:
        """Open (or make) `config.db` in the data directory and bring its tables up to date.

        The caller holds the directory's `DataLock`. Raises StoreError where files cannot be used.
        """
        data = Path(data)
        make_data_directory(data)
        path = data / FILE
        try:
            # Made here with mode 0600: SQLite would follow the umask. Its -wal and -shm copy the mode.
            open_private(path, os.O_RDWR | os.O_CREAT).close()
            sealer = Sealer.open(data)
            connection = _connect(path)
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}.") from error
        return cls(path, connection, sealer, wall_ms or (lambda: time.time_ns() // 1_000_000))

    def close(self) -> None:
        """Checkpoint and close."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self, actor: str, **context: Any) -> Iterator[Writing]:
        """A write transaction: committed at the end of the block, rolled back on any exception.

        One at a time; others wait. A transaction that wrote an audit row raises the directory's version.
        `context` goes into each of its audit rows: from where, by which request. Raises StoreFailed when the disk
        fails (P10): what is in the file is not known then.
        """
        with self._lock:
            connection = self._connection
            try:
                connection.execute("BEGIN IMMEDIATE")
                transaction = Writing(connection, self.sealer, actor, self._wall_ms(), context)
                yield transaction
                if transaction.changed:
                    connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'version'")
                connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error) and is_failure(error):
                    raise StoreFailed(f"{self.path} cannot be written: {error}.") from error
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection on one snapshot, for one short call."""
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
        )
        try:
            connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            connection.execute("PRAGMA query_only=1")
            connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.close()

    # What the data plane reads

    def version(self) -> int:
        """Raised by every change of the directory, words or blacklists."""
        with self.reading() as connection:
            return config_read.version(connection)

    def directory(self) -> Directory:
        """Everything that the data plane reads, on one snapshot. Carriers come with their passwords."""
        with self.reading() as connection:
            return config_read.directory(connection, self.sealer, self._wall_ms())

    def words(self) -> list[Word]:
        """All sensitive words, by text."""
        with self.reading() as connection:
            return config_read.words(connection)

    def blacklists(self) -> dict[BlacklistScope, "array[int]"]:
        """Numbers of every list, ascending, as unsigned 64-bit integers (a million load in some 0.3 s)."""
        with self.reading() as connection:
            return config_read.blacklists(connection)

    # What people change

    def apply(
        self,
        document: Document,
        actor: str,
        *,
        number: Callable[[str], int] = canonical_number,
        in_flight: Mapping[int, int] | None = None,
        dry_run: bool = False,
    ) -> list[Change]:
        """Make everything as the document says, all of it or nothing; says what changed.

        Args:
          number: makes a blacklisted number canonical, or raises ValueError with a sentence.
          in_flight: by user id, parts used and reserved on days that are not consolidated.
          dry_run: find every problem and change, then leave all as it was.
        Raises DocumentError with every problem found.
        """
        with self.reading() as connection:
            current = dict(
                connection.execute("SELECT system_id, password_hash FROM account WHERE state <> 'deleted'")
            )
        hashes = password_hashes(document, current)
        changes: list[Change] = []
        try:
            with self.writing(actor) as transaction:
                changes = apply_document(
                    transaction, document, number=number, in_flight=in_flight or {}, hashes=hashes
                )
                if dry_run:
                    raise _DryRun
        except _DryRun:
            pass
        return changes

    def record(self, actor: str, action: str, target: str, **detail: Any) -> None:
        """Write to the audit log what happened without changing anything here: a sign-in, an export."""
        with self.writing(actor) as transaction:
            transaction.audit(action, target, changes=False, **detail)

    def export(self, *, secrets: bool = False) -> Iterator[str]:
        """The whole as a document that `apply` takes back unchanged, in pieces of some lines each.

        The caller writes to the audit log who exported (`record`).
        """
        with self.reading() as connection:
            lines = export_document(connection, self.sealer, secrets=secrets)
            while piece := list(islice(lines, LINES_A_PIECE)):
                yield "\n".join(piece) + "\n"

    def blacklist_add(
        self,
        scope: BlacklistScope,
        numbers: Iterable[int],
        actor: str,
        *,
        source: str = "manual",
        note: str = "",
    ) -> list[int]:
        """Put canonical numbers on a list, in one small transaction; gives those that were not on it."""
        with self.writing(actor) as transaction:
            return rules.blacklist_add(transaction, scope, numbers, source=source, note=note)

    def blacklist_remove(
        self, scope: BlacklistScope, numbers: Iterable[int], actor: str, *, note: str = ""
    ) -> list[int]:
        """Take canonical numbers off a list; gives those that were on it."""
        with self.writing(actor) as transaction:
            return rules.blacklist_remove(transaction, scope, numbers, note=note)

    def add_word_hits(self, hits: Mapping[str, int]) -> None:
        """Messages that held each sensitive word since the last call; observed, hence not audited."""
        with self.writing("gateway") as transaction:
            add_word_hits(transaction, hits)

    def blacklist_expire(self) -> int:
        """Take off the lists what was to stay until now; gives how many numbers. Cheap when nothing is due."""
        with self.reading() as connection:
            due = connection.execute(
                "SELECT 1 FROM blacklist_batch WHERE expires_at > 0 AND expires_at <= ? LIMIT 1",
                (self._wall_ms(),),
            ).fetchone()
        if due is None:
            return 0
        with self.writing("gateway") as transaction:
            return rules.blacklist_expire(transaction)

    def topup_group(self, group: int, parts: int, actor: str, *, note: str = "") -> None:
        """Grant a group parts of its parent's (negative: reclaim); see `quota.topup_group`."""
        with self.writing(actor) as transaction:
            quota.topup_group(transaction, group, parts, note=note)

    def topup_user(self, user: int, parts: int, actor: str, *, note: str = "", in_flight: int = 0) -> None:
        """Raise a user's limit out of the group's parts (negative: reclaim); see `quota.topup_user`."""
        with self.writing(actor) as transaction:
            quota.topup_user(transaction, user, parts, note=note, in_flight=in_flight)

    def balance(self, user: int, *, used_open: int = 0, reserved_open: int = 0) -> quota.UserBalance:
        """A user's limit, used and reserved parts; those of open days are the caller's to know."""
        with self.reading() as connection:
            return quota.user_balance(connection, user, used_open=used_open, reserved_open=reserved_open)

    def backup(self, folder: Path) -> Path:
        """A consistent copy in another directory, made while everything goes on. The key file stays here."""
        copy = folder / FILE
        open_private(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL).close()
        with self.reading() as connection:
            connection.execute("ROLLBACK")  # VACUUM takes its own snapshot
            connection.execute("PRAGMA query_only=0")
            connection.execute("VACUUM INTO ?", (str(copy),))
        return copy

    # What the traffic store hands over

    def used(self) -> dict[int, int]:
        """Parts used on consolidated days, by user id: where the daemon's balances begin at start."""
        with self.reading() as connection:
            return dict(connection.execute("SELECT id, used FROM user WHERE used <> 0"))

    def consolidate(self, day: int, used: Mapping[int, int]) -> None:
        """Take over a closed day's used parts by user. Again with the same or better figures is fine."""
        with self.writing("gateway") as transaction:
            quota.consolidate(transaction, day, used)

    def consolidated_days(self) -> set[int]:
        """Days (since 1970, UTC) that `used` covers already."""
        with self.reading() as connection:
            return quota.consolidated_days(connection)

    # What the gateway learns of carriers: observed, not configured, hence neither audited nor versioned

    def habits(self) -> dict[int, dict[str, Any]]:
        """What was learned of each carrier (id form, case, padding …), by carrier id."""
        with self.reading() as connection:
            return {
                carrier: msgspec.json.decode(habits)
                for carrier, habits in connection.execute("SELECT carrier_id, habits FROM carrier_habit")
            }

    def set_habits(self, carrier: int, habits: dict[str, Any]) -> None:
        """Remember what was learned of a carrier."""
        with self.writing("gateway") as transaction:
            transaction.run(
                "INSERT INTO carrier_habit (carrier_id, habits, updated_at) VALUES (?, ?, ?)"
                " ON CONFLICT (carrier_id) DO UPDATE"
                " SET habits = excluded.habits, updated_at = excluded.updated_at",
                (carrier, msgspec.json.encode(habits).decode(), transaction.at),
            )


class _DryRun(Exception):
    """Rolls a transaction back."""


def _connect(path: Path) -> sqlite3.Connection:
    # Used from any thread, by one at a time: `ConfigStore._lock` sees to it.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        database = Database(connection, execute_plugins=False)
        refuse_newer(config_migrations, database, path)
        config_migrations.apply(database)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StoreError(
            f"{path} cannot be used: {error}. If it is damaged, put back a copy from `sluice backup`."
        ) from error
    return connection
