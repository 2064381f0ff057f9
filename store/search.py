"""Search files: `days/YYYY-MM-DD.search.db`, indexes of a day's parts by number, account and carrier id.

They are kept out of the day file and off the writer, because a random key costs 26 times the log of an
increasing one. `index_more` sorts the parts since the last time into one more segment, on whatever thread
calls it; when the day is over, `build_search` makes one segment of it all. Both only read the day file, and
a search file can be thrown away and built again at any time.
"""

# ruff: noqa: S608 - names and numbers put into SQL are ours; every value is a parameter

import os
import sqlite3
from pathlib import Path

from store.day_file import Connect
from store.day_schema import ATTEMPT_BITS, first_id_of

SORT_CACHE_KIB = 131_072
SEGMENT_PARTS_MAX = 200_000  # 0.2 s of sorting; ten million parts a day are 50 seeks a search
WHOLE_DAY = 0  # the segment of a finished day

TABLES = """
CREATE TABLE IF NOT EXISTS segment(segment INTEGER PRIMARY KEY, through_id INTEGER);
CREATE TABLE IF NOT EXISTS by_dest(segment INTEGER, dest INTEGER, id INTEGER,
  PRIMARY KEY(segment, dest, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS by_account(segment INTEGER, account INTEGER, id INTEGER,
  PRIMARY KEY(segment, account, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS by_smsc_id(carrier INTEGER, smsc_message_id TEXT, part_id INTEGER,
  PRIMARY KEY(carrier, smsc_message_id, part_id)) WITHOUT ROWID;
"""


def search_path(day_path: Path) -> Path:
    return day_path.with_suffix(".search.db")


def _open(path: Path, day_path: Path, connect: Connect, *pragmas: str) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = connect(path.absolute().as_uri(), uri=True, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (f"cache_size=-{SORT_CACHE_KIB}", *pragmas):
            connection.execute("PRAGMA " + pragma).fetchall()
        connection.execute("ATTACH ? AS day", (f"{day_path.absolute().as_uri()}?mode=ro",))
    except BaseException:
        connection.close()
        raise
    return connection


def index_more(day_path: Path, connect: Connect, *, parts_max: int = SEGMENT_PARTS_MAX) -> int:
    """Add the day's next parts, by id, as one segment; how many there were."""
    connection = _open(search_path(day_path), day_path, connect, "journal_mode=WAL", "synchronous=NORMAL")
    try:
        connection.executescript(TABLES)
        segment, after = connection.execute(
            "SELECT coalesce(max(segment), 0), coalesce(max(through_id), 0) FROM segment"
        ).fetchone()
        count, through = connection.execute(
            "SELECT count(*), max(id) FROM (SELECT id FROM day.part WHERE id > ? ORDER BY id LIMIT ?)",
            (after, parts_max),
        ).fetchone()
        if not count:
            return 0
        connection.execute("BEGIN IMMEDIATE")
        for table, column in (("by_dest", "dest"), ("by_account", "account")):
            connection.execute(
                f"INSERT INTO {table} SELECT ?, {column}, id FROM day.part"
                f" WHERE id > ? AND id <= ? ORDER BY {column}, id",
                (segment + 1, after, through),
            )
        connection.execute("INSERT INTO segment VALUES (?, ?)", (segment + 1, through))
        connection.execute("COMMIT")
        return int(count)
    finally:
        connection.close()


def build_search(day_path: Path, day: int, connect: Connect) -> Path:
    """Make the whole search file of a finished day; some seconds a million parts.

    It is built under another name and takes the old one's place in one step.
    """
    final = search_path(day_path)
    building = final.with_name(final.name + ".building")
    building.unlink(missing_ok=True)
    connection = _open(building, day_path, connect, "journal_mode=OFF", "synchronous=OFF")
    try:
        connection.executescript(TABLES)
        first = first_id_of(day)
        for statement in (
            f"INSERT INTO by_dest SELECT {WHOLE_DAY}, dest, id FROM day.part ORDER BY dest, id",
            f"INSERT INTO by_account SELECT {WHOLE_DAY}, account, id FROM day.part ORDER BY account, id",
            "INSERT OR IGNORE INTO by_smsc_id"
            f" SELECT carrier, smsc_message_id, (key >> {ATTEMPT_BITS}) + {first} FROM day.attempt"
            " WHERE status = 0 AND smsc_message_id != '' ORDER BY 1, 2, 3",
            f"INSERT INTO segment SELECT {WHOLE_DAY}, coalesce(max(id), 0) FROM day.part",
        ):
            connection.execute("BEGIN")
            connection.execute(statement)
            connection.execute("COMMIT")
    except BaseException:
        building.unlink()
        raise
    finally:
        connection.close()
    descriptor = os.open(building, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    for suffix in ("-wal", "-shm"):
        final.with_name(final.name + suffix).unlink(missing_ok=True)
    building.rename(final)
    return final


def segments_of(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """(segment, highest id in it) of a search file, newest first; [] while it is being made."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'by_smsc_id'").fetchone():
        return []
    return connection.execute("SELECT segment, through_id FROM segment ORDER BY segment DESC").fetchall()


def is_whole(connection: sqlite3.Connection) -> bool:
    """Whether a search file covers a finished day, rather than the first segments of a running one."""
    return any(segment == WHOLE_DAY for segment, _ in segments_of(connection))
