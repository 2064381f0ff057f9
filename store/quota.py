"""Who may spend how many parts (条): the append-only ledger of grants, and the rules that hold at all times.

    allocated(g) = sum of its users' limits + sum of its child groups' grants  <=  granted(g)
    available(u) = limit(u) - used(u) - reserved(u)

A grant to a child group or a user is drawn from its group's remaining parts; a root group is granted out of
nothing, or is unlimited. What is granted never falls below what is allocated (group) or used and reserved
(user). Used parts of closed days live here (`consolidate`); those of open days, and reservations, are the
traffic store's and are passed in as `in_flight`.

Every change is a ledger row in the same transaction, so each balance can be recounted: `recount`.
"""

import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from store.files import StoreError

if TYPE_CHECKING:
    from store.config_db import Writing


class QuotaRefused(StoreError):
    """A grant or reclaim that would break a rule. `available` is the most (parts) that would pass."""

    def __init__(self, text: str, available: int) -> None:
        super().__init__(text)
        self.available = available


class GroupBalance(msgspec.Struct, frozen=True):
    """A group's parts. `remaining` may be allocated still; with `unlimited` it has no meaning."""

    granted: int
    allocated: int
    unlimited: bool
    used: int  # by its own users, closed days

    @property
    def remaining(self) -> int:
        return self.granted - self.allocated


class UserBalance(msgspec.Struct, frozen=True):
    """A user's parts."""

    limit: int
    used: int
    reserved: int

    @property
    def available(self) -> int:
        return self.limit - self.used - self.reserved


_ALLOCATED = (
    "(SELECT total(granted) FROM user WHERE group_id = g.id)"
    " + (SELECT total(granted) FROM user_group WHERE parent = g.id)"
)


def group_balance(connection: sqlite3.Connection, group: int) -> GroupBalance:
    """The parts of a group."""
    row = connection.execute(
        f"SELECT granted, {_ALLOCATED}, unlimited, (SELECT total(used) FROM user WHERE group_id = g.id)"  # noqa: S608
        " FROM user_group g WHERE id = ?",
        (group,),
    ).fetchone()
    if row is None:
        raise StoreError(f"There is no group number {group}.")
    return GroupBalance(row[0], int(row[1]), bool(row[2]), int(row[3]))


def user_balance(
    connection: sqlite3.Connection, user: int, *, used_open: int = 0, reserved_open: int = 0
) -> UserBalance:
    """The parts of a user; `used_open` and `reserved_open` are those of days not consolidated yet."""
    row = connection.execute("SELECT granted, used FROM user WHERE id = ?", (user,)).fetchone()
    if row is None:
        raise StoreError(f"There is no user number {user}.")
    return UserBalance(row[0], row[1] + used_open, reserved_open)


def topup_group(transaction: "Writing", group: int, parts: int, *, note: str = "") -> None:
    """Grant parts to a group out of its parent's remaining ones; negative reclaims.

    Raises QuotaRefused when the parent has too few, or the group has allocated what would be reclaimed.
    """
    own = group_balance(transaction.connection, group)
    if own.unlimited:
        raise QuotaRefused(f"Group {_group_name(transaction, group)} is unlimited: it needs no grant.", 0)
    if parts > 0:
        draw(transaction, _parent(transaction, group), parts)
    elif -parts > own.remaining:
        raise QuotaRefused(
            f"At most {max(own.remaining, 0)} parts can be reclaimed from group"
            f" {_group_name(transaction, group)}: {own.allocated} of its {own.granted} are allocated."
            " Reclaim from its users and child groups first.",
            max(own.remaining, 0),
        )
    available = own.remaining + parts
    set_group_granted(transaction, group, own.granted + parts, note=note, available=available)


def topup_user(transaction: "Writing", user: int, parts: int, *, note: str = "", in_flight: int = 0) -> None:
    """Raise a user's limit out of the group's remaining parts; negative reclaims.

    Args:
      in_flight: the user's used and reserved parts of days that are not consolidated yet.
    Raises QuotaRefused when the group has too few left, or the user has used what would be reclaimed.
    """
    own = user_balance(transaction.connection, user, reserved_open=in_flight)
    if parts > 0:
        draw(transaction, _group_of(transaction, user), parts)
    elif -parts > own.available:
        raise QuotaRefused(
            f"At most {max(own.available, 0)} parts can be reclaimed from this user:"
            f" {own.used + own.reserved} of {own.limit} are used or reserved.",
            max(own.available, 0),
        )
    set_user_limit(transaction, user, own.limit + parts, note=note, available=own.available + parts)


def set_group_granted(
    transaction: "Writing",
    group: int,
    granted: int,
    *,
    kind: str = "",
    note: str = "",
    available: int | None = None,
) -> None:
    """Set and record, without checking: whoever sets several checks `over_allocated` before committing.

    `available`: parts that can be allocated afterwards, where that is known.
    """
    old = transaction.run("SELECT granted FROM user_group WHERE id = ?", (group,)).fetchone()[0]
    if granted != old:
        transaction.run("UPDATE user_group SET granted = ? WHERE id = ?", (granted, group))
        _record(transaction, "group_id", group, granted - old, granted, kind, note, available)


def set_user_limit(
    transaction: "Writing",
    user: int,
    limit: int,
    *,
    kind: str = "",
    note: str = "",
    available: int | None = None,
) -> None:
    """Set and record, without checking: whoever sets several checks `over_allocated` before committing.

    `available`: parts that can be sent afterwards, where that is known.
    """
    old = transaction.run("SELECT granted FROM user WHERE id = ?", (user,)).fetchone()[0]
    if limit != old:
        transaction.run("UPDATE user SET granted = ? WHERE id = ?", (limit, user))
        _record(transaction, "user_id", user, limit - old, limit, kind, note, available)


def move_user(transaction: "Writing", user: int, group: int, *, in_flight: int = 0) -> None:
    """Put a user into another group: what is available goes back to the old group.

    The parts already used move with the user, and as much of the grants of both groups and their ancestors
    up to a common one: they were paid for where they were granted, and stay so.
    """
    connection = transaction.connection
    own = user_balance(connection, user, reserved_open=in_flight)
    spent = min(own.used + own.reserved, own.limit)
    old = _group_of(transaction, user)
    set_user_limit(transaction, user, spent, kind="return", note="moved to another group")
    before, after = _chain(transaction, old), _chain(transaction, group)
    for one in before:
        if one not in after:
            _shift(transaction, one, -spent)
    for one in after:
        if one not in before:
            _shift(transaction, one, spent)
    transaction.run("UPDATE user SET group_id = ? WHERE id = ?", (group, user))


def return_available(transaction: "Writing", user: int, *, in_flight: int = 0) -> None:
    """What a deleted user has left goes back to the group: the limit falls to what is used and reserved."""
    own = user_balance(transaction.connection, user, reserved_open=in_flight)
    if own.available > 0:
        set_user_limit(transaction, user, own.limit - own.available, kind="return", note="user deleted")


def over_allocated(connection: sqlite3.Connection) -> list[tuple[int, str, int, int]]:
    """(id, path, granted, allocated) of every group that breaks its rule; empty is as it should be."""
    return connection.execute(
        f"SELECT id, path, granted, CAST({_ALLOCATED} AS INTEGER) AS allocated"  # noqa: S608
        " FROM user_group g WHERE NOT unlimited AND allocated > granted ORDER BY path"
    ).fetchall()


def recount(connection: sqlite3.Connection) -> list[str]:
    """What differs between balances and the ledger or the days' usage; empty is as it should be."""
    wrong = []
    for table, column in (("user_group", "group_id"), ("user", "user_id")):
        for identifier, granted, ledger in connection.execute(
            f"SELECT id, granted, (SELECT CAST(total(delta) AS INTEGER) FROM quota_entry"  # noqa: S608
            f" WHERE {column} = t.id AND task_id IS NULL) AS ledger FROM {table} t WHERE granted <> ledger"
        ):
            wrong.append(f"{table} {identifier}: granted {granted}, the ledger says {ledger}")
    for identifier, used, days in connection.execute(
        "SELECT id, used, (SELECT CAST(total(used) AS INTEGER) FROM usage_day WHERE user_id = u.id) AS days"
        " FROM user u WHERE used <> days"
    ):
        wrong.append(f"user {identifier}: used {used}, its days say {days}")
    return wrong


def consolidate(transaction: "Writing", day: int, used: Mapping[int, int]) -> None:
    """Take over a closed day's used parts by user; again with the same or better figures is fine.

    `day` counts from 1970-01-01 UTC. Users that are not named have used nothing that day.
    """
    connection = transaction.connection
    touched = {user for (user,) in connection.execute("SELECT user_id FROM usage_day WHERE day = ?", (day,))}
    transaction.run("DELETE FROM usage_day WHERE day = ?", (day,))
    connection.executemany(
        "INSERT INTO usage_day (day, user_id, used) VALUES (?, ?, ?)",
        [(day, user, parts) for user, parts in sorted(used.items()) if parts],
    )
    connection.executemany(
        "UPDATE user SET used = (SELECT CAST(total(used) AS INTEGER) FROM usage_day WHERE user_id = user.id)"
        " WHERE id = ?",
        [(user,) for user in sorted(touched | used.keys())],
    )
    # A day on which nobody used anything is consolidated too, so the mark is a row of its own.
    transaction.run("INSERT OR IGNORE INTO consolidated_day (day) VALUES (?)", (day,))


def consolidated_days(connection: sqlite3.Connection) -> set[int]:
    """Days whose usage is in the users' `used`: the traffic store's own count of them must be left out."""
    return {day for (day,) in connection.execute("SELECT day FROM consolidated_day")}


def draw(transaction: "Writing", group: int | None, parts: int) -> None:
    """See that a group has so many parts left to allocate; None stands for nothing that limits. Raises QuotaRefused."""
    if group is None:
        return
    source = group_balance(transaction.connection, group)
    if not source.unlimited and parts > source.remaining:
        raise QuotaRefused(
            f"At most {max(source.remaining, 0)} parts are left in group {_group_name(transaction, group)}:"
            f" {source.allocated} of its {source.granted} are allocated. Top up that group first.",
            max(source.remaining, 0),
        )


def _shift(transaction: "Writing", group: int, parts: int) -> None:
    granted, unlimited = transaction.run(
        "SELECT granted, unlimited FROM user_group WHERE id = ?", (group,)
    ).fetchone()
    if not unlimited:
        set_group_granted(
            transaction, group, granted + parts, kind="move", note="a user moved with its used parts"
        )


def _record(
    transaction: "Writing",
    column: str,
    key: int,
    delta: int,
    balance: int,
    kind: str,
    note: str,
    available: int | None,
) -> None:
    kind = kind or ("topup" if delta > 0 else "reclaim")
    transaction.run(
        f"INSERT INTO quota_entry (at, actor, kind, {column}, delta, balance, note, parts, available)"  # noqa: S608
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (transaction.at, transaction.actor, kind, key, delta, balance, note, abs(delta), available),
    )
    transaction.audit(
        f"quota.{kind}", f"{column.removesuffix('_id')} {key}", delta=delta, balance=balance, note=note
    )


def _parent(transaction: "Writing", group: int) -> int | None:
    parent: int | None = transaction.run("SELECT parent FROM user_group WHERE id = ?", (group,)).fetchone()[0]
    return parent


def _group_of(transaction: "Writing", user: int) -> int:
    group: int = transaction.run("SELECT group_id FROM user WHERE id = ?", (user,)).fetchone()[0]
    return group


def _group_name(transaction: "Writing", group: int) -> str:
    name: str = transaction.run("SELECT path FROM user_group WHERE id = ?", (group,)).fetchone()[0]
    return name


def _chain(transaction: "Writing", group: int | None) -> list[int]:
    chain = []
    while group is not None:
        chain.append(group)
        group = _parent(transaction, group)
    return chain
