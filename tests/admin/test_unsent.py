"""A form that came after its sign-in was over is not lost: sign in, look at it, send it."""

import html
import re

import httpx
import pytest

from admin import unsent
from admin.unsent import KEPT_S, Kept
from store.sessions import IDLE_MS_MAX
from tests.admin.test_second_factor import code_now, enrolled
from tests.admin.world import PASSWORD, Person, World, clock

OWN = {"sec-fetch-site": "same-origin"}
TOP_UP = {"parts": "7", "note": 'for "May" <b>', "way": "topup"}


async def send_late(console: World, person: Person, fields: dict[str, str], **headers: str) -> httpx.Response:
    """Open a page, go away until the sign-in is over, come back and send the form."""
    token = await person.token("/me")
    clock.at += IDLE_MS_MAX + 1000
    return await person.client.post("/users/4/parts", data={"_csrf": token, **fields}, headers=OWN | headers)


def form_of(page: httpx.Response) -> tuple[str, dict[str, str]]:
    """(where the first form goes, its hidden fields)."""
    first = page.text.partition("</form>")[0]
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', first)
    action = re.search(r'class="body" method="post" action="([^"]+)"', first)
    assert action, page.text
    return action[1], {name: html.unescape(value) for name, value in found}


def granted(console: World) -> int:
    with console.store.reading() as connection:
        return int(connection.execute("SELECT granted FROM user WHERE id = 4").fetchone()[0])


async def sign_in_and_go_on(person: Person, page: httpx.Response, login: str = "sys") -> httpx.Response:
    action, hidden = form_of(page)
    assert action == "/login"
    signed = await person.client.post(
        action, data={**hidden, "login": login, "password": PASSWORD}, headers=OWN
    )
    assert signed.headers["location"] == "/me/resume", signed.text
    return await person.get("/me/resume")


async def test_a_late_form_is_sent_after_sign_in_with_all_that_was_in_it(console: World) -> None:
    async with console.person("sys") as person:
        page = await send_late(console, person, TOP_UP)
        assert page.status_code == 401
        assert "What you sent is kept" in page.text
        shown = await sign_in_and_go_on(person, page)
        assert granted(console) == 100  # nothing happens by itself
        assert "for &#34;May&#34; &lt;b&gt;" in shown.text
        action, hidden = form_of(shown)
        done = await person.client.post(action, data=hidden, headers=OWN)
        assert done.headers["location"] == "/users/4"
        again = await person.client.post(action, data=hidden, headers=OWN)
        assert again.headers["location"] == "/users/4"
    assert granted(console) == 107
    assert console.audit()[-1][3]["note"] == 'for "May" <b>'


async def test_a_wrong_password_and_a_second_step_lose_nothing(console: World) -> None:
    secret, _ = enrolled(console, "sys")
    async with console.person("sys") as person:
        page = await send_late(console, person, TOP_UP)
        _, hidden = form_of(page)
        wrong = await person.client.post(
            "/login", data={**hidden, "login": "sys", "password": "wrong"}, headers=OWN
        )
        assert wrong.status_code == 422
        _, hidden = form_of(wrong)
        first = await person.client.post(
            "/login", data={**hidden, "login": "sys", "password": PASSWORD}, headers=OWN
        )
        assert first.headers["location"] == "/login/code"
        done = await person.post("/login/code", {"code": code_now(secret)}, page="/login/code")
        assert done.headers["location"] == "/me/resume"
        assert "for &#34;May&#34;" in (await person.get("/me/resume")).text


async def test_whoever_signs_in_as_somebody_else_sends_it_with_their_own_rights(console: World) -> None:
    async with console.person("sys") as person:
        page = await send_late(console, person, TOP_UP)
        shown = await sign_in_and_go_on(person, page, "sibling7")
        assert "as sibling7?" in shown.text
        action, hidden = form_of(shown)
        assert (await person.client.post(action, data=hidden, headers=OWN)).status_code == 403
    assert granted(console) == 100


async def test_it_is_shown_once_and_not_forever(console: World) -> None:
    async with console.person("sys") as person:
        page = await send_late(console, person, TOP_UP)
        await sign_in_and_go_on(person, page)
        assert (await person.get("/me/resume")).headers["location"] == "/"
        page = await send_late(console, person, TOP_UP)
        _, hidden = form_of(page)
        await person.client.post("/login", data={**hidden, "login": "sys", "password": PASSWORD}, headers=OWN)
        console.now += KEPT_S
        assert (await person.get("/me/resume")).headers["location"] == "/"


async def test_a_page_of_an_older_session_is_sent_again_with_a_fresh_token(console: World) -> None:
    async with console.person("sys") as person:
        stale = await person.client.post("/users/4/parts", data={"_csrf": "0" * 64, **TOP_UP}, headers=OWN)
        assert stale.status_code == 403
        assert granted(console) == 100
        action, hidden = form_of(stale)
        assert (await person.client.post(action, data=hidden, headers=OWN)).headers["location"] == "/users/4"
    assert granted(console) == 107


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": ""}, {"origin": "https://evil.test"}]
)
async def test_what_our_page_did_not_send_is_not_offered_again(
    console: World, headers: dict[str, str]
) -> None:
    async with console.person("sys") as person:
        forged = await person.client.post(
            "/users/4/parts", data={"_csrf": "0" * 64, **TOP_UP}, headers=OWN | headers
        )
        assert forged.status_code == 403
        assert "Send it now" not in forged.text
    async with console.person() as stranger:
        if "origin" not in headers:
            late = await stranger.client.post("/users/4/parts", data=TOP_UP, headers=OWN | headers)
            assert late.headers["location"] == "/login"


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"path":"//evil.test","fields":[]}', '{"path":"https://evil.test/","fields":[]}',
     '{"path":"/logout","fields":[]}', '{"path":"/me/password","fields":[]}', "x" * 200_000],
)  # fmt: skip
def test_what_the_sign_in_page_carries_is_a_form_of_ours_or_nothing(text: str) -> None:
    assert unsent.read(text) is None


def test_passwords_are_not_kept_and_a_form_comes_back_as_it_was() -> None:
    form = unsent.kept(
        "/users/4", {"name": ["a"], "ids": ["1", "2"], "password": ["secret"], "_csrf": ["t"], "_once": ["o"]}
    )
    assert form == Kept("/users/4", [("name", "a"), ("ids", "1"), ("ids", "2")])
    assert unsent.read(unsent.write(form)) == form


async def test_a_page_that_needs_a_sign_in_is_shown_after_it(console: World) -> None:
    async with console.person() as person:
        led = (await person.get("/users?q=a b&state=active")).headers["location"]
        assert led == "/login?next=/users%3Fq%3Da%2520b%26state%3Dactive"
        _, hidden = form_of(await person.get(led))
        signed = await person.client.post("/login", data={**hidden, "login": "sys", "password": PASSWORD})
        assert signed.headers["location"] == "/users?q=a%20b&state=active"
