"""Users and groups on their pages: what they may send as, moving, anonymising, quota under many hands."""

import re

import pytest
import trio

from store import groups_edit, people_edit, quota
from store.address_book import add_contacts
from store.people_edit import Profile
from tests.admin.world import GROUPS, USERS, Person, World


async def edited(person: Person, user: str, **fields: object) -> int:
    """Save a user's form as its page shows it, with these fields changed."""
    page = (await person.get(f"/users/{USERS[user]}")).text
    seen = re.search(r'name="seen" value="([^"]*)"', page)
    assert seen
    form = {"seen": seen[1].replace("&#34;", '"'), "group": str(GROUPS["a"]), **fields}
    return (await person.post(f"/users/{USERS[user]}", form)).status_code


async def test_a_user_s_types_senders_and_rate_are_kept_and_shown(console: World) -> None:
    async with console.person("adm") as person:
        rules = {
            "sms_types": ["api", "business"],
            "senders": "Acme\n1069*, Acme",
            "rate": "50",
            "email": "u@a.cn",
        }
        assert await edited(person, "usr", **rules) == 303
        page = (await person.get("/users/4")).text
        ticked = re.findall(r'name="sms_types" value="(\w+)" checked', page)
        assert sorted(ticked) == ["api", "business"]
        assert "Acme\n1069*</textarea>" in page
        for wrong in ({"senders": "far-too-long-a-name"}, {"rate": "-1"}, {"sms_types": ["gold"]}):
            assert await edited(person, "usr", **(rules | wrong)) == 422
    user = console.store.directory().users[4]
    assert (user.sms_types, user.senders, user.rate) == (("api", "business"), ("Acme", "1069*"), 50)


async def test_who_may_not_send_the_console_s_type_makes_no_task(console: World) -> None:
    with console.store.writing("test") as write:
        people_edit.edit_user(write, 4, Profile(sms_types=("api",)), 2, seen=Profile())
    async with console.person("usr") as person:
        answer = await person.post("/sms/send", {"text": "hello", "typed": "13800138000", "name": "x"})
    assert answer.status_code == 422
    assert "may not send SMS of this type" in answer.text
    assert ">hello</textarea>" in answer.text, "what was typed stays"
    assert not [one for one in console.audit() if one[:2] == ("console:usr", "task.create")]


async def test_a_group_moves_with_all_below_it_when_its_parts_fit(console: World) -> None:
    async with console.person("sys") as person:
        page = (await person.get("/users/groups/3")).text
        places = re.findall(r'<option value="(\d+)"', page[page.index('id="parent"') :])
        assert places == ["0", "1", "2", "4"], "not under itself"
        refused = await person.post("/users/groups/3/move", {"parent": "4"})
        assert refused.status_code == 303, "300 fit into the 430 that b has left"
        too_many = await person.post("/users/groups/2/move", {"parent": "4"})
        assert too_many.status_code == 409
        assert "At most 130 parts" in too_many.text
        assert (await person.post("/users/groups/3/move", {"parent": "3"})).status_code == 422
    groups = console.store.directory().groups
    assert groups[3].path == "总公司/b/deep"
    with console.store.reading() as connection:
        assert quota.group_balance(connection, 2).remaining == 900
        assert quota.group_balance(connection, 4).remaining == 130
        assert quota.recount(connection) == []
        assert quota.over_allocated(connection) == []
    assert console.audit()[-1][1] == "group.move"


async def test_a_group_administrator_moves_only_within_reach(console: World) -> None:
    with console.store.writing("test") as write:
        other = groups_edit.create_group(write, 2, "other")
    async with console.person("adm") as person:
        assert (await person.post("/users/groups/3/move", {"parent": "4"})).status_code == 422
        assert (await person.post("/users/groups/3/move", {"parent": "0"})).status_code == 422
        short = await person.post("/users/groups/3/move", {"parent": str(other)})
        assert "At most 0 parts" in short.text
        with console.store.writing("test") as write:
            quota.topup_group(write, other, 300)
        assert (await person.post("/users/groups/3/move", {"parent": str(other)})).status_code == 303
    assert console.store.directory().groups[3].path == "总公司/a/other/deep"


def test_no_group_goes_under_itself_nor_the_last_system_administrator_s_under_another(console: World) -> None:
    with console.store.writing("test") as write:
        second = groups_edit.create_group(write, None, "second")
        with pytest.raises(people_edit.Refused) as inside:
            groups_edit.move_group(write, 2, 3)
        write.run("UPDATE user_group SET unlimited = 0 WHERE id = 1")
        with pytest.raises(people_edit.Refused) as last:
            groups_edit.move_group(write, 1, second)
    assert (inside.value.code, last.value.code) == ("group-inside", "last-admin")


async def test_a_deleted_user_is_made_anonymous_for_good_after_typing_the_login(console: World) -> None:
    with console.store.writing("test") as write:
        people_edit.edit_user(write, 4, Profile("Zhang San", "13800138000", "z@a.cn", "n"), 2, seen=Profile())
        add_contacts(write, 4, "friends", [("Li Si", 8613900139000)])
    async with console.person("adm") as person:
        early = await person.get("/users/4/anonymise")
        assert early.headers["location"] == "/users/4"
        await person.post("/users/4/anonymise", {"login": "usr"})
        assert "Zhang San" in (await person.get("/users/4")).text
        await person.post("/users/4/state", {"state": "deleted"})
        page = (await person.get("/users/4/anonymise")).text
        assert "1 contacts" in page
        wrong = await person.post("/users/4/anonymise", {"login": "user"})
        assert wrong.status_code == 422
        assert 'id="login-error"' in wrong.text
        uploads = console.store.path.parent / "imports" / "4"
        assert uploads.exists()
        done = await person.post("/users/4/anonymise", {"login": "usr"})
        assert not uploads.exists()
        assert done.headers["location"] == "/users/deleted"
        assert "Zhang San" not in (await person.get("/users/deleted")).text
        again = await person.post("/users/4/state", {"state": "active"})
        assert again.status_code == 409
        assert "for good" in again.text
    with console.store.reading() as connection:
        row = connection.execute(
            "SELECT login, name || mobile || email || note || password_hash, state, granted FROM user WHERE id = 4"
        ).fetchone()
        assert row == ("usr", "", "deleted", 0)
        assert connection.execute("SELECT count(*) FROM contact WHERE user_id = 4").fetchone()[0] == 0
        assert connection.execute("SELECT count(*) FROM task WHERE user_id = 4").fetchone()[0] > 0
        assert quota.recount(connection) == []


async def test_of_fifty_top_ups_at_once_no_more_are_granted_than_there_is(console: World) -> None:
    """Users, the child group and reclaims through the pages, from ten browsers: both invariants hold."""
    statuses: list[int] = []

    async def hand(number: int) -> None:
        # Browsers of their own: changes of one session come one after the other anyway.
        async with console.person("sys" if number % 2 else "adm") as person:
            token = await person.token("/me")
            for n in range(5):
                path = ("/users/4/parts", "/users/5/parts", "/users/groups/3/parts")[(number + n) % 3]
                way = "reclaim" if n == 4 else "topup"
                fields = {"_csrf": token, "parts": str(40 + number), "way": way, "_once": f"{number}-{n}"}
                statuses.append((await person.client.post(path, data=fields)).status_code)

    sessions = {login: console.session(login) for login in ("sys", "adm")}
    console.session = lambda login: sessions[login]  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(hand, number)
    assert len(statuses) == 50
    assert set(statuses) == {303, 422}, "some fit, some do not"
    with console.store.reading() as connection:
        assert quota.over_allocated(connection) == []
        assert quota.recount(connection) == []
        granted = sum(user.limit for user in console.store.directory().users.values() if user.group == 2)
        group = quota.group_balance(connection, 2)
    assert group.allocated <= group.granted == 1000
    assert granted <= group.allocated
