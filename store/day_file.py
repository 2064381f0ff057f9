"""One day file as its one writer sees it: transactions, what grows old, the write-ahead log."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from store import day_schema, day_sql
from store.day_schema import first_id_of
from store.port import StoreOptions
from store.young import PartKey, PartKeys, Young

Connect = Callable[..., sqlite3.Connection]

BUSY_TIMEOUT_MS = 5000
STATEMENTS_CACHED = 384  # 21 sizes of bulk statements for nine tables, and the rare ones
WAL_FRAME_HEADER_OCTETS = 24


class DayFile:
    """The writer's connection to `days/YYYY-MM-DD.db`, and what is young in it."""

    def __init__(
        self, path: Path, day: int, options: StoreOptions, connect: Connect, *, cache_kib: int
    ) -> None:
        """Open the file, or make its tables. Raises sqlite3.Error when that fails."""
        self.path = path
        self.wal_path = path.with_name(path.name + "-wal")
        self.day = day
        self.first_id = first_id_of(day)
        self.end_id = first_id_of(day + 1)
        self.options = options
        self.young = Young()
        self.keys = PartKeys()
        self.insert_attempts = day_sql.insert_attempts(self.first_id)
        self.checkpointed_at_ms = 0
        self.aged_at_ms = 0
        self.rows_since_checkpoint = 0
        self.unindexed_parts = 0  # parts that no search file has, as far as this process knows
        self.events_dirty = False  # events or deliveries were written since the event mark
        self.connection = connect(
            path,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS_CACHED,
            timeout=BUSY_TIMEOUT_MS / 1000,
        )
        try:
            for pragma in (
                f"page_size={options.page_octets}",
                "journal_mode=WAL",
                "synchronous=FULL",
                "wal_autocheckpoint=0",
                f"journal_size_limit={options.wal_octets_high}",
                f"cache_size=-{cache_kib}",
                "temp_store=MEMORY",
                "mmap_size=0",
            ):
                self.connection.execute("PRAGMA " + pragma).fetchall()
            day_schema.migrate(self.connection)
            marks = dict(self.connection.execute("SELECT name, value FROM mark").fetchall())
            self.delivered_seq = self.number("SELECT coalesce(max(seq), 0) FROM delivered")
            self.old_events = self.count_old_events()
        except BaseException:
            self.connection.close()
            raise
        self.part_mark: int = marks[day_schema.PART_THROUGH]
        self.event_mark: int = marks[day_schema.EVENT_THROUGH]
        self.delivered_mark: int = marks[day_schema.DELIVERED_THROUGH]
        self.sealed_at: int = marks[day_schema.SEALED]
        self.logged_through: int = marks[day_schema.LOGGED_THROUGH]

    def number(self, sql: str) -> int:
        """The one value that a query gives."""
        value: int = self.connection.execute(sql).fetchone()[0]
        return value

    def newest_part(self) -> int:
        return self.number("SELECT coalesce(max(id), 0) FROM part")

    def count_old_events(self) -> Counter[int]:
        """account -> events indexed here."""
        return Counter(
            dict(self.connection.execute("SELECT account, count(*) FROM open_event GROUP BY account"))
        )

    def is_quiet(self) -> bool:
        """Nothing young is in it."""
        young = self.young
        return not (young.unsent or young.sent or young.sent_old or self.events_dirty)

    def close(self) -> None:
        self.connection.close()

    # -- transactions -----------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One `BEGIN IMMEDIATE` ... `COMMIT`; rolled back on any exception."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise

    def rollback(self) -> None:
        """Undo what is not committed. SQLite may have done so itself after an error."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def set_mark(self, name: str, value: int) -> None:
        self.connection.execute("UPDATE mark SET value = ? WHERE name = ?", (value, name))

    def set_sealed(self, at_ms: int) -> None:
        with self.transaction():
            self.set_mark(day_schema.SEALED, at_ms)
        self.sealed_at = at_ms

    # -- growing old ------------------------------------------------------------------------------

    def age_parts(self, through_id: int, rows_max: int) -> bool:
        """Index the open parts up to an id; True when `rows_max` left some for another call."""
        young = self.young
        unsent = sorted(part_id for part_id in young.unsent if part_id <= through_id)
        sent = sorted(part_id for part_id in young.sent if part_id <= through_id)
        sent_old = sorted(young.sent_old)[:rows_max]
        more = len(unsent) + len(sent) > rows_max
        if more:
            through_id = sorted(unsent + sent)[rows_max - 1]
            unsent = [part_id for part_id in unsent if part_id <= through_id]
            sent = [part_id for part_id in sent if part_id <= through_id]
        if through_id <= self.part_mark and not sent_old:
            return more
        with self.transaction() as connection:
            day_sql.INDEX_UNSENT.run(connection, [(part_id,) for part_id in unsent])
            day_sql.INDEX_SENT.run(connection, [(part_id,) for part_id in sent])
            day_sql.MARK_SENT.run(connection, [(part_id,) for part_id in sent_old])
            if through_id > self.part_mark:
                self.set_mark(day_schema.PART_THROUGH, through_id)
        young.forget(unsent, sent, sent_old)
        self.part_mark = max(self.part_mark, through_id)
        return more

    def age_events(self, ids: Sequence[int], marks: tuple[int, int] | None) -> list[tuple[int, int]]:
        """Index these events as far as they live here; their (account, event id).

        `marks` are the new event and delivered marks, once all events up to the first are indexed.
        """
        with self.transaction() as connection:
            here = day_sql.EVENTS_HERE.fetch(connection, [(event,) for event in ids])
            day_sql.INSERT_OPEN_EVENTS.run(connection, sorted(here))
            if marks is not None:
                self.set_mark(day_schema.EVENT_THROUGH, marks[0])
                self.set_mark(day_schema.DELIVERED_THROUGH, marks[1])
        self.old_events.update(account for account, _ in here)
        if marks is not None:
            self.event_mark, self.delivered_mark = marks
        return here

    def take_old_events(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Take (account, event id) off the log where they are indexed here; those that were. Inside a
        transaction of the caller's, who changes `old_events` once it is committed."""
        return day_sql.TAKE_OPEN_EVENTS.fetch(self.connection, pairs)

    def old_keys(self, ids: Sequence[int]) -> dict[int, PartKey]:
        """The keys of those ids that are in open_part, with their state there."""
        rows = day_sql.OPEN_PARTS.fetch(self.connection, [(part_id,) for part_id in ids])
        return {row[0]: self.key_of_row(row) for row in rows}

    def take_old_parts(self, ids: Sequence[int]) -> dict[int, PartKey]:
        """Take parts out of open_part; the keys of those that were in it."""
        rows = day_sql.TAKE_OPEN_PARTS.fetch(self.connection, [(part_id,) for part_id in sorted(ids)])
        return {row[0]: self.key_of_row(row) for row in rows}

    def key_of_row(self, row: tuple[int, int, int, int, int, int, int]) -> PartKey:
        part_id, account, carrier, lane, sms_type, first, state = row
        return self.keys.get(minute_of(part_id), account, carrier, lane, sms_type, bool(first), state)

    # -- the write-ahead log ----------------------------------------------------------------------

    def wal_octets(self) -> int:
        """Size of the log file. Its used part is smaller: after a checkpoint it is written from the start."""
        try:
            return self.wal_path.stat().st_size
        except FileNotFoundError:
            return 0

    def checkpoint(self, mode: str = "PASSIVE") -> int:
        """Copy the log into the file as far as readers allow; octets that the log held.

        The log file keeps its size and is written again from its start: pages that are there already cost a
        third of fresh ones. A mode of "TRUNCATE" waits for readers and gives the room back.
        """
        frames: int = self.connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[1]
        self.rows_since_checkpoint = 0
        return max(frames, 0) * (self.options.page_octets + WAL_FRAME_HEADER_OCTETS)


def minute_of(part_id: int) -> int:
    """Unix minutes of an id's birth: the minute its roll-ups count it in."""
    return (part_id >> 30) // 60
