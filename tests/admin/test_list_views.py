"""Lists as each person wants them: columns, density, kept filters; counts beside choices; what empty ones say."""

import re
import sqlite3

import pytest

from admin import lists
from store import people_edit
from store.list_views import FILTERS_MAX
from store.listing import within_time
from store.people_edit import Profile
from tests.admin.world import Person, World


def heads(page: str) -> list[str]:
    head = page[page.index("<thead>") : page.index("</thead>")]
    return [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<th.*?</th>", head, re.DOTALL)]


async def keep(person: Person, name: str, query: str, **more: str) -> None:
    fields = {"list": "users", "next": "/users", "name": name, "query": query, **more}
    assert (await person.post("/lists/filters", fields)).status_code == 303


def number_of(page: str, name: str) -> str:
    """The id of a kept filter, from its delete form."""
    return re.findall(rf'name="filter" value="(\d+)">(?:(?!</form>).)*Delete: {name}', page, re.DOTALL)[-1]


async def test_hidden_columns_and_density_are_remembered_for_one_person_and_list(console: World) -> None:
    async with console.person("adm") as person:
        page = (await person.get("/users")).text
        before = heads(page)
        assert "narrow-out" in page  # until somebody chooses, narrow windows leave some out
        known = ["name", "group", "mobile", "role", "state", "used", "limit", "review", "signed_in_at"]
        sent = {"list": "users", "next": "/users?q=u", "known": known, "shown": ["group", "used"]}
        done = await person.post("/lists/columns", {**sent, "density": "compact"})
        assert done.headers["location"] == "/users?q=u"
        page = (await person.get("/users")).text
        assert heads(page) == ["Login", "Group", "Used"]
        assert 'class="table close"' in page
        assert 'data-label="Mobile"' not in page
        assert "narrow-out" not in page
        assert list((await person.get("/users.json")).json()["rows"][0]) == ["login", *known]
        assert len(heads((await person.get("/sms/tasks")).text)) == 8
    async with console.person("sys") as other:
        assert heads((await other.get("/users")).text) == before


@pytest.mark.parametrize(
    "wrong", [{"list": "Users' --"}, {"list": "users", "density": "x"}, {"list": "a" * 99}, {}]
)
async def test_nonsense_about_columns_changes_nothing(console: World, wrong: dict[str, str]) -> None:
    async with console.person("adm") as person:
        assert (await person.post("/lists/columns", {**wrong, "known": "name"})).status_code == 400
        assert "Name" in heads((await person.get("/users")).text)


async def test_a_filter_is_kept_used_replaced_and_deleted_with_undo(console: World) -> None:
    async with console.person("adm") as person:
        await keep(person, "Admins <b>", "role=admin&sort=used")
        page = (await person.get("/users")).text
        assert "Admins &lt;b&gt;" in page
        assert 'href="/users?role=admin&amp;sort=used"' in page
        await keep(person, "Admins <b>", "role=user")
        page = (await person.get("/users?role=user")).text
        assert page.count("Delete: Admins") == 1
        assert 'href="/users?role=user" aria-current="true"' in page
        number = number_of(page, "Admins")
        gone = await person.post("/lists/filters/delete", {"list": "users", "filter": number, "next": "/me"})
        assert gone.headers["location"] == "/me"
        shown = (await person.get("/me")).text
        assert "is deleted" in shown
        assert 'action="/lists/filters"' in shown
        await keep(person, "Admins <b>", "role=user")
        assert "Delete: Admins" in (await person.get("/users")).text


async def test_a_shared_filter_is_seen_in_the_group_and_changed_by_its_owner_only(console: World) -> None:
    async with console.person("adm") as person:
        await keep(person, "mine", "role=user")
        await keep(person, "ours", "role=admin", shared="true")
        number = number_of((await person.get("/users")).text, "ours")
    async with console.person("peer") as peer:
        page = (await peer.get("/users")).text
        assert "ours" in page
        assert "shared by adm" in page
        assert "mine" not in page
        await peer.post("/lists/filters/delete", {"list": "users", "filter": number, "next": "/users"})
        assert "does not exist any more" in (await peer.get("/users")).text
        await peer.post("/lists/filters/first", {"list": "users", "filter": number, "next": "/users"})
        assert (await peer.get("/users")).headers["location"] == "/users?role=admin"
    async with console.person("sys") as other:  # another group
        assert "ours" not in (await other.get("/users")).text
        await other.post("/lists/filters/first", {"list": "users", "filter": number, "next": "/users"})
        assert (await other.get("/users")).status_code == 200
    async with console.person("adm") as person:  # deleted by its owner, it comes first for nobody
        await person.post("/lists/filters/delete", {"list": "users", "filter": number, "next": "/users"})
    async with console.person("peer") as peer:
        assert (await peer.get("/users")).status_code == 200


async def test_the_first_filter_stands_in_the_address_and_can_be_cleared(console: World) -> None:
    async with console.person("sys") as person:
        await keep(person, "admins", "role=admin&sort=used", first="true")
        assert (await person.get("/users")).headers["location"] == "/users?role=admin&sort=used"
        assert (await person.get("/users?group=2")).headers[
            "location"
        ] == "/users?group=2&role=admin&sort=used"
        page = (await person.get("/users?role=admin&sort=used")).text
        assert 'href="/users?all=1"' in page
        assert (await person.get("/users?all=1")).status_code == 200
        assert len((await person.get("/users.json")).json()["rows"]) == 6
        assert (await person.get("/users?format=csv")).text.count("\r\n") == 7
        await person.post("/lists/filters/first", {"list": "users", "filter": "0", "next": "/users"})
        assert (await person.get("/users")).status_code == 200


async def test_there_is_an_end_to_kept_filters(console: World) -> None:
    async with console.person("adm") as person:
        for number in range(FILTERS_MAX):
            await keep(person, f"f{number}", "role=user")
        await keep(person, "one more", "role=user")
        page = (await person.get("/users")).text
        assert f"At most {FILTERS_MAX}" in page
        assert "Delete: one more" not in page
        empty = {"list": "users", "next": "/users", "name": " ", "query": "role=user"}
        await person.post("/lists/filters", empty)
        assert "Give the filter a name" in (await person.get("/users")).text
        assert (await person.post("/lists/filters", {**empty, "name": "x", "query": ""})).status_code == 400


async def test_choices_say_how_many_rows_they_leave_beside_the_other_filters(console: World) -> None:
    async with console.person("sys") as person:
        page = (await person.get("/users")).text
        assert ">Administrator (3)<" in page
        assert ">User (3)<" in page
        assert ">Disabled (0)<" in page
        page = (await person.get("/users?q=adm&role=user")).text
        assert ">Administrator (1)<" in page
        assert ">User (0)<" in page


async def test_a_page_does_not_wait_for_counts(console: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "FACETS_S", -1.0)
    monkeypatch.setattr(lists, "COUNTED_MAX", 2)
    async with console.person("sys") as person:
        assert "about 6 in all" in (await person.get("/users")).text
        monkeypatch.setattr(lists, "COUNT_S", -1.0)
        assert "more than 2 in all" in (await person.get("/users")).text


def test_a_reading_that_takes_too_long_is_given_up_and_the_connection_lives() -> None:
    connection = sqlite3.connect(":memory:")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    ticks = iter(range(10_000))
    found = within_time(
        connection, 5, lambda: connection.execute(endless).fetchone(), lambda: float(next(ticks))
    )
    assert found is None
    assert within_time(connection, 5, lambda: connection.execute("SELECT 7").fetchone(), lambda: 0.0) == (7,)
    with pytest.raises(sqlite3.OperationalError):
        within_time(connection, 5, lambda: connection.execute("SELECT x").fetchone(), lambda: 0.0)
    connection.close()


async def test_long_lists_come_in_pages_of_four_sizes(console: World) -> None:
    with console.store.writing("test") as write:
        for number in range(60):
            people_edit.create_user(write, f"user-{number:03}", 4, Profile(), "hash")
    async with console.person("sys") as person:
        page = (await person.get("/users?q=user-&size=20&sort=used")).text
        assert page.count('data-label="Login"') == 20
        assert "60 in all" in page
        for size in (100, 200):
            assert f'href="/users?q=user-&amp;sort=used&amp;size={size}"' in page
        assert '<strong aria-current="true">20</strong>' in page


async def test_an_empty_list_says_which_of_three_it_is(console: World) -> None:
    async with console.person("usr") as person:
        nothing_yet = (await person.get("/contacts")).text
        nothing_fits = (await person.get("/contacts?q=nobody")).text
        not_yours = await person.get("/users")
    assert "No contacts yet" in nothing_yet
    assert "Nothing matches" in nothing_fits
    assert ">Clear filters<" in nothing_fits
    assert not_yours.status_code == 403
    assert "You have no permission for this" in not_yours.text
