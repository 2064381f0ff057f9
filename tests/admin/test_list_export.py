"""Lists as files: what Excel shows, what programs get, and large ones made in the background."""

import csv
import io
from typing import Any

import pytest
from python_calamine import CalamineWorkbook

from admin import list_export
from admin.list_export import STEP, XlsxFile
from admin.pages import users
from store import jobs, people_edit
from store.listing import Cut, Page
from store.people_edit import Profile
from tests.admin.world import USERS, World

LISTS = (
    "/users", "/users/deleted", "/users/ledger", "/settings/words", "/settings/blacklist", "/contacts",
    "/sms/tasks", "/sms/pending", "/audit", "/jobs",
)  # fmt: skip


def many(console: World, count: int) -> None:
    with console.store.writing("test") as write:
        for number in range(count):
            people_edit.create_user(write, f"user-{number:03}", 2, Profile("=1+1", "+8613800138000"), "hash")


def lines(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def sheets(content: bytes) -> dict[str, list[list[Any]]]:
    book = CalamineWorkbook.from_filelike(io.BytesIO(content))
    return {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}


async def test_every_list_is_a_page_json_csv_and_xlsx_with_the_same_rows(console: World) -> None:
    async with console.person("sys") as person:
        for path in LISTS:
            page = await person.get(path)
            assert page.status_code == 200, path
            twin = (await person.get(f"{path}.json?size=200")).json()
            text = lines((await person.get(f"{path}?format=csv&head=keys")).content)
            (book,) = sheets((await person.get(f"{path}?format=xlsx&head=keys")).content).values()
            keys = [column["key"] for column in twin["columns"]]
            assert text[0] == book[0] == keys, path
            if path != "/audit":  # grows by being exported
                assert len(text) - 1 == len(book) - 1 == len(twin["rows"]), path


async def test_numbers_are_text_in_a_workbook_figures_are_figures_and_formulas_are_words(
    console: World,
) -> None:
    many(console, 3)
    async with console.person("sys") as person:
        answer = await person.get("/users?format=xlsx&q=user-")
    assert answer.headers["content-type"] == list_export.MEDIA_TYPES["xlsx"]
    assert b"<f>" not in answer.content
    (book,) = sheets(answer.content).values()
    assert book[0][:3] == ["Login", "Name", "Group"]
    assert book[1][1] == "=1+1"
    assert book[1][3] == "8613800138000"
    assert book[1][7] == 0.0
    assert book[0][-1] == "Last sign-in (Asia/Shanghai)"


async def test_raw_values_are_those_of_json_with_the_keys_as_heads(console: World) -> None:
    many(console, 1)
    async with console.person("sys") as person:
        answer = await person.get("/users?format=csv&head=keys&raw=1&q=user-")
        row = (await person.get("/users.json?q=user-")).json()["rows"][0]
        word = (await person.get("/users?format=csv&q=user-", headers={"accept-language": "zh"})).text
    assert answer.content.startswith(b"login,name,group,")
    heads, values = lines(answer.content)
    given = dict(zip(heads, values, strict=True))
    assert (given["name"], given["mobile"], given["role"]) == ("=1+1", "+8613800138000", "user")
    assert {key: str(value) for key, value in row.items() if key != "signed_in_at"} == {
        key: value for key, value in given.items() if key != "signed_in_at"
    }
    assert word.startswith("\ufeff登录用户名,")


async def test_times_of_a_raw_file_are_utc_and_those_for_people_in_their_zone(console: World) -> None:
    async with console.person("sys") as person:
        raw = lines((await person.get("/users/ledger?format=csv&raw=1")).content)
        shown = lines((await person.get("/users/ledger?format=csv")).content)
    assert (raw[0][0], raw[1][0]) == ("Time (UTC)", "2023-11-14T22:13:20.000+00:00")
    assert (shown[0][0], shown[1][0]) == ("Time (Asia/Shanghai)", "2023-11-15 06:13:20")


def test_a_full_sheet_goes_on_in_the_next_with_its_heads(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_export, "SHEET_ROWS_MAX", 4)
    out = io.BytesIO()
    file = XlsxFile(out, ["number"], "numbers", tmp_path)
    file.add([[f"{number}"] for number in range(7)])
    file.close()
    found = sheets(out.getvalue())
    assert list(found) == ["numbers", "numbers-2", "numbers-3"]
    assert [len(rows) for rows in found.values()] == [4, 4, 2]
    assert {rows[0][0] for rows in found.values()} == {"number"}
    assert [row[0] for rows in found.values() for row in rows[1:]] == [str(number) for number in range(7)]


def test_what_no_cell_can_hold_is_cut_and_says_so(tmp_path: Any) -> None:
    out = io.BytesIO()
    file = XlsxFile(out, ["text"], "texts", tmp_path)
    file.add([["x" * 40_000], ["\x00\x01\x0b\ud7ff"], [10**18]])
    file.close()
    (rows,) = sheets(out.getvalue()).values()
    assert (len(rows[1][0]), rows[1][0][-1]) == (list_export.CELL_CHARACTERS_MAX, "…")
    assert rows[3][0] == str(10**18)


async def test_an_export_never_holds_more_than_a_step(
    console: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts: list[Cut] = []
    real = users.list_users

    def listen(connection: Any, within: Any, wanted: Any, cut: Cut) -> Any:
        cuts.append(cut)
        return real(connection, within, wanted, cut)

    monkeypatch.setattr(users, "list_users", listen)
    monkeypatch.setattr(list_export, "STEP", 10)
    many(console, 35)
    async with console.person("sys") as person:
        answer = await person.get("/users?format=csv&q=user-")
    assert len(lines(answer.content)) == 36
    assert [(cut.limit, cut.counted) for cut in cuts[1:]] == [(10, 0)] * 4
    assert STEP == 1000


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten rows are many."""
    monkeypatch.setattr(list_export, "NOW_ROWS_MAX", 10)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_a_large_export_becomes_a_job_and_is_audited_with_filter_and_rows(
    console: World, form: str
) -> None:
    many(console, 30)
    async with console.person("adm") as person:
        query = f"format={form}&q=user-&head=keys"
        asked = await person.get(f"/users?{query}")
        assert "Make it in the background" in asked.text
        assert not [row for row in console.audit() if row[1] == "export"]
        done = await person.post("/jobs/export", {"path": "/users", "query": query})
        assert done.headers["location"] == "/jobs"
        page = (await person.get("/jobs")).text
        assert f"Users · {form.upper()}” is ready" in page
        assert "30 rows" in page
        file = await person.get("/jobs/1/file")
    rows = lines(file.content) if form == "csv" else next(iter(sheets(file.content).values()))
    assert [row[0] for row in rows] == ["login", *(f"user-{number:03}" for number in range(30))]
    assert f'filename="users-2023-11-15-061320.{form}"' in file.headers["content-disposition"]
    (entry,) = [row for row in console.audit() if row[1] == "export"]
    assert (entry[0], entry[3]["filter"], entry[3]["rows"]) == ("console:adm", {"q": "user-"}, 30)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("count", "patience", "large"), [(8, 9.0, False), (30, 9.0, True), (8, -1.0, True)])
async def test_a_list_that_nobody_counts_is_walked_first(
    console: World, monkeypatch: pytest.MonkeyPatch, count: int, patience: float, large: bool
) -> None:
    many(console, count)
    real = users.list_users

    def uncounted(connection: Any, within: Any, wanted: Any, cut: Cut) -> Any:
        page = real(connection, within, wanted, cut)
        return Page(page.rows, page.after, -1)

    monkeypatch.setattr(users, "list_users", uncounted)
    monkeypatch.setattr(list_export, "WALK_S", patience)
    monkeypatch.setattr(list_export, "STEP", 5)
    async with console.person("adm") as person:
        page = await person.get("/users?q=user-")
        assert " in all" not in page.text
        answer = await person.get("/users?q=user-&format=csv")
    assert ("Make it in the background" in answer.text) == large
    if not large:
        assert len(lines(answer.content)) == count + 1


@pytest.mark.usefixtures("small")
async def test_a_job_sees_what_its_owner_may_see_when_it_runs(console: World) -> None:
    many(console, 30)
    console.store.record("test", "x", "x")
    with console.store.writing("test") as write:
        orders = list_export.ListOrders("/users", "format=csv", "en")
        job = jobs.create_job(write, USERS["adm"], "export.list", "users", orders)
        jobs.move_job(write, job, "cancel")
        write.run("UPDATE user SET role = 'user' WHERE login = 'adm'")
    await console.console.background.retry(job, "console:adm")
    async with console.person("adm") as person:
        assert "You may no longer see this list" in (await person.get("/jobs")).text
    with console.store.writing("test") as write:
        write.run("UPDATE user SET role = 'admin', group_id = 3 WHERE login = 'adm'")
    await console.console.background.retry(job, "console:adm")
    async with console.person("adm") as person:
        text = (await person.get(f"/jobs/{job}/file")).text
    assert ",总公司/a/deep," in text
    assert "user-001" not in text


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("path", ["/me", "/nowhere", "/jobs/1/file", "//evil", "/users\r\nx"])
async def test_only_lists_become_files(console: World, path: str) -> None:
    async with console.person("sys") as person:
        await person.post("/jobs/export", {"path": path, "query": "format=csv"})
        assert "see this list" in (await person.get("/jobs")).text
        assert (await person.post("/jobs/export", {"path": "x"})).status_code == 400


async def test_programs_are_answered_in_json_whatever_happens(console: World) -> None:
    async with console.person() as stranger:
        assert (await stranger.get("/users.json")).status_code == 401
    async with console.person("usr") as person:
        assert (await person.get("/users.json")).json()["error"]
        for path in ("/me.json", "/nowhere.json", "/.json"):
            answer = await person.get(path)
            assert (answer.status_code, list(answer.json())) == (404, ["error"])
        page = await person.get("/contacts", headers={"accept": "application/json"})
        assert page.json()["rows"] == []
        assert "text/html" in (await person.get("/contacts")).headers["content-type"]
