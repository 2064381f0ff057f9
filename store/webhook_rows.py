"""How far each webhook has heard, and the deliveries that failed: to be tried again, or dead.

Plain calls on the open `api.db`: those that write belong to its writer thread, those that read to any. A delivery
names its events by the range of their seqs; the events themselves are in the day files. The store is the last
argument, so that the rest can be bound before the call goes to a thread.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from store.api_db import ApiStore

ROWS_A_PURGE = 5_000


class DeliveryRow(msgspec.Struct):
    """One request that failed, or waits. `id` 0: not stored yet."""

    id: int
    webhook: int
    url: str  # "" = the endpoint's own
    kind: str
    first: int  # seq
    last: int
    events: int
    attempts: int = 0
    due_at: int = 0
    made_at: int = 0
    status: int = 0  # of the last answer, 0 where none came
    error: str = ""
    dead_at: int = 0


_COLUMNS = "id, webhook, url, kind, first, last, events, attempts, due_at, made_at, status, error, dead_at"
_INSERT = f"INSERT INTO webhook_delivery ({_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608


def positions(store: ApiStore) -> dict[int, int]:
    """webhook -> the seq up to which it has heard everything, or has it in a row of its own."""
    with store.reading() as connection:
        return dict(connection.execute("SELECT webhook, seq FROM webhook_position"))


def save_positions(seqs: Mapping[int, int], store: ApiStore) -> None:
    with store.writing() as connection:
        connection.executemany("INSERT OR REPLACE INTO webhook_position VALUES (?, ?)", seqs.items())


def save_deliveries(rows: Sequence[DeliveryRow], store: ApiStore) -> None:
    """Store new ones, and what changed of known ones."""
    with store.writing() as connection:
        for row in rows:
            if row.id:
                connection.execute(
                    "UPDATE webhook_delivery SET attempts = ?, due_at = ?, status = ?, error = ?, dead_at = ?"
                    " WHERE id = ?",
                    (row.attempts, row.due_at, row.status, row.error, row.dead_at, row.id),
                )
            else:
                found = connection.execute(_INSERT, msgspec.structs.astuple(row)[1:]).lastrowid
                assert found is not None
                row.id = found


def remove_delivery(identifier: int, store: ApiStore) -> None:
    """It has arrived."""
    with store.writing() as connection:
        connection.execute("DELETE FROM webhook_delivery WHERE id = ?", (identifier,))


def due(webhook: int, now_ms: int, limit: int, but: Collection[int], store: ApiStore) -> list[DeliveryRow]:
    """Deliveries to try now, the longest due first. `but`: ids that are under way."""
    with store.reading() as connection:
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM webhook_delivery"  # noqa: S608
            " WHERE webhook = ? AND dead_at = 0 AND due_at <= ? ORDER BY due_at LIMIT ?",
            (webhook, now_ms, limit + len(but)),
        ).fetchall()
    return [DeliveryRow(*row) for row in rows if row[0] not in but][:limit]


def next_due(webhook: int, after_ms: int, store: ApiStore) -> int:
    """When the next delivery falls due behind `after_ms`, 0 for never."""
    with store.reading() as connection:
        found = connection.execute(
            "SELECT min(due_at) FROM webhook_delivery WHERE webhook = ? AND dead_at = 0 AND due_at > ?",
            (webhook, after_ms),
        ).fetchone()[0]
    return found or 0


def dead(webhook: int, before: int, limit: int, store: ApiStore) -> list[DeliveryRow]:
    """Dead letters of an endpoint with ids below `before`, newest first."""
    with store.reading() as connection:
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM webhook_delivery"  # noqa: S608
            " WHERE webhook = ? AND dead_at <> 0 AND id < ? ORDER BY id DESC LIMIT ?",
            (webhook, before, limit),
        ).fetchall()
    return [DeliveryRow(*row) for row in rows]


def covering(webhook: int, seq: int, store: ApiStore) -> list[DeliveryRow]:
    """Deliveries of an endpoint that failed, or were given up, with an event of this seq."""
    with store.reading() as connection:
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM webhook_delivery"  # noqa: S608
            " WHERE webhook = ? AND first <= ? AND last >= ? ORDER BY id",
            (webhook, seq, seq),
        ).fetchall()
    return [DeliveryRow(*row) for row in rows]


def counts(webhook: int, store: ApiStore) -> tuple[int, int]:
    """(deliveries waiting for another attempt, dead letters)."""
    with store.reading() as connection:
        waiting, dead_letters = connection.execute(
            "SELECT (SELECT count(*) FROM webhook_delivery WHERE webhook = ?1 AND dead_at = 0),"
            " (SELECT count(*) FROM webhook_delivery WHERE webhook = ?1 AND dead_at <> 0)",
            (webhook,),
        ).fetchone()
    return waiting, dead_letters


def revive(webhook: int, first: int, last: int, now_ms: int, store: ApiStore) -> tuple[int, int]:
    """Dead letters with events in first..last (seq) begin anew: (deliveries, events)."""
    with store.writing() as connection:
        where = "webhook = ? AND dead_at <> 0 AND first <= ? AND last >= ?"
        rows, events = connection.execute(
            f"SELECT count(*), ifnull(sum(events), 0) FROM webhook_delivery WHERE {where}",  # noqa: S608
            (webhook, last, first),
        ).fetchone()
        connection.execute(
            f"UPDATE webhook_delivery SET dead_at = 0, attempts = 0, due_at = ? WHERE {where}",  # noqa: S608
            (now_ms, webhook, last, first),
        )
    return rows, events


def forget(known: Collection[int], dead_before_ms: int, store: ApiStore) -> bool:
    """Take out dead letters that are too old, and all of endpoints that are no more; True when there is more.

    Args:
      known: endpoints that there are.
    """
    with store.writing() as connection:
        done = connection.execute(
            "DELETE FROM webhook_delivery WHERE id IN (SELECT id FROM webhook_delivery"
            " WHERE dead_at <> 0 AND dead_at < ? LIMIT ?)",
            (dead_before_ms, ROWS_A_PURGE),
        ).rowcount
        ids = connection.execute(
            "SELECT webhook FROM webhook_position UNION SELECT DISTINCT webhook FROM webhook_delivery"
        ).fetchall()
        for (webhook,) in ids:
            if webhook not in known:
                connection.execute("DELETE FROM webhook_position WHERE webhook = ?", (webhook,))
                connection.execute("DELETE FROM webhook_delivery WHERE webhook = ?", (webhook,))
    return done == ROWS_A_PURGE
