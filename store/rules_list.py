"""Sensitive words and blacklists as lists, and words one by one, as the console shows and changes them."""

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from store.directory import Word
from store.listing import Cut, Order, Page, fetch
from store.refusals import Refused
from store.scope import Within

if TYPE_CHECKING:
    from store.config_db import Writing

WORDS_AT_ONCE_MAX = 50_000
SORTED_ROWS_MAX = 5_000  # of blacklists, for one page


def list_words(
    connection: sqlite3.Connection, cut: Cut, *, search: str = "", action: str = "", category: str = ""
) -> Page:
    """Words by text: columns (id, text, action, substring, category, note, messages of 30 days that held it)."""
    where = Within().where()
    where.add_search(search, "text", "category", "note")
    if action:
        where.add("action = ?", action)
    if category:
        where.add("category = ?", category)
    return fetch(
        connection,
        "id, text, action, substring, category, note,"
        " (SELECT CAST(total(hits) AS INTEGER) FROM word_hit h WHERE h.text = word.text)",
        "word",
        where,
        Order(("text",)),
        cut,
        prefix=Within().sql,
    )


def add_words(transaction: "Writing", words: Sequence[Word]) -> tuple[int, int]:
    """Add words; gives (how many are new, how many were there already and stay as they are)."""
    if len(words) > WORDS_AT_ONCE_MAX:
        raise Refused("too-many", f"At most {WORDS_AT_ONCE_MAX} words at once.", limit=WORDS_AT_ONCE_MAX)
    new = []
    for word in words:
        done = transaction.run(
            "INSERT INTO word (text, action, substring, category, note) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (text) DO NOTHING",
            (word.text, word.action, word.substring, word.category, word.note),
        )
        if done.rowcount:
            new.append(word.text)
    if new:
        transaction.audit("word.add", f"{len(new)} words", words=new[:20], count=len(new))
    return len(new), len(words) - len(new)


def remove_words(transaction: "Writing", ids: Sequence[int]) -> list[Word]:
    """Remove words by id; gives them as they were, so that they can be put back."""
    gone = []
    for identifier in ids:
        row = transaction.run(
            "DELETE FROM word WHERE id = ? RETURNING text, action, substring, category, note", (identifier,)
        ).fetchone()
        if row:
            gone.append(Word(row[0], row[1], bool(row[2]), row[3], row[4]))
    if gone:
        transaction.audit(
            "word.remove", f"{len(gone)} words", words=[word.text for word in gone[:20]], count=len(gone)
        )
    return gone


def list_blacklist(
    connection: sqlite3.Connection,
    within: Within,
    kind: str,
    cut: Cut,
    *,
    group: int = 0,
    sms_type: str = "",
    number: int = 0,
    creator: str = "",
) -> Page:
    """Entries of all lists of a kind in scope, newest first: columns (scope id, number, group id, group path,
    SMS type, source, note, actor, at, expires at)."""
    where = within.where()
    where.add("s.kind = ?", kind)
    if kind == "group":
        where.add("s.group_id IN subtree")
    if group:
        where.add("s.group_id = ?", group)
    if sms_type:
        where.add("s.sms_type = ?", sms_type)
    if number:
        where.add("n.number = ?", number)
    if creator:
        where.add("b.actor = ?", f"console:{creator}")
    # Long lists are read in the order of an index, and not sorted anew for every page; short ones, or one number of
    # a list, are found and sorted faster than the whole index is walked to them.
    walked = (
        "INDEXED BY blacklist_number_of_batch CROSS JOIN" if _is_long(connection, kind, number) else "JOIN"
    )
    return fetch(
        connection,
        "s.id, n.number, s.group_id, ifnull(g.path, ''), s.sms_type, b.source, b.note, b.actor, b.at,"
        " b.expires_at",
        f"blacklist_number n {walked} blacklist_scope s ON s.id = n.scope_id"
        " JOIN blacklist_batch b ON b.id = n.batch_id LEFT JOIN user_group g ON g.id = s.group_id",
        where,
        Order(("n.batch_id", "n.scope_id", "n.number"), descending=True),
        cut,
        prefix=within.sql,
    )


def _is_long(connection: sqlite3.Connection, kind: str, number: int) -> bool:
    if number:
        return False
    found = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM blacklist_scope s JOIN blacklist_number n ON n.scope_id = s.id"
        " WHERE s.kind = ? LIMIT ?)",
        (kind, SORTED_ROWS_MAX),
    ).fetchone()
    return bool(found[0] == SORTED_ROWS_MAX)


def list_sms_types(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """(name, title) of every SMS type."""
    return connection.execute("SELECT name, title FROM sms_type ORDER BY id").fetchall()
