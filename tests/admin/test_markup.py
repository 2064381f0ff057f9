"""A corpus of hostile texts through every field that a page shows: no page has other elements for it.

Two laws hold for every page. What people, files and carriers say makes no kind of element that harmless words do not
make; and read as a browser reads it, the page says each hostile text whole, so none of it became anything else.
"""

import re
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, quote_plus

import msgspec
import pytest

from admin.forms import clean
from admin.operations import Live
from store import groups_edit, people_edit, tasks
from store.address_book import add_contacts
from store.directory import BlacklistScope
from store.imports import create_import
from store.jobs import create_job
from store.model import Changes, State
from store.people_edit import Profile
from store.phrases import add_phrase
from store.rules import blacklist_add
from store.sessions import begin_session
from store.task_file import ROWS, TaskFile, make_folder
from store.tasks import Counted, Draft, Input
from tests.admin.hostile import PAYLOADS, marked
from tests.admin.test_pages import HTML_PAGES, Elements
from tests.admin.test_sending import submit
from tests.admin.world import MESSAGE_SECOND, USERS, Person, World, world
from tests.store.traffic_world import attempt, outcome, part, receipt

HARMLESS = marked(tuple(("an ordinary text " * 9)[: len(text)] for text in PAYLOADS))  # of the same lengths
HOSTILE = marked()
FIRST_TASK, FIRST_USER = 9, 7  # after those of the world
REFLECTED = (
    "/users?q={}",
    "/settings/words?try={}",
    "/settings/blacklist?check={}",
    "/gateway?try={}",
    "/search?q={}",
    "/audit?actor={}&target={}",
    "/reports/messages?number={}&text={}",
    "/contacts?q={}",
    "/sms/tasks?q={}",
    "/nothing/{}",
)
LOOKED_AT = 8  # characters after its mark; a field may cut a text short later
# As it is; in an address; in names of groups, which know no slash; in JSON.
SPELLINGS: tuple[Callable[[str], str], ...] = (
    str,
    clean,
    quote,
    lambda text: quote(text, safe=""),
    quote_plus,
    lambda text: re.sub(r"[^ -~]|/", "", clean(text)),
    lambda text: clean(text).replace("/", ""),
    lambda text: msgspec.json.encode(text).decode()[1:],
)
# Fields in which a text must be seen, or the test proves nothing about them.
SHOWN_ON = (
    "/users", "/users/groups", "/settings/words", "/settings/blacklist", "/contacts", "/settings/phrases",
    "/sms/pending",
    "/sms/tasks", "/audit", "/me", "/gateway", "/users/ledger", "/reports/messages", "/review/tasks", "/jobs",
    "/sms/send",
)  # fmt: skip


def fill(console: World, texts: list[str]) -> None:
    """Every stored text that a page shows, from the store's side."""
    account = _account(console)
    traffic = console.daemon.traffic()
    with console.store.writing("test") as write:
        for number, text in enumerate(texts):
            short = clean(text)[:60]
            user = people_edit.create_user(
                write, f"hostile{number}", 2, Profile(short, short, clean(text), clean(text)), "", parts=1
            )
            assert user == FIRST_USER + number
            groups_edit.create_group(write, 2, re.sub(r"[^ -~]|/", "", short))
            add_contacts(write, USERS["sys"], short.replace("/", ""), [(short, 8613710000000 + number)])
            add_phrase(write, USERS["sys"], short, text, shared=True)
            task = tasks.create_task(
                write, USERS["sys"], Draft(short, text, text, 1, sender=short[:20]), Input(typed=True, file=short),
                stage="ready",
            )  # fmt: skip
            assert task == FIRST_TASK + number
            counts = [Counted("typed", "valid", "", 1), Counted("file", "invalid", short, 1)]
            tasks.set_prepared(write, task, 2, 1, counts)
            state = ("preview", "review", "waiting", "executing")[number % 4]
            write.run("UPDATE task SET state = ?, started_at = 1 WHERE id = ?", (state, task))
            blacklist_add(
                write, BlacklistScope("global", 0), [8613720000000 + number], source="manual", note=text
            )
            create_import(write, USERS["sys"], "contacts", short, {"group": short, "doubles": "skip"})
            write.audit(f"x.{short}", text, changes=False, detail=text, fields=[[short, text, text]])
            write.run(
                "INSERT INTO quota_entry (at, actor, kind, user_id, delta, balance, note)"
                " VALUES (1, ?, 'topup', ?, 0, 1, ?)",
                (f"console:{short}", user, text),
            )
            write.run(
                "INSERT INTO carrier (name, settings) SELECT ?, settings FROM carrier WHERE id = 1",
                (text[:40],),
            )
            job = create_job(write, USERS["sys"], "export", short, {})
            write.run("UPDATE job SET state = 'failed', error = ? WHERE id = ?", (text, job))
            _rows(console, task, text)
    parts = [
        part(id=(MESSAGE_SECOND << 30) | (100 + number), account=account, dest=8613730000000 + number,
             body=text.encode(), source=text.encode()[:20])
        for number, text in enumerate(texts)
    ]  # fmt: skip
    traffic.apply(Changes(parts=parts))
    traffic.apply(
        Changes(attempts=[attempt(one, smsc_id=text[:40]) for one, text in zip(parts, texts, strict=True)])
    )
    receipts = [
        msgspec.structs.replace(receipt(one, 100 + n), raw=texts[n].encode()) for n, one in enumerate(parts)
    ]
    traffic.apply(Changes(receipts=receipts, outcomes=[outcome(one, State.FAILED, 27) for one in parts]))
    live: Live = console.daemon.live()
    carriers = [
        msgspec.structs.replace(
            live.carriers[0], name=text[:40], trouble=text, last_error=text, message_id_rule=text
        )
        for text in texts
    ]
    accounts = [msgspec.structs.replace(live.accounts[0], system_id=text) for text in texts]
    filled = msgspec.structs.replace(live, carriers=carriers, accounts=accounts)
    console.daemon.live = lambda: filled  # type: ignore[method-assign]


def _account(console: World) -> int:
    with console.store.reading() as connection:
        return int(connection.execute("SELECT id FROM account WHERE system_id = 'console:sys'").fetchone()[0])


def _rows(console: World, task: int, text: str) -> None:
    file = TaskFile.make(make_folder(console.console.data, task) / ROWS)
    file.add_recipients([(1, 8613700000001, 0)])
    file.add_blocked([(None, 0, 3, text, 0, "invalid", "letters")])
    file.finish()


async def through_forms(person: Person, texts: list[str]) -> list[str]:
    """What only forms bring: words, forms that come back, sign-ins that fail, a file with its heads and cells."""
    await person.post(
        "/settings/words",
        {
            "words": "\n".join(clean(text)[:60] for text in texts),
            "category": clean(texts[0])[:60],
            "note": texts[1],
        },
    )
    pages = []
    for text in texts:
        wrong = {
            "login": text,
            "group": text,
            "name": text,
            "mobile": text,
            "email": text,
            "note": text,
            "parts": text,
        }
        pages.append((await person.post("/users/new", wrong)).text)
    heads, cells = (
        ",".join('"' + text.replace('"', '""') + '"' for text in some) for some in (texts[:20], texts[20:40])
    )
    answer = await submit(
        person, name=texts[2][:60], text=texts[3], typed=texts[4], sender=texts[5],
        file=(re.sub(r'[\x00-\x1f"\\/]', "", texts[6]) + ".csv", f"{heads}\n{cells}\n13800138001\n".encode()),
    )  # fmt: skip
    pages.append(
        answer.text if answer.status_code != 303 else (await person.get(answer.headers["location"])).text
    )
    return pages


def skeleton(html: str) -> set[tuple[str, tuple[str, ...]]]:
    """The kinds of elements on a page, each with the names of its attributes."""
    return {(tag, tuple(sorted(attributes))) for tag, attributes in Elements(html).tags}


class Said(HTMLParser):
    """What a page says, as a browser reads it: texts between elements, and values of attributes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = [""]
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pieces += [value or "" for _, value in attrs]
        self.pieces.append("")

    def handle_endtag(self, tag: str) -> None:
        self.pieces.append("")

    def handle_data(self, data: str) -> None:
        self.pieces[-1] += data


def cut_short(html: str, texts: list[str]) -> list[str]:
    """Hostile texts that the page does not show as they are: something in them was read as markup."""
    wrong = []
    for piece in Said(html).pieces:
        for found in re.finditer(r"zq(\d+)zq", piece):
            text = texts[int(found[1])].partition("zq")[2].partition("zq")[2]
            rest = piece[found.end() : found.end() + LOOKED_AT]
            if not any(form(text)[:LOOKED_AT] == rest for form in SPELLINGS):
                wrong.append(piece[found.start() :][:60])
    return wrong


async def pages_with(path: Path, texts: list[str]) -> dict[str, str]:
    """Every page of a console in which everything says these texts."""
    found = {}
    with world(path) as console:
        fill(console, texts)
        async with console.person("sys") as person:
            with console.store.writing("test") as write:
                for number, text in enumerate(texts):
                    begin_session(write, f"id {number}", USERS["sys"], address=text[:40], agent=text)
            for text in texts:
                await _fail_to_sign_in(console, text)
            for number, page in enumerate(await through_forms(person, texts)):
                found[f"form {number}"] = page
            own = [f"/users/{FIRST_USER + n}" for n in range(len(texts))]
            own += [f"/users/groups/{5 + n}" for n in range(len(texts))]
            own += [
                f"/tasks/{FIRST_TASK + n}{part}"
                for n in range(0, len(texts), 2)
                for part in ("", "/preview", "/blocked")
            ]
            own += [f"/review/tasks/{FIRST_TASK + n}" for n in range(1, len(texts), 4)]
            own += [f"/reports/messages/{(MESSAGE_SECOND << 30) | (100 + n)}" for n in range(len(texts))]
            for address in [*HTML_PAGES, *own]:
                sized = (
                    address + ("&" if "?" in address else "?") + "size=200"
                    if address in SHOWN_ON
                    else address
                )
                found[address] = (await person.get(sized)).text
            for at, address in enumerate(REFLECTED):
                for number, text in list(enumerate(texts))[at % 3 :: 3]:
                    page = await person.get(address.format(*[_quoted(text)] * 2))
                    found[f"{address} {number}"] = page.text
        async with console.person() as stranger:
            for number, text in enumerate(texts):
                found[f"/login {number}"] = (await stranger.get(f"/login?next={_quoted(text)}")).text
    return found


def _quoted(text: str) -> str:
    return "".join(f"%{octet:02X}" for octet in text.encode())


async def _fail_to_sign_in(console: World, text: str) -> None:
    def record() -> None:
        console.store.record(f"console:{text}", "sign-in.refused", f"user {text}", address=text)

    await console.console.off_loop(record)


async def test_hostile_texts_make_the_pages_that_harmless_texts_make(tmp_path: Path) -> None:
    harmless = await pages_with(tmp_path / "harmless", HARMLESS)
    hostile = await pages_with(tmp_path / "hostile", HOSTILE)
    known = set().union(*map(skeleton, harmless.values()))
    wrong = []
    for address, html in hostile.items():
        if strange := skeleton(html) - known:
            wrong.append((address, sorted(strange)))
        if cut := cut_short(html, HOSTILE):
            wrong.append((address, cut[:3]))
    assert not wrong, "\n".join(map(str, wrong[:20]))
    for html in hostile.values():
        assert "Something went wrong here" not in html
        for _, attributes in Elements(html).tags:
            for name in ("src", "href", "action", "formaction", "hx-get", "hx-post"):
                assert not re.match(r"(?i)\s*[\w\t\n]+:|//", attributes.get(name) or ""), attributes
    unseen = [address for address in SHOWN_ON if "zq" not in hostile[address]]
    assert not unseen


@pytest.mark.parametrize("number", [n for n, text in enumerate(PAYLOADS) if "\0" not in text])
@pytest.mark.parametrize(
    "page", ["<p>{}</p>", '<input value="{}">', "<textarea>{}</textarea>", '<a href="/x?q={}">x</a>']
)
def test_the_laws_see_a_page_that_forgot_to_escape(number: int, page: str) -> None:
    text = HOSTILE[number]
    escaped = page.format(escape(text, quote=True))
    assert not cut_short(escaped, HOSTILE)
    raw = page.format(text)
    if Said(raw).pieces != Said(escaped).pieces:
        assert cut_short(raw, HOSTILE) or skeleton(raw) - skeleton(escaped)
