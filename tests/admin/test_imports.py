"""Imports from files: every row in one class, nothing before the confirmation, everything once after it."""

import csv
import io
import re
from typing import Any

import httpx
import pytest
import trio
from python_calamine import CalamineWorkbook

from admin import importing
from admin.i18n import translate
from admin.import_kinds import KINDS, bind
from store import imports, jobs, people_edit, quota
from store.address_book import add_contacts, contact_groups
from store.directory import BlacklistScope
from store.imports import ImportRow
from store.people_edit import Profile
from store.rules import blacklist_add
from tests.admin.test_sending import workbook
from tests.admin.world import HASH, USERS, Person, World, clock

OPTIONS = {
    "users": {"group": "2"},
    "words": {"action": "mask"},
    "blacklist": {"list": "group:2", "mode": "add"},
    "contacts": {"group": "friends", "doubles": "skip"},
}


async def upload(
    person: Person, kind: str, content: bytes | str, *, name: str = "list.csv", **options: str
) -> httpx.Response:
    octets = content.encode() if isinstance(content, str) else content
    path = KINDS[kind].path
    fields = {"_csrf": await person.token(path), **OPTIONS[kind], **options}
    return await person.client.post(path, data=fields, files={"file": (name, octets)})


def identifier(answer: httpx.Response) -> int:
    assert answer.status_code == 303, answer.text
    return int(answer.headers["location"].rpartition("/")[2])


def fields_of(page: str) -> dict[str, str]:
    """What the page of columns has selected."""
    found = {}
    for name, body in re.findall(r'<select id="[^"]*" name="([^"]*)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.findall(r'value="([^"]*)" selected', body)
        found[name] = chosen[0] if chosen else ""
    return found


async def judged(person: Person, kind: str, content: bytes | str, **options: str) -> int:
    """An import whose rows are judged, with the columns as the page proposed them."""
    number = identifier(await upload(person, kind, content, **options))
    page = await person.get(f"/imports/{number}")
    assert page.status_code == 200, page.text
    answer = await person.post(f"/imports/{number}", fields_of(page.text))
    assert answer.status_code == 303, answer.text
    return number


def row_of(console: World, login: str, number: int) -> ImportRow:
    with console.store.reading() as connection:
        row = imports.read_import(connection, USERS[login], number)
    assert row is not None
    return row


def classes(row: ImportRow) -> dict[str, int]:
    """By class, and by "class/reason" where there is one."""
    found: dict[str, int] = {}
    for one in row.classes:
        key = f"{one.kind}/{one.reason}" if one.reason else one.kind
        found[key] = found.get(key, 0) + one.count
    assert sum(found.values()) == row.total
    return found


USERS_CSV = """登录名,姓名,所属组,手机,角色,条数
zhang,张三,总公司/a,13800138001,用户,100
lisi,李四,总公司/a/deep,13900139001,管理员,"1,00"
,,,,,
wang,王五,,,,
"""


async def test_users_are_imported_whole_with_passwords_that_are_fetched_once(console: World) -> None:
    async with console.person("adm") as person:
        number = await judged(person, "users", USERS_CSV.encode("gb18030"))
        row = row_of(console, "adm", number)
        assert classes(row) == {"valid": 3, "blank": 1}
        assert len(console.store.directory().users) == len(USERS), "nothing is written before"
        for _ in range(2):
            await person.post(f"/imports/{number}/confirm")
        assert row_of(console, "adm", number).state == "done"
        page = (await person.get(f"/imports/{number}")).text
        assert "Fetch the passwords" in page
        first = await person.post(f"/imports/{number}/passwords")
        again = await person.post(f"/imports/{number}/passwords")
        assert again.status_code == 404
        assert "have been fetched" in (await person.get(f"/imports/{number}")).text
    lines = list(csv.reader(io.StringIO(first.text.lstrip("\ufeff"))))
    assert [line[0] for line in lines[1:]] == ["zhang", "lisi", "wang"]
    users = {one.login: one for one in console.store.directory().users.values()}
    assert (users["zhang"].group, users["zhang"].limit, users["zhang"].role) == (2, 100, "user")
    assert (users["lisi"].group, users["lisi"].limit, users["lisi"].role) == (3, 100, "admin")
    assert users["wang"].group == 2
    password = lines[1][2]
    async with console.person() as stranger:
        signed = await stranger.post("/login", {"login": "zhang", "password": password}, page="/login")
        assert signed.headers["location"] != "/login"
        assert (await stranger.get("/")).headers["location"] == "/me/password"
    with console.store.reading() as connection:
        assert not connection.execute("SELECT secret FROM file_import WHERE id = ?", (number,)).fetchone()[0]
        assert quota.recount(connection) == []
        assert quota.over_allocated(connection) == []
    assert password not in str(console.audit())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ab,,,,,", "invalid/login-form"),
        ("good,,总公司/b,,,", "invalid/group-unknown"),
        ("good,,总公司,,,", "invalid/group-unknown"),
        ("good,,nowhere,,,", "invalid/group-unknown"),
        ("good,,总公司/a,,管理员,", "not-allowed/role-level"),
        ("good,,总公司/a,,emperor,", "invalid/role-unknown"),
        ("good,,总公司/a,12ab,,", "invalid/letters"),
        ("good,,总公司/a,,,-5", "invalid/parts-number"),
        ("good,,总公司/a,,,1.5", "invalid/parts-number"),
        ("good,,总公司/a,,,601", "quota/总公司/a"),
        ("USR,,总公司/a,,,", "existing/login-taken"),
        ("First,,总公司/a,,,", "duplicate"),
        (f"good,{'x' * 65},总公司/a,,,", "invalid/name-long"),
    ],
)
async def test_one_wrong_user_holds_the_whole_file_back(console: World, line: str, said: str) -> None:
    content = f"login,name,group,mobile,role,parts\nfirst,A,总公司/a,,,0\n{line}\n"
    async with console.person("adm") as person:
        number = await judged(person, "users", content)
        assert classes(row_of(console, "adm", number)) == {"valid": 1, said: 1}
        page = (await person.get(f"/imports/{number}")).text
        assert "All rows are written or none." in page
        await person.post(f"/imports/{number}/confirm")
    assert row_of(console, "adm", number).state == "ready"
    assert len(console.store.directory().users) == len(USERS)


async def test_parts_of_a_file_together_fit_the_group_or_none_are_given(console: World) -> None:
    content = "login,group,parts\n" + "".join(f"user{n},总公司/a,250\n" for n in range(3))
    async with console.person("adm") as person:
        number = await judged(person, "users", content)
        assert classes(row_of(console, "adm", number)) == {"valid": 2, "quota/总公司/a": 1}


async def test_what_changed_since_the_dry_run_is_refused_whole_and_judged_anew(console: World) -> None:
    async with console.person("adm") as person:
        number = await judged(person, "users", "login,group\nearly,总公司/a\nlate,总公司/a\n")
        with console.store.writing("test") as write:
            people_edit.create_user(write, "late", 2, Profile(), HASH)
        await person.post(f"/imports/{number}/confirm")
        row = row_of(console, "adm", number)
        assert row.state == "ready"
        assert "late" in (await person.get(f"/imports/{number}")).text
        assert "early" not in {one.login for one in console.store.directory().users.values()}
        await person.post(f"/imports/{number}/confirm")
        assert classes(row_of(console, "adm", number)) == {"valid": 1, "existing/login-taken": 1}


async def test_rows_hold_only_under_the_authority_that_they_were_judged_under(console: World) -> None:
    async with console.person("sys") as person:
        number = await judged(person, "users", "login,group,role\nboss,总公司,管理员\n")
        assert classes(row_of(console, "sys", number)) == {"valid": 1}
        with console.store.writing("test") as write:
            people_edit.set_role(write, USERS["usr"], "admin", by=1)
            write.run("UPDATE user SET group_id = 2 WHERE id = 1")
        await person.post(f"/imports/{number}/confirm")
        assert classes(row_of(console, "sys", number)) == {"invalid/group-unknown": 1}
    assert "boss" not in {one.login for one in console.store.directory().users.values()}


async def test_words_are_unique_however_they_are_spelt(console: World) -> None:
    content = "敏感字,处理方式,分类\n赌博,拒绝,违法\n賭博,,\n敏感,,\nＣasino,,\ncasino,,\n---,,\nok,dance,\n"
    async with console.person("sys") as person:
        number = await judged(person, "words", content, category="other")
        assert classes(row_of(console, "sys", number)) == {
            "valid": 2, "duplicate": 2, "existing/word-known": 1, "invalid/word-form": 1,
            "invalid/action-unknown": 1,
        }  # fmt: skip
        await person.post(f"/imports/{number}/confirm")
    words = {word.text: word for word in console.store.words()}
    assert set(words) == {"敏感", "赌博", "Ｃasino"}
    assert (words["赌博"].action, words["赌博"].category) == ("reject", "违法")
    assert (words["Ｃasino"].action, words["Ｃasino"].category) == ("mask", "other")
    assert console.daemon.reloads > 0


async def test_numbers_are_put_on_lists_and_taken_off_by_files(console: World) -> None:
    content = (
        "手机,名单,备注,有效期至\n13700000001,,投诉,2030-12-31\n+86 137-0000-0001,,,\n13700000002,类型,,\n"
        "13700000003,短信类型:商务短信,,\n13700000004,全局,,\n13700000005,用户组：总公司/b,,\n"
        "1.37E+10,,,\n13700000006,,,2001-01-01\n13700000007,,,soon\n13700000008,,,\n"
    )
    with console.store.writing("test") as write:
        blacklist_add(write, BlacklistScope("group", 2), [8613700000008], source="manual")
    async with console.person("adm") as person:
        number = await judged(person, "blacklist", content, note="from a file")
        assert classes(row_of(console, "adm", number)) == {
            "valid": 2, "duplicate": 1, "invalid/list-unknown": 2, "not-allowed/list-level": 1,
            "invalid/scientific-notation": 1, "invalid/date-past": 1, "invalid/date": 1,
            "existing/on-the-list": 1,
        }  # fmt: skip
        await person.post(f"/imports/{number}/confirm")
        page = (await person.get("/settings/blacklist?tab=group")).text
        assert "投诉" in page
        assert "2030-12-31" in page
    lists = {(one.kind, one.key): list(numbers) for one, numbers in console.store.blacklists().items()}
    assert lists["group", 2] == [8613700000001, 8613700000008]
    assert lists["type", "business"] == [8613700000003]
    async with console.person("adm") as person:
        number = await judged(person, "blacklist", "13700000001\n13700000009\n", mode="remove")
        assert classes(row_of(console, "adm", number)) == {"valid": 1, "not-listed": 1}
        await person.post(f"/imports/{number}/confirm")
    lists = {(one.kind, one.key): list(numbers) for one, numbers in console.store.blacklists().items()}
    assert lists["group", 2] == [8613700000008]


async def test_contacts_come_with_their_groups_and_doubles_as_one_chooses(console: World) -> None:
    with console.store.writing("test") as write:
        add_contacts(write, USERS["usr"], "客户/福建", [("old", 8613800138001)])
    content = (
        "姓名,手机,分组\n张三,13800138001,客户/福建\n李四,13800138002,客户／福建\n"
        "王五,13800138002,客户\n赵六,13800138003,\n,x,\n"
    )
    async with console.person("usr") as person:
        number = await judged(person, "contacts", content)
        assert classes(row_of(console, "usr", number)) == {
            "valid": 3, "existing/in-the-group": 1, "invalid/letters": 1,
        }  # fmt: skip
        number = await judged(person, "contacts", content, doubles="update")
        assert classes(row_of(console, "usr", number)) == {"valid": 3, "update": 1, "invalid/letters": 1}
        await person.post(f"/imports/{number}/confirm")
        assert row_of(console, "usr", number).written == 4
    with console.store.reading() as connection:
        groups = {one.name: (one.count, one.count_all) for one in contact_groups(connection, USERS["usr"])}
        names = {row[0] for row in connection.execute("SELECT name FROM contact")}
    assert groups == {"客户": (1, 3), "客户/福建": (2, 2), "friends": (1, 1)}
    assert names == {"张三", "李四", "王五", "赵六"}


async def test_a_file_is_read_in_another_way_without_being_uploaded_again(console: World) -> None:
    content = "張三;13800138001\n李四;13800138002\n".encode("big5")
    async with console.person("usr") as person:
        number = identifier(await upload(person, "contacts", content))
        page = (await person.get(f"/imports/{number}")).text
        chosen = fields_of(page)
        assert (chosen["delimiter"], chosen["header"]) == (";", "no")
        again = {**chosen, "encoding": "big5", "header": "yes", "do": "again"}
        await person.post(f"/imports/{number}", again)
        page = (await person.get(f"/imports/{number}")).text
        assert "張三" in page
        assert fields_of(page)["header"] == "yes"
        whole = {**fields_of(page), "delimiter": "none", "do": "again"}
        await person.post(f"/imports/{number}", whole)
        page = (await person.get(f"/imports/{number}")).text
        assert "張三;13800138001" in page
        await person.post(f"/imports/{number}", {**chosen, "encoding": "big5", "do": "again"})
        page = (await person.get(f"/imports/{number}")).text
        await person.post(f"/imports/{number}", fields_of(page) | {"column-name": "0"})
        assert classes(row_of(console, "usr", number)) == {"valid": 2}
        await person.post(f"/imports/{number}/confirm")
    with console.store.reading() as connection:
        assert {row[0] for row in connection.execute("SELECT name FROM contact")} == {"張三", "李四"}


async def test_bad_rows_are_shown_and_downloaded_with_row_original_and_reason(console: World) -> None:
    content = "name,mobile\n=cmd|'/c calc'!A0,abc\n" + "".join(f"n{n},12{n}x\n" for n in range(150))
    async with console.person("usr") as person:
        number = await judged(person, "contacts", content)
        page = (await person.get(f"/imports/{number}/rows?kind=invalid")).text
        assert page.count("contains letters") == 100
        export = await person.get(f"/imports/{number}/rows?kind=invalid&format=csv")
        book = await person.get(f"/imports/{number}/rows?kind=invalid&format=xlsx")
    sheet = CalamineWorkbook.from_filelike(io.BytesIO(book.content)).get_sheet_by_index(0).to_python()
    assert len(sheet) == 152
    assert sheet[1] == [2, "=cmd|'/c calc'!A0 | abc", "Invalid", "contains letters"]
    lines = list(csv.reader(io.StringIO(export.text.lstrip("\ufeff"))))
    assert len(lines) == 152
    assert lines[1] == ["2", "'=cmd|'/c calc'!A0 | abc", "Invalid", "contains letters"]


async def test_what_is_missing_is_said_beside_its_field(console: World) -> None:
    async with console.person("adm") as person:
        token = await person.token("/users/import")
        none = await person.client.post("/users/import", data={"_csrf": token, "group": "2"})
        assert none.status_code == 422
        assert 'id="file-error"' in none.text
        other = await upload(person, "users", "login\nabc\n", group="4")
        assert other.status_code == 422
        assert 'id="group-error"' in other.text
        late = await upload(person, "blacklist", "13800138000\n", expiry="2001-01-01")
        assert 'id="expiry-error"' in late.text
        globally = await upload(person, "blacklist", "13800138000\n", list="global")
        assert 'id="list-error"' in globally.text
        number = identifier(await upload(person, "users", "login,name\nabc,x\n"))
        twice = await person.post(f"/imports/{number}", {"column-login": "0", "column-name": "0"})
        assert twice.status_code == 422
        assert "same column" in twice.text
        none = await person.post(f"/imports/{number}", {"column-name": "1"})
        assert 'id="column-login-error"' in none.text
    async with console.person("usr") as person:
        path = await upload(person, "contacts", "13800138000\n", group="a//b")
        assert 'id="group-error"' in path.text


async def test_an_import_that_its_owner_may_not_make_any_more_is_closed_to_them(console: World) -> None:
    async with console.person("adm") as person:
        number = await judged(person, "users", "login\nnobody\n")
        with console.store.writing("test") as write:
            write.run("UPDATE user SET role = 'user' WHERE id = ?", (USERS["adm"],))
        for path in (f"/imports/{number}", f"/imports/{number}/rows"):
            assert (await person.get(path)).status_code == 403
        assert (await person.post(f"/imports/{number}/confirm")).status_code == 403
    assert len(console.store.directory().users) == len(USERS)


def bomb(octets: int) -> bytes:
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/worksheets/sheet1.xml", b" " * octets)
    return out.getvalue()


SPARSE = workbook("XFD1000000")
HOSTILE = {
    "a bomb": (bomb(30_000_000), "unpacks to more"),
    "a sparse sheet": (SPARSE, "unpacks to more"),
    "cut short": (workbook("A3")[:-200], "damaged"),
    "a million columns": (b"," * 1_000_000 + b"\n1\n", "more than 200 columns"),
    "octets": (bytes(range(256)) * 40, "neither a workbook nor text"),
    "a picture named as a workbook": (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0" * 64,
        "neither a workbook nor text",
    ),
    "nothing": (b"\xef\xbb\xbf \r\n", "is empty"),
    "blanks": (b" " * 100, "is empty"),
    "no encoding": (b"a,\xff\xff\xfe\n" * 20, "was not recognised"),
    "a NUL": (b"login\nab\0c\n", "neither a workbook nor text"),
    "a locked workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"x" * 5_000, "locked by a password"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_file_gets_a_clear_answer_and_harms_nothing(console: World, name: str) -> None:
    content, said = HOSTILE[name]
    async with console.person("usr") as person:
        number = identifier(await upload(person, "contacts", content, name="good.xlsx"))
        page = await person.get(f"/imports/{number}")
        assert page.status_code == 422
        assert said in page.text
        person.client.headers["accept-language"] = "zh"
        chinese = await person.get(f"/imports/{number}")
        assert chinese.status_code == 422
        assert said not in chinese.text
        assert (await person.get("/contacts")).status_code == 200
    assert row_of(console, "usr", number).state == "binding"


async def test_a_nul_far_behind_and_too_many_rows_end_the_dry_run_with_a_reason(
    console: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = b"name,mobile\n" + b"a,13800138000\n" * 30_000 + b"b\0,13800138001\n"
    async with console.person("usr") as person:
        number = await judged(person, "contacts", far)
        assert "neither a workbook nor text" in (await person.get(f"/imports/{number}")).text
        await person.post(f"/imports/{number}/cancel")
        assert row_of(console, "usr", number).state == "cancelled"
    async with console.person("adm") as person:
        number = await judged(person, "users", "login\n" + "".join(f"user{n}\n" for n in range(2_001)))
        assert "more rows than can be imported at once" in (await person.get(f"/imports/{number}")).text


async def test_formulas_arrive_as_what_they_show_and_numbers_without_decimals(console: World) -> None:
    sheet = workbook("A3")
    async with console.person("usr") as person:
        number = await judged(person, "contacts", sheet, name="x.txt")
        assert classes(row_of(console, "usr", number))["valid"] > 0


async def test_a_writing_that_was_cut_short_goes_on_behind_its_last_piece(
    console: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PIECE_ROWS", 10)
    content = "\n".join(str(13800138000 + n) for n in range(95))
    async with console.person("usr") as person:
        number = await judged(person, "contacts", content)
        row = row_of(console, "usr", number)
        with console.store.writing("test") as write:
            imports.move_import(write, number, ("ready",), "writing")
            add_contacts(write, USERS["usr"], "friends", [("", 8613800138000 + n) for n in range(30)])
            imports.set_written(write, number, 30)
            job = jobs.create_job(write, USERS["usr"], "import", "x", importing.WriteOrders(number))
            jobs.move_job(write, job, "start")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(console.console.background.run)
            with trio.fail_after(20):
                while row_of(console, "usr", number).state == "writing":
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        row = row_of(console, "usr", number)
        assert (row.state, row.written) == ("done", 95)
    with console.store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM contact").fetchone()[0] == 95


async def test_a_cancelled_writing_stops_between_pieces_and_says_how_much_is_written(
    console: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PIECE_ROWS", 10)
    content = "\n".join(str(13800138000 + n) for n in range(95))
    async with console.person("usr") as person:
        number = await judged(person, "contacts", content)
        real, pieces = imports.set_written, []

        def and_cancel(transaction: Any, identifier: int, written: int) -> None:
            real(transaction, identifier, written)
            pieces.append(written)
            if written == 20:
                imports.move_import(transaction, identifier, ("writing",), "cancelled")

        monkeypatch.setattr(imports, "set_written", and_cancel)
        await person.post(f"/imports/{number}/confirm")
        row = row_of(console, "usr", number)
        assert (row.state, row.written) == ("cancelled", 20)
        assert "20 of 95 rows were written" in (await person.get(f"/imports/{number}")).text
    with console.store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM contact").fetchone()[0] == 20


async def test_old_imports_and_their_files_are_forgotten(console: World) -> None:
    async with console.person("usr") as person:
        number = await judged(person, "contacts", "13800138000\n")
        folder = imports.folder_of(console.store.path.parent, number)
        assert folder.stat().st_mode & 0o077 == 0
        clock.at += imports.KEPT_MS + 1
    await console.console.background.sweep()
    assert not folder.exists()


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("kind", KINDS)
async def test_the_sample_file_binds_every_field_and_is_valid(
    console: World, kind: str, language: str
) -> None:
    async with console.person("sys") as person:
        person.client.headers["accept-language"] = language
        sample = await person.get(f"{KINDS[kind].path}/sample")
        assert sample.headers["content-type"].startswith("text/csv")
        heads = next(csv.reader(io.StringIO(sample.text.lstrip("\ufeff"))))
        assert heads == [translate(language, field.title) for field in KINDS[kind].fields]  # type: ignore[arg-type]
        assert len(bind(KINDS[kind], heads, [0] * len(heads))) == len(heads)
        options = {"blacklist": {"list": "global"}, "users": {"group": "1"}}.get(kind, {})
        number = await judged(person, kind, sample.content, **options)
        row = row_of(console, "sys", number)
        assert set(classes(row)) <= {"valid", "existing/on-the-list"}, classes(row)
