"""A cap on a task's rate from its page: kept, written down, told in its history, refused when it makes no sense."""

import pytest

from tests.admin.world import World

TASK = 8  # usr's, in review


async def test_a_cap_is_kept_and_the_daemon_hears_of_it(console: World) -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE task SET state = 'executing' WHERE id = ?", (TASK,))
    async with console.person("usr") as person:
        answer = await person.post(f"/tasks/{TASK}/rate", {"rate": "1,500"})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/tasks/{TASK}")
        page = (await person.get(f"/tasks/{TASK}")).text
        assert 'value="1500"' in page
        assert "0 → 1500" in page
    assert TASK in console.daemon.changed
    assert [row[1] for row in console.audit()].count("task.rate") == 1


@pytest.mark.parametrize("typed", ["", "fast", "-1", "100001"])
async def test_a_cap_that_is_none_is_told_beside_its_field(console: World, typed: str) -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE task SET state = 'executing' WHERE id = ?", (TASK,))
    async with console.person("usr") as person:
        answer = await person.post(f"/tasks/{TASK}/rate", {"rate": typed})
        assert answer.status_code == 422
        assert 'id="rate-error"' in answer.text


async def test_a_task_that_is_over_takes_no_cap(console: World) -> None:
    async with console.person("usr") as person:
        assert (await person.post("/tasks/7/rate", {"rate": "5"})).status_code == 409
    assert console.daemon.changed == []
