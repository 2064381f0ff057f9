"""What a store does by the clock: index what grew old, checkpoint, roll over, seal, remove, watch the disk.

`maintain` runs on the writer's thread, between rounds, in steps of some 10 ms. `seal` and `index_recent` take
seconds and run anywhere: they only read day files.
"""

import sqlite3

from store import disk
from store.day_files import name_of_day
from store.day_state import is_finished
from store.files import StoreError
from store.ids import SECOND_BITS
from store.port import DiskState, Maintenance
from store.reads import DayReads
from store.search import build_search, index_more, search_path
from store.sqlite_errors import is_full
from store.young_events import Tick

MS_A_DAY = 86_400_000
SETTLE_MS = 5 * 60_000  # so long after midnight nobody still commits a part of yesterday
IDLE_CHECKPOINT_MS = 60_000
WRITES_AVERAGED_S = 60.0
WRITES_AHEAD_S = 600  # room for so many seconds of writing is "low" (P9)


class Upkeep(DayReads):
    """The maintaining half of `SqliteStore`, which fills in these attributes."""

    _free_octets: disk.FreeOctets
    _written_octets_a_s: float
    _watched_at_ms: int
    _seal_next: set[int]  # finished days whose search file was built since

    def maintain(self, now_ms: int) -> Maintenance:
        """One step of upkeep. Raises StoreFailed; a full disk only puts work off."""
        report = Maintenance()
        try:
            if now_ms // MS_A_DAY > self._files.newest:
                self._files.file(now_ms // MS_A_DAY)
            report.more = self._age_parts(now_ms) | self._age_events(now_ms)
            self._checkpoint(now_ms, report)
            self._retire_days(now_ms, report)
            self._files.close_quiet_ones()
            report.unindexed_parts = self._files.open[self._files.newest].unindexed_parts
        except sqlite3.Error as error:
            if not is_full(error):
                self._fail(error, self._files.directory)
        self._watch_disk(now_ms, report)
        return report

    # -- growing old ------------------------------------------------------------------------------

    def _age_parts(self, now_ms: int) -> bool:
        """Index open parts that are no longer young; True when some are left for the next step."""
        options = self.options
        more = False
        for file in list(self._files.open.values()):
            crowded = file.young.parts() > options.young_rows_max
            if not crowded and now_ms - file.aged_at_ms < options.young_age_ms // 4:
                continue
            cutoff = file.end_id if crowded else (now_ms - options.young_age_ms) // 1000 << SECOND_BITS
            left = file.age_parts(min(cutoff, file.newest_part()), options.age_rows_max)
            if not left:
                file.aged_at_ms = now_ms
            more |= left
        return more

    def _age_events(self, now_ms: int) -> bool:
        """Index events that nobody took for long, and move the marks behind which a start must look."""
        options = self.options
        events = self._events
        if not events.ticks or now_ms - events.ticks[-1].at_ms >= options.young_age_ms // 4:
            seqs = {day: file.delivered_seq for day, file in self._files.open.items()}
            events.ticks.append(Tick(now_ms, events.newest, seqs))
        crowded = events.count() > options.young_rows_max
        due = [tick for tick in events.ticks if crowded or now_ms - tick.at_ms >= options.young_age_ms]
        if not due:
            return False
        tick = due[-1]
        ids, all_of_them = events.up_to(tick.newest, options.age_rows_max)
        left = set(ids)
        for day in sorted(self._files.open, reverse=True):
            file = self._files.open[day]
            marks = None
            if all_of_them and file.events_dirty:
                marks = (tick.newest, tick.delivered_seq.get(day, file.delivered_mark))
            if not left and marks is None:
                continue
            here = file.age_events(sorted(left), marks)
            left.difference_update(event for _, event in here)
            events.drop(here)
            if marks is not None:
                file.events_dirty = file.delivered_seq > marks[1] or events.newest > marks[0]
        if all_of_them:
            while events.ticks and events.ticks[0].at_ms <= tick.at_ms:
                events.ticks.popleft()
        return not all_of_them

    # -- the write-ahead logs ---------------------------------------------------------------------

    def _checkpoint(self, now_ms: int, report: Maintenance) -> None:
        """Copy logs into their files: small ones often, so that no round waits long for it."""
        options = self.options
        for file in list(self._files.open.values()):
            file.checkpointed_at_ms = file.checkpointed_at_ms or now_ms
            octets = file.wal_octets()
            report.wal_octets += octets
            rows = file.rows_since_checkpoint
            if octets > options.wal_octets_high:
                report.checkpointed_octets += file.checkpoint("TRUNCATE")
            elif rows >= options.checkpoint_rows or (
                rows and now_ms - file.checkpointed_at_ms >= IDLE_CHECKPOINT_MS
            ):
                report.checkpointed_octets += file.checkpoint()
            else:
                continue
            file.checkpointed_at_ms = now_ms

    # -- days that are over -----------------------------------------------------------------------

    def _retire_days(self, now_ms: int, report: Maintenance) -> None:
        files = self._files
        today = now_ms // MS_A_DAY
        settled = (now_ms - SETTLE_MS) // MS_A_DAY
        for day in list(files.days):
            if day < today - self.options.retention_days:
                files.remove(day)
                self._seal_next.discard(day)
                report.removed_days.append(day)
            elif day >= settled or day in files.sealed:
                continue
            elif day in files.open and files.open[day].is_quiet() and is_finished(files.open[day].connection):
                if day in self._seal_next:
                    self._mark_sealed(day, now_ms)
                else:
                    report.days_to_seal.append(day)
            elif day not in files.searchable:
                report.days_to_seal.append(day)

    def _mark_sealed(self, day: int, now_ms: int) -> None:
        """A finished day whose indexes are whole: nothing more is expected, the writer lets go of it."""
        self._files.open[day].set_sealed(now_ms)
        self._files.close(day)
        self._files.sealed.add(day)
        self._seal_next.discard(day)

    def seal(self, day: int) -> None:
        """Index a past day for searches; seconds; any thread, beside everything else.

        It is asked for when the day is over, and once more when all its parts are final; after that the next
        `maintain` marks the day as sealed. Without room on the disk it is put off: `maintain` asks again.
        """
        files = self._files
        if day >= files.newest:
            raise StoreError(f"{name_of_day(day)} is not over: only past days are sealed.")
        path = files.path(day)
        file = files.open.get(day)
        with self._reader(day) as connection:
            finished = file is not None and file.is_quiet() and is_finished(connection)
        try:
            build_search(path, day, files.connect)
        except sqlite3.Error as error:
            if is_full(error):
                return
            raise StoreError(f"The search file of {path} cannot be built: {error}.") from error
        finally:
            files.pool.renew(search_path(path))
        files.searchable.add(day)
        if finished:
            self._seal_next.add(day)

    def index_recent(self) -> int:
        """Index the newest day's next parts for searches; how many there were; any thread."""
        day = self._files.newest
        path = self._files.path(day)
        try:
            count = index_more(path, self._files.connect)
            file = self._files.open.get(day)
            if file is not None:
                file.unindexed_parts = max(0, file.unindexed_parts - count) if count else 0
            return count
        except sqlite3.Error as error:
            if is_full(error):
                return 0
            raise StoreError(f"The search file of {path} cannot be written: {error}.") from error

    # -- the disk ---------------------------------------------------------------------------------

    def disk_state(self) -> DiskState:
        """Whether there is room: "low" refuses new messages, "critical" stops sending as well (P9)."""
        options = self.options
        return disk.disk_state(
            self._free_octets(self._files.directory),
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
        report.free_octets = self._free_octets(self._files.directory)
        if report.disk == "critical":
            disk.drop_ballast(self._files.directory)
        elif report.disk == "ok" and self.options.ballast_octets:
            disk.keep_ballast(self._files.directory, self.options.ballast_octets)
