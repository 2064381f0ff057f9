"""Sending from the console: every row in one class, confirmed once, reviewed by somebody else, stopped by its owner."""

import io
import re
import zipfile
from pathlib import Path
from typing import Literal

import httpx
import pytest

from admin.console import ConsoleOptions
from admin.prepare_lines import Look
from admin.tabular import Choice, Unreadable, delimiter_of, encoding_of, letter, look
from filters.numbers import Numbering
from store import tasks
from store.address_book import add_contacts, contact_groups
from store.phrases import add_phrase
from store.task_file import ROWS, TYPED, UPLOAD, TaskFile, folder_of
from store.tasks import TaskRow
from tests.admin.test_pages import HARM
from tests.admin.world import USERS, Person, World, clock, world

CSV = "姓名,手机,金额\n张三,13800138001,1\n李四,13800138002,2\n王五,1380x,3\n,13800138001,4\n黑,13800000000,5\n,,\n"


def task_of(console: World, task: int) -> TaskRow:
    with console.store.reading() as connection:
        row = tasks.any_task(connection, task)
    assert row
    return row


def counts(row: TaskRow) -> dict[tuple[str, str, str], int]:
    return {(one.source, one.kind, one.reason): one.count for one in row.classes}


async def submit(person: Person, **fields: object) -> httpx.Response:
    """Send P1's form as a browser does: in parts, with a file if there is one."""
    file = fields.pop("file", None)
    token = await person.token("/me")
    data = {"_csrf": token, "name": "n", "text": "hello", "typed": "", "do": "submit", **fields}
    return await person.client.post(
        "/sms/send", data=data, files={"file": file} if file else {"x": ("", b"")}
    )


def trust(console: World, *logins: str) -> None:
    with console.store.writing("test") as write:
        for login in logins:
            write.run("UPDATE user SET review = 'trust' WHERE id = ?", (USERS[login],))


async def made(person: Person, **fields: object) -> int:
    """A task in preview, ready."""
    answer = await submit(person, **{"typed": "13800138001, 13800138002", **fields})
    assert answer.status_code == 303, answer.text
    return int(re.findall(r"/tasks/(\d+)/preview", answer.headers["location"])[0])


async def test_four_ways_of_giving_numbers_make_one_task_with_every_row_in_one_class(console: World) -> None:
    with console.store.writing("test") as write:
        add_contacts(write, USERS["usr"], "family", [("a", 8613800138002), ("b", 8613900000001)])
        add_contacts(write, USERS["usr"], "work", [("c", 8613900000002)])
        groups = {one.name: one.id for one in contact_groups(write.connection, USERS["usr"])}
    async with console.person("usr") as person:
        answer = await submit(
            person,
            typed="13800138001，12ab\n13800138009",
            file=("名单.csv", CSV.encode("gb18030")),
            groups=[str(groups["family"])],
            contacts=["3"],
        )
        assert answer.status_code == 303
        page = await person.get(answer.headers["location"])
        assert "gb18030" in page.text
        assert re.search(r'value="1" selected', page.text), "the column of numbers is chosen"
        task = int(answer.headers["location"].split("/")[2])
        bound = await person.post(f"/tasks/{task}/file", {"column": "1", "header": "yes"})
        assert bound.headers["location"] == f"/tasks/{task}/preview"
        preview = (await person.get(f"/tasks/{task}/preview")).text
    row = task_of(console, task)
    assert counts(row) == {
        ("typed", "valid", ""): 2,
        ("typed", "invalid", "letters"): 1,
        ("file", "valid", ""): 1,
        ("file", "invalid", "letters"): 1,
        ("file", "duplicate-elsewhere", ""): 2,
        ("file", "blacklisted", "global"): 1,
        ("file", "blank", ""): 1,
        ("contacts", "valid", ""): 2,
        ("contacts", "duplicate-elsewhere", ""): 1,
    }
    assert row.total == sum(counts(row).values()) == 3 + 6 + 3
    assert row.valid == 5
    assert "8613800138009" in preview
    with TaskFile.open(folder_of(console.store.path.parent, task) / ROWS) as file:
        assert sorted(file.numbers(0, 10)) == [
            8613800138001, 8613800138002, 8613800138009, 8613900000001, 8613900000002,
        ]  # fmt: skip


async def test_nothing_is_lost_when_a_form_comes_back(console: World) -> None:
    async with console.person("usr") as person:
        back = await submit(person, text="", typed="13800138001", file=("list.txt", b"13800138002\n"))
        assert back.status_code == 422
        assert "13800138001" in back.text
        token = re.findall(r'name="upload" value="(\w+)"', back.text)[0]
        assert "list.txt" in back.text
        again = await submit(person, text="hello", upload=token, upload_name="list.txt")
        assert again.status_code == 303
        task = int(again.headers["location"].split("/")[2])
        assert (folder_of(console.store.path.parent, task) / UPLOAD).read_bytes() == b"13800138002\n"
    async with console.person("adm") as other:
        stolen = await submit(other, text="hello", upload=token, upload_name="list.txt")
        assert stolen.status_code == 422


async def test_without_script_buttons_count_and_insert_phrases(console: World) -> None:
    with console.store.writing("test") as write:
        phrase = add_phrase(write, USERS["usr"], "g", "and a phrase", shared=False)
    async with console.person("usr") as person:
        counted = await submit(person, text="x" * 75, do="count")
        assert counted.status_code == 200
        assert "<strong>2</strong>" in counted.text
        inserted = await submit(person, text="hello ", do=f"phrase:{phrase}")
        assert "hello and a phrase</textarea>" in inserted.text
        fragment = await person.post("/sms/figures", {"text": "x" * 75})
        assert "<strong>2</strong>" in fragment.text
        assert "<html" not in fragment.text
    assert not [one for one in console.audit() if one[1] == "task.create" and one[0] == "console:usr"]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("text", "  ", "Fill this in."),
        ("text", "a reject word", "may not be sent"),
        ("text", "x" * 700, "parts; at most"),
        ("start_at", "tomorrow", "date and time"),
        ("start_at", "2099-01-01T00:00:00", "30 days"),
        ("end_at", "2001-01-01T00:00:00", "must lie behind"),
        ("sender", "FORBIDDEN", "may not send from"),
        ("typed", "", "at least one number"),
    ],
)
async def test_what_is_wrong_is_said_beside_its_field(
    console: World, field: str, value: str, said: str
) -> None:
    async with console.person("usr") as person:
        answer = await submit(person, **{"typed": "13800138001", field: value})
    assert answer.status_code == 422
    assert said in answer.text
    assert f'id="{field}-error"' in answer.text


async def test_a_trusted_task_is_confirmed_once_and_holds_its_parts(console: World) -> None:
    trust(console, "usr")
    async with console.person("usr") as person:
        task = await made(person)
        for _ in range(2):
            await person.post(f"/tasks/{task}/confirm")
    assert task_of(console, task).state == "waiting"
    assert console.daemon.held == {task: 2}
    assert console.daemon.changed == [task]
    said = [one[1] for one in console.audit() if one[2] == f"task {task}"]
    assert said == ["task.create", "task.confirm"]


async def test_a_task_that_costs_more_than_there_is_stays_a_preview(console: World) -> None:
    trust(console, "usr")
    console.daemon.limit = 1
    async with console.person("usr") as person:
        task = await made(person)
        refused = await person.post(f"/tasks/{task}/confirm")
    assert refused.status_code == 422
    assert "parts are missing" in refused.text
    assert task_of(console, task).state == "preview"
    assert console.daemon.held == {}


async def test_a_large_task_is_confirmed_by_typing_its_count(console: World) -> None:
    trust(console, "usr")
    numbers = "\n".join(str(13800138000 + n) for n in range(30))
    async with console.person("usr") as person:
        task = await made(person, typed=numbers)
        assert (await person.post(f"/tasks/{task}/confirm", {"count": "29"})).status_code == 422
        assert (await person.post(f"/tasks/{task}/confirm", {"count": "30"})).status_code == 303
    assert task_of(console, task).state == "waiting"


async def test_an_old_preview_is_judged_anew_before_it_is_confirmed(console: World) -> None:
    trust(console, "usr")
    async with console.person("usr") as person:
        task = await made(person)
        clock.at += 16 * 60_000
        again = await person.post(f"/tasks/{task}/confirm")
        assert again.headers["location"].endswith("/preview")
        assert task_of(console, task).state == "preview"
        await person.post(f"/tasks/{task}/confirm")
    assert task_of(console, task).state == "waiting"


@pytest.mark.parametrize(("login", "text"), [("usr", "hello"), ("low", "with review word")])
async def test_an_untrusted_owner_or_a_word_sends_a_task_to_review(
    console: World, login: str, text: str
) -> None:
    trust(console, "low")
    async with console.person(login) as person:
        task = await made(person, text=text)
        assert "approve it first" in (await person.get(f"/tasks/{task}/preview")).text
        await person.post(f"/tasks/{task}/confirm")
    assert task_of(console, task).state == "review"
    async with console.person("sys") as person:
        assert f"/review/tasks/{task}" in (await person.get("/review/tasks")).text
        assert 'class="count-badge"' in (await person.get("/")).text


async def test_a_reviewer_approves_or_rejects_with_a_reason_and_the_second_is_told(console: World) -> None:
    async with console.person("sys") as first, console.person("adm") as second:
        assert (await first.post("/review/tasks/8", {"decision": "reject"})).status_code == 422
        assert (
            await first.post("/review/tasks/8", {"decision": "approve", "note": "fine"})
        ).status_code == 303
        late = await second.post("/review/tasks/8", {"decision": "reject", "note": "no"})
        assert late.status_code == 409
        assert "console:sys" in late.text
    assert task_of(console, 8).state == "waiting"
    assert console.daemon.changed == [8]


async def test_nobody_reviews_their_own_task(console: World) -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE task SET state = 'review' WHERE id = 2")
    async with console.person("adm") as adm:
        answer = await adm.post("/review/tasks/2", {"decision": "approve"})
    assert answer.status_code == 403
    assert task_of(console, 2).state == "review"


@pytest.mark.parametrize(
    ("setting", "others", "status"),
    [("auto", True, 403), ("auto", False, 303), ("no", False, 403), ("yes", True, 303)],
)
async def test_the_setting_says_who_may_review_their_own_task(
    tmp_path: Path, setting: Literal["auto", "yes", "no"], others: bool, status: int
) -> None:
    with world(tmp_path / "data", ConsoleOptions(review_allow_self=setting)) as console:
        with console.store.writing("test") as write:
            write.run("UPDATE task SET state = 'review' WHERE id = 1")
            if not others:
                write.run("UPDATE user SET role = 'user' WHERE login IN ('adm', 'peer')")
        async with console.person("sys") as sys:
            answer = await sys.post("/review/tasks/1", {"decision": "approve"})
        assert answer.status_code == status
        assert task_of(console, 1).state == ("waiting" if status == 303 else "review")
        told = [action for _, action, target, _ in console.audit() if target == "task 1"][-1]
        assert (told == "task.self-review") == (status == 303)


async def test_moves_follow_the_table_and_a_late_one_is_409_with_the_state(console: World) -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE task SET state = 'executing', started_at = 1 WHERE id = 4")
    async with console.person("usr") as person:
        for move, state in (("pause", "paused"), ("resume", "executing"), ("stop", "finished")):
            assert (await person.post("/tasks/4/move", {"move": move})).status_code == 303
            assert task_of(console, 4).state == state
        late = await person.post("/tasks/4/move", {"move": "pause"})
        assert late.status_code == 409
        assert "finished" in late.text
        assert (await person.post("/tasks/4/move", {"move": "approve"})).status_code == 400
        assert (await person.post("/tasks/4/move", {"move": "complete"})).status_code == 400
    assert console.daemon.changed == [4, 4, 4]


async def test_an_administrator_stops_a_task_below_but_does_not_withdraw_it(console: World) -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE task SET state = 'review' WHERE id = 5")
    async with console.person("adm") as adm:
        assert (await adm.post("/tasks/5/move", {"move": "withdraw"})).status_code == 400
        assert (await adm.post("/tasks/5/move", {"move": "cancel"})).status_code == 303
    assert task_of(console, 5).outcome == "cancelled"


async def test_a_task_whose_owner_is_disabled_says_why_it_does_not_begin(console: World) -> None:
    async with console.person("adm") as adm:
        with console.store.writing("test") as write:
            write.run("UPDATE task SET state = 'waiting' WHERE id = 4")
        assert "owner is disabled" not in (await adm.get("/tasks/4")).text
        await adm.post("/users/4/state", {"state": "disabled"})
        assert "owner is disabled" in (await adm.get("/tasks/4")).text


async def test_a_waiting_task_gets_another_time(console: World) -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE task SET state = 'waiting', start_at = 5 WHERE id = 4")
    async with console.person("usr") as person:
        assert (
            await person.post("/tasks/4/move", {"move": "reschedule", "start_at": "x"})
        ).status_code == 422
        moved = {"move": "reschedule", "start_at": "2027-01-02T03:04:05"}
        assert (await person.post("/tasks/4/move", moved)).status_code == 303
        assert task_of(console, 4).start_at == 1_798_830_245_000  # in Asia/Shanghai
        await person.post("/tasks/4/move", {"move": "send-now"})
    assert task_of(console, 4).start_at == 0


async def test_the_failed_ones_are_sent_again_as_a_new_task_of_whoever_asks(console: World) -> None:
    async with console.person("adm") as adm:
        answer = await adm.post("/tasks/7/resend", {"which": "failed"})
        assert answer.status_code == 303
    copy = task_of(console, int(answer.headers["location"].split("/")[2]))
    assert (copy.user, copy.resend_of, copy.state, copy.stage, copy.valid) == (
        USERS["adm"],
        7,
        "preview",
        "ready",
        2,
    )
    assert task_of(console, 7).state == "finished"


async def test_blocked_rows_are_shown_and_exported_with_their_reason(console: World) -> None:
    async with console.person("usr") as person:
        assert "contains letters" in (await person.get("/tasks/4/blocked?kind=invalid")).text
        export = await person.get("/tasks/4/blocked?kind=invalid&format=csv")
        assert export.text.splitlines()[1] == "Typed,3,abc,,Invalid,contains letters"
        messages = (await person.get("/tasks/7/messages")).text
        assert "ESME_RTHROTTLED" in messages
        assert "Submit failed" in messages
    assert ("export", "task 4 blocked") in [one[1:3] for one in console.audit()]


async def test_a_withdrawn_or_discarded_task_is_edited_or_gone(console: World) -> None:
    async with console.person("usr") as person:
        task = await made(person, name="first")
        assert "13800138001" in (await person.get(f"/tasks/{task}/edit")).text
        token = await person.token("/me")
        fields = {"_csrf": token, "name": "second", "text": "other", "typed": "13800138005"}
        edited = await person.client.post(f"/tasks/{task}/edit", data=fields)
        assert edited.headers["location"] == f"/tasks/{task}/preview"
        assert (task_of(console, task).name, task_of(console, task).valid) == ("second", 1)
        assert (folder_of(console.store.path.parent, task) / TYPED).read_text() == "13800138005"
        await person.post(f"/tasks/{task}/discard")
        assert (await person.get(f"/tasks/{task}")).status_code == 404
    assert folder_of(console.store.path.parent, task).exists()  # for thirty days it can be put back


async def test_lists_show_own_tasks_to_users_and_those_below_to_administrators(console: World) -> None:
    async with console.person("usr") as person:
        page = (await person.get("/sms/tasks")).text
        assert "task of usr" in page
        assert "task of low" not in page
        assert "Stopped" not in (await person.get("/sms/pending")).text
    async with console.person("adm") as person:
        page = (await person.get("/sms/tasks?state=finished&outcome=stopped")).text
        assert "#7" in page
        assert "#8" not in page
        assert "task of low" in (await person.get("/sms/tasks?user=low")).text


async def test_a_hostile_file_gets_a_sentence_and_harms_nothing(console: World) -> None:
    async with console.person("usr") as person:
        for content in (b"PK\x03\x04 not a zip at all", b"\x00" * 100, b"\xff\xfe\xff" * 9 + b"\x81\x00\xff"):
            answer = await submit(person, file=("numbers.xlsx", content))
            page = await person.get(answer.headers["location"])
            assert page.status_code in (200, 422)
            if page.status_code == 422:
                assert "cannot be read so" in page.text


async def test_no_text_of_a_task_contact_or_phrase_becomes_markup(console: World) -> None:
    with console.store.writing("test") as write:
        add_contacts(write, USERS["usr"], HARM[:60], [(HARM, 8613800138002)])
        add_phrase(write, USERS["usr"], HARM[:60], HARM, shared=True)
    async with console.person("usr") as person:
        file = (HARM.replace('"', ""), f"{HARM.replace(',', '')},number\n{HARM},13800138003\n".encode())
        answer = await submit(person, name=HARM[:60], text=HARM, typed=f"13800138001\n{HARM}", file=file)
        task = int(answer.headers["location"].split("/")[2])
        pages = [(await person.get(f"/tasks/{task}/file")).text]
        await person.post(f"/tasks/{task}/file", {"column": "1", "header": "yes"})
        await person.post(f"/tasks/{task}/confirm", {"count": "2"})
        paths = ["/sms/send", "/sms/tasks", "/sms/pending", "/contacts", "/settings/phrases"]
        paths += [f"/tasks/{task}{rest}" for rest in ("", "/edit", "/preview", "/blocked", "/messages")]
        pages += [(await person.get(path)).text for path in paths]
        pages.append((await submit(person, name=HARM, text=HARM, typed=HARM, sender=HARM)).text)
    async with console.person("sys") as reviewer:
        pages += [(await reviewer.get(path)).text for path in ("/review/tasks", f"/review/tasks/{task}")]
        await reviewer.post(f"/review/tasks/{task}", {"decision": "reject", "note": HARM})
        pages.append((await reviewer.get(f"/tasks/{task}")).text)
    assert sum("&lt;img src=x" in page for page in pages) >= 9
    for page in pages:
        assert "<img src=x" not in page, page[max(0, page.index("<img src=x") - 200) :][:400]
        assert "<script>alert" not in page


def workbook(cell: str) -> bytes:
    """A workbook with numbers in its first two rows, and one more far away."""
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        '<row r="1"><c r="A1" t="inlineStr"><is><t>mobile</t></is></c></row>'
        '<row r="2"><c r="A2"><v>13800138001</v></c></row>'
        f'<row r="{"".join(filter(str.isdigit, cell))}"><c r="{cell}"><v>13800138002</v></c></row>'
        "</sheetData></worksheet>"
    )
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{package}content-types"><Default Extension="xml" '
        'ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}relationships"><Relationship Id="r1" '
        f'Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
        f'xmlns:r="{relations}"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}relationships"><Relationship Id="r1" '
        f'Type="{relations}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": sheet,
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return out.getvalue()


@pytest.mark.parametrize(("cell", "good"), [("A3", True), ("XFD1000000", False)])
async def test_a_workbook_is_read_and_one_that_asks_for_all_memory_only_ends_its_own_process(
    console: World, cell: str, good: bool
) -> None:
    async with console.person("usr") as person:
        answer = await submit(person, file=("numbers.xlsx", workbook(cell)))
        page = await person.get(answer.headers["location"])
        assert page.status_code == (200 if good else 422)
        assert ("13800138001" in page.text) == good
        task = int(answer.headers["location"].split("/")[2])
        await person.post(f"/tasks/{task}/file", {"column": "0", "header": "yes"})
        assert task_of(console, task).stage == ("ready" if good else "preparing")
        shown = (await person.get(f"/tasks/{task}/preview")).text
        assert ("unpacks to more than can be read" in shown) == (not good)
    assert task_of(console, task).valid == (2 if good else 0)


# -- reading files ------------------------------------------------------------------------------------


def seen(tmp_path: Path, content: bytes, **choice: object) -> Look:
    path = tmp_path / "file"
    path.write_bytes(content)
    return look(path, Choice(**choice), Numbering("86"))  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_an_encoding_is_detected(tmp_path: Path, encoding: str) -> None:
    found = seen(tmp_path, CSV.encode(encoding))
    assert found.names == ("姓名", "手机", "金额")
    assert (found.column, found.header, found.delimiter) == (1, True, ",")


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_a_delimiter_is_detected(delimiter: str) -> None:
    assert delimiter_of("a,b\n1,2\n".replace(",", delimiter)) == delimiter
    assert delimiter_of("13800138000\n13800138001\n") == ""


def test_without_header_columns_have_letters(tmp_path: Path) -> None:
    found = seen(tmp_path, b"x,13800138000\ny,13800138001\n")
    assert (found.header, found.names, found.column, found.shares) == (False, ("A", "B"), 1, (0, 100))
    assert seen(tmp_path, b"x,13800138000\ny,13800138001\n", header=True).names == ("x", "13800138000")
    assert [letter(n) for n in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "empty"), (b"\xef\xbb\xbf \n", "empty"), (b"PK\x03\x04x", "damaged")]
)
def test_what_is_no_table_is_said(tmp_path: Path, content: bytes, code: str) -> None:
    with pytest.raises(Unreadable) as error:
        seen(tmp_path, content)
    assert error.value.code == code
    assert encoding_of("纯文本".encode()) == "utf-8"
