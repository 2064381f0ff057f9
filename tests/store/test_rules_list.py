"""Blacklists as pages: the same entries in the same order, whether a list is sorted or walked by its index."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import rules_list
from store.config_db import ConfigStore
from store.directory import BlacklistScope
from store.listing import Cut
from store.rules import blacklist_add
from store.rules_list import list_blacklist
from store.scope import Within
from tests.store.config_world import AT, WORLD, apply

ENTRIES = 700


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Two groups' lists and the global one, filled in turns."""
    with ConfigStore.open(tmp_path, wall_ms=lambda: AT) as store:
        apply(store, WORLD)
        with store.writing("test") as write:
            for batch in range(7):
                numbers = range(8613800000000 + 100 * batch, 8613800000000 + 100 * (batch + 1))
                for scope in (
                    BlacklistScope("group", 1),
                    BlacklistScope("global"),
                    BlacklistScope("group", 2),
                ):
                    blacklist_add(write, scope, numbers, source="manual", note=str(batch))
        with store.reading() as reading:
            yield reading


def walk(connection: sqlite3.Connection, kind: str, within: Within) -> list[tuple[int, int]]:
    """(scope, number) of all entries, by pages of 64."""
    found, cut = [], Cut(64)
    while True:
        page = list_blacklist(connection, within, kind, cut)
        found += [(row[0], row[1]) for row in page.rows]
        if not page.after:
            return found
        cut = Cut(64, page.after)


@pytest.mark.parametrize("kind", ["global", "group", "type"])
@pytest.mark.parametrize("within", [Within(), Within(2)])
def test_walked_and_sorted_are_alike(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, kind: str, within: Within
) -> None:
    in_order = walk(connection, kind, within)
    monkeypatch.setattr(rules_list, "SORTED_ROWS_MAX", 1)
    assert walk(connection, kind, within) == in_order
    assert len(set(in_order)) == len(in_order)
    assert len(in_order) >= {"global": ENTRIES, "group": ENTRIES, "type": 0}[kind]


def test_a_page_of_a_long_list_sorts_nothing(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules_list, "SORTED_ROWS_MAX", 1)
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    list_blacklist(connection, Within(), "global", Cut(50, (3, 1, 8613800000150)))
    connection.set_trace_callback(None)
    plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {asked[-1]}"))
    assert "blacklist_number_of_batch ((batch_id,scope_id,number)<(?,?,?))" in plan
    assert "TEMP B-TREE" not in plan
