"""Events that the gateway itself makes (`batch.finished`, `quota.low` …), told exactly once over crashes.

What is to be told is written here first, then put on the accounts' logs (another file), then taken out again together
with what has been told. After a crash the rows that are left say what may or may not be on the logs already.

Plain calls on the open `api.db`: those that write belong to its writer thread, those that read to any. The store is
the last argument, so that the rest can be bound before the call goes to a thread.
"""

import msgspec

from store.api_db import ApiStore


class Announcement(msgspec.Struct, frozen=True):
    """One event for one account's log. `data`: JSON."""

    account: int
    kind: str
    data: bytes


class Told(msgspec.Struct):
    """What holds once the announcements are on their logs."""

    batches: list[int] = []  # their ends are told
    notes: list[tuple[str, int, str]] = []  # kind, subject, and what was said of it; "" forgets it


class Pending(msgspec.Struct):
    """Announcements that are being told. `after`: they are on the logs behind this seq, if at all."""

    id: int
    after: int
    announcements: list[Announcement]
    told: Told


def begin(after: int, announcements: list[Announcement], told: Told, store: ApiStore) -> int:
    """Note what is going to be told; its id."""
    with store.writing() as connection:
        found = connection.execute(
            "INSERT INTO announcement (after, events, told) VALUES (?, ?, ?)",
            (after, msgspec.json.encode(announcements), msgspec.json.encode(told)),
        ).lastrowid
    assert found is not None
    return found


def settle(identifier: int, told: Told, store: ApiStore) -> None:
    """It is on the logs. `identifier` 0: there was nobody to tell."""
    with store.writing() as connection:
        connection.execute("DELETE FROM announcement WHERE id = ?", (identifier,))
        connection.executemany(
            "INSERT OR IGNORE INTO batch_told VALUES (?)", [(batch,) for batch in told.batches]
        )
        for kind, subject, value in told.notes:
            if value:
                connection.execute("INSERT OR REPLACE INTO note VALUES (?, ?, ?)", (kind, subject, value))
            else:
                connection.execute("DELETE FROM note WHERE kind = ? AND subject = ?", (kind, subject))


def pending(store: ApiStore) -> list[Pending]:
    """What was being told when the process ended."""
    with store.reading() as connection:
        rows = connection.execute("SELECT id, after, events, told FROM announcement ORDER BY id").fetchall()
    return [
        Pending(
            row[0],
            row[1],
            msgspec.json.decode(row[2], type=list[Announcement]),
            msgspec.json.decode(row[3], type=Told),
        )
        for row in rows
    ]


def notes(kind: str, store: ApiStore) -> dict[int, str]:
    """subject -> what was said of it last."""
    with store.reading() as connection:
        return dict(connection.execute("SELECT subject, value FROM note WHERE kind = ?", (kind,)))
