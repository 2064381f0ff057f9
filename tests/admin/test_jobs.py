"""Jobs: seen by whom they concern, durable, cancelled, tried again, their results kept for a week."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest
import trio
import trio.testing

from admin.background import BROKEN, Done, JobFailed, Kind, Run
from admin.i18n import N_
from admin.jobs import Job
from admin.sending import JOB_KEY
from store import jobs
from store.jobs import JobRow
from tests.admin.world import TASKS, USERS, World, clock


class Orders(msgspec.Struct):
    what: str = ""


def learn(console: World, work: Callable[[Run], Awaitable[Done]]) -> None:
    console.console.background.learn({"import.test": Kind("import.test", N_("Imports"), work)})


async def begin(console: World, login: str = "usr", **options: object) -> int:
    return await console.console.background.begin(
        USERS[login], login, "import.test", "list <b>.csv", Orders("x"), **options  # type: ignore[arg-type]
    )  # fmt: skip


def job_of(console: World, job: int) -> JobRow:
    with console.store.reading() as connection:
        found = jobs.read_job(connection, job)
    assert found
    return found


async def makes_a_file(run: Run) -> Done:
    assert run.orders(Orders) == Orders("x")
    (run.folder / "out.csv").write_text("figures")
    run.told(7, 9)
    return Done({"added": 7}, "out.csv", "结果 1.csv")


async def test_a_job_is_done_told_once_and_fetched_by_its_owner_for_a_week(console: World) -> None:
    learn(console, makes_a_file)
    job = await begin(console)
    row = job_of(console, job)
    assert (row.state, row.done, row.result_name) == ("done", 7, "结果 1.csv")
    async with console.person("usr") as person:
        page = (await person.get("/jobs")).text
        assert "list &lt;b&gt;.csv” is ready" in page
        assert "added 7" in page
        assert f'href="/jobs/{job}/file"' in page
        assert "is ready" not in (await person.get("/jobs")).text
        file = await person.get(f"/jobs/{job}/file")
        assert file.text == "figures"
        assert "filename*=UTF-8''%E7%BB%93%E6%9E%9C%201.csv" in file.headers["content-disposition"]
    assert console.audit()[-1][1:3] == ("export.fetch", f"job {job}")
    async with console.person("adm") as person:  # sees it, and may not have what is in it
        assert "list &lt;b&gt;.csv" in (await person.get("/jobs")).text
        assert (await person.get(f"/jobs/{job}/file")).status_code == 404
    clock.at += jobs.KEPT_MS - 1000
    await console.console.background.sweep()
    assert job_of(console, job).result
    clock.at += 2000
    await console.console.background.sweep()
    assert not job_of(console, job).result
    assert not jobs.folder_of(console.console.data, job).exists()
    async with console.person("usr") as person:
        assert (await person.get(f"/jobs/{job}/file")).status_code == 404


async def test_jobs_of_another_branch_do_not_exist(console: World) -> None:
    learn(console, makes_a_file)
    job = await begin(console, "sibling7")
    for login in ("usr", "adm"):
        async with console.person(login) as person:
            assert "list &lt;b&gt;" not in (await person.get("/jobs")).text
            for act in ("cancel", "retry"):
                assert (await person.post(f"/jobs/{job}/{act}")).status_code == 404
    async with console.person("sys") as person:
        assert "sibling7" in (await person.get("/jobs?user=sib&kind=import&state=done")).text
        assert "Nothing matches" in (await person.get("/jobs?kind=export")).text


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (JobFailed(N_("At most %(limit)s at once."), limit=3), "At most 3 at once."),
        (ValueError("secret"), "for a reason that is ours"),
    ],
)
async def test_a_job_that_fails_says_why_and_is_tried_again(
    console: World, error: Exception, told: str
) -> None:
    fails = True

    async def work(run: Run) -> Done:
        if fails:
            raise error
        return Done()

    learn(console, work)
    job = await begin(console)
    async with console.person("usr") as person:
        page = (await person.get("/jobs")).text
        assert told in page
        assert "secret" not in page
        fails = False
        await person.post(f"/jobs/{job}/retry")
        assert job_of(console, job).state == "done"
        assert "cannot be tried again" in (await _after(person, f"/jobs/{job}/retry")).text


async def _after(person: object, path: str) -> object:
    await person.post(path)  # type: ignore[attr-defined]
    return await person.get("/jobs")  # type: ignore[attr-defined]


async def test_a_job_that_runs_shows_how_far_it_is_and_ends_when_somebody_cancels(console: World) -> None:
    background = console.console.background
    ended = trio.Event()

    async def work(run: Run) -> Done:
        run.told(30, 120)
        try:
            await trio.sleep_forever()
        finally:
            ended.set()
        return Done()

    learn(console, work)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(background.run)
        await trio.testing.wait_all_tasks_blocked()
        job = await begin(console)
        while background.progress(job) != (30, 120):
            await trio.lowlevel.checkpoint()
        clock.at += 10_000
        async with console.person("usr") as person:
            page = (await person.get("/jobs")).text
            assert "30 of 120 rows" in page
            assert "3 a second · about 30 s left" in page
            assert 'value="25"' in page
            assert "every 2s" in page
            await person.post(f"/jobs/{job}/cancel")
            with trio.fail_after(5):
                await ended.wait()
            assert job_of(console, job).state == "cancelled"
            assert "every 2s" not in (await person.get("/jobs")).text
            assert "was over already" in (await _after(person, f"/jobs/{job}/cancel")).text  # type: ignore[attr-defined]
        nursery.cancel_scope.cancel()


async def test_what_ran_at_a_restart_says_so_and_what_waited_begins(console: World) -> None:
    learn(console, makes_a_file)
    with console.store.writing("test") as write:
        ran = jobs.create_job(write, USERS["usr"], "import.test", "ran", Orders("x"))
        jobs.move_job(write, ran, "start")
        jobs.set_progress(write, ran, 50, 100)
        waited = jobs.create_job(write, USERS["usr"], "import.test", "waited", Orders("x"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(console.console.background.run)
        with trio.fail_after(5):
            while job_of(console, waited).state != "done":
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    row = job_of(console, ran)
    assert (row.state, row.done, row.total) == ("interrupted", 50, 100)
    async with console.person("usr") as person:
        page = (await person.get("/jobs")).text
        assert "Sluice was restarted while it ran" in page
        assert f'action="/jobs/{ran}/retry"' in page


async def test_a_person_has_only_so_many_jobs(console: World) -> None:
    learn(console, makes_a_file)
    with console.store.writing("test") as write:
        for _ in range(jobs.OPEN_MAX):
            jobs.create_job(write, USERS["usr"], "import.test", "x", {})
    with pytest.raises(Exception, match="not over"):
        await begin(console)
    await begin(console, "low")


async def test_a_kind_that_no_longer_exists_fails_instead_of_waiting(console: World) -> None:
    with console.store.writing("test") as write:
        job = jobs.create_job(write, USERS["usr"], "export.gone", "x", {})
        jobs.move_job(write, job, "cancel")
    await console.console.background.retry(job, "console:usr")
    assert job_of(console, job).error == BROKEN


async def test_a_preparation_shows_among_the_jobs_and_is_cancelled_by_its_owner(console: World) -> None:
    preparing = console.console.jobs._jobs[f"{JOB_KEY}{TASKS['usr']}"] = Job(rows=5000, share=0.5)
    async with console.person("usr") as person:
        page = (await person.get("/jobs")).text
        assert "5,000 rows so far" in page
        await person.post(f"/jobs/preparations/{TASKS['usr']}/cancel")
    assert preparing.scope.cancel_called
    async with console.person("sibling7") as person:
        assert "5,000 rows so far" not in (await person.get("/jobs")).text
        assert (await person.post(f"/jobs/preparations/{TASKS['usr']}/cancel")).status_code == 404
