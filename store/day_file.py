"""One day file as its one writer sees it: transactions, what grows old, checkpoints, recovery."""

# ruff: noqa: S608 - names and numbers put into SQL are ours; every value is a parameter

import sqlite3
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from store import day_schema
from store.bulk import Bulk
from store.day_schema import ATTEMPT_BITS, attempt_key_sql, first_id_of
from store.port import StoreOptions
from store.young import PartKey, PartKeys, Young

Connect = Callable[..., sqlite3.Connection]

BUSY_TIMEOUT_MS = 5000
STATEMENTS_CACHED = 384  # 21 sizes of bulk statements for nine tables, and the rare ones

WAL_FRAME_HEADER_OCTETS = 24

ONE_ID = "(?)"
INDEX_OLD_PARTS = Bulk(
    "INSERT INTO open_part SELECT id, account, carrier, lane, sms_type, part_no = 1,"
    " state, expires_at FROM part WHERE id IN (VALUES ",
    ONE_ID,
    ")",
    rows_max=192,
)
INDEX_OLD_SENT = Bulk(
    "INSERT INTO open_part SELECT id, account, carrier, lane, sms_type, part_no = 1, 5, expires_at"
    " FROM part WHERE id IN (VALUES ",
    ONE_ID,
    ")",
    rows_max=192,
)
MARK_OLD_SENT = Bulk("UPDATE open_part SET state = 5 WHERE id IN (VALUES ", ONE_ID, ")", rows_max=192)
EVENTS_HERE = Bulk(
    "WITH v(id) AS (VALUES ",
    ONE_ID,
    ") SELECT account, id FROM receipt WHERE id IN (SELECT id FROM v)"
    " UNION ALL SELECT account, id FROM inbound WHERE id IN (SELECT id FROM v)",
    rows_max=192,
)
ADD_OLD_EVENTS = Bulk("INSERT OR IGNORE INTO open_event VALUES ", "(?,?)", rows_max=192)
DROP_OLD_EVENTS = Bulk(
    "WITH v(account, id) AS (VALUES ",
    "(?,?)",
    ") DELETE FROM open_event WHERE (account, id) IN (SELECT account, id FROM v) RETURNING account, id",
    rows_max=192,
)
OLD_KEYS = Bulk(
    "SELECT id, account, carrier, lane, sms_type, first, state FROM open_part WHERE id IN (VALUES ",
    ONE_ID,
    ")",
    rows_max=192,
)


class DayFile:
    """The writer's connection to `days/YYYY-MM-DD.db`, and what is young in it."""

    def __init__(
        self, path: Path, day: int, options: StoreOptions, connect: Connect, *, cache_kib: int
    ) -> None:
        """Open or create. Raises StoreFailed when it cannot be read or written, `Damaged` when corrupt."""
        self.path = path
        self.wal_path = path.with_name(path.name + "-wal")
        self.day = day
        self.first_id = first_id_of(day)
        self.end_id = first_id_of(day + 1)
        self.options = options
        self.young = Young()
        self.keys = PartKeys()
        self.checkpointed_at_ms = 0
        self.aged_at_ms = 0
        self.rows_since_checkpoint = 0
        # An attempt may be told twice (an answer after its timeout): the later telling stands.
        self.insert_attempts = Bulk(
            "INSERT OR REPLACE INTO attempt VALUES ",
            f"({attempt_key_sql(self.first_id)},?,?,?,?,?,?,?,?)",
        )
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
        except BaseException:
            self.connection.close()
            raise
        self.part_mark: int = marks[day_schema.PART_THROUGH]
        self.event_mark: int = marks[day_schema.EVENT_THROUGH]
        self.delivered_mark: int = marks[day_schema.DELIVERED_THROUGH]
        self.sealed_at: int = marks[day_schema.SEALED]
        self.delivered_seq = self._number("SELECT coalesce(max(seq), 0) FROM delivered")
        self.old_events: Counter[int] = Counter(
            dict(self.connection.execute("SELECT account, count(*) FROM open_event GROUP BY account"))
        )

    def _number(self, sql: str, parameters: tuple[object, ...] = ()) -> int:
        value: int = self.connection.execute(sql, parameters).fetchone()[0]
        return value

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

    # -- growing old ------------------------------------------------------------------------------

    def age_parts(self, through_id: int, rows_max: int) -> bool:
        """Index the open parts up to an id; True when `rows_max` left some for another call."""
        young = self.young
        unsent = [part_id for part_id in young.unsent if part_id <= through_id]
        sent = [part_id for part_id in young.sent if part_id <= through_id]
        more = False
        if len(unsent) + len(sent) > rows_max:
            more = True
            through_id = sorted(unsent + sent)[rows_max - 1]
            unsent = [part_id for part_id in unsent if part_id <= through_id]
            sent = [part_id for part_id in sent if part_id <= through_id]
        sent_old = list(young.sent_old)[:rows_max]
        if through_id <= self.part_mark and not sent_old:
            return more
        unsent.sort()
        sent.sort()
        with self.transaction() as connection:
            INDEX_OLD_PARTS.run(connection, [(part_id,) for part_id in unsent])
            INDEX_OLD_SENT.run(connection, [(part_id,) for part_id in sent])
            MARK_OLD_SENT.run(connection, [(part_id,) for part_id in sorted(sent_old)])
            if through_id > self.part_mark:
                self.set_mark(day_schema.PART_THROUGH, through_id)
        with young.lock:
            for part_id in unsent:
                del young.unsent[part_id]
            for part_id in sent:
                del young.sent[part_id]
            for part_id in sent_old:
                del young.sent_old[part_id]
            young.trim_queues()
        self.part_mark = max(self.part_mark, through_id)
        return more

    def age_events(self, ids: Sequence[int], marks: tuple[int, int] | None) -> list[tuple[int, int]]:
        """Index these events as far as they live here; their (account, event id).

        `marks` are the new event and delivered marks, once all events up to the first are indexed.
        """
        with self.transaction() as connection:
            here = EVENTS_HERE.fetch(connection, [(event,) for event in ids])
            ADD_OLD_EVENTS.run(connection, sorted(here))
            if marks is not None:
                self.set_mark(day_schema.EVENT_THROUGH, marks[0])
                self.set_mark(day_schema.DELIVERED_THROUGH, marks[1])
        self.old_events.update(account for account, _ in here)
        if marks is not None:
            self.event_mark, self.delivered_mark = marks
        return here

    def drop_old_events(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Take (account, event id) off the log where they are indexed here; those that were. In a
        transaction of the caller's."""
        return DROP_OLD_EVENTS.fetch(self.connection, pairs)

    def old_keys(self, ids: Sequence[int]) -> dict[int, PartKey]:
        """The keys of those ids that are in open_part, with their state there."""
        rows = OLD_KEYS.fetch(self.connection, [(part_id,) for part_id in ids])
        return {row[0]: self.key_of_row(row) for row in rows}

    def key_of_row(self, row: tuple[int, int, int, int, int, int, int]) -> PartKey:
        part_id, account, carrier, lane, sms_type, first, state = row
        return self.keys.get(minute_of(part_id), account, carrier, lane, sms_type, bool(first), state)

    # -- recovery ---------------------------------------------------------------------------------

    def index_all_parts(self) -> None:
        """After a start: everything behind the mark that is open is indexed, so that nothing is young."""
        first, bits = self.first_id, ATTEMPT_BITS
        accepted = (
            "EXISTS(SELECT 1 FROM attempt a WHERE a.key BETWEEN {id} AND {id} + "
            f"{(1 << bits) - 1} AND a.status = 0)"
        )
        with self.transaction() as connection:
            connection.execute(
                "UPDATE open_part SET state = 5 WHERE state != 5 AND state != 2 AND state != 7 AND "
                + accepted.format(id=f"((open_part.id - {first}) << {bits})")
            )
            newest = self._number("SELECT coalesce(max(id), 0) FROM part")
            if newest > self.part_mark:
                connection.execute(
                    "INSERT OR IGNORE INTO open_part"
                    " SELECT id, account, carrier, lane, sms_type, part_no = 1, CASE WHEN "
                    + accepted.format(id=f"((p.id - {first}) << {bits})")
                    + " THEN 5 ELSE state END, CASE WHEN state = 2 THEN deliver_at ELSE expires_at END"
                    " FROM part p WHERE id > ?"
                    " AND NOT EXISTS(SELECT 1 FROM outcome o WHERE o.part_id = p.id)",
                    (self.part_mark,),
                )
                self.set_mark(day_schema.PART_THROUGH, newest)
        self.part_mark = max(self.part_mark, newest)

    def events_behind_mark(self) -> dict[int, int]:
        """event id -> account, of events written behind the mark, delivered or not."""
        return dict(
            self.connection.execute(
                "SELECT id, account FROM receipt WHERE id > ? AND event = 1"
                " UNION ALL SELECT id, account FROM inbound WHERE id > ? AND event = 1",
                (self.event_mark, self.event_mark),
            )
        )

    def delivered_behind_mark(self) -> list[tuple[int, Sequence[int]]]:
        """(account, event ids) of the deliveries written behind the mark."""
        found: list[tuple[int, Sequence[int]]] = []
        for account, packed in self.connection.execute(
            "SELECT account, event_ids FROM delivered WHERE seq > ? AND done = 1", (self.delivered_mark,)
        ):
            ids = array("q")
            ids.frombytes(packed)
            found.append((account, ids))
        return found

    def index_all_events(self, pending: Sequence[tuple[int, int]], newest_event: int) -> None:
        """After a start: these (account, event id) are indexed, so that nothing is young."""
        with self.transaction() as connection:
            ADD_OLD_EVENTS.run(connection, sorted(pending))
            self.set_mark(day_schema.EVENT_THROUGH, newest_event)
            self.set_mark(day_schema.DELIVERED_THROUGH, self.delivered_seq)
            self.old_events = Counter(
                dict(connection.execute("SELECT account, count(*) FROM open_event GROUP BY account"))
            )
        self.event_mark = newest_event
        self.delivered_mark = self.delivered_seq

    def newest_part(self) -> int:
        return self._number("SELECT coalesce(max(id), 0) FROM part")

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

    def is_quiet(self) -> bool:
        """Nothing young is in it."""
        young = self.young
        return not (young.unsent or young.sent or young.sent_old or self.events_dirty)

    def is_finished(self) -> bool:
        """Every part is final, every event delivered, no receipt parked."""
        return self.is_quiet() and is_finished(self.connection)

    def set_sealed(self, at_ms: int) -> None:
        with self.transaction():
            self.set_mark(day_schema.SEALED, at_ms)
        self.sealed_at = at_ms

    def close(self) -> None:
        self.connection.close()


def minute_of(part_id: int) -> int:
    """Unix minutes of an id's birth: the minute its roll-ups count it in."""
    return (part_id >> 30) // 60


def quick_check(connection: sqlite3.Connection) -> list[str]:
    """Damage found in a file, [] when sound; half a second for 240 MB."""
    rows = [row[0] for row in connection.execute("PRAGMA quick_check(20)")]
    return [] if rows == ["ok"] else rows


def highest_id(connection: sqlite3.Connection) -> int:
    """The highest id of any kind in a day file."""
    ids: list[int] = [
        connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]
        for table in ("part", "receipt", "inbound", "parked")
    ]
    return max(ids)


def is_finished(connection: sqlite3.Connection) -> bool:
    """Nothing old is open in a day file."""
    found = connection.execute(
        "SELECT EXISTS(SELECT 1 FROM open_part) OR EXISTS(SELECT 1 FROM open_event)"
        " OR EXISTS(SELECT 1 FROM parked)"
    ).fetchone()
    return not found[0]
