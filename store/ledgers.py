"""What happened, as lists: the quota ledger and the audit log, within somebody's scope."""

import sqlite3

import msgspec

from store.listing import Cut, Order, Page, fetch
from store.scope import Within

NEWEST = Order(("id",), descending=True)


class LedgerRow(msgspec.Struct, frozen=True):
    """One movement of parts. `balance` is the grant after it, `available` what could be sent or allocated then
    (None where that was not written down). Rows of tasks name the task; `parts` is what the row is about."""

    id: int
    at: int
    actor: str
    kind: str
    group: int | None
    user: int | None
    subject: str  # the group's path or the user's login
    delta: int
    balance: int
    note: str
    task: int | None
    task_name: str
    parts: int
    available: int | None


def list_ledger(
    connection: sqlite3.Connection,
    within: Within,
    cut: Cut,
    *,
    user: int = 0,
    group: int = 0,
    task: int = 0,
    kind: str = "",
) -> Page:
    """Movements in scope, the newest first: all, or a user's, or a group's own."""
    where = within.where()
    where.add("ifnull(q.group_id, (SELECT group_id FROM user WHERE id = q.user_id)) IN subtree")
    if user:
        where.add("q.user_id = ?", user)
    if group:
        where.add("q.group_id = ?", group)
    if task:
        where.add("q.task_id = ?", task)
    if kind:
        where.add("q.kind = ?", kind)
    return fetch(
        connection,
        "q.id, q.at, q.actor, q.kind, q.group_id, q.user_id, ifnull(g.path, u.login), q.delta, q.balance, q.note,"
        " q.task_id, ifnull(t.name, ''), q.parts, q.available",
        "quota_entry q LEFT JOIN user_group g ON g.id = q.group_id LEFT JOIN user u ON u.id = q.user_id"
        " LEFT JOIN task t ON t.id = q.task_id",
        where,
        Order(("q.id",), descending=True),
        cut,
        prefix=within.sql,
    )


class AuditFilter(msgspec.Struct, frozen=True):
    """Which events: by whom, what kind, about what, in which request."""

    actor: str = ""
    action: str = ""
    target: str = ""
    request: str = ""


def list_audit(
    connection: sqlite3.Connection, within: Within, wanted: AuditFilter, cut: Cut, *, only: str = ""
) -> Page:
    """Events as columns (id, at, actor, action, target, detail), the newest first.

    Args:
      only: a login: nothing but what that person did. Within a subtree: what its people did.
    """
    where = within.where()
    if only:
        where.add("actor = ?", f"console:{only}")
    elif within.group:
        where.add("actor IN (SELECT 'console:' || login FROM user WHERE group_id IN subtree)")
    where.add_search(wanted.actor, "actor")
    where.add_search(wanted.target, "target")
    if wanted.action:
        where.add("action = ? OR action LIKE ? || '.%'", wanted.action, wanted.action)
    if wanted.request:
        where.add("json_extract(detail, '$.request') = ?", wanted.request)
    return fetch(
        connection, "id, at, actor, action, target, detail", "audit", where, NEWEST, cut, prefix=within.sql
    )


def audit_of(
    connection: sqlite3.Connection, *targets: str, limit: int = 50
) -> list[tuple[int, str, str, str]]:
    """(at, actor, action, detail) of what was done to one thing, by any of its names, the newest first."""
    return connection.execute(
        f"SELECT at, actor, action, detail FROM audit WHERE target IN ({', '.join('?' * len(targets))})"  # noqa: S608
        " ORDER BY id DESC LIMIT ?",
        (*targets, limit),
    ).fetchall()
