"""How often each sensitive word was found, by day, for the last thirty: counted in memory, added up here.

A word is known by its text, so that one that is deleted and added again goes on where it was.
"""

import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.config_db import Writing

DAY_MS = 86_400_000
KEPT_DAYS = 30

WORD_HIT_TABLE = """CREATE TABLE word_hit (
    text TEXT NOT NULL,
    day INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    PRIMARY KEY (text, day)
) STRICT, WITHOUT ROWID"""


def add_word_hits(transaction: "Writing", hits: Mapping[str, int]) -> None:
    """Messages that held each word since the last call; days that are too old go."""
    day = transaction.at // DAY_MS
    transaction.connection.executemany(
        "INSERT INTO word_hit (text, day, hits) VALUES (?, ?, ?)"
        " ON CONFLICT (text, day) DO UPDATE SET hits = hits + excluded.hits",
        ((text, day, count) for text, count in hits.items()),
    )
    transaction.run("DELETE FROM word_hit WHERE day <= ?", (day - KEPT_DAYS,))


def word_hits(connection: sqlite3.Connection, text: str) -> int:
    """Messages of the last thirty days that held a word."""
    row = connection.execute("SELECT total(hits) FROM word_hit WHERE text = ?", (text,)).fetchone()
    return int(row[0])
