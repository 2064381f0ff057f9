"""The ledger page: grants and what tasks take, by kind, by person and by task, as page and as file."""

import csv
import io

from tests.admin.world import World


async def confirm(console: World, login: str, task: int) -> None:
    async with console.person(login) as person:
        done = await person.post(f"/tasks/{task}/confirm", page=f"/tasks/{task}/preview")
        assert done.headers["location"] == f"/tasks/{task}"


async def test_a_confirmed_task_stands_in_the_ledger_with_what_is_left(console: World) -> None:
    console.daemon.used = {4: (60, 10)}
    with console.store.writing("test") as write:
        write.run("UPDATE task SET prepared_at = ? WHERE id = 4", (write.at,))
    await confirm(console, "usr", 4)
    async with console.person("adm") as adm:
        page = await adm.get("/users/ledger?user=4&kind=reserve")
        assert '<a href="/tasks/4">task of usr</a>' in page.text
        file = await adm.get("/users/ledger?user=4&kind=reserve&format=csv")
        (row,) = list(csv.DictReader(io.StringIO(file.text.removeprefix("\ufeff"))))
        assert (row["Parts"], row["Available changes by"], row["Available after"], row["Limit after"]) == (
            "2", "-2", "28", "100"
        )  # fmt: skip
        assert "task of usr" in (await adm.get("/users/ledger?task=4")).text
        assert "task of usr" not in (await adm.get("/users/ledger?task=5")).text
        assert "task of usr" not in (await adm.get("/users/ledger?kind=settle")).text


async def test_a_top_up_says_what_is_available_after_it(console: World) -> None:
    console.daemon.used = {4: (60, 10)}
    async with console.person("adm") as adm:
        assert (await adm.post("/users/4/parts", {"parts": "5"})).status_code == 303
        answer = await adm.get("/users/ledger?user=4&format=json")
        row = answer.json()["rows"][0]
    assert (row["delta"], row["available"], row["balance"]) == (5, 35, 105)
