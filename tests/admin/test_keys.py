"""Keys that lead to pages: data beside the menu, shown to whom they open something, off when somebody wants so."""

import re

from admin.menu import CHAPTERS
from tests.admin.world import World


def test_no_two_pages_have_the_same_key() -> None:
    keys = [entry.key for chapter in CHAPTERS for entry in chapter.entries if entry.key]
    assert len(keys) == len(set(keys)) >= 15
    assert all(re.fullmatch("[a-z]", key) for key in keys)


async def test_a_page_lists_the_keys_of_what_one_may_open(console: World) -> None:
    shown = {}
    for login in ("usr", "sys"):
        async with console.person(login) as person:
            shown[login] = set(re.findall(r'href="([^"]+)" data-go="\w"', (await person.get("/")).text))
    assert {"/", "/sms/send", "/sms/tasks"} <= shown["usr"] < shown["sys"]
    assert "/gateway" in shown["sys"] - shown["usr"]


async def test_keys_are_switched_off_in_one_s_settings(console: World) -> None:
    fields = {"language": "en", "theme": "auto", "zone": "Europe/Berlin", "page_size": "20"}
    async with console.person("usr") as person:
        assert 'id="keys"' in (await person.get("/")).text
        saved = await person.post("/me", fields | {"language": ""})  # "as the browser asks"
        assert saved.status_code == 303
        page = (await person.get("/me")).text
        assert 'id="keys"' not in page
        assert "<kbd" not in page
        await person.post("/me", fields | {"shortcuts": "1"})
        assert 'id="keys"' in (await person.get("/")).text
