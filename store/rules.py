"""Blacklists as rows: numbers under a scope, each with the import or complaint that put it there.

An add is one small transaction. What it really added is handed back, so that the caller can put the same
numbers into its bitmaps without reading the list again.
"""

import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from store.directory import BlacklistScope
from store.files import StoreError
from store.strict import nearest

if TYPE_CHECKING:
    from store.config_db import Writing

# ITU-T E.164: at most 15 digits. Short codes have as few as 3.
DIGITS_MIN, DIGITS_MAX = 3, 15
_SEPARATORS = str.maketrans("", "", " \t-.()/\u00a0\u2010\u2011\u2012\u2013\u2014")


class Listed(msgspec.Struct, frozen=True):
    """Why a number is on a list."""

    scope: BlacklistScope
    source: str  # "manual", "apply", "complaint", "opt-out", "API"
    note: str
    actor: str
    at: int
    expires_at: int = 0  # 0: never


def canonical_number(text: str) -> int:
    """Digits of an international number as one integer: `+86 138-0000-0000`, `0086…`, full-width digits.

    Raises ValueError with a sentence. A caller that knows a home country hands in its own normaliser.
    """
    if not (text.isascii() and text.isdigit()):
        text = unicodedata.normalize("NFKC", text).translate(_SEPARATORS).removeprefix("+")
    digits = text.removeprefix("00")
    if not (digits.isascii() and digits.isdigit() and DIGITS_MIN <= len(digits) <= DIGITS_MAX):
        raise ValueError(f"it is no phone number ({DIGITS_MIN} to {DIGITS_MAX} digits, with country code)")
    return int(digits)


def parse_scope(connection: sqlite3.Connection, text: str) -> BlacklistScope:
    """`global`, `group:PATH` or `type:NAME` as a scope.

    Raises StoreError with what is wrong and the nearest known name.
    """
    kind, _, name = text.partition(":")
    if text == "global":
        return BlacklistScope("global")
    if kind == "group":
        row = connection.execute(
            "SELECT id FROM user_group WHERE path = ? AND state = 'active'", (name,)
        ).fetchone()
        if row:
            return BlacklistScope("group", row[0])
        raise StoreError(
            unknown("group", name, _column(connection, "SELECT path FROM user_group WHERE state = 'active'"))
        )
    if kind == "type":
        names = _column(connection, "SELECT name FROM sms_type")
        if name in names:
            return BlacklistScope("type", name)
        raise StoreError(unknown("sms_type", name, names))
    raise StoreError(f'"{text}" is no scope; write "global", "group:PATH" or "type:NAME"')


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The sentences for a name that is not there."""
    guess = nearest(name, known)
    hint = f' Did you mean "{guess}"?' if guess else ""
    return f'there is no {what} "{name}".{hint} Declare it as [[{what}]], or correct the name'


def blacklist_add(
    transaction: "Writing",
    scope: BlacklistScope,
    numbers: Iterable[int],
    *,
    source: str,
    note: str = "",
    expires_at: int = 0,
) -> list[int]:
    """Put numbers on a list; gives those that were not on it, ascending.

    Those that are on it until some time stay for as long as is said now, if that is longer; `expires_at` 0 is for good.
    """
    identifier = _scope_row(transaction, scope)
    asked = set(numbers)
    present = _present(transaction.connection, identifier, asked)
    new = sorted(asked - present)
    longer = _ending_before(transaction.connection, identifier, present, expires_at)
    if new or longer:
        batch = transaction.insert(
            "INSERT INTO blacklist_batch (source, note, actor, at, expires_at) VALUES (?, ?, ?, ?, ?)",
            (source, note, transaction.actor, transaction.at, expires_at),
        )
        transaction.connection.executemany(
            "INSERT INTO blacklist_number (scope_id, number, batch_id) VALUES (?, ?, ?)",
            ((identifier, number, batch) for number in new),
        )
        transaction.connection.executemany(
            "UPDATE blacklist_number SET batch_id = ? WHERE scope_id = ? AND number = ?",
            ((batch, identifier, number) for number in longer),
        )
        detail: dict[str, Any] = {"expires_at": expires_at} if expires_at else {}
        transaction.audit(
            "blacklist.add",
            scope_text(transaction.connection, scope),
            numbers=_few(new or longer),
            source=source,
            **detail,
        )
    return new


def blacklist_expire(transaction: "Writing") -> int:
    """Take off every list what was to stay until now; gives how many numbers that were."""
    gone = 0
    due = transaction.run(
        "SELECT id FROM blacklist_batch WHERE expires_at > 0 AND expires_at <= ?", (transaction.at,)
    ).fetchall()
    if due:
        transaction.run("CREATE TEMP TABLE IF NOT EXISTS due_batch (id INTEGER PRIMARY KEY)")
        transaction.run("DELETE FROM due_batch")
        transaction.connection.executemany("INSERT INTO due_batch VALUES (?)", due)
        rows = transaction.run(
            "DELETE FROM blacklist_number WHERE batch_id IN (SELECT id FROM due_batch) RETURNING number"
        ).fetchall()
        transaction.run("DELETE FROM blacklist_batch WHERE id IN (SELECT id FROM due_batch)")
        gone = len(rows)
        if gone:
            transaction.audit("blacklist.expire", f"{gone} numbers", numbers=_few(sorted(n for (n,) in rows)))
    return gone


def blacklist_remove(
    transaction: "Writing", scope: BlacklistScope, numbers: Iterable[int], *, note: str = ""
) -> list[int]:
    """Take numbers off a list; gives those that were on it, ascending."""
    identifier = _scope_row(transaction, scope)
    old = sorted(_present(transaction.connection, identifier, numbers))
    if old:
        transaction.connection.executemany(
            "DELETE FROM blacklist_number WHERE scope_id = ? AND number = ?", ((identifier, n) for n in old)
        )
        transaction.audit(
            "blacklist.remove", scope_text(transaction.connection, scope), numbers=_few(old), note=note
        )
    return old


def why_listed(connection: sqlite3.Connection, number: int) -> list[Listed]:
    """Every list that a number is on, with source, note, who and when."""
    return [
        Listed(BlacklistScope(kind, sms_type if kind == "type" else group or 0), source, note, actor, at, end)
        for kind, group, sms_type, source, note, actor, at, end in connection.execute(
            "SELECT kind, group_id, sms_type, source, note, actor, at, expires_at FROM blacklist_scope s"
            " JOIN blacklist_number n ON n.scope_id = s.id AND n.number = ?"
            " JOIN blacklist_batch b ON b.id = n.batch_id ORDER BY s.id",
            (number,),
        )
    ]


def expiring(connection: sqlite3.Connection, scope: BlacklistScope) -> dict[int, int]:
    """When numbers of a list leave it, in UTC ms; those that stay for good are not there."""
    if not _any_expires(connection):
        return {}
    rows = connection.execute(
        "SELECT n.number, b.expires_at FROM blacklist_batch b JOIN blacklist_number n ON n.batch_id = b.id"
        " JOIN blacklist_scope s ON s.id = n.scope_id"
        " WHERE b.expires_at > 0 AND s.kind = ? AND s.group_id IS ? AND s.sms_type = ?",
        (
            scope.kind,
            scope.key if scope.kind == "group" else None,
            scope.key if scope.kind == "type" else "",
        ),
    )
    return dict(rows.fetchall())


def scope_text(connection: sqlite3.Connection, scope: BlacklistScope) -> str:
    """A scope as people write it."""
    if scope.kind == "global":
        return "global"
    if scope.kind == "type":
        return f"type:{scope.key}"
    row = connection.execute("SELECT path FROM user_group WHERE id = ?", (scope.key,)).fetchone()
    return f"group:{row[0]}"


def _scope_row(transaction: "Writing", scope: BlacklistScope) -> int:
    group = scope.key if scope.kind == "group" else None
    sms_type = scope.key if scope.kind == "type" else ""
    row = transaction.run(
        "SELECT id FROM blacklist_scope WHERE kind = ? AND group_id IS ? AND sms_type = ?",
        (scope.kind, group, sms_type),
    ).fetchone()
    if row:
        return int(row[0])
    return transaction.insert(
        "INSERT INTO blacklist_scope (kind, group_id, sms_type) VALUES (?, ?, ?)",
        (scope.kind, group, sms_type),
    )


# Above this many numbers one scan of the list is cheaper than a look-up each.
_SCAN_FROM = 200_000


def _present(connection: sqlite3.Connection, scope: int, numbers: Iterable[int]) -> set[int]:
    asked = set(numbers)
    if len(asked) >= _SCAN_FROM:
        rows = connection.execute("SELECT number FROM blacklist_number WHERE scope_id = ?", (scope,))
        return asked.intersection(row[0] for row in rows)
    rows = connection.execute(
        "SELECT n.number FROM json_each(?) j CROSS JOIN blacklist_number n"
        " ON n.scope_id = ? AND n.number = j.value",
        (_json(asked), scope),
    )
    return {row[0] for row in rows}


def _json(numbers: Iterable[int]) -> str:
    return msgspec.json.encode(list(numbers)).decode()


def _ending_before(
    connection: sqlite3.Connection, scope: int, present: set[int], expires_at: int
) -> list[int]:
    """Of numbers on a list, those whose time ends before `expires_at` (0: ever)."""
    if not present or not _any_expires(connection):
        return []
    rows = connection.execute(
        "SELECT n.number FROM json_each(?1) j CROSS JOIN blacklist_number n ON n.scope_id = ?2"
        " AND n.number = j.value JOIN blacklist_batch b ON b.id = n.batch_id"
        " WHERE b.expires_at > 0 AND (?3 = 0 OR b.expires_at < ?3)",
        (_json(present), scope, expires_at),
    )
    return sorted(row[0] for row in rows)


def _any_expires(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM blacklist_batch WHERE expires_at > 0").fetchone() is not None


def _few(numbers: Sequence[int]) -> dict[str, object]:
    """Numbers for the audit log: all of a handful, the count and ends of many."""
    if len(numbers) <= 20:
        return {"all": list(numbers)}
    return {"count": len(numbers), "first": numbers[0], "last": numbers[-1]}


def _column(connection: sqlite3.Connection, sql: str) -> list[str]:
    return [row[0] for row in connection.execute(sql)]
