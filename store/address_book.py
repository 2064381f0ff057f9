"""Contacts of a user, in groups: the least that sending needs of an address book. All calls are about one owner."""

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from store.listing import Cut, Order, Page, Where, fetch

if TYPE_CHECKING:
    from store.config_db import Writing


class ContactGroup(msgspec.Struct, frozen=True):
    """A group with how many contacts it has."""

    id: int
    name: str
    count: int


def contact_groups(connection: sqlite3.Connection, owner: int) -> list[ContactGroup]:
    """The owner's groups, by name."""
    rows = connection.execute(
        "SELECT id, name, (SELECT count(*) FROM contact WHERE group_id = g.id) FROM contact_group g"
        " WHERE user_id = ? ORDER BY name",
        (owner,),
    )
    return [ContactGroup(*row) for row in rows]


def list_contacts(
    connection: sqlite3.Connection, owner: int, cut: Cut, *, search: str = "", group: int = 0
) -> Page:
    """A page of contacts: columns (id, name, mobile, group)."""
    where = Where()
    where.add("c.user_id = ?", owner)
    if group:
        where.add("c.group_id = ?", group)
    where.add_search(search, "c.name", "c.mobile", "g.name")
    return fetch(
        connection,
        "c.id, c.name, c.mobile, g.name",
        "contact c JOIN contact_group g ON g.id = c.group_id",
        where,
        Order(("c.id",), descending=True),
        cut,
    )


def contacts_by_id(
    connection: sqlite3.Connection, owner: int, ids: Sequence[int]
) -> list[tuple[int, str, int, str]]:
    """(id, name, mobile, group) of chosen contacts; those of others are not there."""
    query = (
        "SELECT c.id, c.name, c.mobile, g.name FROM contact c JOIN contact_group g ON g.id = c.group_id"
        " WHERE c.id = ? AND c.user_id = ?"
    )
    return [row for one in ids for row in connection.execute(query, (one, owner))]


def add_contacts(
    transaction: "Writing", owner: int, group: str, contacts: Sequence[tuple[str, int]]
) -> tuple[int, int]:
    """Put (name, number) into a group, which is made if it is new. How many were added, how many there already."""
    row = transaction.run(
        "SELECT id FROM contact_group WHERE user_id = ? AND name = ?", (owner, group)
    ).fetchone()
    identifier = (
        row[0]
        if row
        else transaction.insert("INSERT INTO contact_group (user_id, name) VALUES (?, ?)", (owner, group))
    )
    added = 0
    for name, mobile in contacts:
        added += transaction.run(
            "INSERT OR IGNORE INTO contact (user_id, group_id, name, mobile) VALUES (?, ?, ?, ?)",
            (owner, identifier, name, mobile),
        ).rowcount
    transaction.audit("contact.add", f"contact group {identifier}", changes=False, name=group, count=added)
    return added, len(contacts) - added


def remove_contacts(transaction: "Writing", owner: int, ids: Sequence[int]) -> int:
    """Delete contacts of the owner; groups that are empty then go as well. How many there were."""
    gone = sum(
        transaction.run("DELETE FROM contact WHERE id = ? AND user_id = ?", (one, owner)).rowcount
        for one in ids
    )
    transaction.run(
        "DELETE FROM contact_group WHERE user_id = ?"
        " AND NOT EXISTS (SELECT 1 FROM contact WHERE group_id = contact_group.id)",
        (owner,),
    )
    if gone:
        transaction.audit("contact.remove", f"{gone} contacts", changes=False, count=gone)
    return gone


def numbers_of(
    connection: sqlite3.Connection, owner: int, contacts: Sequence[int], groups: Sequence[int]
) -> list[int]:
    """Numbers of chosen contacts and of all in chosen groups; those of others are not there."""
    found = [
        row[0]
        for one in contacts
        for row in connection.execute("SELECT mobile FROM contact WHERE id = ? AND user_id = ?", (one, owner))
    ]
    for group in groups:
        found += [
            row[0]
            for row in connection.execute(
                "SELECT mobile FROM contact WHERE group_id = ? AND user_id = ? ORDER BY id", (group, owner)
            )
        ]
    return found
