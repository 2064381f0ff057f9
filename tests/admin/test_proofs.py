"""What is dangerous asks once more who it is, when the last proof is some minutes old, and loses nothing by it."""

import html
import re

import httpx
import pytest

from admin.proofs import PROOF_MS
from tests.admin.test_permissions import ROUTES, filled
from tests.admin.test_second_factor import code_now, enrolled
from tests.admin.world import PASSWORD, Person, World, clock

DANGEROUS = {
    "/users/new",
    "/users/{user_id:int}/parts",
    "/users/{user_id:int}/role",
    "/users/{user_id:int}/password",
    "/users/{user_id:int}/second-factor",
    "/users/groups/{group_id:int}/parts",
    "/me/second-factor",
    "/me/second-factor/codes",
    "/jobs/export",
    "/jobs/{job_id:int}/file",
    "/imports/{import_id:int}/passwords",
}
EXPORTS = (
    "/users?format=csv",
    "/users/ledger?format=json",
    "/settings/blacklist?tab=global&format=csv",
    "/audit?format=csv",
)


def fields_of(page: httpx.Response) -> dict[str, str]:
    """The hidden fields of the form that asks."""
    found = re.findall(
        r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.text.partition("</form>")[0]
    )
    return {name: html.unescape(value) for name, value in found}


def grow_stale() -> None:
    clock.at += PROOF_MS + 1000


async def confirm(person: Person, page: httpx.Response, proof: str) -> httpx.Response:
    """Fill in the form that asks, as a browser without script does."""
    action = re.search(r'class="body" method="post" action="([^"]+)"', page.text)
    assert action, page.text
    return await person.client.post(html.unescape(action[1]), data={**fields_of(page), "_proof": proof})


def granted(console: World) -> int:
    with console.store.reading() as connection:
        return int(connection.execute("SELECT granted FROM user WHERE id = 4").fetchone()[0])


def test_what_is_dangerous_is_marked() -> None:
    marked = {path for path, handler in ROUTES if handler.opt["proof"]}
    assert marked - {"/me/proof"} >= DANGEROUS


async def test_every_dangerous_route_and_every_export_asks(console: World) -> None:
    async with console.person("sys") as person:
        grow_stale()
        for path, handler in ROUTES:
            if not handler.opt["proof"]:
                continue
            about = handler.opt["about"]
            target = filled(path, f"{about}:parent" if about == "import" else f"{about}:own" if about else "")
            method = "POST" if "POST" in handler.http_methods else "GET"
            page = await person.client.request(
                method,
                target,
                data={"_csrf": await person.token("/me"), "parts": "5"} if method == "POST" else None,
            )
            assert page.status_code == 401, path
            assert "Is it still you?" in page.text
        for path in EXPORTS:
            assert (await person.get(path)).status_code == 401, path
            assert (await person.get(path.partition("?")[0])).status_code == 200
        for path, headers in (("/users.json", {}), ("/users", {"accept": "application/json"})):
            answer = await person.get(path, headers=headers)
            assert (answer.status_code, answer.json()) == (401, {"error": "Is it still you?"})
    assert not [one for one in console.audit() if one[0] == "console:sys"]


async def test_an_act_goes_on_with_the_password_and_nothing_of_the_form_is_lost(console: World) -> None:
    async with console.person("sys") as person:
        grow_stale()
        asked = {"parts": "7", "note": 'for "May" <b>', "way": "topup", "_once": "this one"}
        page = await person.post("/users/4/parts", asked)
        assert page.status_code == 401
        assert granted(console) == 100
        assert fields_of(page).items() >= asked.items()
        wrong = await confirm(person, page, "not it")
        assert wrong.status_code == 401
        assert "This is not your password." in wrong.text
        assert granted(console) == 100
        console.now += 60
        done = await confirm(person, wrong, PASSWORD)
        assert done.headers["location"] == "/users/4"
        assert granted(console) == 107
        again = await confirm(person, wrong, PASSWORD)
        assert again.headers["location"] == "/users/4"
        assert granted(console) == 107  # `_once` went along
        assert (await person.post("/users/4/parts", {"parts": "1"})).status_code == 303  # fresh for a while
        grow_stale()
        assert (await person.post("/users/4/parts", {"parts": "1"})).status_code == 401
    said = [(action, detail) for actor, action, _, detail in console.audit() if actor == "console:sys"]
    assert [action for action, _ in said] == ["proof.refused", "quota.topup", "quota.topup"]
    assert said[1][1]["note"] == 'for "May" <b>'


async def test_an_export_goes_on_where_it_was_asked_for(console: World) -> None:
    async with console.person("sys") as person:
        grow_stale()
        page = await person.get("/users?q=usr&format=csv")
        done = await confirm(person, page, PASSWORD)
        assert done.headers["location"] == "/users?q=usr&format=csv"
        file = await person.get(done.headers["location"])
        assert file.headers["content-type"].startswith("text/csv")
        foreign = await person.post("/me/proof", {"next": "https://evil.test/"})
        assert foreign.headers["location"] == "/"


async def test_whoever_has_a_second_factor_proves_by_it(console: World) -> None:
    secret, codes = enrolled(console, "sys")
    async with console.person("sys") as person:
        grow_stale()
        page = await person.post("/users/4/parts", {"parts": "7"})
        assert "Code of your authenticator app" in page.text
        assert (await confirm(person, page, PASSWORD)).status_code == 401
        code = code_now(secret)
        assert (await confirm(person, page, code)).status_code == 303
        grow_stale()
        page = await person.post("/users/4/parts", {"parts": "7"})
        assert (await confirm(person, page, code)).status_code == 401  # it was used
        assert (await confirm(person, page, codes[0])).status_code == 303
    assert granted(console) == 114


async def test_guessing_at_the_question_is_braked(console: World) -> None:
    async with console.person("sys") as person:
        grow_stale()
        page = await person.post("/users/4/parts", {"parts": "7"})
        for _ in range(3):
            assert "not your password" in (await confirm(person, page, "guess")).text
        assert "Too many tries" in (await confirm(person, page, PASSWORD)).text
    assert granted(console) == 100


@pytest.mark.parametrize("path", ["/users/3/parts", "/users/6/parts"])
async def test_who_may_not_is_told_so_and_not_asked_for_a_password(console: World, path: str) -> None:
    async with console.person("adm") as person:
        grow_stale()
        assert (await person.post(path, {"parts": "1"})).status_code in (403, 404)
