"""What tasks take of their owner's parts, in the ledger: one row when they hold, one for what was used, one for what
came back.

`delta` is what the row changes of what is available: a hold takes all, what is used was taken already (0), the rest
comes back. `available` is what was left after the row, with everything else that the user sent until then.
"""

from typing import TYPE_CHECKING

from store.task_states import RESERVED

if TYPE_CHECKING:
    import sqlite3

    from store.config_db import Writing


def reserve(transaction: "Writing", task: int, user: int, parts: int, *, taken: int) -> None:
    """A confirmed task holds parts. `taken`: used and reserved by its owner, with these."""
    # Withdrawn and confirmed again before the daemon came to close the first hold: without these parts there
    # would be more available by as many.
    _close(transaction, task, 0, taken=taken - parts)
    limit = _limit(transaction, user)
    _record(transaction, "reserve", task, user, parts, -parts, limit, limit - taken)


def close(transaction: "Writing", task: int, used: int, *, taken: int) -> bool:
    """A task holds nothing any more: `used` parts were taken by carriers, the rest is available again.

    Again, for a task that holds nothing, or for one that was confirmed anew meanwhile, does nothing and gives False.
    Args:
      taken: what its owner has used and reserved now.
    """
    state = transaction.run("SELECT state FROM task WHERE id = ?", (task,)).fetchone()
    return state is not None and state[0] not in RESERVED and _close(transaction, task, used, taken=taken)


def _close(transaction: "Writing", task: int, used: int, *, taken: int) -> bool:
    row = transaction.run(
        "SELECT kind, user_id, parts FROM quota_entry WHERE task_id = ? ORDER BY id DESC LIMIT 1", (task,)
    ).fetchone()
    if row is None or row[0] != "reserve":
        return False
    _, user, held = row
    used = min(used, held)
    back, limit = held - used, _limit(transaction, user)
    if used:
        _record(transaction, "settle", task, user, used, 0, limit, limit - taken - back)
    if back:
        _record(transaction, "release", task, user, back, back, limit, limit - taken)
    return True


def left_open(connection: "sqlite3.Connection") -> list[int]:
    """Tasks that ended before they began, whose hold was not closed: the process ended in that moment."""
    rows = connection.execute(
        "SELECT t.id FROM quota_entry q JOIN task t ON t.id = q.task_id WHERE q.kind = 'reserve'"
        " AND (t.state IN ('preview', 'discarded') OR (t.state = 'finished' AND t.started_at = 0))"
        " AND NOT EXISTS (SELECT 1 FROM quota_entry l WHERE l.task_id = q.task_id AND l.id > q.id)"
    )
    return [row[0] for row in rows]


def _limit(transaction: "Writing", user: int) -> int:
    return int(transaction.run("SELECT granted FROM user WHERE id = ?", (user,)).fetchone()[0])


def _record(
    transaction: "Writing",
    kind: str,
    task: int,
    user: int,
    parts: int,
    delta: int,
    limit: int,
    available: int,
) -> None:
    transaction.run(
        "INSERT INTO quota_entry (at, actor, kind, user_id, delta, balance, task_id, parts, available)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (transaction.at, transaction.actor, kind, user, delta, limit, task, parts, available),
    )
