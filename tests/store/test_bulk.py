"""Statements of many rows: every number of rows, every kind of value."""

import sqlite3

import msgspec
import pytest

from store.bulk import ROWS_A_STATEMENT, Bulk, row_of, row_without
from store.model import State


class Row(msgspec.Struct):
    a: int
    b: bytes | None
    c: str


@pytest.fixture
def connection() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t(a, b, c)")
    return connection


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 95, 96, 97, 192, 193, 300])
def test_every_number_of_rows_is_written_in_order(connection: sqlite3.Connection, count: int) -> None:
    bulk = Bulk("INSERT INTO t VALUES ", row_of(3))
    rows = [(n, bytes([n % 256]) if n % 2 else None, str(n)) for n in range(count)]
    assert bulk.run(connection, rows) == count
    assert connection.execute("SELECT * FROM t ORDER BY rowid").fetchall() == rows
    connection.execute("DELETE FROM t")
    bulk.run_structs(connection, [Row(*row) for row in rows])
    assert connection.execute("SELECT * FROM t ORDER BY rowid").fetchall() == rows
    connection.close()


def test_few_texts_serve_every_number_of_rows() -> None:
    bulk = Bulk("x", "(?)")
    sizes = {end - start for count in range(1, 500) for start, end in bulk._pieces(count)}
    assert len(sizes) == 21
    assert max(sizes) == ROWS_A_STATEMENT
    assert bulk.text(3) is bulk.text(3)


def test_columns_can_be_left_out_of_what_is_given(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE u(a, c)")
    bulk = Bulk("INSERT INTO u VALUES ", row_without(3, {1}))
    bulk.run_structs(connection, [Row(n, b"unused", str(n)) for n in range(100)])
    assert connection.execute("SELECT * FROM u").fetchall() == [(n, str(n)) for n in range(100)]
    connection.close()


def test_fetch_gives_what_all_statements_return(connection: sqlite3.Connection) -> None:
    Bulk("INSERT INTO t VALUES ", row_of(3)).run(connection, [(n, None, "") for n in range(500)])
    bulk = Bulk("DELETE FROM t WHERE a IN (VALUES ", "(?)", ") RETURNING a")
    found = bulk.fetch(connection, [(n,) for n in range(100, 400)])
    assert sorted(row[0] for row in found) == list(range(100, 400))
    connection.close()


def test_adapters_leave_values_as_they_are(connection: sqlite3.Connection) -> None:
    values = (State.DELIVERED, b"\0\xff", None)
    assert connection.execute("SELECT ?, ?, ?", values).fetchone() == (10, b"\0\xff", None)
    assert connection.execute("SELECT typeof(?), typeof(?), typeof(?)", values).fetchone() == (
        "integer",
        "blob",
        "null",
    )
    connection.close()
