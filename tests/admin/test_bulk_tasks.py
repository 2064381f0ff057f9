"""Many tasks at once: each is moved or told of by itself, none out of reach, and what can come back does."""

import re

import pytest

from store import tasks, trash
from store.task_file import ROWS, folder_of, folders_in
from tests.admin.test_trash import undo
from tests.admin.world import TASKS, USERS, World, clock

HEADING = re.compile(r'<div class="flash (\w+)" role="status">.*?<span>(.*?)</span>', re.DOTALL)


def put(console: World, **states: str) -> None:
    """Put tasks of the world into states: `t4="waiting"`."""
    with console.store.writing("test") as write:
        for name, state in states.items():
            write.run("UPDATE task SET state = ? WHERE id = ?", (state, int(name[1:])))


def states(console: World) -> dict[int, str]:
    with console.store.reading() as connection:
        return dict(connection.execute("SELECT id, state || ' ' || outcome FROM task").fetchall())


async def test_chosen_tasks_are_cancelled_and_each_is_told_of(console: World) -> None:
    put(console, t4="waiting", t8="review")
    with console.store.writing("test") as write:
        write.run("UPDATE task SET user_id = ? WHERE id IN (1, 2, 3)", (USERS["usr"],))
        write.run("UPDATE task SET group_id = 2 WHERE id = 1")
    put(console, t1="executing", t2="preview", t3="paused")
    async with console.person("usr") as person:
        page = (await person.get("/sms/pending")).text
        assert sorted(re.findall(r'name="ids" value="(\d+)"', page)) == ["2", "4", "8"]
        assert 'data-confirm="Cancel the chosen tasks? Nothing of them is sent' in page
        ids = ["1", "2", "3", "4", "7", "8", "5", "6", "999", "x"]
        assert (await person.post("/sms/pending/cancel", {"ids": ids})).status_code == 303
        tone, text = HEADING.findall((await person.get("/sms/pending")).text)[0]
    assert tone == "good"
    assert "2 cancelled: nothing of them is sent, and they do not come back." in text
    assert "1 previews discarded." in text
    assert "2 had begun already: task of sys #1 (Executing)、task of peer #3 (Paused)." in text
    assert "1 were over already: task of usr #7 (Finished · Stopped)." in text
    assert "3 are not there any more." in text  # other people's, and what never was
    assert "task of low" not in text
    after = states(console)
    assert after[4] == after[8] == "finished cancelled"
    assert after[1] == "executing "
    assert after[5] == after[6] == "preview "
    assert sorted(console.daemon.changed) == [4, 8]  # which give back their parts
    done = [(action, target) for actor, action, target, _ in console.audit() if actor == "console:usr"]
    assert ("task.cancel", "task 4") in done
    assert ("task.discard", "task 2") in done


async def test_an_administrator_cancels_below_and_nowhere_else_and_discards_nobody_s_preview(
    console: World,
) -> None:
    put(console, t5="waiting", t6="waiting", t1="waiting")
    async with console.person("adm") as person:
        page = (await person.get("/sms/pending")).text
        assert set(re.findall(r'name="ids" value="(\d+)"', page)) == {"2", "5", "8"}
        await person.post("/sms/pending/cancel", {"ids": ["5", "6", "1", "4"]})
        tone, text = HEADING.findall((await person.get("/sms/pending")).text)[0]
        assert tone == "good"
        assert "1 are somebody else&#39;s previews" in text
        await person.post("/sms/pending/cancel", {"ids": ["5"]})
        tone, text = HEADING.findall((await person.get("/sms/pending")).text)[0]
        assert (tone, "1 were over already" in text) == ("bad", True)
        await person.post("/sms/pending/cancel")
        assert "Choose at least one task." in (await person.get("/sms/pending")).text
    after = states(console)
    assert after[5] == "finished cancelled"
    assert after[6] == after[1] == "waiting "
    assert after[4] == "preview "


@pytest.mark.parametrize("way", ["many", "one"])
async def test_a_discarded_preview_comes_back_and_its_rows_are_judged_anew(console: World, way: str) -> None:
    data = console.store.path.parent
    async with console.person("usr") as person:
        if way == "many":
            await person.post("/sms/pending/cancel", {"ids": ["4"]})
        else:
            await person.post("/tasks/4/discard")
        with console.store.reading() as connection:
            assert tasks.discarded_among(connection, folders_in(data)) == []  # it is kept
        assert (await undo(person, "/sms/pending")).headers["location"] == "/sms/pending"
        assert states(console)[4] == "preview "
        assert (folder_of(data, 4) / ROWS).exists()
        with console.store.reading() as connection:
            row = tasks.any_task(connection, 4)
            assert row
            assert row.stage == "preparing"
            assert tasks.stale_previews(connection, clock.at) == []  # it does not go at once again
        assert (await person.post("/trash/1/restore")).status_code == 404  # once


async def test_a_discarded_preview_is_dropped_for_good_after_thirty_days(console: World) -> None:
    async with console.person("usr") as person:
        await person.post("/sms/pending/cancel", {"ids": ["4"]})
    async with console.person("adm") as person:
        assert (await person.post("/trash/1/restore")).status_code == 404  # it is somebody else's
    clock.at += trash.KEPT_MS + 1
    await console.console.background.sweep()
    with console.store.reading() as connection:
        assert tasks.discarded_among(connection, folders_in(console.store.path.parent)) == [4]


async def test_tasks_with_the_same_text_are_approved_together_those_that_were_seen(console: World) -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE task SET state = 'review' WHERE id IN (2, 4, 5, 6)")
        write.run("UPDATE task SET text = 'another', masked = 'another' WHERE id = 6")
        write.run("UPDATE task SET end_at = 5 WHERE id = 5")
    async with console.person("adm") as person:
        page = (await person.get("/review/tasks")).text
        assert page.count("Approve all 3 with this text") == 1
        assert "task of sibling7" not in page
        form = re.findall(r'action="/review/tasks/approve">.*?</form>', page, re.DOTALL)[0]
        assert re.findall(r'name="ids" value="(\d+)"', form) == ["4", "5", "8"]  # not the viewer's own
        assert "Approve all 3 with this text" in (await person.get("/review/tasks/8")).text
        put(console, t8="waiting")
        await person.post("/review/tasks/approve", {"ids": ["4", "5", "8", "2", "6"]})
        tone, text = HEADING.findall((await person.get("/review/tasks")).text)[0]
    assert tone == "good"
    assert "1 approved." in text
    assert "1 can only be rejected, as their end has passed: task of low #5" in text
    assert "1 were decided already: task of usr #8" in text
    assert "1 are your own, for another administrator: task of adm #2" in text
    assert "1 are not there any more." in text
    assert {task: state for task, state in states(console).items() if task in (2, 4, 5, 6)} == {
        2: "review ",
        4: "waiting ",
        5: "review ",
        6: "review ",
    }
    assert console.daemon.changed == [4]
    async with console.person("sys") as person:
        await person.post("/review/tasks/approve", {"ids": ["2", "6"]})
        text = (await person.get("/review/tasks")).text
        assert "1 approved. 1 say something else and were left: task of sibling7 #6" in text
    assert states(console)[6] == "review "


async def test_a_reviewer_sees_rows_as_they_are_sent_and_what_was_decided_before(console: World) -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE task SET text = '有敏感的字' WHERE id = 8")
        write.run("UPDATE task SET state = 'review' WHERE id = 4")
        tasks.move_task(write, 4, "reject", note="too loud")
    async with console.person("adm") as person:
        page = (await person.get("/review/tasks/8")).text
    rows = re.findall(r'data-label="Number">(\d+)</td><td[^>]*>(.*?)</td>', page)
    assert rows == [("8613700000001", "有**的字"), ("8613700000002", "有**的字")]
    assert "100 % of them rejected" in page
    assert "too loud" in page
    assert "It begins at once, and what has been sent is not called back." in page


async def test_keys_of_the_review_are_listed_and_go_with_the_others(console: World) -> None:
    fields = {"language": "en", "theme": "auto", "zone": "Europe/Berlin", "page_size": "20"}
    async with console.person("adm") as person:
        for path in ("/review/tasks", "/review/tasks/8"):
            page = (await person.get(path)).text
            keys = page[page.index('id="keys"') :]
            assert re.findall(r"<li>([^<]+)<span[^>]*><kbd[^>]*>([jkar])</kbd>", keys) == [
                ("Next task", "j"),
                ("Task before", "k"),
                ("Approve", "a"),
                ("Reject, with a reason", "r"),
            ]
            assert {'data-key="a"', 'data-key="r"'} <= set(re.findall(r'data-key="\w"', page))
        assert "data-key-now" in (await person.get("/review/tasks/8?reject=1")).text
        await person.post("/me", fields)
        assert 'id="keys"' not in (await person.get("/review/tasks")).text


async def test_periods_are_those_of_the_creation_or_of_the_start(console: World) -> None:
    day_ms = 86_400_000
    with console.store.writing("test") as write:
        write.run("UPDATE task SET created_at = 1, start_at = ? WHERE id = 4", (clock.at,))
        write.run("UPDATE task SET created_at = ?, start_at = ? WHERE id = 7", (clock.at, clock.at))
        write.run("UPDATE task SET started_at = ? WHERE id = 7", (clock.at - 40 * day_ms,))
        write.run("UPDATE task SET start_at = ? WHERE id = 8", (clock.at + 3 * day_ms,))

    async def found(query: str) -> set[str]:
        async with console.person("usr") as person:
            return set(re.findall(r"#(\d+)<", (await person.get(f"/sms/tasks?{query}")).text))

    assert await found("period=today") == {"7", "8"}
    assert await found("period=today&by=start") == {"4"}
    assert await found("period=month&by=start") == {"4", "8"}  # also what is planned
    assert await found("period=7&by=nonsense") == {"7", "8"}
    assert await found("by=start") == {"4", "7", "8"}
    assert TASKS["usr"] == 4


async def test_all_that_one_request_did_has_its_id_in_the_audit_log(console: World) -> None:
    put(console, t4="waiting", t8="review")
    async with console.person("usr") as person:
        answer = await person.post("/sms/pending/cancel", {"ids": ["4", "8"]})
        request = answer.headers["x-request-id"]
        other = (await person.get("/me")).headers["x-request-id"]
        page = (await person.get(f"/audit?request={request}")).text
        assert "task 4" in page
        assert "task 8" in page
        assert page.count(f">{request}</a>") == 2
        assert "task 4" not in (await person.get(f"/audit?request={other}")).text
    assert re.fullmatch(r"[0-9a-f]{16}", request)
    assert request != other
    told = [detail["request"] for _, action, _, detail in console.audit() if action == "task.cancel"]
    assert told == [request, request]
