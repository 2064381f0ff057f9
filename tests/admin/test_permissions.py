"""Every route, every role, every place in the tree: what the matrix says is what happens."""

import tempfile
from pathlib import Path

import pytest
from litestar import Litestar, get
from litestar.handlers import HTTPRouteHandler

from admin.app import create_app
from admin.gate import declared
from admin.permissions import MATRIX, Reach, Role, reach
from tests.admin.world import GROUPS, IMPORTS, MESSAGES, TASKS, USERS, World, world

ROLES = {"": Role.ANYONE, "usr": Role.USER, "adm": Role.ADMIN, "sys": Role.SYSTEM}
# Where a group stands from adm's group (a), and whether adm may change it, or a user in it.
PLACES = {"own": "a", "child": "deep", "sibling": "b", "parent": "root"}
IN_SIGHT = {"own", "child"}
USERS_AT = {"own": "usr", "own-admin": "peer", "child": "low", "sibling": "sibling7", "parent": "sys"}
TASKS_AT = {"own": "usr", "child": "low", "sibling": "sibling7", "parent": "sys", "mine": ""}
GROUP_PLACES = list(PLACES)
TASK_PLACES = list(TASKS_AT)
USER_PLACES = list(USERS_AT)
PLACES_OF = {
    "user": USER_PLACES,
    "group": GROUP_PLACES,
    **dict.fromkeys(("task", "import", "message"), TASK_PLACES),
}


def expected(role: Role, permission: str, about: str, place: str) -> str:
    """`yes`, `no` (403), `hidden` (404) or `sign-in`."""
    how_far = reach(role, permission)
    if role == Role.ANYONE:
        return "yes" if MATRIX[permission].anyone else "sign-in"
    if how_far == Reach.NONE:
        return "no"
    if about in ("task", "import", "message") and (how_far == Reach.OWN or place == "mine"):
        is_own = (
            place == "mine"
            or (place == "own" and role == Role.USER)
            or (place == "parent" and role == Role.SYSTEM)
        )
        return "yes" if is_own else "hidden"
    if not about or how_far == Reach.ALL:
        return "yes"
    if place.partition("-")[0] not in IN_SIGHT:
        return "hidden"
    own_level = place == "own" if about == "group" else place == "own-admin"
    return "no" if how_far == Reach.BELOW and own_level else "yes"


def answer(status: int, location: str) -> str:
    if status == 303 and location.partition("?")[0] == "/login":
        return "sign-in"
    return {403: "no", 404: "hidden"}.get(status, "yes")


def cases() -> list[tuple[str, str, str, str, str]]:
    """(login, method, path, permission, place with what it is about)."""
    found = []
    for login in ROLES:
        for path, handler in ROUTES:
            method = next(iter(sorted(handler.http_methods - {"HEAD", "OPTIONS"})))
            permission, about = handler.opt["permission"], handler.opt["about"]
            places = PLACES_OF.get(about, [""])
            found += [(login, method, path, permission, f"{about}:{place}") for place in places]
    return found


def _routes() -> list[tuple[str, HTTPRouteHandler]]:
    with tempfile.TemporaryDirectory() as folder, world(Path(folder) / "data") as made:
        return list(declared(made.app))


ROUTES = _routes()
# Strangers' own pages; what they answer is not about permission.
OPEN_ELSEWHERE = {"/stream", "/setup/{token:str}", "/static/{digest:str}/{name:str}", "/logout"}


def filled(path: str, place: str, login: str = "sys") -> str:
    about, _, where = place.partition(":")
    message = MESSAGES[TASKS_AT[where] or login or "sys"] if about == "message" else 0
    task = TASKS[TASKS_AT[where] or login or "sys"] if about in ("task", "import") else 0
    user = USERS[USERS_AT[where]] if about == "user" else 0
    group = GROUPS[PLACES[where]] if about == "group" else 0
    return (
        path.replace("{user_id:int}", str(user))
        .replace("{group_id:int}", str(group))
        .replace("{carrier_id:int}", "1")
        .replace("{task_id:int}", str(task))
        .replace("{phrase_id:int}", "1")
        .replace("{import_id:int}", str(task))
        .replace("{message_id:int}", str(message))
        .replace("{kind:str}", "group")
        .replace("{job_id:int}", "1")
        .replace("{trash_id:int}", "1")
    )


@pytest.mark.parametrize("login", list(ROLES))
async def test_every_route_answers_every_role_as_the_matrix_says(login: str, console: World) -> None:
    wrong, asked = [], 0
    for who, method, path, permission, place in cases():
        if who != login or path in OPEN_ELSEWHERE:
            continue
        asked += 1
        about, _, where = place.partition(":")
        if about in ("task", "import"):
            with console.store.writing("test") as write:  # what an earlier request discarded is there again
                write.run("UPDATE task SET state = 'preview', outcome = ''")
                for one in IMPORTS.values():
                    secret = console.store.sealer.seal("passwords", f"import {one}")
                    write.run(
                        "UPDATE file_import SET state = 'ready', secret = ? WHERE id = ?", (secret, one)
                    )
        async with console.person(login) as person:
            token = await person.token("/me" if login else "/login")
            response = await person.client.request(
                method, filled(path, place, login), data={"_csrf": token} if method == "POST" else None
            )
        got = answer(response.status_code, response.headers.get("location", ""))
        if path == "/gateway/carriers/{carrier_id:int}/state" and response.status_code == 404:
            got = "yes"  # an empty form names no state
        if ("{job_id:int}" in path or "{trash_id:int}" in path) and got == "hidden":
            got = "yes"  # there is none; whose they are is held in test_jobs and test_trash
        want = expected(ROLES[login], permission, about, where)
        if got != want:
            wrong.append(f"{login or 'stranger'} {method} {filled(path, place)}: {got}, not {want}")
    assert not wrong, "\n".join(wrong)
    assert asked > len(ROUTES)


def test_a_route_that_names_no_permission_stops_the_program(console: World) -> None:
    @get("/open")
    async def forgotten() -> str:
        return "open"

    app = Litestar([forgotten], openapi_config=None)
    with pytest.raises(RuntimeError, match="/open"):
        list(declared(app))
    assert list(declared(create_app(console.console)))


async def test_every_change_without_the_session_s_token_is_refused(console: World) -> None:
    async with console.person("sys") as person, console.person("adm") as other:
        foreign = await other.token("/me")
        for path, handler in ROUTES:
            if "POST" not in handler.http_methods:
                continue
            about = next((one for one in ("user", "task", "message") if f"{one}_id" in path), "group")
            place = "mine" if about in ("task", "message") else "child"
            target = filled(path, f"{about}:{place}").replace("{token:str}", "x")
            for token in ("", "0" * 64, foreign):
                response = await person.client.post(target, data={"_csrf": token})
                assert response.status_code == 403, target
    assert not [one for one in console.audit() if one[0] == "console:sys"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_a_change_that_comes_from_another_site_is_refused(
    console: World, headers: dict[str, str]
) -> None:
    async with console.person("sys") as person:
        token = await person.token("/me")
        response = await person.client.post(
            "/settings/words", data={"_csrf": token, "words": "x"}, headers=headers
        )
    assert response.status_code == 403


async def test_nobody_sees_a_name_or_number_of_another_branch(console: World) -> None:
    paths = [
        path
        for path, handler in ROUTES
        if "GET" in handler.http_methods and "{" not in path and path != "/stream"
    ]
    async with console.person("adm") as person:
        for path in paths:
            for form in ("", "?format=csv", "?format=json"):
                response = await person.get(path + form)
                text = response.text
                assert "sibling7" not in text, path
                assert "总公司/b" not in text, path


async def test_what_a_group_administrator_may_not_give_is_not_given(console: World) -> None:
    async with console.person("adm") as adm:
        moved = await adm.post("/users/4", {"group": "1", "seen": "{}", "name": "x"})
        assert moved.status_code == 422
        raised = await adm.post("/users/4/role", {"role": "admin"})
        assert raised.status_code == 403
        made = await adm.post("/users/new", {"login": "newcomer", "group": "1"})
        assert made.status_code == 422
        rooted = await adm.post("/users/groups/new", {"name": "mine", "parent": "0"})
        assert rooted.status_code == 422
    with console.store.reading() as connection:
        assert connection.execute("SELECT group_id, role FROM user WHERE id = 4").fetchone() == (2, "user")
        assert connection.execute("SELECT count(*) FROM user_group").fetchone()[0] == len(GROUPS)


async def test_fields_that_a_form_does_not_have_do_nothing(console: World) -> None:
    extra = {"role": "admin", "state": "deleted", "granted": "999", "limit": "999", "used": "0", "id": "1"}
    async with console.person("adm") as adm:
        seen = '{"name":"","mobile":"","email":"","note":"","review":"inherit"}'
        done = await adm.post("/users/4", {"group": "2", "name": "New name", "seen": seen, **extra})
        assert done.status_code == 303
    with console.store.reading() as connection:
        row = connection.execute("SELECT name, role, state, granted FROM user WHERE id = 4").fetchone()
    assert row == ("New name", "user", "active", 100)


async def test_a_lost_role_counts_at_the_next_request(console: World) -> None:
    async with console.person("adm") as adm:
        assert (await adm.get("/users")).status_code == 200
        with console.store.writing("test") as write:
            write.run("UPDATE user SET role = 'user' WHERE login = 'adm'")
        assert (await adm.get("/users")).status_code == 403
