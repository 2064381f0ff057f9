"""When somebody's parts run low (`quota.low`): at a number of parts, or at a share of the limit; who is there now."""

import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from store.directory import low_at
from store.scope import Within, groups_within

if TYPE_CHECKING:
    from store.config_db import Writing

PERCENT_DEFAULT = 10
_TABLES = {"user": "user", "group": "user_group"}


class Threshold(msgspec.Struct, frozen=True):
    """`parts` left, or where that is -1, `percent` of the limit."""

    parts: int = -1
    percent: int = PERCENT_DEFAULT

    def at(self, limit: int) -> int:
        """Low once no more than this is left."""
        return low_at(limit, self.parts, self.percent)


class Low(msgspec.Struct, frozen=True):
    """Somebody who has little left. `kind` is "user" or "group"."""

    kind: str
    id: int
    name: str
    available: int
    limit: int


def threshold_of(connection: sqlite3.Connection, kind: str, identifier: int) -> Threshold:
    """The threshold of a user or a group."""
    row = connection.execute(
        f"SELECT quota_low_parts, quota_low_percent FROM {_TABLES[kind]} WHERE id = ?",  # noqa: S608
        (identifier,),
    ).fetchone()
    return Threshold(*row)


def set_threshold(
    transaction: "Writing", kind: str, identifier: int, name: str, threshold: Threshold
) -> None:
    """Say when parts count as low. `name` is the login or the path, for the audit log."""
    before = threshold_of(transaction.connection, kind, identifier)
    if threshold == before:
        return
    transaction.run(
        f"UPDATE {_TABLES[kind]} SET quota_low_parts = ?, quota_low_percent = ? WHERE id = ?",  # noqa: S608
        (threshold.parts, threshold.percent, identifier),
    )
    transaction.audit("quota.threshold", f"{kind} {name}", low_at=[_said(before), _said(threshold)])


def _said(threshold: Threshold) -> str:
    return str(threshold.parts) if threshold.parts >= 0 else f"{threshold.percent} %"


def low_users(
    connection: sqlite3.Connection, within: Within, balances: Mapping[int, tuple[int, int]], *, user: int = 0
) -> list[Low]:
    """Active users in scope (or one of them) whose available parts are low, the least first.

    Args:
      balances: by user id, parts used and reserved as the daemon knows them; others have what config.db says.
    """
    rows = connection.execute(
        f"{within.sql} SELECT u.id, u.login, u.granted, u.used, u.quota_low_parts, u.quota_low_percent"  # noqa: S608
        " FROM user u WHERE u.group_id IN subtree AND u.state = 'active' AND u.granted > 0"
        " AND (? = 0 OR u.id = ?)",
        (within.group, user, user),
    )
    found = []
    for identifier, login, limit, used, parts, percent in rows:
        available = limit - sum(balances.get(identifier, (used, 0)))
        if available <= low_at(limit, parts, percent):
            found.append(Low("user", identifier, login, available, limit))
    return sorted(found, key=lambda one: one.available)


def low_groups(
    connection: sqlite3.Connection, within: Within, balances: Mapping[int, tuple[int, int]], *, group: int = 0
) -> list[Low]:
    """Limited groups in scope (or one of them) with little left: granted, less what all in them have used and
    reserved. Parts that lie with a group's users unused are left, as the group can take them back."""
    taken: dict[int, int] = {}
    for identifier, home, used in connection.execute(
        f"{within.sql} SELECT id, group_id, used FROM user WHERE group_id IN subtree",  # noqa: S608
        (within.group,),
    ):
        taken[home] = taken.get(home, 0) + sum(balances.get(identifier, (used, 0)))
    groups = {
        row[0]: row
        for row in connection.execute(
            "SELECT id, path, ifnull(parent, 0), granted, unlimited, quota_low_parts, quota_low_percent"
            " FROM user_group WHERE state = 'active'"
        )
    }
    spent = dict.fromkeys(groups, 0)
    for home, parts in taken.items():
        while home in groups:
            spent[home] += parts
            home = groups[home][2]
    inside = groups_within(connection, within)
    found = []
    for identifier in inside:
        if identifier not in groups or (group and identifier != group):
            continue
        _, path, _, granted, unlimited, parts, percent = groups[identifier]
        left = granted - spent[identifier]
        if granted and not unlimited and left <= low_at(granted, parts, percent):
            found.append(Low("group", identifier, path, left, granted))
    return sorted(found, key=lambda one: one.available)
