"""What becomes of somebody's tasks with them."""

from pathlib import Path

from store import owner_tasks, people_edit, tasks
from store.config_db import ConfigStore
from store.groups_edit import edit_group
from store.owner_tasks import OpenTasks
from store.scope import Within
from store.tasks import Draft, Input
from tests.store.config_world import apply, world

STATES = ("preview", "review", "waiting", "executing", "paused", "finished")


def with_tasks(path: Path) -> ConfigStore:
    """The world; "acme" (user 1, trusted by group 2) has a task in each state, 1 to 6 in that order."""
    store = world(path)
    with store.writing("test") as write:
        for state in STATES:
            task = tasks.create_task(
                write, 1, Draft(state, "text", "text", 1), Input(typed=True), stage="ready"
            )
            outcome = "completed" if state == "finished" else ""
            write.run("UPDATE task SET state = ?, outcome = ? WHERE id = ?", (state, outcome, task))
    return store


def states(store: ConfigStore) -> list[str]:
    with store.reading() as connection:
        return [row[0] for row in connection.execute("SELECT state FROM task ORDER BY id")]


def test_they_are_counted_by_what_a_change_touches(tmp_path: Path) -> None:
    with with_tasks(tmp_path) as store, store.reading() as connection:
        assert owner_tasks.open_tasks(connection, Within(), user=1) == OpenTasks(1, 1, 2)
        assert owner_tasks.open_tasks(connection, Within(2)) == OpenTasks(1, 1, 2)
        assert owner_tasks.open_tasks(connection, Within(), user=9) == OpenTasks()


def test_whoever_disables_or_deletes_discards_the_previews_and_nothing_else(tmp_path: Path) -> None:
    ways = {
        "page": lambda store: _set(store, "disabled"),
        "page, deleted": lambda store: _set(store, "deleted"),
        "apply": lambda store: apply(store, '[[user]]\nlogin = "acme"\nstate = "disabled"\n'),
        "apply, removed": lambda store: apply(store, '[[user]]\nlogin = "acme"\nremove = true\n'),
    }
    for name, way in ways.items():
        with with_tasks(tmp_path / name) as store:
            way(store)
            assert states(store) == ["discarded", *STATES[1:]], name
            with store.reading() as connection:
                assert tasks.discarded_among(connection, [1, 2, 77]) == [1]
                assert tasks.task_events(connection, 1)[-1][2:] == ("discard", "discarded", "owner disabled")


def _set(store: ConfigStore, state: str) -> None:
    with store.writing("test") as write:
        people_edit.set_state(write, 1, state, by=0)


def test_what_runs_is_stopped_when_that_is_asked_for(tmp_path: Path) -> None:
    with with_tasks(tmp_path) as store:
        with store.writing("test") as write:
            assert owner_tasks.stop_running(write, 1) == [4, 5]
        assert states(store) == ["preview", "review", "waiting", "finished", "finished", "finished"]
        with store.reading() as connection:
            assert tasks.any_task(connection, 4).outcome == "stopped"  # type: ignore[union-attr]


def test_what_waits_is_pulled_back_where_its_owner_is_reviewed_now(tmp_path: Path) -> None:
    with with_tasks(tmp_path) as store:
        with store.writing("test") as write:
            assert owner_tasks.pull_back(write, Within(2)) == []  # trusted still
            edit_group(write, 2, "福建分公司", "review")
            assert owner_tasks.pull_back(write, Within(2)) == [3]
        assert states(store)[2] == "review"


def test_what_a_reviewer_approved_is_not_pulled_back(tmp_path: Path) -> None:
    with with_tasks(tmp_path) as store, store.writing("test") as write:
        tasks.move_task(write, 2, "approve")
        edit_group(write, 2, "福建分公司", "review")
        assert owner_tasks.pull_back(write, Within(2), user=1) == [3]
        assert owner_tasks.open_tasks(write.connection, Within(), user=1).waiting == 0
