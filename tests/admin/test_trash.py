"""What is deleted comes back: by the undo beside the message, or from the page of it, for thirty days."""

import re

import httpx

from store import groups_edit, people_edit, trash
from store.address_book import add_contacts, list_contacts
from store.directory import BlacklistScope, Word
from store.list_views import save_filter
from store.listing import Cut
from store.phrases import add_phrase, phrases_for
from store.rules import blacklist_add, why_listed
from store.rules_list import add_words, list_words
from tests.admin.world import USERS, Person, World, clock


async def undo(person: Person, page: str) -> httpx.Response:
    """Press the undo of the message on a page."""
    text = (await person.get(page)).text
    found = re.search(r'action="(/trash/\d+/restore)"', text)
    assert found, text
    return await person.post(found[1])


def contacts(console: World) -> list[tuple[str, int, str]]:
    with console.store.reading() as connection:
        return sorted(row[1:] for row in list_contacts(connection, USERS["usr"], Cut()).rows)


async def test_deleted_contacts_come_back_into_their_groups(console: World) -> None:
    people = [("甲", 8613800000001), ("乙", 8613800000002)]
    with console.store.writing("test") as write:
        add_contacts(write, USERS["usr"], "客户/福州", people)
        add_contacts(write, USERS["usr"], "同事", [("丙", 8613800000003)])
        add_contacts(write, USERS["low"], "x", people)
    before = contacts(console)
    async with console.person("usr") as person:
        await person.post("/contacts/delete", {"ids": ["1", "2", "3", "4", "5", "99"]})
        assert contacts(console) == []
        done = await undo(person, "/contacts")
        assert done.headers["location"] == "/contacts"
        assert "3 are there again" in (await person.get("/contacts")).text
        assert contacts(console) == before
        assert (await person.post("/trash/1/restore")).status_code == 404  # once


async def test_deleted_phrases_come_back_with_their_group_and_its_sharing(console: World) -> None:
    with console.store.writing("test") as write:
        add_phrase(write, USERS["usr"], "问候", "您好", shared=True)
        add_phrase(write, USERS["usr"], "问候", "再见", shared=True)
    async with console.person("usr") as person:
        await person.post("/settings/phrases/delete", {"ids": ["1", "2"]})
        await undo(person, "/settings/phrases")
    with console.store.reading() as connection:
        found = [(one.text, one.group, one.shared) for one in phrases_for(connection, USERS["usr"], 2)]
    assert sorted(found) == [("再见", "问候", True), ("您好", "问候", True)]


async def test_deleted_words_come_back_as_they_were(console: World) -> None:
    words = [Word("alpha", "reject", True, "c", "n"), Word("beta", "review"), Word("gamma")]
    with console.store.writing("test") as write:
        add_words(write, words)
    with console.store.reading() as connection:
        rows = list_words(connection, Cut()).rows
    async with console.person("sys") as person:
        await person.post("/settings/words/delete", {"ids": [str(row[0]) for row in rows]})
        reloads = console.daemon.reloads
        await undo(person, "/settings/words")
        assert console.daemon.reloads > reloads
    with console.store.reading() as connection:
        assert [row[1:] for row in list_words(connection, Cut()).rows] == [row[1:] for row in rows]


async def test_numbers_come_back_to_their_lists_with_reason_and_end(console: World) -> None:
    group, ends = BlacklistScope("group", 2), clock.at + 86_400_000
    with console.store.writing("test") as write:
        blacklist_add(write, group, [8613800000001], source="complaint", note="why", expires_at=ends)
        blacklist_add(write, group, [8613800000002], source="manual", expires_at=clock.at + 1000)
    async with console.person("adm") as person:
        chosen = ["group:2:8613800000001", "group:2:8613800000002"]
        await person.post("/settings/blacklist/group/remove", {"ids": chosen})
        clock.at += 2000
        await undo(person, "/settings/blacklist?tab=group")
    with console.store.reading() as connection:
        (listed,) = why_listed(connection, 8613800000001)
        assert (listed.scope, listed.source, listed.note, listed.expires_at) == (
            group, "complaint", "why", ends,
        )  # fmt: skip
        assert why_listed(connection, 8613800000002) == []  # its time is over


async def test_a_deleted_group_comes_back_unless_its_place_is_taken(console: World) -> None:
    with console.store.writing("test") as write:
        group = groups_edit.create_group(write, 2, "team")
    async with console.person("adm") as person:
        await person.post(f"/users/groups/{group}/delete")
        with console.store.writing("test") as write:
            other = groups_edit.create_group(write, 2, "team")
        await undo(person, "/users/groups")
        assert "There is a group “总公司/a/team” already" in (await person.get("/trash")).text
        with console.store.writing("test") as write:
            groups_edit.delete_group(write, other)
        await undo(person, "/trash")
        assert (await person.get(f"/users/groups/{group}")).status_code == 200


async def test_nobody_puts_back_what_others_deleted_or_what_they_may_no_longer_add(console: World) -> None:
    with console.store.writing("test") as write:
        blacklist_add(write, BlacklistScope("group", 3), [8613800000001], source="manual")
        group = groups_edit.create_group(write, 3, "team")
    async with console.person("adm") as person:
        await person.post("/settings/blacklist/group/remove", {"ids": "group:3:8613800000001"})
        await person.post(f"/users/groups/{group}/delete")
    async with console.person("peer") as other:
        assert (await other.post("/trash/1/restore")).status_code == 404
        assert "8613800000001" not in (await other.get("/trash")).text
    with console.store.writing("test") as write:
        write.run("UPDATE user SET group_id = 4 WHERE login = 'adm'")
    async with console.person("adm") as person:
        assert "8613800000001" in (await person.get("/trash")).text
        for kept in (1, 2):
            assert (await person.post(f"/trash/{kept}/restore")).status_code == 403
    with console.store.reading() as connection:
        assert why_listed(connection, 8613800000001) == []


async def test_after_thirty_days_it_is_gone_for_good(console: World) -> None:
    with console.store.writing("test") as write:
        add_contacts(write, USERS["usr"], "g", [("甲", 8613800000001)])
    async with console.person("usr") as person:
        await person.post("/contacts/delete", {"ids": "1"})
    clock.at += trash.KEPT_MS - 1000
    await console.console.background.sweep()
    async with console.person("usr") as person:
        assert "甲" in (await person.get("/trash.json")).text
    clock.at += 2000
    await console.console.background.sweep()
    with console.store.reading() as connection:
        assert trash.list_trash(connection, USERS["usr"], Cut()).rows == []


async def test_a_pause_can_be_undone(console: World) -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE task SET state = 'executing', started_at = 1 WHERE id = 4")
    async with console.person("usr") as person:
        await person.post("/tasks/4/move", {"move": "pause"})
        page = (await person.get("/tasks/4")).text
        undo_form = re.search(
            r'class="flash.*?<form method="post" action="/tasks/4/move">.*?</form>', page, re.DOTALL
        )
        assert undo_form
        assert 'name="move" value="resume"' in undo_form[0]
        await person.post("/tasks/4/move", {"move": "resume"})
    with console.store.reading() as connection:
        assert connection.execute("SELECT state FROM task WHERE id = 4").fetchone() == ("executing",)


async def test_who_is_forgotten_leaves_nothing_to_put_back(console: World) -> None:
    with console.store.writing("test") as write:
        add_contacts(write, USERS["usr"], "g", [("甲", 8613800000001)])
        trash.delete_contacts(write, USERS["usr"], [1])
        save_filter(write, USERS["usr"], "contacts", "甲", "q=甲", shared=False)
        people_edit.set_state(write, USERS["usr"], "deleted", by=1)
        people_edit.anonymise(write, USERS["usr"])
    with console.store.reading() as connection:
        for table in ("trash", "list_filter"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
