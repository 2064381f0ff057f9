"""Lists: what the address says, what an export holds."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from admin.list_export import csv_line, guarded
from admin.list_spec import read_key, write_key
from store import people_edit
from store.people_edit import Profile
from tests.admin.world import World

FORMULAS = "=+-@\t\r＝＋－＠"


@given(st.lists(st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=4))
def test_a_key_survives_the_address(key: list[str | int]) -> None:
    assert read_key(write_key(key)) == tuple(key)


@given(st.text())
def test_a_key_that_nobody_wrote_is_no_key(text: str) -> None:
    assert isinstance(read_key(text), tuple)


@given(st.text())
def test_no_cell_is_a_formula_and_no_text_is_lost(text: str) -> None:
    cell = guarded(text)
    assert cell[:1] not in FORMULAS or cell == ""
    assert cell.endswith(text)
    if "\0" not in text:
        assert next(iter(csv.reader(io.StringIO(csv_line([cell, "x"]), newline="")))) == [cell, "x"]


async def test_an_export_holds_every_row_in_order_guarded_and_is_written_down(console: World) -> None:
    with console.store.writing("test") as write:
        for number in range(30):
            people_edit.create_user(write, f"user-{number:02}", 4, Profile("=1+1", "+8613800"), "hash")
    async with console.person("sys") as person:
        answer = await person.get("/users?format=csv&group=4&q=user-")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="users-')
    assert answer.content.startswith("\ufeffLogin,".encode())
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert [row[0] for row in rows[1:]] == [f"user-{number:02}" for number in range(30)]
    assert rows[1][1] == "'=1+1"
    assert rows[1][3] == "8613800"  # digits only: no + that would have to be guarded
    assert rows[0][-1] == "Last sign-in (Asia/Shanghai)"
    actor, action, target, detail = console.audit()[-1]
    assert (actor, action, target, detail["rows"]) == ("console:sys", "export", "users", 30)
    assert detail["filter"] == {"q": "user-", "group": "4"}


async def test_numbers_of_a_list_go_out_as_plain_digits(console: World) -> None:
    async with console.person("sys") as person:
        answer = await person.get("/settings/blacklist?format=csv")
    assert "\r\n8613800000000," in answer.text


async def test_the_json_twin_holds_the_same_rows_and_the_way_to_the_next(console: World) -> None:
    with console.store.writing("test") as write:
        for number in range(25):
            people_edit.create_user(write, f"user-{number:02}", 4, Profile(), "hash")
    async with console.person("sys") as person:
        path: str | None = "/users.json?q=user-&size=20"
        logins = []
        pages = 0
        while path:
            answer = (await person.get(path)).json()
            assert (answer["count"], answer["count_exact"]) == (25, True)
            assert answer["columns"][0] == {"key": "login", "title": "Login", "kind": "text"}
            assert [column["key"] for column in answer["columns"]] == list(answer["rows"][0])
            logins += [row["login"] for row in answer["rows"]]
            path = answer["next"]
            pages += 1
    assert pages == 2
    assert logins == [f"user-{number:02}" for number in range(25)]


async def test_filters_stand_in_the_address_and_nonsense_there_is_ignored(console: World) -> None:
    async with console.person("sys") as person:
        page = await person.get("/users?role=admin&sort=used&after=%00&size=7&state=nonsense&q=a%25")
        assert page.status_code == 200
        assert "Nothing matches" in page.text
        page = await person.get("/users?role=admin")
        assert "Role: Administrator" in page.text
        assert ">adm<" in page.text
        assert ">usr<" not in page.text


async def test_an_empty_list_says_the_next_step(console: World) -> None:
    async with console.person("sys") as person:
        page = await person.get("/users/deleted")
    assert "Nobody was deleted" in page.text
    assert 'href="/users">To the users' in page.text
