"""Disabling people and switching them to review, with what becomes of their tasks."""

from store.task_file import folder_of
from tests.admin.test_sending import task_of
from tests.admin.world import World


def set_states(console: World, states: dict[int, str]) -> None:
    with console.store.writing("test") as write:
        for task, state in states.items():
            write.run("UPDATE task SET state = ?, outcome = '' WHERE id = ?", (state, task))


async def test_disabling_discards_previews_and_stops_what_runs_only_when_ticked(console: World) -> None:
    # usr's tasks: 4 in preview, 7 stopped, 8 in review
    data = console.console.data
    async with console.person("adm") as adm:
        set_states(console, {7: "executing"})
        page = (await adm.get("/users/4")).text
        assert "Previews that will be discarded: 1." in page
        assert "Stop running tasks too (1)" in page
        assert folder_of(data, 4).is_dir()
        assert (await adm.post("/users/4/state", {"state": "disabled"})).status_code == 303
        assert not folder_of(data, 4).exists()
        assert [task_of(console, task).state for task in (4, 7, 8)] == ["discarded", "executing", "review"]
        assert "Previews discarded: 1." in (await adm.get("/users/4")).text
        assert console.daemon.changed == []
        assert (await adm.post("/users/4/state", {"state": "active"})).status_code == 303
        assert (await adm.post("/users/4/state", {"state": "disabled", "stop": "1"})).status_code == 303
        assert "Tasks stopped: 1." in (await adm.get("/users/4")).text
    assert [task_of(console, 7).state, task_of(console, 7).outcome] == ["finished", "stopped"]
    assert console.daemon.changed == [7]
    assert ("console:adm", "task.stop", "task 7") in [one[:3] for one in console.audit()]


async def test_nothing_of_a_refused_change_happens(console: World) -> None:
    set_states(console, {1: "executing"})
    async with console.person("sys") as sys:
        refused = await sys.post("/users/1/state", {"state": "disabled", "stop": "1"})
    assert refused.status_code == 409
    assert task_of(console, 1).state == "executing"
    assert console.daemon.changed == []


async def test_switching_a_user_to_review_pulls_back_what_waits_when_ticked(console: World) -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE user SET review = 'trust' WHERE id = 4")
    set_states(console, {4: "waiting", 7: "waiting"})
    seen = '{"name":"","mobile":"","email":"","note":"","review":"trust"}'
    fields = {"group": "2", "review": "review", "seen": seen}
    async with console.person("adm") as adm:
        assert "also pull back waiting tasks (2)" in (await adm.get("/users/4")).text
        assert (await adm.post("/users/4", fields)).status_code == 303
        assert task_of(console, 4).state == "waiting"  # not ticked: a later change moves nothing
        fields["seen"] = seen.replace("trust", "review")
        assert (await adm.post("/users/4", fields | {"pull_back": "1"})).status_code == 303
        assert "Tasks pulled back to review: 2." in (await adm.get("/users/4")).text
    assert [task_of(console, task).state for task in (4, 7)] == ["review", "review"]
    assert console.daemon.changed == [4, 7]


async def test_switching_a_group_to_review_pulls_back_what_waits_below_it(console: World) -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE user_group SET review = 'trust' WHERE id = 2")
        write.run("UPDATE user SET review = 'trust' WHERE login = 'low'")  # whose own word counts
    set_states(console, {4: "waiting", 5: "waiting", 6: "waiting"})
    async with console.person("sys") as sys:
        page = await sys.get("/users/groups/2")
        assert "also pull back waiting tasks (2)" in page.text
        done = await sys.post("/users/groups/2", {"name": "a", "review": "review", "pull_back": "1"})
        assert done.status_code == 303
    assert [task_of(console, task).state for task in (4, 5, 6)] == ["review", "waiting", "waiting"]
