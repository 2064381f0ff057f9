"""Pages of a long list by key, not by offset: page 1,000 costs what page 1 costs, and no row is seen twice.

An order is an allow-listed tuple of SQL expressions that together are unique. Conditions are constant SQL
with `?`; values only ever go in as parameters.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

COUNTED_MAX = 10_000  # beyond it a list says "more than", as counting would cost more than it tells
ROWS_MAX = 5_000_000  # of one export
STEPS_A_LOOK = 5000  # of SQLite's machine between two looks at the clock: some 50 us
Result = TypeVar("Result")


class Cut(msgspec.Struct, frozen=True):
    """Which part of a list: up to `limit` rows that come after the key `after` in the order named `sort`.

    All of them are counted up to `counted`, or not at all (0). With a limit of 0 they are only counted.
    """

    limit: int = 50
    after: tuple[str | int, ...] = ()
    sort: str = ""
    counted: int = COUNTED_MAX + 1


class Order(msgspec.Struct, frozen=True):
    """Expressions to sort by, the last of them unique; all in one direction."""

    columns: tuple[str, ...]
    descending: bool = False


class Page(msgspec.Struct, frozen=True):
    """Rows as tuples; `after` is the key of the next page, () if this is the last.

    `count`: of all, up to `Cut.counted`; -1 where they are never counted.
    """

    rows: list[tuple[Any, ...]]
    after: tuple[str | int, ...]
    count: int


class Where:
    """Conditions joined by AND, with their parameters."""

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self.parameters: list[Any] = []

    def add(self, condition: str, *parameters: Any) -> None:
        """One more condition."""
        self._conditions.append(f"({condition})")
        self.parameters += parameters

    def add_search(self, text: str, *columns: str) -> None:
        """One of the columns contains the text, whatever its case; `%` and `_` are only characters."""
        if text:
            escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            self.add(
                " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns),
                *([f"%{escaped}%"] * len(columns)),
            )

    @property
    def sql(self) -> str:
        return " AND ".join(self._conditions) or "1"


def fetch(
    connection: sqlite3.Connection,
    columns: str,
    tables: str,
    where: Where,
    order: Order,
    cut: Cut,
    *,
    prefix: str = "",
) -> Page:
    """One page. `prefix` is a WITH clause whose parameters come first in `where.parameters`."""
    keys = ", ".join(order.columns)
    count = 0
    if cut.counted:
        count = connection.execute(
            f"{prefix} SELECT count(*) FROM (SELECT 1 FROM {tables} WHERE {where.sql} LIMIT ?)",  # noqa: S608
            (*where.parameters, cut.counted),
        ).fetchone()[0]
    if not cut.limit:
        return Page([], (), count)
    condition, parameters = where.sql, list(where.parameters)
    if len(cut.after) == len(order.columns):
        sign = "<" if order.descending else ">"
        condition += f" AND ({keys}) {sign} ({', '.join('?' * len(cut.after))})"
        parameters += cut.after
    direction = " DESC" if order.descending else ""
    ordering = ", ".join(f"{column}{direction}" for column in order.columns)
    rows = connection.execute(
        f"{prefix} SELECT {columns}, {keys} FROM {tables} WHERE {condition}"  # noqa: S608
        f" ORDER BY {ordering} LIMIT ?",
        (*parameters, cut.limit + 1),
    ).fetchall()
    width = len(order.columns)
    more = len(rows) > cut.limit
    rows = rows[: cut.limit]
    return Page([row[:-width] for row in rows], tuple(rows[-1][-width:]) if more else (), count)


def within_time(
    connection: sqlite3.Connection, until: float, call: Callable[[], Result], clock: Callable[[], float]
) -> Result | None:
    """What `call` reads on the connection; None when that is not done by `until` on the clock."""
    if clock() > until:
        return None
    connection.set_progress_handler(lambda: clock() > until, STEPS_A_LOOK)
    try:
        return call()
    except sqlite3.OperationalError:
        if clock() <= until:
            raise
        return None
    finally:
        connection.set_progress_handler(None, 0)


def order_of(orders: dict[str, Order], cut: Cut) -> Order:
    """The order that a cut names, else the first."""
    return orders.get(cut.sort) or next(iter(orders.values()))


def rows_of(page: Page, struct: Any) -> Sequence[Any]:
    """A page's rows as structs, column by column."""
    return [struct(*row) for row in page.rows]
