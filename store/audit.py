"""The audit log: who changed what, in the same transaction as the change (promise P14), chained by hash.

Each row's hash covers the row before it, so that changing, removing or inserting a row breaks the chain from
there on. The chain cannot show that its newest rows were cut off: export `head()` elsewhere for that.
"""

import hashlib
import sqlite3
from typing import Any

import msgspec

FIRST = bytes(32)  # what the first row follows
_encode = msgspec.json.Encoder(order="deterministic").encode


class AuditRow(msgspec.Struct, frozen=True):
    """One event. `detail` is JSON: names, old and new values, counts; secrets never."""

    id: int
    at: int  # UTC milliseconds
    actor: str  # "cli:root", "console:login", "gateway"
    action: str  # "apply", "topup", "blacklist.add"
    target: str
    detail: str


def append(
    connection: sqlite3.Connection, *, at: int, actor: str, action: str, target: str, detail: dict[str, Any]
) -> None:
    """Add an event within the caller's write transaction."""
    last = connection.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    identifier, previous = (last[0] + 1, last[1]) if last else (1, FIRST)
    row = AuditRow(identifier, at, actor, action, target, _encode(detail).decode())
    connection.execute(
        "INSERT INTO audit (id, at, actor, action, target, detail, prev, hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*msgspec.structs.astuple(row), previous, row_hash(previous, row)),
    )


def row_hash(previous: bytes, row: AuditRow) -> bytes:
    """SHA-256 over the previous hash and the row as a JSON array: unambiguous, whatever the texts hold."""
    return hashlib.sha256(previous + _encode(msgspec.structs.astuple(row))).digest()


def head(connection: sqlite3.Connection) -> tuple[int, str]:
    """(id, hash in hex) of the newest row: written somewhere else, it proves the log up to here."""
    last = connection.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    return (last[0], last[1].hex()) if last else (0, FIRST.hex())


def first_break(connection: sqlite3.Connection) -> int:
    """The id of the first row whose chain does not hold, 0 when all hold."""
    previous, expected = FIRST, 1
    for *fields, prev, found in connection.execute(
        "SELECT id, at, actor, action, target, detail, prev, hash FROM audit ORDER BY id"
    ):
        row = AuditRow(*fields)
        if row.id != expected or prev != previous or found != row_hash(previous, row):
            return row.id
        previous, expected = found, row.id + 1
    return 0
