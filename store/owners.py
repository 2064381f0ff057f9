"""Whose an account is: what a list of messages says of each, and what bounds it to somebody's scope."""

import sqlite3
from collections.abc import Collection

import msgspec

from store.scope import Within


class Owner(msgspec.Struct, frozen=True):
    """An account with its user and group, as they are now; deleted ones as well."""

    account: int
    system_id: str
    user: int
    login: str
    group: int
    group_path: str


def owners_within(connection: sqlite3.Connection, within: Within, *, user: int = 0) -> dict[int, Owner]:
    """By account: those whose users are in scope, or one user's."""
    rows = connection.execute(
        f"{within.sql} SELECT a.id, a.system_id, u.id, u.login, g.id, g.path FROM account a"  # noqa: S608
        " JOIN user u ON u.id = a.user_id JOIN user_group g ON g.id = u.group_id"
        " WHERE u.group_id IN subtree AND (? = 0 OR u.id = ?)",
        (within.group, user, user),
    )
    return {row[0]: Owner(*row) for row in rows}


def names_of_tasks(connection: sqlite3.Connection, tasks: Collection[int]) -> dict[int, tuple[str, str]]:
    """By task: its name, and the path of the group that it was sent in."""
    marks = ", ".join("?" * len(tasks))
    rows = connection.execute(
        f"SELECT t.id, t.name, g.path FROM task t JOIN user_group g ON g.id = t.group_id"  # noqa: S608
        f" WHERE t.id IN ({marks})",
        tuple(tasks),
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def carrier_names(connection: sqlite3.Connection) -> dict[int, str]:
    """Every carrier's name, by its id; deleted ones as well."""
    return dict(connection.execute("SELECT id, name FROM carrier ORDER BY name").fetchall())


def sms_type_titles(connection: sqlite3.Connection) -> dict[int, str]:
    """Every SMS type's title, by its id."""
    return dict(connection.execute("SELECT id, CASE title WHEN '' THEN name ELSE title END FROM sms_type"))
