"""The audit log: in the same transaction as its effect, and nobody edits it unseen."""

import sqlite3
from pathlib import Path

import msgspec
import pytest

from store import audit
from store.directory import BlacklistScope
from tests.store.config_world import apply, world


def test_every_change_has_its_row_with_actor_and_values(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, '[[carrier]]\nname = "carrier-a"\nwindow = 20\npassword = "new-password"\n')
        with store.reading() as connection:
            actor, action, target, detail = connection.execute(
                "SELECT actor, action, target, detail FROM audit ORDER BY id DESC LIMIT 1"
            ).fetchone()
    assert (actor, action, target) == ("cli:test", "apply.changed", "carrier carrier-a")
    assert msgspec.json.decode(detail)["fields"] == [["window", 100, 20], ["password", "•••", "•••"]]


def test_an_event_that_changes_nothing_is_recorded_without_a_new_version(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        version = store.version()
        store.record("console:zhang", "sign-in", "user zhang", address="10.0.0.1")
        assert store.version() == version
        with store.reading() as connection:
            rows = connection.execute(
                "SELECT actor, action, detail FROM audit ORDER BY id DESC LIMIT 1"
            ).fetchone()
    assert rows == ("console:zhang", "sign-in", '{"address":"10.0.0.1"}')


def test_a_rolled_back_change_leaves_no_row(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        with store.reading() as connection:
            before = audit.head(connection)
        with pytest.raises(RuntimeError), store.writing("me") as transaction:
            transaction.audit("test", "x")
            raise RuntimeError
        with store.reading() as connection:
            assert audit.head(connection) == before


@pytest.mark.parametrize(
    "statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "DELETE FROM quota_entry"]
)
def test_rows_cannot_be_changed_through_sql(tmp_path: Path, statement: str) -> None:
    refused = pytest.raises(sqlite3.IntegrityError, match="append-only")
    with world(tmp_path) as store, refused, store.writing("me") as transaction:
        transaction.run(statement)


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        ("UPDATE audit SET actor = 'x' WHERE id = 2", 2),
        ("UPDATE audit SET detail = '{}' WHERE id = 1", 1),
        ("DELETE FROM audit WHERE id = 3", 4),
        ("UPDATE audit SET id = 99 WHERE id = 4", 5),
    ],
)
def test_what_was_changed_from_outside_is_found(tmp_path: Path, tamper: str, found: int) -> None:
    with world(tmp_path) as store:
        store.blacklist_add(BlacklistScope("global"), [1], "me")
        with store.reading() as connection:
            assert audit.first_break(connection) == 0
        with store.writing("thief") as transaction:
            transaction.run("DROP TRIGGER audit_update_refused")
            transaction.run("DROP TRIGGER audit_delete_refused")
            transaction.run(tamper)
        with store.reading() as connection:
            assert audit.first_break(connection) == found


def test_large_lists_are_told_by_count_and_ends(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        store.blacklist_add(BlacklistScope("global"), range(1000, 3000), "me")
        with store.reading() as connection:
            detail = connection.execute("SELECT detail FROM audit ORDER BY id DESC LIMIT 1").fetchone()[0]
    assert msgspec.json.decode(detail)["numbers"] == {"count": 2000, "first": 1000, "last": 2999}
