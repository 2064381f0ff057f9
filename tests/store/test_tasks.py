"""Tasks: the life of one is the table's, and of two who move it at once one does."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from store import tasks
from store.address_book import add_contacts, contact_groups, numbers_of, remove_contacts
from store.config_db import ConfigStore
from store.listing import Cut
from store.phrases import add_phrase, list_phrases, phrases_for, remove_phrases
from store.refusals import Refused
from store.scope import Within
from store.task_states import MOVES, STATES, possible
from store.tasks import Draft, Input, TaskFilter
from tests.store.config_world import WORLD, apply

DRAFT = Draft("name", "text", "text", 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConfigStore]:
    with ConfigStore.open(tmp_path_factory.mktemp("tasks") / "data") as made:
        apply(made, WORLD)
        yield made


def new_task(store: ConfigStore, state: str = "preview") -> int:
    with store.writing("console:acme") as write:
        task = tasks.create_task(write, 1, DRAFT, Input(typed=True), stage="ready")
        outcome = "stopped" if state == "finished" else ""
        write.run("UPDATE task SET state = ?, outcome = ? WHERE id = ?", (state, outcome, task))
    return task


def row(store: ConfigStore, task: int) -> tasks.TaskRow:
    with store.reading() as connection:
        found = tasks.any_task(connection, task)
    assert found
    return found


@pytest.mark.parametrize(("state", "name"), list(itertools.product(STATES, MOVES)))
def test_a_move_succeeds_exactly_where_the_table_says(store: ConfigStore, state: str, name: str) -> None:
    task, move = new_task(store, state), MOVES[name]
    try:
        with store.writing("somebody") as write:
            tasks.move_task(write, task, name, note="why")
    except Refused as refused:
        assert state not in move.before
        assert (refused.code, refused.values["state"]) == ("task-state", state)
        assert row(store, task).state == state
    else:
        assert state in move.before
        after = row(store, task)
        assert (after.state, after.outcome) == (move.after, move.outcome)
        assert bool(after.finished_at) == (move.after == "finished")


def test_of_many_who_move_a_task_at_once_one_does(store: ConfigStore) -> None:
    task = new_task(store, "review")

    def move(number: int) -> bool:
        try:
            with store.writing(f"reviewer{number}") as write:
                tasks.move_task(write, task, "approve" if number % 2 else "reject", note="because")
        except Refused as refused:
            assert str(refused.values["actor"]).startswith("reviewer")
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(move, range(16))) == 1


def test_a_move_its_history_and_its_audit_row_are_one_transaction(store: ConfigStore) -> None:
    task = new_task(store)
    with pytest.raises(RuntimeError), store.writing("console:acme") as write:
        tasks.move_task(write, task, "confirm")
        raise RuntimeError
    assert row(store, task).state == "preview"
    with store.writing("console:acme") as write:
        tasks.move_task(write, task, "confirm")
    with store.reading() as connection:
        assert [event[2] for event in tasks.task_events(connection, task)] == ["create", "confirm"]
        actions = connection.execute(
            "SELECT action FROM audit WHERE target = ?", (f"task {task}",)
        ).fetchall()
    assert actions == [("task.create",), ("task.confirm",)]


def test_a_rejection_needs_a_reason(store: ConfigStore) -> None:
    task = new_task(store, "review")
    with pytest.raises(Refused), store.writing("x") as write:
        tasks.move_task(write, task, "reject", note="  ")
    assert row(store, task).state == "review"


def test_a_task_is_seen_by_its_owner_and_from_above(store: ConfigStore) -> None:
    task = new_task(store)
    with store.writing("x") as write:
        write.run("UPDATE task SET name = 'a rare name' WHERE id = ?", (task,))
    with store.reading() as connection:
        assert tasks.read_task(connection, Within(2), task)
        assert tasks.read_task(connection, Within(1), task)
        assert tasks.read_task(connection, Within(1), task, owner=1)
        assert not tasks.read_task(connection, Within(1), task, owner=99)
        assert tasks.count_tasks(connection, Within(1), TaskFilter(search="A RARE")) == 1
        assert (
            tasks.list_tasks(
                connection, Within(1), TaskFilter(search="A RARE", states=("review",)), Cut()
            ).rows
            == []
        )
    with store.writing("x") as write:
        tasks.move_task(write, task, "discard")
    with store.reading() as connection:
        assert not tasks.read_task(connection, Within(1), task)


def test_the_console_sends_as_an_account_of_its_own_made_once(store: ConfigStore) -> None:
    new_task(store)
    new_task(store)
    accounts = [a for a in store.directory().accounts.values() if a.system_id == "console:acme"]
    assert [(a.user, a.sms_type, a.priority, a.password_hash) for a in accounts] == [(1, "business", 0, "")]
    exported = "".join(store.export())
    assert 'system_id = "console:acme"' in exported


@pytest.mark.parametrize(
    ("state", "by", "moves"),
    [
        ("preview", "owner", {"edit", "discard", "confirm", "ask-review"}),
        ("review", "reviewer", {"approve", "reject"}),
        ("review", "owner", {"withdraw", "cancel"}),
        ("waiting", "admin", {"cancel", "send-now", "reschedule"}),
        ("executing", "owner", {"pause", "stop"}),
        ("paused", "owner", {"resume", "stop"}),
        ("finished", "owner", set()),
    ],
)
def test_who_has_which_moves(state: str, by: str, moves: set[str]) -> None:
    assert set(possible(state, frozenset({by}))) == moves  # type: ignore[arg-type]


def test_contacts_are_their_owner_s_alone(store: ConfigStore) -> None:
    with store.writing("x") as write:
        assert add_contacts(write, 1, "family", [("a", 1001), ("b", 1002), ("c", 1001)]) == (2, 1)
        assert remove_contacts(write, 2, [1, 2]) == 0
    with store.reading() as connection:
        group = contact_groups(connection, 1)[0]
        assert (group.name, group.count) == ("family", 2)
        assert numbers_of(connection, 1, [1], [group.id]) == [1001, 1001, 1002]
        assert numbers_of(connection, 2, [1], [group.id]) == []
    with store.writing("x") as write:
        assert remove_contacts(write, 1, [1, 2]) == 2
    with store.reading() as connection:
        assert contact_groups(connection, 1) == []


def test_a_shared_phrase_is_seen_in_its_group_and_deleted_by_its_owner(store: ConfigStore) -> None:
    with store.writing("x") as write:
        add_phrase(write, 1, "mine", "personal", shared=False)
        shared = add_phrase(write, 1, "ours", "for all", shared=True)
    with store.reading() as connection:
        own_group = connection.execute("SELECT group_id FROM user WHERE id = 1").fetchone()[0]
        assert [p.text for p in phrases_for(connection, 1, own_group)] == ["personal", "for all"]
        assert [p.text for p in phrases_for(connection, 99, own_group)] == ["for all"]
        assert phrases_for(connection, 99, own_group + 1) == []
        assert list_phrases(connection, 99, own_group, Cut()).count == 1
    with store.writing("x") as write:
        assert remove_phrases(write, 99, [shared]) == 0
        assert remove_phrases(write, 1, [shared]) == 1
