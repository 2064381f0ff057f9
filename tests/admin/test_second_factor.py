"""The second factor on the pages: set up, asked for at sign-in, braked, taken away."""

import base64
import re

import pytest

from admin.console import ConsoleOptions
from admin.proofs import HALF_S, TRIES_MAX
from store import second_factor, totp
from store.totp import STEP_S
from tests.admin.test_sign_in import sign_in
from tests.admin.world import PASSWORD, USERS, Person, World, clock, world


def code_now(secret: str, steps: int = 0) -> str:
    return totp.code_at(base64.b32decode(secret), totp.step_of(clock.at) + steps)


def enrolled(console: World, login: str) -> tuple[str, list[str]]:
    """Give somebody a second factor; (secret, recovery codes)."""
    secret, codes = totp.new_secret(), second_factor.new_recovery_codes()
    with console.store.writing("test") as write:
        second_factor.enrol(write, USERS[login], secret, 0, codes, keep=b"")
    return secret, codes


async def half_way(person: Person, login: str = "usr") -> None:
    answer = await person.post("/login", {"login": login, "password": PASSWORD, "next": "/me"}, page="/login")
    assert answer.headers["location"] == "/login/code"


async def second(person: Person, code: str) -> tuple[int, str]:
    answer = await person.post("/login/code", {"code": code}, page="/login/code")
    return answer.status_code, answer.headers.get("location", "")


async def test_it_is_set_up_with_a_first_code_and_shows_recovery_codes_once(console: World) -> None:
    async with console.person("usr") as person, console.person() as elsewhere:
        assert await sign_in(elsewhere, "usr", PASSWORD) == 303
        page = await person.get("/me/second-factor")
        found = re.search(r'key-text">([A-Z2-7 ]+)<', page.text)
        assert found
        secret = found[1].replace(" ", "")
        picture = await person.get("/me/second-factor/qr.svg")
        assert picture.headers["content-type"].startswith("image/svg+xml")
        assert picture.headers["cache-control"] == "no-store"
        wrong = await person.post("/me/second-factor", {"code": code_now(secret, 7)})
        assert wrong.status_code == 422
        assert 'id="code-error"' in wrong.text
        assert secret in wrong.text.replace(" ", "")  # the app that has scanned it goes on
        done = await person.post(
            "/me/second-factor", {"code": f" {code_now(secret)[:3]} {code_now(secret)[3:]}"}
        )
        codes = re.findall(r"<li>([a-z2-7]{4}(?:-[a-z2-7]{4}){3})</li>", done.text)
        assert len(codes) == second_factor.RECOVERY_CODES
        settings = (await person.get("/me")).text
        assert codes[0] not in settings
        assert "10 recovery codes are left" in settings
        assert (await elsewhere.get("/me")).headers["location"] == "/login?next=/me"  # who was in without it
        assert (await person.get("/me/second-factor/qr.svg")).status_code == 404
    assert console.audit()[-1][:3] == ("console:usr", "second-factor.enrol", "user usr")
    assert secret not in str(console.audit())


async def test_sign_in_asks_for_the_code_and_goes_where_it_was_wanted(console: World) -> None:
    secret, _ = enrolled(console, "usr")
    async with console.person() as person:
        await half_way(person)
        assert "sid" not in person.client.cookies
        assert (await person.get("/me")).headers["location"] == "/login?next=/me"
        page = await person.get("/login/code")
        assert "usr" in page.text
        assert await second(person, code_now(secret)) == (303, "/me")
        assert (await person.get("/me")).status_code == 200


async def test_the_step_after_the_password_is_bound_to_a_new_cookie(console: World) -> None:
    secret, _ = enrolled(console, "usr")
    async with console.person() as person, console.person() as planter:
        await person.get("/login")
        planted = person.client.cookies["pre"]
        await half_way(person)
        assert person.client.cookies["pre"] != planted
        planter.client.cookies.set("pre", planted)
        assert (await second(planter, code_now(secret)))[0] == 422


async def test_a_code_opens_once(console: World) -> None:
    secret, _ = enrolled(console, "usr")
    code = code_now(secret)
    for status in (303, 422):
        async with console.person() as person:
            await half_way(person)
            assert (await second(person, code))[0] == status
    clock.at += STEP_S * 1000
    async with console.person() as person:
        await half_way(person)
        assert (await second(person, code))[0] == 422
        assert (await second(person, code_now(secret)))[0] == 303


async def test_a_recovery_code_opens_once_and_says_how_many_are_left(console: World) -> None:
    _, codes = enrolled(console, "usr")
    async with console.person() as person:
        await half_way(person)
        assert (await second(person, codes[3].upper()))[0] == 303
        assert "9 are left" in (await person.get("/me")).text
    async with console.person() as person:
        await half_way(person)
        assert (await second(person, codes[3]))[0] == 422
    said = [(action, detail) for _, action, _, detail in console.audit()]
    (used,) = [detail for action, detail in said if action == "second-factor.recovery"]
    assert (used["address"], used["left"]) == ("192.0.2.1", 9)
    assert not [one for one in said if codes[3] in str(one)]


async def test_guessing_codes_is_braked_and_soon_asks_for_the_password_again(console: World) -> None:
    secret, _ = enrolled(console, "usr")
    async with console.person() as person:
        await half_way(person)
        statuses = []
        for _ in range(4):
            statuses.append((await second(person, "000000"))[0])
        assert statuses == [422, 422, 422, 429]
        assert (await second(person, code_now(secret)))[0] == 429
        for _ in range(TRIES_MAX - 3):
            console.now += 40
            last = await person.post("/login/code", {"code": "000000"}, page="/login/code")
        assert "Begin again with your password" in last.text
        console.now += 40
        assert (await second(person, code_now(secret)))[0] == 422
    refused = [detail for _, action, _, detail in console.audit() if action == "sign-in.refused"]
    assert [one.get("step") for one in refused] == [2] * TRIES_MAX


async def test_half_a_sign_in_is_soon_forgotten_and_ends_with_the_user(console: World) -> None:
    secret, _ = enrolled(console, "usr")
    async with console.person() as person:
        await half_way(person)
        console.now += HALF_S
        assert (await second(person, code_now(secret)))[0] == 422
        await half_way(person)
        with console.store.writing("test") as write:
            write.run("UPDATE user SET state = 'disabled' WHERE login = 'usr'")
        assert (await second(person, code_now(secret)))[0] == 422
        assert "sid" not in person.client.cookies


@pytest.mark.parametrize(
    ("setting", "held"), [("administrators", {"sys", "adm"}), ("everybody", {"sys", "adm", "usr"})]
)
async def test_whoever_must_have_one_is_led_to_it_and_nowhere_else(tmp_path, setting, held) -> None:  # type: ignore[no-untyped-def]
    with world(tmp_path / "data", ConsoleOptions(second_factor=setting)) as console:
        for login in ("sys", "adm", "usr"):
            async with console.person(login) as person:
                for path in ("/", "/sms/tasks"):
                    answer = await person.get(path)
                    led = answer.headers.get("location") == "/me/second-factor"
                    assert led == (login in held), (login, path)
                refused = await person.post(
                    "/sms/tasks" if login == "usr" else "/users/4/parts", {"parts": "5"}
                )
                assert refused.status_code != 200
                if login in held:
                    page = await person.get("/me/second-factor")
                    assert "Set yours up to go on" in page.text
                    secret = re.search(r'key-text">([A-Z2-7 ]+)<', page.text)[1].replace(" ", "")  # type: ignore[index]
                    done = await person.post("/me/second-factor", {"code": code_now(secret)})
                    assert done.status_code == 200
                    assert (await person.get("/")).status_code == 200
        with console.store.reading() as connection:
            assert connection.execute("SELECT granted FROM user WHERE id = 4").fetchone() == (100,)


async def test_removing_it_needs_the_password(console: World) -> None:
    enrolled(console, "usr")
    async with console.person("usr") as person:
        wrong = await person.post("/me/second-factor/remove", {"password_now": "not it"})
        assert wrong.status_code == 422
        assert 'id="password_now-error"' in wrong.text
        console.now += 60
        assert (await person.post("/me/second-factor/remove", {"password_now": PASSWORD})).status_code == 303
        assert "Set up" in (await person.get("/me")).text
    async with console.person() as person:
        assert await sign_in(person, "usr", PASSWORD) == 303
    assert ("console:usr", "second-factor.remove") in [one[:2] for one in console.audit()]


async def test_new_recovery_codes_are_made_on_the_page(console: World) -> None:
    _, old = enrolled(console, "usr")
    async with console.person("usr") as person:
        page = await person.post("/me/second-factor/codes")
        codes = re.findall(r"<li>([a-z2-7-]{19})</li>", page.text)
        assert len(codes) == second_factor.RECOVERY_CODES
    async with console.person() as person:
        await half_way(person)
        assert (await second(person, old[0]))[0] == 422
        assert (await second(person, codes[0]))[0] == 303


async def test_an_administrator_takes_it_from_those_below_and_it_is_written_down(console: World) -> None:
    enrolled(console, "usr")
    enrolled(console, "peer")
    async with console.person("adm") as adm, console.person("usr") as usr:
        assert "Reset second factor" in (await adm.get("/users/4")).text
        assert (await adm.post("/users/4/second-factor")).status_code == 303
        assert (await usr.get("/me")).headers["location"] == "/login?next=/me"
        assert (await adm.post("/users/3/second-factor")).status_code == 403  # an equal
        assert (await adm.post("/users/2/second-factor")).headers.get("location") in (None, "/me")
        assert "Reset second factor" not in (await adm.get("/users/4")).text
    async with console.person() as person:
        assert await sign_in(person, "usr", PASSWORD) == 303
    said = [one for one in console.audit() if one[1] == "second-factor.reset"]
    assert [one[:3] for one in said] == [("console:adm", "second-factor.reset", "user usr")]
