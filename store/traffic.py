"""The traffic store on SQLite: one file a UTC day, one writer, many short readers.

A message lives wholly in the file of its birth day, so each change to it is one transaction in one file.
`apply` and the other writing calls belong to one thread; reads come from any.
"""

import sqlite3
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn, Self

from store import day_recovery, day_sql, disk
from store.day_file import Connect
from store.day_files import DAYS, DayFiles
from store.day_round import ID_OF, Round, check
from store.day_schema import first_id_of
from store.day_state import highest_id
from store.files import make_data_directory
from store.ids import id_day
from store.model import Changes
from store.port import Applied, Recovery, StoreFailed, StoreFull, StoreOptions
from store.reads_events import EventReads
from store.reads_figures import FigureReads
from store.reads_lookup import LookupReads
from store.reads_messages import MessageReads
from store.reads_open import OpenReads
from store.reads_tasks import TaskReads
from store.sqlite_errors import error_name, is_full
from store.upkeep import MS_A_DAY, Upkeep
from store.young_events import Removal, YoungEvents

FIRST_SAFE_SQLITE = (3, 51, 3)


class Share(NamedTuple):
    """One day's part of a round; the ids that its lists were sorted out by, where all were of that day."""

    changes: Changes
    ids: dict[str, list[int]]


class SqliteStore(OpenReads, EventReads, LookupReads, MessageReads, FigureReads, TaskReads, Upkeep):
    """A `TrafficStore` in a data directory. The caller holds the directory's `DataLock`."""

    def __init__(
        self, directory: Path, options: StoreOptions, connect: Connect, free_octets: disk.FreeOctets
    ) -> None:
        self.directory = directory
        self.options = options
        self._files = DayFiles(directory, options, connect)
        self._events = YoungEvents()
        self._free_octets = free_octets
        self._written_octets_a_s = 0.0
        self._watched_at_ms = 0
        self._seal_next = set()
        self._failed = ""
        self._notes: list[str] = []

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        now_ms: int,
        options: StoreOptions = StoreOptions(),  # noqa: B008 - frozen
        connect: Connect = sqlite3.connect,
        free_octets: disk.FreeOctets = disk.free_octets,
    ) -> Self:
        """Open (or make) the store in a data directory; `recover` comes next.

        `connect` makes every SQLite connection, `free_octets` says how much room a disk has: a test may hand
        in its own. Raises StoreError when the directory cannot hold a store, StoreFull, StoreFailed.
        """
        store = cls(Path(directory), options, connect, free_octets)
        try:
            store._open(now_ms)
        except sqlite3.Error as error:
            store._files.close_all(clean=False)
            if is_full(error):
                raise store._full(store._files.directory, Changes(), [], Applied()) from error
            store._fail(error, store._files.directory)
        except BaseException:
            store._files.close_all(clean=False)
            raise
        return store

    def _open(self, now_ms: int) -> None:
        make_data_directory(self.directory)
        self._notes = disk.check_file_system(self.directory)
        if sqlite3.sqlite_version_info < FIRST_SAFE_SQLITE:
            self._notes.append(
                f"SQLite {sqlite3.sqlite_version} has the WAL-reset race (fixed in 3.51.3); one connection"
                " here does every write and every checkpoint of a file, so it cannot happen"
            )
        self._files.directory.mkdir(mode=0o700, exist_ok=True)
        if self.disk_state() == "critical":
            disk.drop_ballast(self._files.directory)  # opening and recovering take some room
        self._files.load()
        if self.options.ballast_octets and self.disk_state() == "ok":
            disk.keep_ballast(self._files.directory, self.options.ballast_octets)
        self._files.file(now_ms // MS_A_DAY)

    def recover(self, consolidated_days: Collection[int] = ()) -> Recovery:
        """What is there, once, before the first `apply`. `usage` leaves out the consolidated days.

        Raises StoreFailed, and StoreFull where the disk has no room for the indexes of what was young.
        """
        started = time.perf_counter()
        files = [self._files.file(day) for day in self._files.unsealed()]
        try:
            for file in files:
                day_recovery.index_open_parts(file)
            self._events.newest = day_recovery.index_pending_events(files)
        except sqlite3.Error as error:
            if is_full(error):
                raise self._full(self._files.directory, Changes(), [], Applied()) from error
            self._fail(error, self._files.directory)
        recovery = Recovery(
            last_id=0,
            usage={},
            queued={},
            open_parts={},
            awaiting_receipt=0,
            claimed=0,
            pending_events=self.accounts_with_pending_events(),
            parked=0,
            clean=self._files.clean,
            quarantined=list(self._files.quarantined),
            notes=list(self._notes),
        )
        for file in files:
            day_recovery.count_open(file.connection, recovery)
        for day in self.days():
            with self._reader(day) as connection:
                recovery.last_id = max(recovery.last_id, highest_id(connection))
            if day not in consolidated_days:
                for user, (reserved, used) in self.usage(day).items():
                    before = recovery.usage.get(user, (0, 0))
                    recovery.usage[user] = (before[0] + reserved, before[1] + used)
        recovery.took_s = time.perf_counter() - started
        return recovery

    # -- the write path ---------------------------------------------------------------------------

    def apply(self, changes: Changes) -> Applied:
        """Make one round durable, in one transaction a day file.

        Raises ValueError before anything is written when a row cannot be stored, StoreFull, StoreFailed.
        """
        if self._failed:
            raise StoreFailed(self._failed)
        check(changes)
        started = time.perf_counter()
        shares = self._shares(changes)
        removal = self._events.plan_removal(changes.delivered)
        if removal.others:
            for day, counts in self._files.old_events.items():
                if any(counts.values()):
                    shares.setdefault(day, Share(Changes(), {}))
        applied = Applied()
        rounds: list[Round] = []
        at = self._files.directory
        try:
            for day in sorted(shares, reverse=True):  # the newest file first: it holds the deliveries
                at = self._files.path(day)
                rounds.append(Round(self._files.file(day), shares[day].changes, shares[day].ids))
                self._write(rounds[-1], removal)
            for a_round in rounds:
                at = a_round.file.path
                a_round.file.connection.execute("COMMIT")
                self._settle(a_round, removal, applied)
        except sqlite3.Error as error:
            undo(rounds)
            if is_full(error):
                raise self._full(at, changes, rounds, applied) from error
            if isinstance(error, sqlite3.IntegrityError) and not rounds[0].settled:
                raise ValueError(f"{at}: {error}. A row of this round is there already.") from error
            self._fail(error, at)
        except BaseException:
            undo(rounds)
            raise
        applied.commit_s = time.perf_counter() - started
        applied.wal_octets = sum(a_round.file.wal_octets() for a_round in rounds)
        return applied

    def _write(self, a_round: Round, removal: Removal) -> None:
        file = a_round.file
        file.connection.execute("BEGIN IMMEDIATE")
        a_round.write()
        if removal.others and file.old_events:
            a_round.taken_events = file.take_old_events(removal.others)

    def _settle(self, a_round: Round, removal: Removal, applied: Applied) -> None:
        """One file's transaction is committed."""
        a_round.settle()
        changes = a_round.changes
        self._events.add(a_round.events)
        if changes.delivered:
            applied.delivered += self._events.remove(removal)
        applied.delivered += len(a_round.taken_events)
        applied.parts += len(changes.parts)
        applied.attempts += len(changes.attempts)
        applied.receipts += len(changes.receipts)
        applied.outcomes += len(a_round.ended)
        applied.refused_outcomes += a_round.refused_outcomes
        applied.refused_parts += a_round.refused_parts

    def _shares(self, changes: Changes) -> dict[int, Share]:
        """The round by day. Nearly always it is all one day's."""
        newest = self._files.newest
        low, high = first_id_of(newest), first_id_of(newest + 1)
        shares: dict[int, Share] = {}
        for name, id_of in ID_OF.items():
            rows = getattr(changes, name)
            if not rows:
                continue
            ids = list(map(id_of, rows))
            if low <= min(ids) and max(ids) < high:
                share = shares.get(newest)
                if share is None:
                    share = shares[newest] = Share(Changes(), {})
                setattr(share.changes, name, rows)
                share.ids[name] = ids
                continue
            for row, row_id in zip(rows, ids, strict=True):
                getattr(shares.setdefault(id_day(row_id), Share(Changes(), {})).changes, name).append(row)
        for usage in changes.usage:
            shares.setdefault(usage.day, Share(Changes(), {})).changes.usage.append(usage)
        if changes.delivered:
            shares.setdefault(newest, Share(Changes(), {})).changes.delivered = changes.delivered
        return shares

    def remember_smsc_ids(self, entries: Sequence[tuple[int, str, int]]) -> None:
        """Keep (carrier, smsc_message_id, part id) that leave memory, for `find_by_smsc_id`.

        Raises StoreFull, StoreFailed.
        """
        entries_by_day: dict[int, list[tuple[int, str, int]]] = {}
        for entry in entries:
            entries_by_day.setdefault(id_day(entry[2]), []).append(entry)
        for day, some in entries_by_day.items():
            path = self._files.path(day)
            try:
                with self._files.file(day).transaction() as connection:
                    day_sql.REMEMBER_SMSC_IDS.run(connection, sorted(some))
            except sqlite3.Error as error:
                if is_full(error):
                    raise self._full(path, Changes(), [], Applied()) from error
                self._fail(error, path)

    # -- what goes wrong --------------------------------------------------------------------------

    @staticmethod
    def _full(at: Path, changes: Changes, rounds: Sequence[Round], applied: Applied) -> StoreFull:
        settled = [a_round for a_round in rounds if a_round.settled]
        rest = merged([a_round.changes for a_round in rounds if not a_round.settled]) if settled else changes
        return StoreFull(
            f"The disk under {at} is full. Free some room; what was accepted is safe.",
            rest=rest,
            applied=applied,
        )

    def _fail(self, error: sqlite3.Error, at: object) -> NoReturn:
        """Nothing may be written any more: what a failed fsync left on the disk is unknown (P10)."""
        self._failed = (
            f"{at}: {error} ({error_name(error)}). Nothing since is promised; stop, look at the disk, start"
            " again: the file is checked then."
        )
        raise StoreFailed(self._failed) from error

    # -- copies, the end --------------------------------------------------------------------------

    def backup(self, destination: Path) -> list[Path]:
        """A consistent copy of every day file, while running; any thread.

        Args:
          destination: a directory, made if need be; older copies in it are replaced.
        """
        target = Path(destination) / DAYS
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        copies = []
        for day in self.days():
            copy = target / self._files.path(day).name
            copy.unlink(missing_ok=True)
            copy.touch(mode=0o600)
            with self._reader(day) as connection:
                # VACUUM INTO only writes the copy, but counts as writing; the connection is still mode=ro.
                connection.execute("PRAGMA query_only = 0")
                try:
                    connection.execute("VACUUM INTO ?", (str(copy),))
                finally:
                    connection.execute("PRAGMA query_only = 1")
            copies.append(copy)
        return copies

    def close(self, *, clean: bool = True) -> None:
        """Close every connection. The next start is a clean one, unless the store had failed, or the caller
        cannot say that everything had come to rest."""
        self._files.close_all(clean=clean and not self._failed)


def undo(rounds: Sequence[Round]) -> None:
    """Roll back what is not committed."""
    for a_round in rounds:
        if not a_round.settled:
            with suppress(sqlite3.Error):
                a_round.file.rollback()


def merged(many: Sequence[Changes]) -> Changes:
    """One `Changes` of several."""
    whole = Changes()
    for changes in many:
        for name in Changes.__struct_fields__:
            getattr(whole, name).extend(getattr(changes, name))
    return whole
