"""What people do on the pages, and what it leaves behind."""

import re
from html.parser import HTMLParser

import pytest

from admin.i18n import LANGUAGES
from admin.menu import CHAPTERS
from admin.permissions import Reach, Role, reach
from admin.security import CONTENT_SECURITY_POLICY
from store import groups_edit, people_edit
from store.address_book import add_contacts, contact_groups
from store.people_edit import Profile
from tests.admin.test_permissions import ROUTES
from tests.admin.world import MESSAGES, USERS, World

PAGES = [
    *(
        path
        for path, handler in ROUTES
        if "GET" in handler.http_methods and "{" not in path and path != "/stream"
    ),
    "/users/4",
    "/users/groups/2",
    "/users?q=nothing-like-it",
    "/settings/words?try=有敏感的字",
    "/settings/blacklist?tab=group&check=8613800000000",
    "/settings/blacklist?tab=type",
    "/gateway?try=8613800138000",
    "/tasks/1/edit",
    "/tasks/1/preview",
    "/tasks/1/blocked",
    "/imports/1",
    "/imports/1/rows",
    "/tasks/7",
    "/tasks/7/messages",
    "/tasks/7/messages?show=refused",
    "/tasks/7/messages?show=unsent",
    "/reports/messages?number=138&state=failed&reason=err+27&text=x",
    f"/reports/messages/{MESSAGES['usr']}",
    f"/settings/blacklist?tab=group&message={MESSAGES['usr']}",
    "/search?q=task",
    "/review/tasks/8",
    "/nothing/here",
]
HTML_PAGES = [path for path in PAGES if path not in ("/favicon.ico", "/login", "/me/resume")]
# Texts that would do harm on a page that forgot to escape.
HARM = "<img src=x onerror=alert(1)>\"'><script>alert(1)</script>{{ 7*7 }}"


class Elements(HTMLParser):
    """The tags of a page and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_shows_in_every_language_under_the_strict_policy(
    language: str, console: World
) -> None:
    async with console.person("sys") as person:
        person.client.headers["accept-language"] = language
        for path in HTML_PAGES:
            page = await person.get(path)
            assert page.status_code in (200, 404), path
            assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
            assert page.headers["x-content-type-options"] == "nosniff"
            for tag, attributes in Elements(page.text).tags:
                assert tag != "style", path
                assert not (tag == "script" and not attributes.get("src")), path
                assert not [name for name in attributes if name.startswith("on") or name == "style"], path
                for name in ("src", "href", "action", "hx-get"):
                    assert not re.match(r"(?i)\w+:|//", attributes.get(name) or ""), (path, attributes)


async def test_every_field_of_every_form_has_a_label_and_every_id_is_one(console: World) -> None:
    async with console.person("sys") as person:
        for path in HTML_PAGES:
            tags = Elements((await person.get(path)).text).tags
            ids = [attributes["id"] for _, attributes in tags if attributes.get("id")]
            assert len(ids) == len(set(ids)), (path, sorted(ids))
            labelled = {attributes.get("for") for tag, attributes in tags if tag == "label"}
            for tag, attributes in tags:
                if tag in ("input", "select", "textarea") and attributes.get("type") != "hidden":
                    named = attributes.get("id") in labelled or "aria-label" in attributes
                    assert named or attributes.get("type") == "checkbox", (path, attributes)


async def test_no_text_that_people_or_carriers_give_becomes_markup(console: World) -> None:
    with console.store.writing("test") as write:
        people_edit.edit_user(write, 4, Profile(HARM, HARM, HARM, HARM), 2, seen=Profile())
        write.audit(HARM, HARM, changes=False, detail=HARM)
    async with console.person("sys") as person:
        person.client.headers["user-agent"] = HARM
        await person.post("/settings/words", {"words": HARM[:60], "category": HARM[:60], "note": HARM})
        await person.post("/settings/blacklist/global", {"numbers": "8613700000000", "note": HARM})
        await person.post("/users/groups/new", {"name": HARM[:30].replace("/", ""), "parent": "1"})
        found = 0
        for path in [*HTML_PAGES, "/settings/words?try=" + HARM, "/users?q=" + HARM, "/gateway?try=" + HARM]:
            page = await person.get(path)
            found += "&lt;img src=x" in page.text
            for tag, attributes in Elements(page.text).tags:
                assert "onerror" not in attributes, path
                assert not (tag == "img" and attributes.get("src") == "x"), path
            assert "<script>alert" not in page.text, path
    assert found >= 5


async def test_a_user_is_made_topped_up_disabled_deleted_and_restored(console: World) -> None:
    async with console.person("adm") as adm:
        fields = {"login": "newcomer", "group": "3", "name": "新人", "parts": "20", "review": "trust"}
        made = await adm.post("/users/new", fields)
        assert made.status_code == 303
        path = made.headers["location"]
        page = await adm.get(path)
        assert re.search(r"Temporary password of newcomer: \w{14}", page.text)
        assert "Temporary password" not in (await adm.get(path)).text
        assert (await adm.post(f"{path}/parts", {"parts": "1,000", "way": "topup"})).status_code == 422
        assert (await adm.post(f"{path}/parts", {"parts": "230", "way": "topup"})).status_code == 303
        assert (await adm.post(f"{path}/parts", {"parts": "50", "way": "reclaim"})).status_code == 303
        assert (await adm.post(f"{path}/state", {"state": "disabled"})).status_code == 303
        assert (await adm.post(f"{path}/state", {"state": "deleted"})).headers["location"] == "/users"
        assert "newcomer" in (await adm.get("/users/deleted")).text
        assert (await adm.post(f"{path}/state", {"state": "active"})).status_code == 303
        assert "newcomer" in (await adm.get("/users?state=disabled")).text
    assert console.daemon.reloads == 6
    said = [(action, target) for actor, action, target, _ in console.audit() if actor == "console:adm"]
    assert said == [
        ("user.create", "user newcomer"),
        ("quota.topup", "user 7"),
        ("quota.topup", "user 7"),
        ("quota.reclaim", "user 7"),
        ("user.state", "user newcomer"),
        ("quota.return", "user 7"),
        ("user.state", "user newcomer"),
        ("user.state", "user newcomer"),
    ]
    assert all(one[3]["address"] == "192.0.2.1" for one in console.audit() if one[0] == "console:adm")


async def test_a_refused_form_keeps_what_was_typed_and_says_what_is_wrong(console: World) -> None:
    async with console.person("sys") as person:
        page = await person.post("/users/new", {"login": "a b", "group": "2", "name": "Kept", "parts": "ten"})
        assert page.status_code == 422
        assert 'value="Kept"' in page.text
        assert 'aria-describedby="parts-error"' in page.text
        assert "Give a whole number." in page.text
        taken = await person.post("/users/new", {"login": "USR", "group": "2"})
        assert "is taken" in taken.text


async def test_a_form_that_is_sent_twice_counts_once(console: World) -> None:
    async with console.person("sys") as person:
        token = await person.token("/me")
        fields = {"_csrf": token, "_once": "the same", "parts": "10", "way": "topup"}
        first = await person.client.post("/users/4/parts", data=fields)
        second = await person.client.post("/users/4/parts", data=fields)
        assert first.headers["location"] == second.headers["location"] == "/users/4"
        console.app.state.console.remember(b"another", "the same", "/elsewhere")
    with console.store.reading() as connection:
        assert connection.execute("SELECT granted FROM user WHERE id = 4").fetchone() == (110,)


def seen_of(page: str) -> str:
    found = re.search(r'name="seen" value="([^"]*)"', page)
    assert found
    return found[1].replace("&#34;", '"')


def differences_in(page: str) -> list[list[str]]:
    """Title, when opened, now, mine: of every line of the comparison."""
    return [
        [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in re.findall(r"<tr><th scope=\"row\">.*?</tr>", page)
    ]


async def test_a_stale_user_form_shows_what_changed_beside_mine_and_is_saved_the_second_time(
    console: World,
) -> None:
    async with console.person("sys") as person:
        old = seen_of((await person.get("/users/4")).text)
        with console.store.writing("test") as write:
            people_edit.edit_user(write, 4, Profile("By another", review="trust"), 2, seen=Profile())
        mine = {"group": "2", "name": "Mine", "note": "kept"}
        answer = await person.post("/users/4", {**mine, "seen": old})
        assert answer.status_code == 409
        assert differences_in(answer.text) == [
            ["Name", "—", "By another", "Mine"],
            ["Review", "As the group", "Trusted", "As the group"],
        ]
        assert 'value="Mine"' in answer.text
        assert ">kept<" in answer.text
        again = await person.post("/users/4", {**mine, "seen": seen_of(answer.text)})
        assert again.status_code == 303
        assert 'value="Mine"' in (await person.get("/users/4")).text


async def test_a_stale_form_does_not_move_a_user_back(console: World) -> None:
    async with console.person("sys") as person:
        old = seen_of((await person.get("/users/4")).text)
        with console.store.writing("test") as write:
            people_edit.edit_user(write, 4, Profile(), 3, seen=Profile())
        answer = await person.post("/users/4", {"group": "2", "name": "Mine", "seen": old})
        assert answer.status_code == 409
        assert differences_in(answer.text) == [["User group", "总公司/a", "总公司/a/deep", "总公司/a"]]
    with console.store.reading() as connection:
        assert connection.execute("SELECT group_id, name FROM user WHERE id = 4").fetchone() == (3, "")


async def test_a_stale_group_form_overwrites_nothing(console: World) -> None:
    async with console.person("sys") as person:
        old = seen_of((await person.get("/users/groups/3")).text)
        with console.store.writing("test") as write:
            groups_edit.edit_group(write, 3, "other", "trust")
        mine = {"name": "mine", "review": "review"}
        answer = await person.post("/users/groups/3", {**mine, "seen": old})
        assert answer.status_code == 409
        assert differences_in(answer.text) == [
            ["Name", "deep", "other", "mine"],
            ["Review", "As the group", "Trusted", "Reviewed"],
        ]
        again = await person.post("/users/groups/3", {**mine, "seen": seen_of(answer.text)})
        assert again.status_code == 303
    with console.store.reading() as connection:
        row = connection.execute("SELECT path, review FROM user_group WHERE id = 3").fetchone()
    assert row == ("总公司/a/mine", "review")


async def test_words_are_added_once_a_spelling_tried_and_deleted(console: World) -> None:
    async with console.person("sys") as person:
        done = await person.post(
            "/settings/words", {"words": "赌博\n賭博\n敏感\n\ncasino", "action": "reject"}
        )
        assert done.status_code == 303
        page = await person.get("/settings/words?try=去 CASINO 赌-博")
        assert "<mark>CASINO</mark>" in page.text
        assert "<mark>赌-博</mark>" in page.text
        ids = re.findall(r'name="ids" value="(\d+)"', page.text)
        assert len(ids) == 3
        assert (await person.post("/settings/words/delete", {"ids": ids})).status_code == 303
    assert console.store.words() == []
    assert console.daemon.reloads == 2


async def test_group_administrators_read_words_and_change_none(console: World) -> None:
    async with console.person("adm") as person:
        page = await person.get("/settings/words")
        assert "敏感" in page.text
        assert "Add words" not in page.text
        assert (await person.post("/settings/words", {"words": "x1"})).status_code == 403


async def test_numbers_are_listed_checked_and_removed_where_one_may(console: World) -> None:
    async with console.person("adm") as adm:
        fields = {"numbers": "+86 137-0000-0001，8613700000002", "group": "3", "note": "投诉"}
        assert (await adm.post("/settings/blacklist/group", fields)).status_code == 303
        assert (await adm.post("/settings/blacklist/group", fields | {"group": "4"})).status_code == 422
        assert (await adm.post("/settings/blacklist/global", {"numbers": "8613700000003"})).status_code == 403
        page = await adm.get("/settings/blacklist?check=%2B86 137 0000 0001")
        assert "投诉" in page.text
        forged = {"ids": ["global:0:8613800000000"]}
        assert (await adm.post("/settings/blacklist/global/remove", forged)).status_code == 403
        taken = await adm.post("/settings/blacklist/group/remove", {"ids": ["group:3:8613700000001"]})
        assert taken.status_code == 303
    lists = {(scope.kind, scope.key): list(numbers) for scope, numbers in console.store.blacklists().items()}
    assert lists == {("global", 0): [8613800000000], ("group", 3): [8613700000002]}


async def test_a_plain_user_sees_only_their_own_group_s_list(console: World) -> None:
    async with console.person("sys") as sys:
        for group in (2, 4):
            await sys.post(
                "/settings/blacklist/group", {"numbers": f"861370000000{group}", "group": str(group)}
            )
    async with console.person("usr") as usr:
        page = await usr.get("/settings/blacklist?tab=group")
        assert "8613700000002" in page.text
        assert "8613700000004" not in page.text
        assert "8613800000000" not in (await usr.get("/settings/blacklist")).text


async def test_a_carrier_is_paused_and_goes_on(console: World) -> None:
    async with console.person("sys") as person:
        for state in ("paused", "active"):
            done = await person.post("/gateway/carriers/1/state", {"state": state})
            assert done.status_code == 303
            assert next(iter(console.store.directory().carriers.values())).state == state
        assert (await person.post("/gateway/carriers/9/state", {"state": "paused"})).status_code == 404


async def test_the_route_tester_names_the_carrier_or_says_there_is_none(console: World) -> None:
    async with console.person("sys") as person:
        assert "carrier-a" in (await person.get("/gateway?try=8613800138000")).text
        assert "No route matches" in (await person.get("/gateway?try=4477009000")).text
        assert "This is no phone number." in (await person.get("/gateway?try=hello")).text


async def test_the_menu_holds_what_one_may_open_and_all_of_it_opens(console: World) -> None:
    entries = [entry for chapter in CHAPTERS for entry in chapter.entries]
    seen = []
    for login, role in (("usr", Role.USER), ("adm", Role.ADMIN), ("sys", Role.SYSTEM)):
        count = sum(reach(role, entry.permission) > Reach.NONE for entry in entries)
        seen.append(count)
        async with console.person(login) as person:
            page = await person.get("/")
            rail = page.text[page.text.index('class="rail"') : page.text.index("</nav>")]
            paths = re.findall(r'<li><a href="([^"]+)"', rail)
            assert len(paths) == count, login
            for path in paths:
                assert (await person.get(path)).status_code == 200
    assert seen[0] < seen[1] < seen[2] == len(entries)


async def test_preferences_change_the_page(console: World) -> None:
    async with console.person("usr") as person:
        fields = {"language": "zh", "theme": "dark", "zone": "Europe/Berlin", "page_size": "20"}
        assert (await person.post("/me", fields)).status_code == 303
        page = await person.get("/me")
        assert '<html lang="zh-CN" data-theme="dark">' in page.text
        assert "2023-11-14 23:13:20" in page.text  # the session's time, in Berlin
        assert (await person.post("/me", fields | {"zone": "Mars/Olympus"})).status_code == 422


async def test_the_language_switch_works_for_strangers_too(console: World) -> None:
    async with console.person() as person:
        assert "Sign in" in (await person.get("/login")).text
        done = await person.post("/language", {"to": "zh", "next": "//evil.test"}, page="/login")
        assert done.headers["location"] == "/"
        assert "登录" in (await person.get("/login")).text


async def test_a_fault_of_ours_shows_no_trace(console: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.daemon, "live", lambda: 1 / 0)
    async with console.person("sys") as person:
        page = await person.get("/gateway")
    assert page.status_code == 500
    assert "Something went wrong here" in page.text
    assert "ZeroDivision" not in page.text


async def test_a_body_that_is_too_long_is_refused(console: World) -> None:
    async with console.person("sys") as person:
        token = await person.token("/me")
        page = await person.client.post("/settings/words", data={"_csrf": token, "words": "x" * 1_100_000})
    assert page.status_code == 413
    assert len(console.store.words()) == 1


async def test_the_dashboard_shows_everybody_their_own_accounts_and_carriers_to_the_system_only(
    console: World,
) -> None:
    console.daemon.used = {4: (95, 0)}
    for login, seen, hidden in (
        ("sys", ["usr-smpp", "sibling7-smpp", "carrier-a", "Low quota"], []),
        ("adm", ["usr-smpp", "Low quota"], ["sibling7-smpp", "carrier-a"]),
        ("usr", ["usr-smpp"], ["sibling7-smpp", "carrier-a", "Low quota"]),
        ("low", ["No SMPP or API account yet"], ["usr-smpp", "carrier-a"]),
    ):
        async with console.person(login) as person:
            for path in ("/", "/live"):
                text = (await person.get(path)).text
                assert not [one for one in hidden if one in text], (login, path)
                if path == "/":
                    assert not [one for one in seen if one not in text], login


async def test_figures_of_parts_are_those_of_the_books_and_the_daemon(console: World) -> None:
    console.daemon.used = {4: (30, 12)}
    async with console.person("adm") as person:
        user = (await person.get("/users/4")).text
        figures = re.findall(r"<dt>([^<]+)</dt><dd class=\"number\">(?:<strong>)?([\d,—]+)", user)
        assert dict(figures) == {"Limit": "100", "Used": "30", "Reserved": "12", "Available": "58"}
        assert "At most 600 can be added." in user  # 1000 - 100 of users - 300 of the child group
        group = (await person.get("/users/groups/2")).text
        figures = re.findall(r"<dt>([^<]+)</dt><dd class=\"number\">(?:<strong>)?([\d,—]+)", group)
        assert dict(figures) == {"Granted": "1,000", "Allocated": "400", "Remaining": "600", "Used": "0"}
        below = await person.post("/users/4/parts", {"parts": "59", "way": "reclaim"})
        assert below.status_code == 422
        assert "At most 58 parts" in below.text


async def test_review_is_inherited_and_says_from_where(console: World) -> None:
    async with console.person("adm") as person:
        assert "by default" in (await person.get("/users/5")).text
        assert (await person.post("/users/groups/3", {"name": "deep", "review": "trust"})).status_code == 303
        page = (await person.get("/users/5")).text
        assert "Trusted" in page
        assert "from deep" in page
    user = console.store.directory().users[5]
    assert user.review == "inherit"


async def test_a_group_that_is_always_reviewed_lets_no_trust_below_it_count(console: World) -> None:
    async with console.person("sys") as person:
        for group, name, review in ((2, "a", "always"), (3, "deep", "trust")):
            fields = {"name": name, "review": review}
            assert (await person.post(f"/users/groups/{group}", fields)).status_code == 303
        fields = {"name": "e", "group": "3", "role": "user", "review": "trust"}
        assert (await person.post("/users/5", fields)).status_code == 303
        page = (await person.get("/users/5")).text
        assert "from a<" in page
        assert '<option value="always" selected>' in (await person.get("/users/groups/2")).text
        history = (await person.get("/audit")).text
        assert "always" in history
        fields = {"name": "a", "review": "review"}
        assert (await person.post("/users/groups/2", fields)).status_code == 303
        assert "from a<" not in (await person.get("/users/5")).text
    groups = console.store.directory().groups
    assert (groups[2].review, groups[3].review) == ("review", "trust")


async def test_a_contact_group_with_all_below_it_is_blacklisted_until_a_day(console: World) -> None:
    with console.store.writing("test") as write:
        add_contacts(write, USERS["usr"], "客户/福建", [("a", 8613700000001)])
        add_contacts(write, USERS["usr"], "客户", [("b", 8613700000002)])
        add_contacts(write, USERS["sibling7"], "客户", [("c", 8613700000003)])
        theirs = [one.id for one in contact_groups(write.connection, USERS["sibling7"])]
        own = [one.id for one in contact_groups(write.connection, USERS["usr"]) if one.name == "客户"]
    async with console.person("usr") as person:
        fields = {"group": "2", "contacts": str(own[0]), "expiry": "2030-12-31", "note": "asked for it"}
        assert (await person.post("/settings/blacklist/group", fields)).status_code == 303
        page = (await person.get("/settings/blacklist?tab=group&check=8613700000001")).text
        assert "until 2030-12-31 23:59:59" in page
        for wrong, field in (
            ({"contacts": str(theirs[0])}, "contacts"),
            ({"expiry": "2001-01-01"}, "expiry"),
            ({"expiry": "soon"}, "expiry"),
            ({"contacts": ""}, "numbers"),
        ):
            refused = await person.post("/settings/blacklist/group", fields | wrong)
            assert refused.status_code == 422
            assert f'id="{field}-error"' in refused.text
    lists = {(scope.kind, scope.key): list(numbers) for scope, numbers in console.store.blacklists().items()}
    assert lists["group", 2] == [8613700000001, 8613700000002]
