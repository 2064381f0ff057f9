"""The traffic store on SQLite: one file a UTC day, one writer, many short readers.

A message lives wholly in the file of its birth day, so each change to it is one transaction in one file.
`apply` and the other writing calls belong to one thread; reads (`store/reads.py`) come from any.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn, Self

from store import day_schema, disk
from store.bulk import Bulk, row_of
from store.day_file import Connect, DayFile, highest_id, is_finished, quick_check
from store.day_round import ID_OF, Round, check
from store.files import StoreError, make_data_directory
from store.ids import SECOND_BITS, id_day
from store.model import Changes, State
from store.port import (
    Applied,
    DiskState,
    Maintenance,
    QueueKey,
    Recovery,
    StoreFailed,
    StoreFull,
    StoreOptions,
)
from store.readers import ReaderPool
from store.reads import Reads
from store.search import build_search, index_more, is_whole, search_path
from store.verify import verify_day
from store.young_events import Removal, Tick, YoungEvents

DAYS = "days"
RUNNING = "running"  # present while a process has the store open, or ended without closing it
DAMAGED = ".damaged"
FILES_OPEN_MAX = 5  # writer connections: today, yesterday, stragglers of the 72 hours before
FIRST_SAFE_SQLITE = (3, 51, 3)
DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
MS_A_DAY = 86_400_000
IDLE_CHECKPOINT_MS = 60_000
SETTLE_MS = 5 * 60_000  # so long after midnight nobody still commits a part of yesterday
WRITES_AVERAGED_S = 60.0
WRITES_AHEAD_S = 600  # room for so many seconds of writing is "low" (P9)
REMEMBER = Bulk("INSERT OR IGNORE INTO carrier_map VALUES ", row_of(3))


class Share(NamedTuple):
    """One day's part of a round; the ids that its lists were sorted out by, where all were of that day."""

    changes: Changes
    ids: dict[str, list[int]]


class SqliteStore(Reads):
    """A `TrafficStore` in a data directory. The caller holds the directory's `DataLock`."""

    def __init__(self, directory: Path, options: StoreOptions, connect: Connect) -> None:
        self.directory = directory
        self.options = options
        self._connect = connect
        self._days_directory = directory / DAYS
        self._pool = ReaderPool(connect)
        self._files: dict[int, DayFile] = {}
        self._days: list[int] = []
        self._sealed: set[int] = set()  # every part final, marked so in the file
        self._searchable: set[int] = set()  # past days whose search file is whole
        self._seal_next: set[int] = set()  # finished days whose search file was built since
        self._young_events = YoungEvents()
        self._old_events: dict[int, Counter[int]] = {}
        self._failed = ""
        self._quarantined: list[str] = []
        self._notes: list[str] = []
        self._clean = True
        self._written_octets_a_s = 0.0
        self._watched_at_ms = 0
        self._free_octets: disk.FreeOctets = disk.free_octets

    # -- opening ----------------------------------------------------------------------------------

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
        in its own. Raises StoreError when the directory cannot hold a store.
        """
        store = cls(Path(directory), options, connect)
        store._free_octets = free_octets
        store._open(now_ms)
        return store

    def _open(self, now_ms: int) -> None:
        make_data_directory(self.directory)
        self._days_directory.mkdir(mode=0o700, exist_ok=True)
        self._notes += disk.check_file_system(self.directory)
        if sqlite3.sqlite_version_info < FIRST_SAFE_SQLITE:
            self._notes.append(
                f"SQLite {sqlite3.sqlite_version} has the WAL-reset race (fixed in 3.51.3); one connection"
                " here does every write and every checkpoint of a file, so it cannot happen"
            )
        running = self._days_directory / RUNNING
        self._clean = not running.exists()
        running.touch(mode=0o600)
        for path in sorted(self._days_directory.glob("????-??-??.db")):
            day = day_of_name(path.stem)
            if day is not None:
                self._admit(day)
        if self.options.ballast_octets and self.disk_state() == "ok":
            disk.keep_ballast(self.directory, self.options.ballast_octets)
        self._file(now_ms // MS_A_DAY)

    def _admit(self, day: int) -> None:
        """Take over a file that is there; a damaged one is set aside."""
        path = self._path(day)
        try:
            file = DayFile(path, day, self.options, self._connect, cache_kib=self._cache_kib(day))
            try:
                if not self._clean and not file.sealed_at and self._small_enough_to_check(path):
                    damage = quick_check(file.connection)
                    if damage:
                        raise sqlite3.DatabaseError(damage[0])
            except BaseException:
                file.close()
                raise
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise StoreFailed(f"{path} cannot be opened: {error}.") from error
            self._quarantine(path, str(error))
            return
        self._days = sorted({*self._days, day})
        self._old_events[day] = file.old_events
        if file.sealed_at:
            self._sealed.add(day)
            file.close()
        else:
            self._files[day] = file
        search = search_path(path)
        if search.exists():
            with suppress(sqlite3.Error), self._pool.lend(search) as connection:
                if is_whole(connection):
                    self._searchable.add(day)

    def _small_enough_to_check(self, path: Path) -> bool:
        return path.stat().st_size <= self.options.quick_check_octets_max

    def _quarantine(self, path: Path, why: str) -> None:
        """Set a damaged file aside, with its log, so that the others go on (P15)."""
        aside = path.with_name(path.name + DAMAGED)
        number = 1
        while aside.exists():
            number += 1
            aside = path.with_name(f"{path.name}{DAMAGED}{number}")
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        self._quarantined.append(f"{aside}: {why}")

    def _path(self, day: int) -> Path:
        return self._days_directory / f"{name_of_day(day)}.db"

    def _cache_kib(self, day: int) -> int:
        newest = self._days[-1] if self._days else day
        return self.options.cache_kib if day >= newest else self.options.cache_kib // 8

    def _file(self, day: int) -> DayFile:
        """The writer's connection to a day, opened or created if need be."""
        file = self._files.get(day)
        if file is not None:
            return file
        path = self._path(day)
        if not path.exists():
            if self._days and not self._days[-1] - self.options.retention_days <= day <= self._days[-1] + 366:
                raise ValueError(f"Day {day} is far from day {self._days[-1]} of the newest file.")
            path.touch(mode=0o600)
        file = DayFile(path, day, self.options, self._connect, cache_kib=self._cache_kib(day))
        if file.sealed_at:
            # Something late came for a finished day: it is open again until it is sealed anew.
            file.set_sealed(0)
            self._sealed.discard(day)
        self._pool.admit(path)
        self._files[day] = file
        self._old_events[day] = file.old_events
        self._days = sorted({*self._days, day})
        self._close_quiet_files(day)
        return file

    def _close_quiet_files(self, keep: int) -> None:
        """Keep few writer connections: close the oldest with nothing young in them."""
        for day in sorted(self._files):
            if len(self._files) <= FILES_OPEN_MAX:
                return
            file = self._files[day]
            if day not in (keep, self._days[-1]) and file.is_quiet():
                file.checkpoint()
                file.close()
                del self._files[day]

    def _open_days(self) -> list[int]:
        return [day for day in self._days if day not in self._sealed]

    # -- recovery ---------------------------------------------------------------------------------

    def recover(self, consolidated_days: Collection[int] = ()) -> Recovery:
        """What is there, once, before the first `apply`. `usage` leaves out the consolidated days."""
        started = time.perf_counter()
        files = [self._file(day) for day in self._days if day not in self._sealed]
        try:
            for file in files:
                file.index_all_parts()
            self._recover_events(files)
        except sqlite3.Error as error:
            self._fail(error, self.directory)
        recovery = Recovery(
            last_id=self._highest_id(),
            usage={},
            queued={},
            open_parts={},
            awaiting_receipt=0,
            claimed=0,
            pending_events=self.accounts_with_pending_events(),
            parked=0,
            clean=self._clean,
            quarantined=list(self._quarantined),
            notes=list(self._notes),
        )
        for file in files:
            self._count_open(file.connection, recovery)
        for day in self._days:
            if day not in consolidated_days:
                for user, (reserved, used) in self.usage(day).items():
                    before = recovery.usage.get(user, (0, 0))
                    recovery.usage[user] = (before[0] + reserved, before[1] + used)
        recovery.took_s = time.perf_counter() - started
        return recovery

    def _highest_id(self) -> int:
        highest = 0
        for day in self._days:
            with self._reader(day) as connection:
                highest = max(highest, highest_id(connection))
        return highest

    def _recover_events(self, files: Sequence[DayFile]) -> None:
        behind = {file.day: file.events_behind_mark() for file in files}
        gone: list[tuple[int, int]] = []
        done: set[int] = set()
        for file in files:
            for account, ids in file.delivered_behind_mark():
                done.update(ids)
                gone += [(account, event) for event in ids]
        newest = max((max(ids, default=0) for ids in behind.values()), default=0)
        newest = max([newest, *(file.event_mark for file in files)])
        for file in files:
            pending = [(account, event) for event, account in behind[file.day].items() if event not in done]
            with file.transaction():
                if file.old_events:
                    file.old_events.subtract(account for account, _ in file.drop_old_events(gone))
            if pending or behind[file.day] or file.delivered_seq > file.delivered_mark:
                file.index_all_events(pending, newest)
                self._old_events[file.day] = file.old_events
        self._young_events.newest = newest

    @staticmethod
    def _count_open(connection: sqlite3.Connection, recovery: Recovery) -> None:
        for carrier, lane, account, count in connection.execute(
            "SELECT carrier, lane, account, count(*) FROM open_part WHERE state = 3 GROUP BY 1, 2, 3"
        ):
            key = QueueKey(carrier, lane, account)
            recovery.queued[key] = recovery.queued.get(key, 0) + count
        for account, count in connection.execute("SELECT account, count(*) FROM open_part GROUP BY 1"):
            recovery.open_parts[account] = recovery.open_parts.get(account, 0) + count
        for state, count in connection.execute(
            "SELECT state, count(*) FROM open_part WHERE state != 3 GROUP BY 1"
        ):
            if state == State.SENT:
                recovery.awaiting_receipt += count
            elif state == State.CLAIMED:
                recovery.claimed += count
        recovery.parked += connection.execute("SELECT count(*) FROM parked").fetchone()[0]

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
        removal = self._young_events.plan_removal(changes.delivered)
        if removal.others:
            for day, counts in self._old_events.items():
                if any(counts.values()):
                    shares.setdefault(day, Share(Changes(), {}))
        applied = Applied()
        rounds: list[Round] = []
        at = self.directory
        try:
            for day in sorted(shares, reverse=True):  # the newest file first: it holds the deliveries
                at = self._path(day)
                rounds.append(Round(self._file(day), shares[day].changes, shares[day].ids))
                self._write(rounds[-1], removal)
            for a_round in rounds:
                at = a_round.file.path
                a_round.file.connection.execute("COMMIT")
                self._settle(a_round, removal, applied)
        except sqlite3.Error as error:
            self._undo(rounds)
            left = [r.changes for r in rounds if r.file.day in shares and not r.settled]
            if error_code(error) == sqlite3.SQLITE_FULL:
                rest = changes if applied == Applied() else merge(left)
                raise StoreFull(
                    f"The disk under {at} is full. Free some room; what was accepted is safe.",
                    rest=rest,
                    applied=applied,
                ) from error
            if isinstance(error, sqlite3.IntegrityError) and applied == Applied():
                raise ValueError(f"{at}: {error}. A row of this round is there already.") from error
            self._fail(error, at)
        except BaseException:
            self._undo(rounds)
            raise
        applied.commit_s = time.perf_counter() - started
        applied.wal_octets = sum(r.file.wal_octets() for r in rounds)
        return applied

    def _write(self, a_round: Round, removal: Removal) -> None:
        file = a_round.file
        file.connection.execute("BEGIN IMMEDIATE")
        a_round.write()
        if removal.others and file.old_events:
            a_round.dropped_events = file.drop_old_events(removal.others)

    def _settle(self, a_round: Round, removal: Removal, applied: Applied) -> None:
        """One file's transaction is committed."""
        a_round.settle()
        changes = a_round.changes
        self._young_events.add(a_round.events)
        if changes.delivered:
            applied.delivered += self._young_events.remove(removal)
        a_round.file.old_events.subtract(account for account, _ in a_round.dropped_events)
        applied.delivered += len(a_round.dropped_events)
        applied.parts += len(changes.parts)
        applied.attempts += len(changes.attempts)
        applied.receipts += len(changes.receipts)
        applied.outcomes += len(a_round.ended)
        applied.refused_outcomes += a_round.refused_outcomes
        applied.refused_parts += a_round.refused_parts

    @staticmethod
    def _undo(rounds: Sequence[Round]) -> None:
        for a_round in rounds:
            if not a_round.settled:
                with suppress(sqlite3.Error):
                    a_round.file.rollback()

    def _fail(self, error: sqlite3.Error, at: Path) -> NoReturn:
        """Nothing may be written any more: what a failed fsync left on the disk is unknown (P10)."""
        name = getattr(error, "sqlite_errorname", "") or type(error).__name__
        self._failed = (
            f"{at}: {error} ({name}). Nothing since is promised; stop, look at the disk, start again:"
            " the file is checked then."
        )
        raise StoreFailed(self._failed) from error

    def _shares(self, changes: Changes) -> dict[int, Share]:
        """The round by day. Nearly always it is all one day's."""
        newest = self._days[-1]
        low, high = day_schema.first_id_of(newest), day_schema.first_id_of(newest + 1)
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
        """Keep (carrier, smsc_message_id, part id) that leave memory, for `find_by_smsc_id`."""
        by_day: dict[int, list[tuple[int, str, int]]] = {}
        for entry in entries:
            by_day.setdefault(id_day(entry[2]), []).append(entry)
        for day, some in by_day.items():
            try:
                with self._file(day).transaction() as connection:
                    REMEMBER.run(connection, sorted(some))
            except sqlite3.Error as error:
                if error_code(error) == sqlite3.SQLITE_FULL:
                    raise StoreFull(
                        f"The disk under {self._path(day)} is full.", rest=Changes(), applied=Applied()
                    ) from error
                self._fail(error, self._path(day))

    # -- maintenance ------------------------------------------------------------------------------

    def maintain(self, now_ms: int) -> Maintenance:
        """Checkpoint, index what grew old, roll over, remove old days, watch the disk. Some 10 ms."""
        report = Maintenance()
        try:
            today = now_ms // MS_A_DAY
            if today > self._days[-1]:
                self._file(today)
            report.more = self._age_parts(now_ms) | self._age_events(now_ms)
            self._checkpoint(now_ms, report)
            self._retire_days(now_ms, report)
        except sqlite3.Error as error:
            if error_code(error) != sqlite3.SQLITE_FULL:
                self._fail(error, self.directory)
        self._watch_disk(now_ms, report)
        return report

    def _age_parts(self, now_ms: int) -> bool:
        options = self.options
        more = False
        for file in list(self._files.values()):
            cutoff = ((now_ms - options.young_age_ms) // 1000 << SECOND_BITS) - 1
            crowded = file.young.parts() > options.young_rows_max
            if not crowded and now_ms - file.aged_at_ms < options.young_age_ms // 4:
                continue
            if crowded:
                cutoff = file.end_id
            left = file.age_parts(min(cutoff, file.newest_part()), options.age_rows_max)
            if not left:
                file.aged_at_ms = now_ms
            more |= left
        return more

    def _age_events(self, now_ms: int) -> bool:
        """Index events that nobody took for long, and move the marks behind which a start must look."""
        options = self.options
        events = self._young_events
        if not events.ticks or now_ms - events.ticks[-1].at_ms >= options.young_age_ms // 4:
            seqs = {day: file.delivered_seq for day, file in self._files.items()}
            events.ticks.append(Tick(now_ms, events.newest, seqs))
        crowded = events.count() > options.young_rows_max
        due = [t for t in events.ticks if crowded or now_ms - t.at_ms >= options.young_age_ms]
        if not due:
            return False
        tick = due[-1]
        ids, all_of_them = events.up_to(tick.newest, options.age_rows_max)
        left = set(ids)
        for day in sorted(self._files, reverse=True):
            file = self._files[day]
            marks = None
            if all_of_them and file.events_dirty:
                marks = (tick.newest, tick.delivered_seq.get(day, file.delivered_mark))
            if not left and marks is None:
                continue
            here = file.age_events(sorted(left), marks)
            left.difference_update(event for _, event in here)
            if marks is not None:
                file.events_dirty = file.delivered_seq > marks[1] or events.newest > marks[0]
            by_account: dict[int, list[int]] = {}
            for account, event in here:
                by_account.setdefault(account, []).append(event)
            for account, some in by_account.items():
                events.drop(account, some)
        if all_of_them:
            while events.ticks and events.ticks[0].at_ms <= tick.at_ms:
                events.ticks.popleft()
        return not all_of_them

    def _checkpoint(self, now_ms: int, report: Maintenance) -> None:
        """Copy logs into their files: small ones often, so that no round waits long for it."""
        options = self.options
        for file in list(self._files.values()):
            octets = file.wal_octets()
            report.wal_octets += octets
            idle = now_ms - file.checkpointed_at_ms >= IDLE_CHECKPOINT_MS
            if octets > options.wal_octets_high:
                report.checkpointed_octets += file.checkpoint("TRUNCATE")
            elif file.rows_since_checkpoint >= options.checkpoint_rows or (
                idle and file.rows_since_checkpoint
            ):
                report.checkpointed_octets += file.checkpoint()
            else:
                continue
            file.checkpointed_at_ms = now_ms

    def _retire_days(self, now_ms: int, report: Maintenance) -> None:
        today = now_ms // MS_A_DAY
        settled = (now_ms - SETTLE_MS) // MS_A_DAY
        for day in list(self._days):
            if day < today - self.options.retention_days:
                self._remove(day)
                report.removed_days.append(day)
            elif day >= settled or day in self._sealed:
                continue
            elif self._file(day).is_finished():
                if day in self._seal_next:
                    self._mark_sealed(day, now_ms)
                else:
                    report.days_to_seal.append(day)
            elif day not in self._searchable:
                report.days_to_seal.append(day)

    def _mark_sealed(self, day: int, now_ms: int) -> None:
        """A finished day whose indexes are whole: nothing more is expected, the writer lets go of it."""
        file = self._files.pop(day)
        file.set_sealed(now_ms)
        file.checkpoint()
        file.close()
        self._sealed.add(day)
        self._seal_next.discard(day)

    def _remove(self, day: int) -> None:
        """Retention: close everything on the file, then unlink it."""
        path = self._path(day)
        file = self._files.pop(day, None)
        if file is not None:
            file.close()
        self._days = [other for other in self._days if other != day]
        for some in (self._sealed, self._searchable, self._seal_next):
            some.discard(day)
        self._old_events.pop(day, None)
        for name in (path, search_path(path)):
            self._pool.retire(name)
            for suffix in ("", "-wal", "-shm"):
                name.with_name(name.name + suffix).unlink(missing_ok=True)

    def seal(self, day: int) -> None:
        """Index a past day for searches; seconds; any thread, beside everything else.

        It is asked for when the day is over, and once more when all its parts are final; after that the next
        `maintain` marks the day as sealed.
        """
        if day >= self._days[-1]:
            raise StoreError(f"{name_of_day(day)} is not over: only past days are sealed.")
        path = self._path(day)
        file = self._files.get(day)
        finished = file is not None and file.is_quiet() and self._is_finished(day)
        self._pool.retire(search_path(path))
        try:
            build_search(path, day, self._connect)
        except sqlite3.Error as error:
            raise StoreError(f"The search file of {path} cannot be built: {error}.") from error
        finally:
            self._pool.admit(search_path(path))
        self._searchable.add(day)
        if finished:
            self._seal_next.add(day)

    def _is_finished(self, day: int) -> bool:
        with self._reader(day) as connection:
            return is_finished(connection)

    def index_recent(self) -> int:
        """Index the newest day's next parts for searches; how many there were; any thread."""
        path = self._path(self._days[-1])
        try:
            return index_more(path, self._connect)
        except sqlite3.Error as error:
            raise StoreError(f"The search file of {path} cannot be written: {error}.") from error

    def disk_state(self) -> DiskState:
        """Whether there is room: "low" refuses new messages, "critical" stops sending as well (P9)."""
        options = self.options
        return disk.disk_state(
            self._free_octets(self.directory),
            low=max(options.disk_low_octets, int(self._written_octets_a_s * WRITES_AHEAD_S)),
            critical=options.disk_critical_octets,
        )

    def _watch_disk(self, now_ms: int, report: Maintenance) -> None:
        elapsed_s = (now_ms - self._watched_at_ms) / 1000
        if self._watched_at_ms and elapsed_s > 0:
            share = min(1.0, elapsed_s / WRITES_AVERAGED_S)
            rate = 2 * report.checkpointed_octets / elapsed_s  # once into the log, once into the file
            self._written_octets_a_s += share * (rate - self._written_octets_a_s)
        self._watched_at_ms = now_ms
        report.disk = self.disk_state()
        report.free_octets = self._free_octets(self.directory)
        if report.disk == "critical":
            disk.drop_ballast(self.directory)
        elif report.disk == "ok" and self.options.ballast_octets:
            disk.keep_ballast(self.directory, self.options.ballast_octets)

    # -- copies, proofs, the end ------------------------------------------------------------------

    def backup(self, destination: Path) -> list[Path]:
        """A consistent copy of every day file, while running; any thread."""
        target = Path(destination) / DAYS
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        copies = []
        for day in self.days():
            copy = target / self._path(day).name
            copy.unlink(missing_ok=True)
            copy.touch(mode=0o600)
            with self._reader(day) as connection:
                connection.execute("VACUUM INTO ?", (str(copy),))
            copies.append(copy)
        return copies

    def verify(self, user_of_account: Mapping[int, int] | None = None) -> list[str]:
        """Every contradiction found in the files; [] is as it must be. Reads everything."""
        problems: list[str] = []
        for day in self.days():
            with self._reader(day) as connection:
                problems += verify_day(connection, day)
            if self.recount_rollups(day) != self.rollups(day * 1440, (day + 1) * 1440):
                problems.append(f"{name_of_day(day)}: roll-ups differ from a recount (I17)")
            if user_of_account is not None:
                counted = {u: v for u, v in self.recount_usage(day, user_of_account).items() if v != (0, 0)}
                kept = {u: v for u, v in self.usage(day).items() if v != (0, 0)}
                if counted != kept:
                    problems.append(f"{name_of_day(day)}: usage differs from a recount (I7)")
        return problems

    def close(self) -> None:
        """Close every connection; the next start is a clean one unless the store had failed."""
        self._pool.close()
        for file in self._files.values():
            with suppress(sqlite3.Error):
                file.checkpoint("TRUNCATE")
            file.close()
        self._files.clear()
        if not self._failed:
            (self._days_directory / RUNNING).unlink(missing_ok=True)


def merge(many: Sequence[Changes]) -> Changes:
    """One `Changes` of several."""
    merged = Changes()
    for changes in many:
        for name in Changes.__struct_fields__:
            getattr(merged, name).extend(getattr(changes, name))
    return merged


def error_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code, 0 when the error is not SQLite's own."""
    code: int = getattr(error, "sqlite_errorcode", 0) or 0
    return code & 0xFF


def is_damage(error: sqlite3.DatabaseError) -> bool:
    code = error_code(error)
    return code in DAMAGE or (code == 0 and not isinstance(error, sqlite3.OperationalError))


def name_of_day(day: int) -> str:
    """2026-11-22"""
    return time.strftime("%Y-%m-%d", time.gmtime(day * 86_400))


def day_of_name(name: str) -> int | None:
    """Days since 1970, or None for a name that is no date."""
    try:
        year, month, day = map(int, name.split("-"))
        days = int(time.mktime((year, month, day, 0, 0, 0, 0, 0, 0)) - time.timezone) // 86_400
    except (ValueError, OverflowError):
        return None
    return days if name_of_day(days) == name else None
