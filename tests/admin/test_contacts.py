"""Contacts in their tree, picked for sending; phrases changed in place."""

import re

import pytest

from store.address_book import add_contacts, contact_groups, numbers_of
from store.phrases import add_phrase, phrases_for
from tests.admin.test_sending import submit, task_of
from tests.admin.world import USERS, World

OWNER = USERS["usr"]


@pytest.fixture
def tree(console: World) -> dict[str, int]:
    """Groups by path: 客户 (1), 客户/福建 (2), 客户/福建/厦门 (1), 客户 2 (1); another person's 客户."""
    with console.store.writing("test") as write:
        add_contacts(write, OWNER, "客户/福建/厦门", [("d", 8613700000004)])
        add_contacts(write, OWNER, "客户/福建", [("b", 8613700000002), ("c", 8613700000003)])
        add_contacts(write, OWNER, "客户", [("a", 8613700000001)])
        add_contacts(write, OWNER, "客户 2", [("e", 8613700000005)])
        add_contacts(write, USERS["sibling7"], "客户", [("x", 8613700000009)])
        return {one.name: one.id for one in contact_groups(write.connection, OWNER)}


def names(console: World) -> dict[str, int]:
    with console.store.reading() as connection:
        return {one.name: one.count_all for one in contact_groups(connection, OWNER)}


def test_a_group_stands_for_all_below_it_and_for_no_other(console: World, tree: dict[str, int]) -> None:
    assert list(names(console).items()) == [
        ("客户", 4),
        ("客户/福建", 3),
        ("客户/福建/厦门", 1),
        ("客户 2", 1),
    ]
    with console.store.reading() as connection:
        found = numbers_of(connection, OWNER, (), (tree["客户/福建"], tree["客户"]))
        assert sorted(found) == [8613700000001, 8613700000002, 8613700000003, 8613700000004]
        assert numbers_of(connection, USERS["sibling7"], (), (tree["客户"],)) == []


async def test_the_list_of_a_group_shows_all_below_it(console: World, tree: dict[str, int]) -> None:
    async with console.person("usr") as person:
        page = (await person.get(f"/contacts?group={tree['客户/福建']}")).text
        shown = re.findall(r"86137\d{8}", page)
        assert set(shown) == {"8613700000002", "8613700000003", "8613700000004"}


async def test_a_group_moves_with_all_below_it(console: World, tree: dict[str, int]) -> None:
    async with console.person("usr") as person:
        path = f"/contacts/groups/{tree['客户/福建']}"
        for wrong, said in (
            ("客户/福建/厦门/x", "under itself"),
            ("客户 2", "already"),
            ("a//b", "1 to 64"),
        ):
            refused = await person.post(path, {"path": wrong})
            assert refused.status_code == 422
            assert said in refused.text
            assert 'id="path-error"' in refused.text
        assert (await person.post(path, {"path": "南方/福建"})).status_code == 303
    assert names(console) == {"南方": 3, "南方/福建": 3, "南方/福建/厦门": 1, "客户": 1, "客户 2": 1}


async def test_a_group_is_deleted_with_its_contacts_or_leaves_them_above(
    console: World, tree: dict[str, int]
) -> None:
    async with console.person("usr") as person:
        top = await person.post(f"/contacts/groups/{tree['客户']}/delete", {"contents": "keep"})
        assert top.status_code == 303
        assert "no group above" in (await person.get("/contacts")).text
        await person.post(f"/contacts/groups/{tree['客户/福建']}/delete", {"contents": "keep"})
        assert names(console) == {"客户": 4, "客户 2": 1}
        await person.post(f"/contacts/groups/{tree['客户']}/delete", {"contents": "drop"})
        assert names(console) == {"客户 2": 1}
    async with console.person("sibling7") as other:
        await other.post(f"/contacts/groups/{tree['客户 2']}/delete", {"contents": "drop"})
    assert names(console) == {"客户 2": 1}


def picked(page: str) -> tuple[list[str], list[str], str]:
    """(shown, ticked, hidden) of the picker."""
    boxes = re.findall(r'name="contacts" value="(\d+)"( checked)?', page)
    hidden = re.findall(r'name="more_contacts" value="([^"]*)"', page)[0]
    return [one for one, _ in boxes], [one for one, tick in boxes if tick], hidden


@pytest.mark.parametrize("script", [True, False])
async def test_contacts_are_picked_from_a_tree_with_search_and_all_that_was_found(
    console: World, tree: dict[str, int], script: bool
) -> None:
    async with console.person("usr") as person:

        async def press(**fields: object) -> str:
            form = {"text": "hello", "name": "x", **fields}
            page = await (person.post("/sms/contacts", form) if script else submit(person, **form))
            assert page.status_code == 200
            assert ("<html" in page.text) == (not script)
            return str(page.text)

        page = await press(do=f"pick-group:{tree['客户/福建']}")
        shown, ticked, hidden = picked(page)
        assert (len(shown), ticked, hidden) == (3, [], "")
        group = {"contact_group": str(tree["客户/福建"])}
        page = await press(do="find", contact_search="c", contacts=[shown[0]], **group)
        assert "<strong data-picked" in page
        found, ticked, hidden = picked(page)
        assert len(found) == 1
        page = await press(do="pick-all", contact_search="c", more_contacts=shown[0], **group)
        found, ticked, hidden = picked(page)
        assert (len(ticked), hidden) == (1, "") if found == [shown[0]] else (1, shown[0])
        chosen = [*ticked, *filter(None, hidden.split(","))]
        page = await press(do="pick-none", more_contacts=",".join(chosen))
        assert picked(page)[1:] == ([], "")
        answer = await submit(person, text="hello", contacts=ticked, more_contacts=hidden)
        assert answer.status_code == 303
        task = task_of(console, int(answer.headers["location"].split("/")[2]))
        assert sorted(task.source.contacts) == sorted(map(int, chosen))
        assert task.valid == len(chosen)


async def test_contacts_of_others_are_never_picked(console: World, tree: dict[str, int]) -> None:
    with console.store.reading() as connection:
        theirs = connection.execute("SELECT id FROM contact WHERE name = 'x'").fetchone()[0]
    async with console.person("usr") as person:
        page = await person.post("/sms/contacts", {"more_contacts": f"{theirs},junk,{10**30}", "do": "find"})
        assert picked(page.text)[1:] == ([], "")


async def test_a_phrase_is_changed_in_place_by_its_owner_and_shows_what_it_holds(console: World) -> None:
    with console.store.writing("test") as write:
        phrase = add_phrase(write, OWNER, "old group", "Dear 敏感 customer", shared=True)
    async with console.person("usr") as person:
        page = (await person.get(f"/settings/phrases?edit={phrase}")).text
        assert "contains: 敏感" in page
        assert 'value="old group"' in page
        long = await person.post(f"/settings/phrases/{phrase}", {"text": "x" * 1001, "group": "g"})
        assert long.status_code == 422
        done = await person.post(
            f"/settings/phrases/{phrase}", {"text": "Dear customer", "group": "new group"}
        )
        assert done.status_code == 303
    async with console.person("peer") as other:
        assert "Change the phrase" not in (await other.get(f"/settings/phrases?edit={phrase}")).text
        await other.post(f"/settings/phrases/{phrase}", {"text": "mine now", "group": "g"})
    with console.store.reading() as connection:
        kept = [(one.id, one.text, one.group, one.shared) for one in phrases_for(connection, OWNER, 2)]
        groups = [row[0] for row in connection.execute("SELECT name FROM phrase_group")]
    assert kept == [(phrase, "Dear customer", "new group", False)]
    assert groups == ["new group"]


async def test_a_message_is_begun_from_a_contact(console: World, tree: dict[str, int]) -> None:
    async with console.person("usr") as person:
        href = re.findall(r'href="(/sms/send\?to=8613700000001)"', (await person.get("/contacts")).text)[0]
        assert "+8613700000001</textarea>" in (await person.get(href)).text
        assert (
            "script" not in (await person.get("/sms/send?to=<script>")).text.partition('id="typed"')[2][:300]
        )
        export = await person.get("/contacts?format=csv")
        assert "Send SMS" not in export.text
