"""A plain user sees their own and nobody else's, on every page that there is (R4)."""

import msgspec

from store import jobs, trash
from store.address_book import add_contacts
from store.list_views import save_filter
from store.phrases import add_phrase
from store.sessions import begin_session
from tests.admin.test_permissions import ROUTES
from tests.admin.world import IMPORTS, MESSAGES, TASKS, USERS, World

ME = "usr"
OTHERS = [login for login in USERS if login != ME]
KINDS = ("task", "text", "contact", "shelf", "phrase", "job", "filter", "file", "gone")


class Nothing(msgspec.Struct, frozen=True):
    """Orders of a job that never ran."""


def mark(kind: str, login: str) -> str:
    """A text that stands in one person's things of one kind and nowhere else."""
    return f"{kind}-of-{login}-only"


def fill(console: World) -> None:
    """Something of every kind for everybody, usr's own group and the one below included."""
    with console.store.writing("test") as write:
        for login, user in USERS.items():
            add_contacts(write, user, mark("shelf", login), [(mark("contact", login), 8613900000000 + user)])
            add_phrase(write, user, mark("shelf", login), mark("phrase", login), shared=False)
            add_contacts(write, user, "passing", [(mark("gone", login), 8613800000000 + user)])
            (gone,) = write.run("SELECT max(id) FROM contact WHERE user_id = ?", (user,)).fetchone()
            trash.delete_contacts(write, user, [gone])
            jobs.create_job(write, user, "export.csv", mark("job", login), Nothing())
            save_filter(write, user, "contacts", mark("filter", login), "q=x", shared=False)
            write.run(
                "UPDATE task SET name = ?, text = ?, masked = ? WHERE id = ?",
                (mark("task", login), mark("text", login), mark("text", login), TASKS[login]),
            )
            write.run("UPDATE file_import SET file = ? WHERE id = ?", (mark("file", login), IMPORTS[login]))
            session = f"session {login}"
            begin_session(write, session, user, address=f"198.51.100.{user}", agent=mark("agent", login))


def paths() -> list[str]:
    """Every page: those about a thing, with each person's; lists as JSON and as a file too."""
    found = []
    for path, handler in ROUTES:
        if "GET" not in handler.http_methods or path in ("/stream", "/logout") or path.startswith("/static"):
            continue
        for login in OTHERS:
            number, message = str(TASKS[login]), str(MESSAGES[login])
            found.append(
                path.replace("{user_id:int}", str(USERS[login]))
                .replace("{task_id:int}", number)
                .replace("{import_id:int}", number)
                .replace("{message_id:int}", message)
                .replace("{job_id:int}", number)
                .replace("{group_id:int}", "3")
                .replace("{phrase_id:int}", number)
                .replace("{kind:str}", "contacts")
                .replace("{token:str}", "x")
            )
        if "{" not in path:
            found += [f"{path}.json", f"{path}?format=csv", f"{path}?q=only", f"{path}?user=low"]
    return list(dict.fromkeys(found))


async def test_a_plain_user_sees_their_own_and_nobody_else_s_on_every_page(console: World) -> None:
    fill(console)
    foreign = {mark(kind, login) for kind in (*KINDS, "agent") for login in OTHERS}
    foreign |= {f"text of {login}" for login in OTHERS}  # messages
    foreign |= {str(begin + USERS[login]) for begin in (8613900000000, 8613800000000) for login in OTHERS}
    foreign |= {f"198.51.100.{USERS[login]}" for login in OTHERS}
    own, wrong, asked = set(), [], 0
    async with console.person(ME) as person:
        for path in paths():
            asked += 1
            answer = await person.get(path)
            assert answer.status_code < 500, path
            wrong += [f"{path}: {one}" for one in foreign if one in answer.text.replace(path, "")]
            own |= {kind for kind in KINDS if mark(kind, ME) in answer.text}
            own |= {"message"} if "text of usr" in answer.text else set()
    assert not wrong, "\n".join(wrong)
    assert asked > 150
    # That nothing of others is seen says little where nothing at all is: their own is.
    assert own >= {"task", "contact", "shelf", "phrase", "job", "filter", "gone"}
    async with console.person(ME) as person:
        assert mark("file", ME) in (await person.get(f"/imports/{IMPORTS[ME]}")).text
        assert "text of usr" in (await person.get(f"/reports/messages/{MESSAGES[ME]}")).text
        assert mark("text", ME) in (await person.get(f"/tasks/{TASKS[ME]}/preview")).text


async def test_what_a_plain_user_does_to_other_people_s_things_does_nothing(console: World) -> None:
    fill(console)
    other = USERS["low"]

    def owned() -> dict[str, list[tuple[object, ...]]]:
        queries = {
            table: f"SELECT * FROM {table} WHERE user_id = ?"
            for table in ("contact", "trash", "list_filter", "job", "file_import", "task")
        }
        queries["phrase"] = (
            "SELECT f.* FROM phrase f JOIN phrase_group p ON p.id = f.phrase_group_id WHERE p.user_id = ?"
        )
        with console.store.reading() as connection:
            return {name: connection.execute(query, (other,)).fetchall() for name, query in queries.items()}

    before = owned()
    assert all(before.values())
    first = {name: str(rows[0][0]) for name, rows in before.items()}
    forms = {
        "/contacts/delete": {"ids": first["contact"]},
        "/settings/phrases/delete": {"ids": first["phrase"]},
        f"/settings/phrases/{first['phrase']}": {"text": "mine"},
        "/lists/filters/delete": {"filter": first["list_filter"], "list": "contacts"},
        "/sms/pending/cancel": {"ids": first["task"]},
        f"/tasks/{first['task']}/discard": {},
        f"/tasks/{first['task']}/move": {"move": "cancel"},
        f"/trash/{first['trash']}/restore": {},
        f"/jobs/{first['job']}/cancel": {},
        f"/imports/{first['file_import']}/cancel": {},
    }
    async with console.person(ME) as person:
        for path, form in forms.items():
            assert (await person.post(path, form)).status_code in (303, 404), path
    assert owned() == before
