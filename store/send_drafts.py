"""What somebody has begun to write and made no task of yet: one draft a person, saved while they type."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from store.config_db import Writing

DRAFT_OCTETS_MAX = 1 << 20  # as JSON: some 80,000 typed numbers

SEND_DRAFT_TABLE = """CREATE TABLE send_draft (
    user_id INTEGER PRIMARY KEY REFERENCES user(id),
    at INTEGER NOT NULL,
    form TEXT NOT NULL CHECK (json_valid(form))
) STRICT"""


class SendDraft(msgspec.Struct, frozen=True):
    """A form as it was left. `at` is UTC ms of the last save."""

    at: int
    form: Mapping[str, Sequence[str]]


def save_draft(transaction: "Writing", user: int, form: Mapping[str, Sequence[str]]) -> bool:
    """Keep this instead of what was kept; False, and nothing is changed, when it is larger than a draft may be."""
    column = msgspec.json.encode(form)
    if len(column) > DRAFT_OCTETS_MAX:
        return False
    transaction.run(
        "INSERT INTO send_draft (user_id, at, form) VALUES (?, ?, ?)"
        " ON CONFLICT (user_id) DO UPDATE SET at = excluded.at, form = excluded.form",
        (user, transaction.at, column.decode()),
    )
    return True


def drop_draft(transaction: "Writing", user: int) -> None:
    """It became a task, or nobody wants it; again is fine."""
    transaction.run("DELETE FROM send_draft WHERE user_id = ?", (user,))


def draft_of(connection: sqlite3.Connection, user: int) -> SendDraft | None:
    """What a person has begun, None if nothing."""
    row = connection.execute("SELECT at, form FROM send_draft WHERE user_id = ?", (user,)).fetchone()
    return SendDraft(row[0], msgspec.json.decode(row[1], type=dict[str, list[str]])) if row else None
