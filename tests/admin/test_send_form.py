"""P1 around its numbers: which SMS type, a test to one's own phone, the draft that is kept while somebody types."""

import re

import httpx
import msgspec
import pytest

from store import people_edit
from store.directory import BlacklistScope
from store.rules import blacklist_add
from store.send_drafts import DRAFT_OCTETS_MAX, draft_of, save_draft
from store.task_file import TYPED, folder_of
from store.tasks import TaskRow
from tests.admin.test_sending import made, submit, task_of, trust
from tests.admin.world import USERS, Person, World

PHONE = 8613911112222


def allow_types(console: World, *types: str, login: str = "usr") -> None:
    settings = msgspec.json.encode({"sms_types": types}).decode()
    with console.store.writing("test") as write:
        write.run("UPDATE user SET settings = ? WHERE id = ?", (settings, USERS[login]))


def give_phone(console: World, number: str = "+86 139-1111-2222") -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE user SET mobile = ? WHERE id = ?", (number, USERS["usr"]))


def try_outs(console: World) -> list[TaskRow]:
    with console.store.reading() as connection:
        ids = connection.execute("SELECT id FROM task WHERE json_extract(input, '$.test') ORDER BY id")
        return [task_of(console, row[0]) for row in ids.fetchall()]


async def send_test(person: Person, path: str = "/sms/test", **fields: object) -> httpx.Response:
    data = {"_csrf": await person.token("/me"), "name": "n", "text": "hello", "typed": "", **fields}
    return await person.client.post(path, data=data, files={"x": ("", b"")})


# -- the type -----------------------------------------------------------------------------------------


async def test_the_chosen_type_is_the_task_s_and_shows_wherever_the_task_does(console: World) -> None:
    trust(console, "usr")
    async with console.person("usr") as person:
        form = (await person.get("/sms/send")).text
        options = re.findall(r'<option value="(\w+)"( selected)?>', form)
        assert [name for name, _ in options] == ["business", "service"], (
            "the usual one first; no other door's"
        )
        task = await made(person, sms_type="service")
        assert task_of(console, task).sms_type == "service"
        assert "业务短信" in (await person.get(f"/tasks/{task}/preview")).text
        assert 'value="service" selected' in (await person.get(f"/tasks/{task}/edit")).text
        await person.post(f"/tasks/{task}/confirm")
        page = (await person.get(f"/tasks/{task}")).text
        assert "业务短信" in page
        assert "商务短信" not in page
        assert task_of(console, await made(person)).sms_type == "business"


async def test_an_edited_task_takes_another_type(console: World) -> None:
    async with console.person("usr") as person:
        task = await made(person)
        token = await person.token("/me")
        fields = {"_csrf": token, "name": "n", "text": "x", "typed": "13800138001", "sms_type": "service"}
        await person.client.post(f"/tasks/{task}/edit", data={**fields, "do": "submit"})
    assert task_of(console, task).sms_type == "service"


async def test_only_types_that_the_user_may_send_are_offered_and_taken(console: World) -> None:
    allow_types(console, "service", "api")
    async with console.person("usr") as person:
        form = (await person.get("/sms/send")).text
        assert 'name="sms_type"' not in form, "with one type there is nothing to choose"
        assert task_of(console, await made(person)).sms_type == "service"
        for wrong in ("business", "api", "nonsense"):
            refused = await submit(person, typed="13800138001", sms_type=wrong)
            assert refused.status_code == 422
            assert "may not send SMS of this type" in refused.text or "another look" in refused.text
    allow_types(console, "api")
    async with console.person("usr") as person:
        refused = await submit(person, typed="13800138001")
    assert refused.status_code == 422
    assert 'id="sms_type-error"' in refused.text


async def test_a_type_that_was_taken_away_meanwhile_holds_the_task_at_its_preview(console: World) -> None:
    trust(console, "usr")
    async with console.person("usr") as person:
        task = await made(person, sms_type="service")
        allow_types(console, "business")
        refused = await person.post(f"/tasks/{task}/confirm")
    assert refused.status_code == 422
    assert "may not send SMS of this type" in refused.text
    assert task_of(console, task).state == "preview"
    assert console.daemon.held == {}


async def test_the_blacklist_of_the_task_s_own_type_counts(console: World) -> None:
    with console.store.writing("test") as write:
        blacklist_add(write, BlacklistScope("type", "service"), [8613800138001], source="manual")
    async with console.person("usr") as person:
        other, own = await made(person), await made(person, sms_type="service")
    assert task_of(console, other).valid == 2
    assert task_of(console, own).valid == 1


async def test_a_task_of_a_type_is_not_sent_again_by_who_may_not_send_it(console: World) -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE task SET sms_type = 'service' WHERE id = 7")
    async with console.person("usr") as person:
        await person.post("/tasks/7/resend", {"which": "all"})
        allow_types(console, "business")
        refused = await person.post("/tasks/7/resend", {"which": "all"})
    assert refused.status_code == 422
    assert "may not send SMS of this type" in refused.text
    with console.store.reading() as connection:
        copies = connection.execute("SELECT sms_type FROM task WHERE resend_of = 7").fetchall()
    assert copies == [("service",)]


# -- a test to the own phone --------------------------------------------------------------------------


async def test_a_test_goes_to_the_own_phone_only_charged_and_logged_as_a_test(console: World) -> None:
    trust(console, "usr")
    give_phone(console)
    async with console.person("usr") as person:
        assert f"own phone, {PHONE}" in (await person.get("/sms/send")).text
        answer = await send_test(
            person, typed="13800138001", sms_type="service", start_at="2099-01-01T00:00:00",
            test_number="13700000009", _once="one",
        )  # fmt: skip
        assert answer.status_code == 200
        assert f"test to {PHONE} is on its way" in answer.text
        assert ">hello</textarea>" in answer.text, "the form is as it was"
        assert ">13800138001</textarea>" in answer.text
        (row,) = try_outs(console)
        again = await send_test(person, _once="one")
        assert again.headers["location"] == f"/tasks/{row.id}", "a reload sends no second test"
        assert "Test" in (await person.get(f"/tasks/{row.id}")).text
    assert (row.name, row.state, row.sms_type, row.valid, row.start_at) == (
        "Test: n", "waiting", "service", 1, 0,
    )  # fmt: skip
    assert (folder_of(console.store.path.parent, row.id) / TYPED).read_text() == f"+{PHONE}"
    assert console.daemon.held == {row.id: 1}
    assert console.daemon.changed == [row.id]
    assert [one[1] for one in console.audit() if one[2] == f"task {row.id}"] == [
        "task.create",
        "task.confirm",
    ]
    with console.store.reading() as connection:
        entry = connection.execute("SELECT kind, parts FROM quota_entry WHERE task_id = ?", (row.id,))
        assert entry.fetchall() == [("reserve", 1)]


@pytest.mark.parametrize("text", ["hello", "with review word"])
async def test_a_test_is_reviewed_like_anything_else(console: World, text: str) -> None:
    if text != "hello":
        trust(console, "usr")
    give_phone(console)
    async with console.person("usr") as person:
        answer = await send_test(person, text=text)
    assert "waits for its review" in answer.text
    assert [row.state for row in try_outs(console)] == ["review"]


async def test_who_has_no_phone_in_their_profile_is_asked_for_it(console: World) -> None:
    trust(console, "usr")
    async with console.person("usr") as person:
        assert 'name="test_number"' in (await person.get("/sms/send")).text
        for wrong in ("", "12ab"):
            refused = await send_test(person, test_number=wrong)
            assert refused.status_code == 422
            assert 'id="test_number-error"' in refused.text
        assert try_outs(console) == []
        assert (await send_test(person, test_number="+8613911112222")).status_code == 200
    assert [row.valid for row in try_outs(console)] == [1]


async def test_a_test_that_may_not_be_sent_leaves_nothing_behind(console: World) -> None:
    trust(console, "usr")
    give_phone(console, "+8613800000000")  # on the global blacklist
    async with console.person("usr") as person:
        listed = await send_test(person)
        give_phone(console)
        console.daemon.limit = 0
        poor = await send_test(person)
        wrong = await send_test(person, text="a reject word")
    assert [one.status_code for one in (listed, poor, wrong)] == [422, 422, 422]
    assert "on a blacklist" in listed.text
    assert "parts are missing" in poor.text
    assert "may not be sent" in wrong.text
    assert [row.state for row in try_outs(console)] == ["discarded", "discarded"]
    assert console.daemon.held == {}


async def test_a_task_in_preview_is_tested_as_its_form_stands(console: World) -> None:
    trust(console, "usr")
    give_phone(console)
    async with console.person("usr") as person:
        task = await made(person)
        assert f'formaction="/tasks/{task}/test"' in (await person.get(f"/tasks/{task}/edit")).text
        answer = await send_test(person, f"/tasks/{task}/test", text="changed")
        assert f'action="/tasks/{task}/edit"' in answer.text
    assert [row.text for row in try_outs(console)] == ["changed"]
    assert task_of(console, task).text == "hello"


# -- the draft ----------------------------------------------------------------------------------------


async def test_what_is_typed_is_kept_and_there_when_the_form_is_opened_again(console: World) -> None:
    fields = {
        "name": "spring", "text": "half a sent", "typed": "13800138001", "sms_type": "service",
        "sender": "1069", "start_at": "2023-11-20T10:00:00",
    }  # fmt: skip
    async with console.person("usr") as person:
        empty = (await person.get("/sms/send")).text
        assert "Discard the draft" not in empty
        said = await person.post("/sms/draft", fields)
        assert "Draft kept at" in said.text
        assert "<html" not in said.text
        form = (await person.get("/sms/send")).text
        assert "draft that you left at" in form
        for text in ("half a sent</textarea>", 'value="spring"', ">13800138001<", 'value="service" selected'):
            assert text in form
        assert 'value="1069"' in form
        assert 'value="2023-11-20T10:00:00"' in form
    async with console.person("adm") as other:
        assert "half a sent" not in (await other.get("/sms/send")).text


async def test_a_draft_keeps_the_file_that_was_chosen(console: World) -> None:
    async with console.person("usr") as person:
        back = await submit(person, text="", file=("list.txt", b"13800138002\n"))
        token = re.findall(r'name="upload" value="(\w+)"', back.text)[0]
        await person.post("/sms/draft", {"upload": token, "upload_name": "list.txt"})
        assert "list.txt" in (await person.get("/sms/send")).text
        await person.post("/sms/draft", {"upload": "0" * 32, "upload_name": "other.txt"})
        assert "other.txt" not in (await person.get("/sms/send")).text


async def test_a_draft_goes_when_its_task_is_made_and_when_it_is_discarded_or_emptied(console: World) -> None:
    def left() -> bool:
        with console.store.reading() as connection:
            return draft_of(connection, USERS["usr"]) is not None

    async with console.person("usr") as person:
        await person.post("/sms/draft", {"text": "x"})
        assert (await submit(person, text="", draft="1")).status_code == 422
        assert left(), "a form that comes back is no task"
        await made(person, draft="1")
        assert not left()
        await person.post("/sms/draft", {"text": "x"})
        gone = await person.post("/sms/draft/discard")
        assert gone.headers["location"] == "/sms/send"
        assert not left()
        await person.post("/sms/draft", {"text": "x"})
        await person.post("/sms/draft", {"name": "2023-11-15 06:13:20", "text": " "})
        assert not left()


async def test_a_message_that_begins_with_a_number_leaves_the_draft_alone(console: World) -> None:
    async with console.person("usr") as person:
        await person.post("/sms/draft", {"text": "kept for later"})
        form = (await person.get("/sms/send?to=8613800138001")).text
        assert "+8613800138001" in form
        assert "kept for later" not in form
        assert "/sms/draft" not in form
        await made(person)
        assert "kept for later" in (await person.get("/sms/send")).text


async def test_a_draft_has_a_largest_size_and_says_so(console: World) -> None:
    async with console.person("usr") as person:
        await person.post("/sms/draft", {"text": "small"})
        said = await person.post("/sms/draft", {"text": "x", "typed": "1" * DRAFT_OCTETS_MAX})
        assert "too large to be kept" in said.text
        assert "small</textarea>" in (await person.get("/sms/send")).text


def test_the_draft_of_who_is_forgotten_is_forgotten(console: World) -> None:
    with console.store.writing("test") as write:
        save_draft(write, USERS["usr"], {"text": ["x"]})
        people_edit.set_state(write, USERS["usr"], "deleted", by=1)
        people_edit.anonymise(write, USERS["usr"])
    with console.store.reading() as connection:
        assert draft_of(connection, USERS["usr"]) is None
