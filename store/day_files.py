"""The day files of a data directory: which there are, which are open for writing, which are set aside.

The writer keeps few connections: the newest day's, and those of earlier days that something still happens to.
Every other connection is a reader's, lent by the pool.
"""

import sqlite3
from collections import Counter
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

from store.day_file import Connect, DayFile
from store.day_state import quick_check
from store.port import StoreFailed, StoreOptions
from store.readers import ReaderPool
from store.search import is_whole, search_path
from store.sqlite_errors import is_damage, is_full

DAYS = "days"
RUNNING = "running"  # present while a process has the store open, or ended without closing it
DAMAGED = ".damaged"
FILES_OPEN_MAX = 5  # today, yesterday, and stragglers of the 72 hours before
DAYS_AHEAD_MAX = 366  # an id so far ahead of the newest file is an error, not a date
EPOCH = date(1970, 1, 1)
SUFFIXES = ("", "-wal", "-shm")


class DayFiles:
    """Belongs to the writer; readers look at `days`, `open` and `old_events`, which change in one step."""

    def __init__(self, directory: Path, options: StoreOptions, connect: Connect) -> None:
        self.directory = directory / DAYS
        self.options = options
        self.connect = connect
        self.pool = ReaderPool(connect)
        self.days: list[int] = []  # ascending
        self.open: dict[int, DayFile] = {}
        self.sealed: set[int] = set()  # every part final, and marked so in the file
        self.searchable: set[int] = set()  # past days whose search file is whole
        self.old_events: dict[int, Counter[int]] = {}  # day -> account -> events in open_event
        self.logged_through: dict[int, int] = {}  # day -> the highest event id in its event_log, when closed
        self.quarantined: list[str] = []
        self.clean = True

    def load(self) -> None:
        """Take over what is there. Raises StoreFailed for a file that cannot be read, though not damaged."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        running = self.directory / RUNNING
        self.clean = not running.exists()
        running.touch(mode=0o600)
        for path in sorted(self.directory.glob("????-??-??.db")):
            day = day_of_name(path.stem)
            if day is not None:
                self._take_over(day)

    def path(self, day: int) -> Path:
        return self.directory / f"{name_of_day(day)}.db"

    @property
    def newest(self) -> int:
        return self.days[-1]

    def unsealed(self) -> list[int]:
        """Days that may hold anything open, ascending."""
        return [day for day in self.days if day not in self.sealed]

    def _take_over(self, day: int) -> None:
        path = self.path(day)
        try:
            file = self._open(day)
            damage = quick_check(file.connection) if self._is_suspect(file) else []
            if damage:
                file.close()
                self._set_aside(path, damage[0])
                return
        except sqlite3.DatabaseError as error:
            if is_full(error):
                raise
            if not is_damage(error):
                raise StoreFailed(f"{path} cannot be opened: {error}.") from error
            self._set_aside(path, str(error))
            return
        self.days = sorted({*self.days, day})
        self.old_events[day] = file.old_events
        self.logged_through[day] = file.logged_through
        if file.sealed_at:
            self.sealed.add(day)
            file.close()
        else:
            self.open[day] = file
        search = search_path(path)
        if search.exists():
            with suppress(sqlite3.Error), self.pool.lend(search) as connection:
                if is_whole(connection):
                    self.searchable.add(day)

    def _is_suspect(self, file: DayFile) -> bool:
        """Whether a crash may have left it damaged, and it is small enough to look at now."""
        small = file.path.stat().st_size <= self.options.quick_check_octets_max
        return not self.clean and not file.sealed_at and small

    def _set_aside(self, path: Path, why: str) -> None:
        """A damaged file is kept under another name, with its log, and the others go on (P15)."""
        aside = path.with_name(path.name + DAMAGED)
        number = 1
        while aside.exists():
            number += 1
            aside = path.with_name(f"{path.name}{DAMAGED}{number}")
        for suffix in SUFFIXES:
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        self.quarantined.append(f"{aside}: {why}")

    def _open(self, day: int) -> DayFile:
        newest = day >= max(self.days, default=day)
        cache_kib = self.options.cache_kib if newest else self.options.cache_kib // 8
        return DayFile(self.path(day), day, self.options, self.connect, cache_kib=cache_kib)

    def file(self, day: int) -> DayFile:
        """The writer's connection to a day, opened or made if need be.

        Raises ValueError for a day that no id can be of, sqlite3.Error when it cannot be opened.
        """
        file = self.open.get(day)
        if file is not None:
            return file
        path = self.path(day)
        if not path.exists():
            earliest = self.newest - self.options.retention_days if self.days else day
            if not earliest <= day <= max(self.days, default=day) + DAYS_AHEAD_MAX:
                raise ValueError(f"Day {day} is far from day {self.newest}, the newest there is.")
            path.touch(mode=0o600)
        file = self._open(day)
        if file.sealed_at:
            # Something late came for a finished day: it is open again until it is sealed anew.
            file.set_sealed(0)
            self.sealed.discard(day)
        self.open[day] = file
        self.old_events[day] = file.old_events
        self.days = sorted({*self.days, day})
        return file

    def days_logged_after(self, event: int) -> list[int]:
        """Days whose files have events for readers with a cursor behind an id, ascending."""
        found = []
        for day in self.days:
            file = self.open.get(day)
            through = file.logged_through if file is not None else self.logged_through.get(day, 0)
            if through > event:
                found.append(day)
        return found

    def close_quiet_ones(self) -> None:
        """Let go of the oldest days that nothing young is in, between rounds, down to `FILES_OPEN_MAX`."""
        for day in sorted(self.open):
            if len(self.open) <= FILES_OPEN_MAX:
                return
            if day != self.newest and self.open[day].is_quiet():
                self.close(day)

    def close(self, day: int) -> None:
        """Let go of a day as writer."""
        file = self.open[day]
        self.logged_through[day] = file.logged_through
        del self.open[day]
        file.checkpoint()
        file.close()

    def remove(self, day: int) -> None:
        """Retention: close everything on a day, then unlink it."""
        path = self.path(day)
        file = self.open.pop(day, None)
        if file is not None:
            file.close()
        self.days = [other for other in self.days if other != day]
        self.sealed.discard(day)
        self.searchable.discard(day)
        self.old_events.pop(day, None)
        self.logged_through.pop(day, None)
        for name in (path, search_path(path)):
            self.pool.renew(name)
            for suffix in SUFFIXES:
                name.with_name(name.name + suffix).unlink(missing_ok=True)

    def close_all(self, *, clean: bool) -> None:
        """Close every connection; `clean` says that the next start need not look for damage."""
        self.pool.close()
        for file in self.open.values():
            with suppress(sqlite3.Error):
                file.checkpoint("TRUNCATE")
            file.close()
        self.open.clear()
        if clean:
            (self.directory / RUNNING).unlink(missing_ok=True)


def name_of_day(day: int) -> str:
    """2026-11-22"""
    return str(EPOCH + timedelta(days=day))


def day_of_name(name: str) -> int | None:
    """Days since 1970, or None for a name that is no date."""
    try:
        return (date.fromisoformat(name) - EPOCH).days
    except ValueError:
        return None
