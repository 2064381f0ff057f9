"""People and groups as lists, within somebody's scope: what the console's pages show."""

import sqlite3

import msgspec

from store import quota
from store.groups_edit import GROUP_REVIEW
from store.listing import Cut, Order, Page, fetch, order_of
from store.scope import Within, groups_within


class UserRow(msgspec.Struct, frozen=True):
    """A user in a list. `used` and `limit` are parts; `used` covers closed days, the daemon knows the rest."""

    id: int
    login: str
    name: str
    group: int
    group_path: str
    mobile: str
    role: str
    state: str
    used: int
    limit: int
    review: str
    signed_in_at: int
    deleted_at: int
    email: str
    note: str
    created_at: int
    settings: str  # JSON of `directory.UserRules`
    anonymised_at: int


class UserFilter(msgspec.Struct, frozen=True):
    """Which users. `states` empty: all that are not deleted."""

    search: str = ""
    group: int = 0  # this group and those below
    role: str = ""
    states: tuple[str, ...] = ("active", "disabled")


USER_ORDERS = {
    "login": Order(("lower(u.login)", "u.id")),
    "newest": Order(("u.id",), descending=True),
    "used": Order(("u.used", "u.id"), descending=True),
    "seen": Order(("u.signed_in_at", "u.id"), descending=True),
}
DELETED_ORDERS = {"deleted": Order(("u.deleted_at", "u.id"), descending=True)}
_USER_COLUMNS = (
    "u.id, u.login, u.name, g.id, g.path, u.mobile, u.role, u.state, u.used, u.granted, u.review,"
    " u.signed_in_at, u.deleted_at, u.email, u.note, u.created_at, u.settings, u.anonymised_at"
)
_USER_TABLES = "user u JOIN user_group g ON g.id = u.group_id"


def list_users(connection: sqlite3.Connection, within: Within, wanted: UserFilter, cut: Cut) -> Page:
    """A page of users in scope, as `UserRow` columns."""
    where = within.where()
    where.add("u.group_id IN subtree")
    if wanted.group:
        below = [str(group) for group in groups_within(connection, Within(wanted.group))]
        where.add(f"u.group_id IN ({', '.join(below)})")
    where.add(f"u.state IN ({', '.join('?' * len(wanted.states))})", *wanted.states)
    if wanted.role:
        where.add("u.role = ?", wanted.role)
    where.add_search(wanted.search, "u.login", "u.name", "u.mobile")
    orders = DELETED_ORDERS if wanted.states == ("deleted",) else USER_ORDERS
    return fetch(
        connection, _USER_COLUMNS, _USER_TABLES, where, order_of(orders, cut), cut, prefix=within.sql
    )


def read_user(connection: sqlite3.Connection, within: Within, user: int) -> UserRow | None:
    """One user in scope, whatever the state; None if there is none in sight."""
    row = connection.execute(
        f"{within.sql} SELECT {_USER_COLUMNS} FROM {_USER_TABLES}"  # noqa: S608
        " WHERE u.group_id IN subtree AND u.id = ?",
        (within.group, user),
    ).fetchone()
    return UserRow(*row) if row else None


class GroupRow(msgspec.Struct, frozen=True):
    """A group in the tree, with its balance in parts. `users` that are not deleted; `depth` from the top."""

    id: int
    path: str
    name: str
    parent: int
    depth: int
    review: str
    effective_review: str
    review_from: str  # path of the group that says so, "" for the system's default
    locked_by: str  # path of the group that has everything below it reviewed without exception
    users: int
    balance: quota.GroupBalance


def list_groups(connection: sqlite3.Connection, within: Within) -> list[GroupRow]:
    """All live groups in scope, parents before children."""
    known = {
        row[0]: row
        for row in connection.execute(
            f"SELECT id, path, ifnull(parent, 0), {GROUP_REVIEW},"  # noqa: S608
            " (SELECT count(*) FROM user WHERE group_id = g.id AND state <> 'deleted')"
            " FROM user_group g WHERE state = 'active'"
        )
    }
    top = known[within.group][1].count("/") if within.group in known else 0
    inside = groups_within(connection, within)
    rows = []
    for identifier in sorted(inside & known.keys(), key=lambda g: known[g][1].split("/")):
        _, path, parent, review, users = known[identifier]
        effective, source, locked_by = _review(known, identifier)
        rows.append(
            GroupRow(
                identifier, path, path.rpartition("/")[2], parent, path.count("/") - top, review,
                effective, source, locked_by, users, quota.group_balance(connection, identifier),
            )
        )  # fmt: skip
    return rows


def read_group(connection: sqlite3.Connection, within: Within, group: int) -> GroupRow | None:
    """One live group in scope."""
    return next((row for row in list_groups(connection, within) if row.id == group), None)


def effective_review(groups: dict[int, GroupRow], user_review: str, group: int) -> tuple[str, str]:
    """(`trust` or `review`, where that comes from: "" the user's own word, else a group's path)."""
    row = groups.get(group)
    if user_review != "inherit" and not (row and row.locked_by):
        return user_review, ""
    return (row.effective_review, row.review_from or "*") if row else ("review", "*")


def _review(known: dict[int, tuple[int, str, int, str, int]], group: int) -> tuple[str, str, str]:
    said: tuple[str, str] | None = None
    while group in known:
        _, path, parent, review, _ = known[group]
        if review == "always":
            return "review", path, path
        if review != "inherit" and said is None:
            said = review, path
        group = parent
    return (*(said or ("review", "")), "")


def accounts_within(connection: sqlite3.Connection, within: Within, *, user: int = 0) -> set[str]:
    """system_ids of the accounts of everybody in scope, or of one user."""
    rows = connection.execute(
        f"{within.sql} SELECT system_id FROM account a JOIN user u ON u.id = a.user_id"  # noqa: S608
        " WHERE u.group_id IN subtree AND a.state <> 'deleted' AND (? = 0 OR u.id = ?)",
        (within.group, user, user),
    )
    return {row[0] for row in rows}


def account_ids_within(connection: sqlite3.Connection, within: Within, *, user: int = 0) -> set[int]:
    """ids of the accounts of everybody in scope, or of one user; deleted ones too."""
    rows = connection.execute(
        f"{within.sql} SELECT a.id FROM account a JOIN user u ON u.id = a.user_id"  # noqa: S608
        " WHERE u.group_id IN subtree AND (? = 0 OR u.id = ?)",
        (within.group, user, user),
    )
    return {row[0] for row in rows}


def limited_users(connection: sqlite3.Connection, within: Within) -> list[tuple[int, str, int, int]]:
    """(id, login, limit, used on closed days) of active users in scope that have any limit."""
    return connection.execute(
        f"{within.sql} SELECT u.id, u.login, u.granted, u.used FROM user u"  # noqa: S608
        " WHERE u.group_id IN subtree AND u.state = 'active' AND u.granted > 0",
        (within.group,),
    ).fetchall()
