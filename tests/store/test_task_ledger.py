"""Tasks in the ledger: each row explains what is available after it, and closing twice writes nothing twice."""

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from store import config_schema, quota, task_ledger, tasks
from store.config_db import ConfigStore, Writing
from store.config_schema import config_migrations
from store.tasks import Draft, Input
from tests.store.config_world import open_store, world

# world(): user 1 "acme" with limit 600


def confirmed(write: Writing, parts: int, *, taken: int) -> int:
    task = tasks.create_task(write, 1, Draft("n", "t", "t", 1), Input(typed=True), stage="ready")
    tasks.move_task(write, task, "confirm")
    task_ledger.reserve(write, task, 1, parts, taken=taken)
    return task


def entries(store: ConfigStore, task: int) -> list[tuple[str, int, int, int, int]]:
    with store.reading() as connection:
        return connection.execute(
            "SELECT kind, delta, parts, balance, available FROM quota_entry WHERE task_id = ? ORDER BY id",
            (task,),
        ).fetchall()


def test_what_was_used_stays_taken_and_the_rest_comes_back(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        with store.writing("console:acme") as write:
            task = confirmed(write, 100, taken=150)
            assert not task_ledger.close(write, task, 0, taken=150)  # it waits: nothing is over
            tasks.move_task(write, task, "start")
            tasks.move_task(write, task, "stop")
            assert task_ledger.close(write, task, 30, taken=80)
            assert not task_ledger.close(write, task, 30, taken=80)
        assert entries(store, task) == [
            ("reserve", -100, 100, 600, 450),
            ("settle", 0, 30, 600, 450),
            ("release", 70, 70, 600, 520),
        ]
        with store.reading() as connection:
            assert quota.recount(connection) == []


@pytest.mark.parametrize(("used", "kinds"), [(0, ["release"]), (100, ["settle"]), (140, ["settle"])])
def test_a_row_of_nothing_is_not_written(tmp_path: Path, used: int, kinds: list[str]) -> None:
    with world(tmp_path) as store:
        with store.writing("x") as write:
            task = confirmed(write, 100, taken=100)
            tasks.move_task(write, task, "cancel")
            task_ledger.close(write, task, used, taken=used)
        assert [entry[0] for entry in entries(store, task)[1:]] == kinds


def test_a_task_confirmed_anew_before_its_first_hold_was_closed_is_held_once(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        with store.writing("x") as write:
            task = confirmed(write, 100, taken=100)
            write.run("UPDATE task SET state = 'review' WHERE id = ?", (task,))
            tasks.move_task(write, task, "withdraw")
            tasks.move_task(write, task, "confirm")
            task_ledger.reserve(write, task, 1, 80, taken=80)
            assert not task_ledger.close(write, task, 0, taken=80)  # the daemon comes late
        assert [entry[:3] + entry[4:] for entry in entries(store, task)] == [
            ("reserve", -100, 100, 500), ("release", 100, 100, 600), ("reserve", -80, 80, 520)
        ]  # fmt: skip


def test_what_the_daemon_had_no_time_to_close_is_found(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        with store.writing("x") as write:
            cancelled, waiting, closed = (confirmed(write, 10, taken=10) for _ in range(3))
            tasks.move_task(write, cancelled, "cancel")
            tasks.move_task(write, closed, "cancel")
            task_ledger.close(write, closed, 0, taken=0)
        with store.reading() as connection:
            assert task_ledger.left_open(connection) == [cancelled]
    assert waiting


def test_a_ledger_from_before_keeps_its_rows_and_its_append_only_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world(tmp_path) as store:
        with store.reading() as connection:
            rows = connection.execute(
                "SELECT id, at, kind, user_id, delta, balance FROM quota_entry"
            ).fetchall()
        path = store.path
    old = sqlite3.connect(path)
    for verb in ("update", "delete"):
        old.execute(f"DROP TRIGGER quota_entry_{verb}_refused")
    for index in ("group", "user", "task"):
        old.execute(f"DROP INDEX quota_entry_of_{index}")
    old.execute("ALTER TABLE quota_entry RENAME TO newer")
    old.executescript(config_schema._TABLES[_at("CREATE TABLE quota_entry")])
    old.execute(
        "INSERT INTO quota_entry SELECT id, at, actor, kind, group_id, user_id, delta, balance, note FROM newer"
    )
    old.execute("DROP TABLE newer")
    old.execute("DELETE FROM _sqlite_migrations WHERE name = 'explain_what_tasks_take'")
    old.commit()
    old.close()
    with open_store(tmp_path) as store:
        with store.reading() as connection:
            now = connection.execute(
                "SELECT id, at, kind, user_id, delta, balance FROM quota_entry"
            ).fetchall()
            parts = connection.execute("SELECT DISTINCT parts = abs(delta) FROM quota_entry").fetchall()
        assert now == rows
        assert parts == [(1,)]
        for statement in ("DELETE FROM quota_entry", "UPDATE quota_entry SET delta = 0"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"), store.writing("x") as write:
                write.run(statement)
    assert not list(config_migrations.pending(Database(path)))


def _at(beginning: str) -> int:
    return next(n for n, statement in enumerate(config_schema._TABLES) if statement.startswith(beginning))
