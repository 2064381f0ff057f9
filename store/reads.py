"""The reads of the traffic store: each on a lent `mode=ro` connection, short, going on from a key.

What is open is found in two places: indexed on disk (`open_part`, `open_event`) and young in memory. Memory
is looked at first: what grows old in between is then seen twice, never not at all. This module has what all
reads share; `reads_open`, `reads_events`, `reads_lookup` and `reads_figures` have the calls.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from store.day_files import DayFiles
from store.day_state import quick_check
from store.files import StoreError
from store.ids import id_day
from store.model import Part
from store.part_rows import part_sql
from store.port import StoreOptions
from store.sqlite_errors import is_failure
from store.young_events import YoungEvents

IDS_A_STATEMENT = 500


class DayReads:
    """What all reads share. The writer's half of the store fills in the attributes."""

    options: StoreOptions
    _files: DayFiles
    _events: YoungEvents

    def _fail(self, error: sqlite3.Error, at: object) -> NoReturn:
        raise AssertionError

    @contextmanager
    def _lend(self, path: Path) -> Iterator[sqlite3.Connection]:
        try:
            with self._files.pool.lend(path) as connection:
                yield connection
        except sqlite3.Error as error:
            if is_failure(error) and any(file.path == path for file in list(self._files.open.values())):
                self._fail(error, path)  # what is written to as well; a past day only fails who asks for it
            raise StoreError(f"{path} cannot be read: {error}.") from error

    def _reader(self, day: int) -> AbstractContextManager[sqlite3.Connection]:
        """A connection to a day's file. Raises StoreError when it is damaged or gone, StoreFailed if it is open."""
        return self._lend(self._files.path(day))

    def days(self) -> list[int]:
        """The days there are files of, ascending."""
        return list(self._files.days)

    def _recent_days(self) -> list[int]:
        """The days in which something that is still under way may have been born, newest first."""
        files = self._files
        return [day for day in reversed(files.days) if day > files.newest - self.options.lookback_days]

    def check_day(self, day: int) -> list[str]:
        """Damage found in a day's file, [] when sound: half a second for 240 MB; any thread."""
        with self._reader(day) as connection:
            return quick_check(connection)

    def _parts_of_day(self, day: int, ids: Sequence[int]) -> list[Part]:
        found: list[Part] = []
        with self._reader(day) as connection:
            for some in chunks(ids):
                sql = part_sql(day, f"WHERE p.id IN ({holes(len(some))}) ORDER BY p.id")
                found += [Part(*row) for row in connection.execute(sql, tuple(some))]
        return found

    def parts(self, ids: Sequence[int]) -> list[Part]:
        """The parts there are, by id."""
        found: list[Part] = []
        for day, some in by_day(ids).items():
            if day in self._files.days:
                found += self._parts_of_day(day, some)
        found.sort(key=lambda part: part.id)
        return found


def ids_of(rows: Iterable[tuple[Any, ...]]) -> list[int]:
    """The first column of what a query gave."""
    return [row[0] for row in rows]


def by_day(ids: Sequence[int]) -> dict[int, list[int]]:
    days: dict[int, list[int]] = {}
    for part_id in ids:
        days.setdefault(id_day(part_id), []).append(part_id)
    return days


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), IDS_A_STATEMENT):
        yield values[start : start + IDS_A_STATEMENT]


def holes(count: int) -> str:
    """?,?,? for an IN list."""
    return ",".join("?" * count)
