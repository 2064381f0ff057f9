"""Questions to a day file on any connection to it."""
# ruff: noqa: S608 - names put into SQL are ours

import sqlite3


def quick_check(connection: sqlite3.Connection) -> list[str]:
    """Damage found in a file, [] when sound; half a second for 240 MB."""
    rows = [row[0] for row in connection.execute("PRAGMA quick_check(20)")]
    return [] if rows == ["ok"] else rows


def highest_id(connection: sqlite3.Connection) -> int:
    """The highest id of any kind in a day file."""
    ids: list[int] = [
        connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]
        for table in ("part", "receipt", "inbound", "parked", "notice")
    ]
    return max(ids)


def is_finished(connection: sqlite3.Connection) -> bool:
    """Nothing old is open: every such part final, every event delivered, no receipt parked."""
    found = connection.execute(
        "SELECT EXISTS(SELECT 1 FROM open_part) OR EXISTS(SELECT 1 FROM open_event)"
        " OR EXISTS(SELECT 1 FROM parked)"
    ).fetchone()
    return not found[0]
