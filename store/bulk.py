"""Many rows in few statements: each step of a statement hands the GIL over, so a row a step is ruinous
beside a busy event loop (measured: 2,000-9,000 rows/s by `executemany`, 60,000-70,000 so)."""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

ROWS_A_STATEMENT = 50  # measured best of 16-200 for rows of 20 columns and 250 octets

flatten = chain.from_iterable


class Bulk:
    """A statement that takes any number of rows: `head VALUES (row), (row) ... tail`.

    `row` is the SQL of one row's parameters, `(?,?,?)`. The texts are kept by number of rows, so that the
    connection's statement cache finds the same string again.
    """

    __slots__ = ("_head", "_row", "_rows_max", "_tail", "_texts")

    def __init__(self, head: str, row: str, tail: str = "", *, rows_max: int = ROWS_A_STATEMENT) -> None:
        self._head = head
        self._row = row
        self._tail = tail
        self._rows_max = rows_max
        self._texts: dict[int, str] = {}

    def text(self, rows: int) -> str:
        found = self._texts.get(rows)
        if found is None:
            found = self._texts[rows] = self._head + ",".join([self._row] * rows) + self._tail
        return found

    def run(self, connection: sqlite3.Connection, rows: Sequence[Iterable[Any]]) -> int:
        """Run for all rows; the number of rows that changed."""
        changed = 0
        count = len(rows)
        step = self._rows_max
        for start in range(0, count, step):
            some = rows[start : start + step]
            changed += connection.execute(self.text(len(some)), tuple(flatten(some))).rowcount
        return changed

    def fetch(self, connection: sqlite3.Connection, rows: Sequence[Iterable[Any]]) -> list[Any]:
        """Run for all rows; everything they return."""
        found: list[Any] = []
        step = self._rows_max
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            found += connection.execute(self.text(len(some)), tuple(flatten(some))).fetchall()
        return found


def row_of(width: int) -> str:
    return "(" + ",".join("?" * width) + ")"
