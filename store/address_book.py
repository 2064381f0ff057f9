"""Contacts of a user, in groups: the least that sending needs of an address book. All calls are about one owner."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from store.contact_groups import BELOW, below, drop_empty, group_of, groups_with_below
from store.listing import Cut, Order, Page, Where, fetch

if TYPE_CHECKING:
    from store.config_db import Writing


class ContactGroup(msgspec.Struct, frozen=True):
    """A group by its path, with how many contacts it has and how many all below it have as well."""

    id: int
    name: str
    count: int
    count_all: int = 0

    @property
    def depth(self) -> int:
        return self.name.count("/")

    @property
    def step(self) -> str:
        return self.name.rpartition("/")[2]


def contact_groups(connection: sqlite3.Connection, owner: int) -> list[ContactGroup]:
    """The owner's groups, each behind the one that holds it."""
    rows = connection.execute(
        "SELECT g.id, g.name, count(c.id) FROM contact_group g LEFT JOIN contact c ON c.group_id = g.id"
        " WHERE g.user_id = ? GROUP BY g.id",
        (owner,),
    ).fetchall()
    sums: Counter[str] = Counter()
    for _, name, count in rows:
        steps = name.split("/")
        for depth in range(1, len(steps) + 1):
            sums["/".join(steps[:depth])] += count
    rows.sort(key=lambda row: row[1].split("/"))
    return [ContactGroup(key, name, count, sums[name]) for key, name, count in rows]


def list_contacts(
    connection: sqlite3.Connection, owner: int, cut: Cut, *, search: str = "", group: int = 0
) -> Page:
    """A page of contacts: columns (id, name, mobile, group)."""
    where = Where()
    where.add("c.user_id = ?", owner)
    if group:
        row = connection.execute(
            "SELECT name FROM contact_group WHERE id = ? AND user_id = ?", (group, owner)
        ).fetchone()
        where.add(BELOW, *below(row[0] if row else ""))
    where.add_search(search, "c.name", "c.mobile", "g.name")
    return fetch(
        connection,
        "c.id, c.name, c.mobile, g.name",
        "contact c JOIN contact_group g ON g.id = c.group_id",
        where,
        Order(("c.id",), descending=True),
        cut,
    )


def count_contacts(connection: sqlite3.Connection, owner: int) -> int:
    """How many contacts somebody has."""
    row = connection.execute("SELECT count(*) FROM contact WHERE user_id = ?", (owner,)).fetchone()
    return int(row[0])


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
    transaction: "Writing",
    owner: int,
    group: str,
    contacts: Sequence[tuple[str, int]],
    *,
    update: bool = False,
) -> tuple[int, int]:
    """Put (name, number) into a group, which is made if it is new. How many were added, how many there already.

    Args:
      group: its path; those above it are made as well.
      update: who is there already takes the name.
    """
    identifier = group_of(transaction, owner, group)
    before = _count(transaction, identifier)
    transaction.connection.executemany(
        "INSERT INTO contact (user_id, group_id, name, mobile) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (group_id, mobile) DO UPDATE SET name = excluded.name WHERE ?",
        ((owner, identifier, name, mobile, update) for name, mobile in contacts),
    )
    added = _count(transaction, identifier) - before
    transaction.audit("contact.add", f"contact group {identifier}", changes=False, name=group, count=added)
    return added, len(contacts) - added


def _count(transaction: "Writing", group: int) -> int:
    return int(transaction.run("SELECT count(*) FROM contact WHERE group_id = ?", (group,)).fetchone()[0])


def remove_contacts(transaction: "Writing", owner: int, ids: Sequence[int]) -> int:
    """Delete contacts of the owner; groups that are empty then go as well. How many there were."""
    gone = sum(
        transaction.run("DELETE FROM contact WHERE id = ? AND user_id = ?", (one, owner)).rowcount
        for one in ids
    )
    drop_empty(transaction, owner)
    if gone:
        transaction.audit("contact.remove", f"{gone} contacts", changes=False, count=gone)
    return gone


def numbers_of(
    connection: sqlite3.Connection, owner: int, contacts: Sequence[int], groups: Sequence[int]
) -> list[int]:
    """Numbers of chosen contacts and of all in chosen groups and below; those of others are not there."""
    found = [
        row[0]
        for one in contacts
        for row in connection.execute("SELECT mobile FROM contact WHERE id = ? AND user_id = ?", (one, owner))
    ]
    for group in groups_with_below(connection, owner, tuple(groups)):
        found += [
            row[0]
            for row in connection.execute(
                "SELECT mobile FROM contact WHERE group_id = ? ORDER BY id", (group,)
            )
        ]
    return found
