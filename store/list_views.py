"""How a person wants each list: hidden columns, density, saved filters and which of them comes first.

Lists are named by their `ListSpec`; what a filter says is the query of its address, which is judged anew whenever
it is used.
"""

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from store.refusals import Refused

if TYPE_CHECKING:
    from store.config_db import Writing

FILTERS_MAX = 50  # of one person and list
NAME_CHARACTERS_MAX = 64
QUERY_CHARACTERS_MAX = 2000
Density = Literal["normal", "compact"]

LIST_VIEW_TABLES = (
    """CREATE TABLE list_filter (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id INTEGER NOT NULL REFERENCES user(id),
        list TEXT NOT NULL,
        name TEXT NOT NULL CHECK (name <> ''),
        query TEXT NOT NULL,
        shared INTEGER NOT NULL DEFAULT 0 CHECK (shared IN (0, 1)),
        UNIQUE (user_id, list, name)
    ) STRICT""",
    "CREATE INDEX list_filter_shared ON list_filter(list) WHERE shared = 1",
    """CREATE TABLE list_view (
        user_id INTEGER NOT NULL REFERENCES user(id),
        list TEXT NOT NULL,
        hidden TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(hidden)),
        density TEXT NOT NULL DEFAULT 'normal' CHECK (density IN ('normal', 'compact')),
        filter_id INTEGER REFERENCES list_filter(id) ON DELETE SET NULL,
        PRIMARY KEY (user_id, list)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX list_view_of_filter ON list_view(filter_id) WHERE filter_id IS NOT NULL",
)


class SavedFilter(msgspec.Struct, frozen=True):
    """A filter that somebody keeps. `owner` is whose login, for those that others share."""

    id: int
    user: int
    owner: str
    name: str
    query: str
    shared: bool


class ListView(msgspec.Struct, frozen=True):
    """How one person sees one list; `first` is the filter that an address without any means, 0 for none.

    `chosen`: they said which columns, so that all others show, however narrow the window.
    """

    hidden: tuple[str, ...] = ()
    density: Density = "normal"
    first: int = 0
    filters: tuple[SavedFilter, ...] = ()
    chosen: bool = False

    @property
    def first_query(self) -> str:
        """What the address without a filter means."""
        return next((one.query for one in self.filters if one.id == self.first), "")


def _saved(row: tuple[Any, ...]) -> SavedFilter:
    identifier, user, owner, name, query, shared = row
    return SavedFilter(identifier, user, owner, name, query, bool(shared))


def list_view(connection: sqlite3.Connection, user: int, name: str) -> ListView:
    """How a person sees a list, with their own filters and those that others of their group share."""
    row = connection.execute(
        "SELECT hidden, density, ifnull(filter_id, 0), chosen FROM list_view WHERE user_id = ? AND list = ?",
        (user, name),
    ).fetchone()
    hidden, first = (row[0], row[2]) if row else ("[]", 0)
    density: Density = row[1] if row else "normal"
    filters = [
        _saved(found)
        for found in connection.execute(
            "SELECT f.id, f.user_id, u.login, f.name, f.query, f.shared FROM list_filter f"
            " JOIN user u ON u.id = f.user_id WHERE f.list = ?1 AND (f.user_id = ?2 OR (f.shared = 1"
            " AND u.state <> 'deleted' AND u.group_id = (SELECT group_id FROM user WHERE id = ?2)))"
            " ORDER BY f.user_id <> ?2, lower(f.name), f.id",
            (name, user),
        )
    ]
    columns = tuple(msgspec.json.decode(hidden, type=list[str]))
    return ListView(columns, density, first, tuple(filters), bool(row and row[3]))


def set_columns(
    transaction: "Writing", user: int, name: str, hidden: Sequence[str], density: Density
) -> None:
    """Remember which columns a person does not want, and how close rows stand."""
    transaction.run(
        "INSERT INTO list_view (user_id, list, hidden, density, chosen) VALUES (?, ?, ?, ?, 1)"
        " ON CONFLICT (user_id, list) DO UPDATE"
        " SET hidden = excluded.hidden, density = excluded.density, chosen = 1",
        (user, name, msgspec.json.encode(list(hidden)).decode(), density),
    )


def save_filter(transaction: "Writing", user: int, name: str, title: str, query: str, *, shared: bool) -> int:
    """Keep a filter under a title; one of that title is replaced. Gives its id.

    Raises Refused ("too-many") beyond `FILTERS_MAX`.
    """
    known = transaction.run(
        "SELECT count(*) FROM list_filter WHERE user_id = ? AND list = ? AND name <> ?", (user, name, title)
    ).fetchone()[0]
    if known >= FILTERS_MAX:
        raise Refused("too-many", f"At most {FILTERS_MAX} filters of a list.", limit=FILTERS_MAX)
    row = transaction.run(
        "INSERT INTO list_filter (user_id, list, name, query, shared) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (user_id, list, name) DO UPDATE SET query = excluded.query, shared = excluded.shared"
        " RETURNING id",
        (user, name, title, query, int(shared)),
    ).fetchone()
    return int(row[0])


def delete_filter(transaction: "Writing", user: int, identifier: int) -> SavedFilter | None:
    """Forget one of a person's own filters, for everybody; gives it as it was."""
    row = transaction.run(
        "SELECT f.id, f.user_id, '', f.name, f.query, f.shared FROM list_filter f WHERE f.id = ? AND f.user_id = ?",
        (identifier, user),
    ).fetchone()
    if row is None:
        return None
    transaction.run("DELETE FROM list_filter WHERE id = ?", (identifier,))
    return _saved(row)


def set_first(transaction: "Writing", user: int, name: str, identifier: int) -> bool:
    """Which filter the list begins with, 0 for none; False when it is none that this person sees."""
    seen = {one.id for one in list_view(transaction.connection, user, name).filters}
    if identifier and identifier not in seen:
        return False
    transaction.run(
        "INSERT INTO list_view (user_id, list, filter_id) VALUES (?, ?, ?)"
        " ON CONFLICT (user_id, list) DO UPDATE SET filter_id = excluded.filter_id",
        (user, name, identifier or None),
    )
    return True
