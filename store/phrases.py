"""Phrases that are used again and again, in groups: a user's own, and those that others of the same group share."""

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from store.listing import Cut, Order, Page, Where, fetch

if TYPE_CHECKING:
    from store.config_db import Writing

PHRASE_CHARACTERS_MAX = 1000
_VISIBLE = "(p.user_id = ? OR (p.shared = 1 AND p.group_id = ?))"


class Phrase(msgspec.Struct, frozen=True):
    """A phrase with its group; `own` ones may be deleted."""

    id: int
    text: str
    group: str
    shared: bool
    own: bool


def phrases_for(connection: sqlite3.Connection, user: int, group: int, limit: int = 500) -> list[Phrase]:
    """What somebody may put into a text: personal ones first, then shared ones."""
    rows = connection.execute(
        "SELECT f.id, f.text, p.name, p.shared, p.user_id = ?1 FROM phrase f"
        " JOIN phrase_group p ON p.id = f.phrase_group_id"
        " WHERE p.user_id = ?1 OR (p.shared = 1 AND p.group_id = ?2)"
        " ORDER BY p.user_id <> ?1, p.name, f.id LIMIT ?3",
        (user, group, limit),
    )
    return [Phrase(row[0], row[1], row[2], bool(row[3]), bool(row[4])) for row in rows]


def list_phrases(
    connection: sqlite3.Connection, user: int, group: int, cut: Cut, *, search: str = ""
) -> Page:
    """A page of phrases in sight: columns (id, text, group, shared, own, login)."""
    where = Where()
    where.parameters.append(user)
    where.add(_VISIBLE, user, group)
    where.add_search(search, "f.text", "p.name")
    return fetch(
        connection,
        "f.id, f.text, p.name, p.shared, p.user_id = me.id, u.login",
        "phrase f JOIN phrase_group p ON p.id = f.phrase_group_id JOIN user u ON u.id = p.user_id, me",
        where,
        Order(("f.id",), descending=True),
        cut,
        prefix="WITH me(id) AS (SELECT ?)",
    )


def add_phrase(transaction: "Writing", user: int, name: str, text: str, *, shared: bool) -> int:
    """Keep a phrase in a group of the user's, which is made if it is new; `shared` is the group's."""
    group = _group_of(transaction, user, name, shared=shared)
    phrase = transaction.insert("INSERT INTO phrase (phrase_group_id, text) VALUES (?, ?)", (group, text))
    transaction.audit("phrase.add", f"phrase {phrase}", changes=False, group=name, shared=shared)
    return phrase


def own_phrase(connection: sqlite3.Connection, user: int, phrase: int) -> Phrase | None:
    """A phrase of the user's own groups; None if it is another's or not there."""
    row = connection.execute(
        "SELECT f.id, f.text, p.name, p.shared FROM phrase f JOIN phrase_group p ON p.id = f.phrase_group_id"
        " WHERE f.id = ? AND p.user_id = ?",
        (phrase, user),
    ).fetchone()
    return Phrase(row[0], row[1], row[2], bool(row[3]), True) if row else None


def edit_phrase(
    transaction: "Writing", user: int, phrase: int, name: str, text: str, *, shared: bool
) -> bool:
    """Change a phrase of the user's own in place; another group takes it over. False if there is none."""
    if own_phrase(transaction.connection, user, phrase) is None:
        return False
    group = _group_of(transaction, user, name, shared=shared)
    transaction.run("UPDATE phrase SET phrase_group_id = ?, text = ? WHERE id = ?", (group, text, phrase))
    _drop_empty(transaction, user)
    transaction.audit("phrase.edit", f"phrase {phrase}", changes=False, group=name, shared=shared)
    return True


def remove_phrases(transaction: "Writing", user: int, ids: Sequence[int]) -> int:
    """Delete phrases of the user's own groups; groups that are empty then go as well. How many there were."""
    gone = sum(
        transaction.run(
            "DELETE FROM phrase WHERE id = ?"
            " AND phrase_group_id IN (SELECT id FROM phrase_group WHERE user_id = ?)",
            (one, user),
        ).rowcount
        for one in ids
    )
    _drop_empty(transaction, user)
    if gone:
        transaction.audit("phrase.remove", f"{gone} phrases", changes=False, count=gone)
    return gone


def _group_of(transaction: "Writing", user: int, name: str, *, shared: bool) -> int:
    """The user's phrase group of this name, made if it is new."""
    row = transaction.run(
        "SELECT id FROM phrase_group WHERE user_id = ? AND name = ?", (user, name)
    ).fetchone()
    group = (
        row[0]
        if row
        else transaction.insert(
            "INSERT INTO phrase_group (user_id, group_id, name)"
            " SELECT id, group_id, ? FROM user WHERE id = ?",
            (name, user),
        )
    )
    transaction.run("UPDATE phrase_group SET shared = ? WHERE id = ?", (shared, group))
    return int(group)


def _drop_empty(transaction: "Writing", user: int) -> None:
    transaction.run(
        "DELETE FROM phrase_group WHERE user_id = ?"
        " AND NOT EXISTS (SELECT 1 FROM phrase WHERE phrase_group_id = phrase_group.id)",
        (user,),
    )
