"""Who gets in: the first start, passwords, sessions and what ends them."""

import re

import pytest

from admin import security
from admin.console import ConsoleOptions
from admin.setup import VALID_S
from store import people_edit, second_factor, secrets, totp
from store.config_db import ConfigStore
from store.people import make_admin
from store.sessions import AGE_MS_MAX, IDLE_MS_MAX
from tests.admin.world import HASH, PASSWORD, USERS, Person, World, clock, world

NEW_ADMIN = {
    "login": "chief",
    "group": "集时通",
    "password": "one more good one",
    "password_again": "one more good one",
}


async def sign_in(person: Person, login: str, password: str, **fields: str) -> int:
    response = await person.post("/login", {"login": login, "password": password, **fields}, page="/login")
    return response.status_code


@pytest.fixture
def empty(tmp_path):  # type: ignore[no-untyped-def]
    with ConfigStore.open(tmp_path / "empty", wall_ms=lambda: clock.at) as store:
        yield World(store)


async def test_the_first_start_makes_one_administrator_by_a_link_that_works_once(empty: World) -> None:
    path = await empty.console.setup_path()
    assert path.startswith("/setup/")
    async with empty.person() as person:
        assert (await person.get("/setup/guess")).status_code == 404
        made = await person.post(path, NEW_ADMIN, page=path)
        assert made.headers["location"] == "/"
        assert (await person.get("/")).status_code == 200
    async with empty.person() as other:
        assert (await other.get(path)).status_code == 404
    assert await empty.console.setup_path() == ""
    with empty.store.reading() as connection:
        rows = connection.execute("SELECT login, role, substr(password_hash, 1, 9) FROM user").fetchall()
    assert rows == [("chief", "admin", "$argon2id")]


async def test_the_setup_link_ends_after_a_quarter_of_an_hour(empty: World) -> None:
    path = await empty.console.setup_path()
    empty.now += VALID_S
    async with empty.person() as person:
        assert (await person.get(path)).status_code == 404


async def test_the_setup_link_is_void_once_somebody_else_made_an_administrator(empty: World) -> None:
    path = await empty.console.setup_path()
    with empty.store.writing("cli:test") as write:
        make_admin(write, "earlier", HASH)
    async with empty.person() as person:
        assert (await person.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("password", "again", "field"),
    [("short", "short", "password"), ("password123", "password123", "password"),
     ("my chief secret", "my chief secret", "password"), ("one good one", "another one", "password_again")],
)  # fmt: skip
async def test_a_poor_password_makes_nobody(empty: World, password: str, again: str, field: str) -> None:
    path = await empty.console.setup_path()
    async with empty.person() as person:
        fields = NEW_ADMIN | {"password": password, "password_again": again}
        response = await person.post(path, fields, page=path)
    assert response.status_code == 422
    assert f'id="{field}-error"' in response.text
    assert password not in response.text
    with empty.store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM user").fetchone() == (0,)


async def test_signing_in_makes_a_new_session_whatever_id_the_browser_sends(console: World) -> None:
    async with console.person() as person:
        person.client.cookies.set("sid", "chosen-by-an-attacker")
        assert await sign_in(person, "usr", PASSWORD) == 303
        jar = [cookie.value for cookie in person.client.cookies.jar if cookie.name == "sid"]
    assert all(value != "chosen-by-an-attacker" for value in jar[-1:])
    with console.store.reading() as connection:
        hashes = [row[0] for row in connection.execute("SELECT hash FROM console_session")]
    assert len(hashes) == 1
    assert all(len(one) == 32 for one in hashes)


async def test_the_login_is_found_in_any_case_and_the_answer_to_a_wrong_one_is_always_the_same(
    console: World,
) -> None:
    async with console.person() as person:
        assert await sign_in(person, "USR", PASSWORD) == 303
    texts = set()
    for login in ("usr", "nobody-here", "low"):
        if login == "low":
            with console.store.writing("test") as write:
                people_edit.set_state(write, 5, "disabled", by=1)
        async with console.person() as person:
            secret = PASSWORD if login == "low" else "wrong password"
            response = await person.post("/login", {"login": login, "password": secret}, page="/login")
            assert response.status_code == 422
            found = re.search(r'role="alert">(.*?)</div>', response.text, re.DOTALL)
            assert found
            texts.add(re.sub(r"<svg.*?</svg>", "", found[1]))
    assert len(texts) == 1


async def test_signing_out_ends_the_session_for_whoever_kept_its_id(console: World) -> None:
    async with console.person("usr") as person, console.person() as thief:
        thief.client.cookies.set("sid", person.client.cookies["sid"])
        assert (await thief.get("/me")).status_code == 200
        assert (await person.post("/logout")).headers["location"] == "/login"
        assert (await thief.get("/me")).headers["location"] == "/login?next=/me"


async def test_a_session_ends_when_idle_and_at_last_in_any_case(console: World) -> None:
    async with console.person("usr") as person:
        clock.at += IDLE_MS_MAX - 1000
        assert (await person.get("/me")).status_code == 200
        clock.at += IDLE_MS_MAX - 1000
        assert (await person.get("/me")).status_code == 200
        clock.at += IDLE_MS_MAX + 1000
        assert (await person.get("/me")).headers["location"] == "/login?next=/me"
    async with console.person("usr") as person:
        began = clock.at
        while clock.at < began + AGE_MS_MAX:
            assert (await person.get("/me")).status_code == 200
            clock.at += IDLE_MS_MAX - 1000
        assert (await person.get("/me")).headers["location"] == "/login?next=/me"


async def test_what_a_page_asks_by_itself_keeps_no_session_alive(console: World) -> None:
    async with console.person("usr") as person:
        clock.at += IDLE_MS_MAX - 1000
        assert (await person.get("/live")).status_code == 200
        clock.at += 2000
        assert (await person.get("/live")).headers["location"] == "/login"


async def test_guessing_is_slowed_and_harms_nobody_elsewhere(console: World) -> None:
    async with console.person(address="203.0.113.9") as guesser:
        token = await guesser.token()
        statuses = []
        for number in range(40):
            response = await guesser.client.post(
                "/login",
                data={"_csrf": token, "login": "usr", "password": f"guess {number}"},
                headers={"x-forwarded-for": f"198.51.100.{number}"},
            )
            statuses.append(response.status_code)
        assert statuses[:3] == [422, 422, 422]
        assert set(statuses[3:]) == {429}
        assert await sign_in(guesser, "usr", PASSWORD) == 429
    async with console.person(address="203.0.113.10") as owner:
        assert await sign_in(owner, "usr", PASSWORD) == 303


async def test_forwarded_addresses_are_believed_of_trusted_proxies_only(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with world(tmp_path / "data", ConsoleOptions(trusted_proxies=("10.0.0.0/8",))) as made:
        for peer, noted in (("10.0.0.1", "198.51.100.7"), ("192.0.2.5", "192.0.2.5")):
            async with made.person(address=peer) as person:
                person.client.headers["x-forwarded-for"] = "1.1.1.1, 198.51.100.7"
                assert await sign_in(person, "usr", PASSWORD) == 303
            assert made.audit()[-1][3]["address"] == noted


async def test_a_temporary_password_opens_nothing_but_the_change_of_it(console: World) -> None:
    with console.store.writing("test") as write:
        people_edit.set_password(write, 4, HASH, temporary=True)
    async with console.person() as person:
        assert await sign_in(person, "usr", PASSWORD) == 303
        for path in ("/", "/settings/blacklist", "/me"):
            assert (await person.get(path)).headers["location"] == "/me/password"
        fields = {
            "password_old": PASSWORD,
            "password": "quite another one",
            "password_again": "quite another one",
        }
        assert (await person.post("/me/password", fields, page="/me/password")).headers["location"] == "/"
        assert (await person.get("/")).status_code == 200


async def test_a_new_password_ends_every_other_session(console: World) -> None:
    async with console.person("usr") as person, console.person() as elsewhere:
        assert await sign_in(elsewhere, "usr", PASSWORD) == 303
        fields = {
            "password_old": PASSWORD,
            "password": "quite another one",
            "password_again": "quite another one",
        }
        assert (await person.post("/me/password", fields)).status_code == 303
        assert (await person.get("/me")).status_code == 200
        assert (await elsewhere.get("/me")).headers["location"] == "/login?next=/me"


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.test/",
        "//evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "javascript:alert(1)",
        "/a\nb",
        "",
    ],
)
def test_nobody_is_led_to_another_site(path: str) -> None:
    assert security.local_path(path) == "/"
    assert security.local_path("/users?q=a//b") == "/users?q=a//b"


async def test_over_tls_cookies_are_bound_to_this_host_and_to_tls(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with world(tmp_path / "data", ConsoleOptions(public_url="https://sms.test")) as made:
        async with made.person() as person:
            page = await person.get("/login")
    cookie = page.headers["set-cookie"]
    assert cookie.startswith("__Host-pre=")
    for word in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
        assert word in cookie
    assert "strict-transport-security" in page.headers


async def test_every_sign_in_and_every_refusal_is_written_down_without_the_password(console: World) -> None:
    async with console.person() as person:
        await sign_in(person, "usr", "a wrong one")
        await sign_in(person, "usr", PASSWORD)
    said = console.audit()[-2:]
    assert [(actor, action) for actor, action, _, _ in said] == [
        ("console:usr", "sign-in.refused"),
        ("console:usr", "sign-in"),
    ]
    assert "wrong one" not in str(said)
    assert PASSWORD not in str(said)


async def test_an_unknown_login_costs_the_same_work_as_a_wrong_password(
    console: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes time is counted: hashes with their parameters, reads, durable writes, and the answer's length."""
    done: list[str] = []
    matches, reading, record = secrets.password_matches, console.store.reading, console.store.record

    def hashes(password_hash: str, password: str | bytes) -> bool:
        done.append("hash " + password_hash.split("$")[3])
        return matches(password_hash, password)

    def reads(*args: object) -> object:
        done.append("read")
        return reading(*args)  # type: ignore[arg-type]

    def writes(*args: str, **detail: object) -> None:
        done.append("write")
        record(*args, **detail)

    monkeypatch.setattr(secrets, "password_matches", hashes)
    monkeypatch.setattr(console.store, "reading", reads)
    monkeypatch.setattr(console.store, "record", writes)
    enrol = second_factor_of(console, "peer")
    with console.store.writing("test") as write:
        people_edit.set_state(write, 5, "disabled", by=1)
        write.run("UPDATE user SET password_hash = '' WHERE login = 'sibling7'")
    work = {}
    async with console.person() as person:
        token = await person.token()
        for login, password in (
            ("usr", "wrong"), ("nobody", "wrong"), ("low", PASSWORD), ("sibling7", ""), (enrol, "wrong"),
        ):  # fmt: skip
            done.clear()
            form = {"_csrf": token, "login": login, "password": password}
            page = await person.client.post("/login", data=form)
            assert page.status_code == 422
            work[login] = (tuple(done), len(page.text) - len(login))
    assert len(set(work.values())) == 1, work
    assert work["usr"][0].count("hash m=19456,t=2,p=1") == 1


def second_factor_of(console: World, login: str) -> str:
    with console.store.writing("test") as write:
        second_factor.enrol(write, USERS[login], totp.new_secret(), 0, [], keep=b"")
    return login
