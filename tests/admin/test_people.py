"""Users and groups on their pages: what they may send as, moving, anonymising, quota under many hands."""

import re

from store import people_edit
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
        assert answer.headers["location"] == "/sms/send"
        assert "may not send SMS of this type" in (await person.get("/sms/send")).text
