"""Message details: the list with its filters, one message's timeline, masks, the search, and a task's messages."""

import re
from pathlib import Path

import msgspec
import pytest

from admin.message_words import SHOWN, code_of, masked_number, masked_text, read_code, reason_of, shown_as
from filters.statuses import STATUSES, status_name
from filters.verdict import Reason, name_of
from store.directory import BlacklistScope
from store.model import (
    LINK_LOST,
    NO_ERROR,
    Attempt,
    Changes,
    Delivered,
    EventFor,
    Part,
    PartFlag,
    Receipt,
    State,
)
from store.owners import owners_within
from store.rules import blacklist_add
from store.scope import Within
from store.task_file import RESENT, ROWS, Pass, TaskFile, folder_of
from tests.admin.world import MESSAGE_SECOND, MESSAGES, USERS, World, clock
from tests.store.traffic_world import attempt, outcome, part

USR_NUMBER = 8613700000000 + USERS["usr"]


def account_of(console: World, login: str) -> int:
    with console.store.reading() as connection:
        owners = owners_within(connection, Within(), user=USERS[login])
    return min(owner.account for owner in owners.values() if owner.system_id == f"console:{login}")


def rows(page: str) -> list[str]:
    """The rows of a page's table as their texts."""
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", page, re.DOTALL)[1:]
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in found]


def id_at(number: int, second: int = MESSAGE_SECOND) -> int:
    return second << 30 | number


# -- words --------------------------------------------------------------------------------------------


def test_every_state_is_shown_as_exactly_one() -> None:
    for state in State:
        for taken in (True, False):
            fitting = [
                key for key, one in SHOWN.items() if state in one.states and one.taken in (None, taken)
            ]
            assert fitting == [shown_as(state, taken=taken)[0]]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_failure_has_a_reason_in_both_languages_and_keeps_its_code(language: str) -> None:
    for status in (*STATUSES, 0x4FF, 0x999):
        said = reason_of(State.FAILED, status, taken=False, language=language)  # type: ignore[arg-type]
        assert status == 0 or status_name(status) in said
    for reason in Reason:
        assert reason_of(State.REJECTED, reason, taken=True, language=language)  # type: ignore[arg-type]
        assert code_of(State.REJECTED, reason, taken=True) == name_of(reason)
    assert "err 27" in reason_of(State.FAILED, 27, taken=True, language=language)  # type: ignore[arg-type]
    for state in (State.FAILED, State.EXPIRED, State.REJECTED, State.CANCELLED, State.UNKNOWN):
        assert reason_of(state, NO_ERROR, taken=True, language=language)  # type: ignore[arg-type]
    assert reason_of(State.DELIVERED, NO_ERROR, taken=True, language=language) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [State.FAILED, State.REJECTED])
@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("error", [0x58, 0x0B, 27, NO_ERROR, int(Reason.BLACKLISTED_AT_DISPATCH)])
def test_a_code_that_is_shown_can_be_searched_for(state: State, taken: bool, error: int) -> None:
    read = read_code(code_of(state, error, taken=taken))
    assert read is not None
    assert error in read[0]
    assert read[1] in (None, taken)


def test_codes_are_read_as_people_write_them() -> None:
    assert read_code("0x58") == read_code("88") == (frozenset({0x58}), None)
    assert read_code("esme_rthrottled") == (frozenset({0x58}), False)
    assert read_code("ERR:27") == read_code("err 027") == (frozenset({27}), True)
    assert read_code("No-Route") == (frozenset({int(Reason.NO_ROUTE)}), None)
    for nonsense in ("hello", "-1", "err", "0x", "99999999"):
        assert read_code(nonsense) is None


def test_a_mask_shows_the_ends_of_a_number_and_no_digit_of_a_text() -> None:
    assert masked_number(8613812348000) == "86138****8000"
    assert masked_number(4512345678) == "451****5678"
    assert masked_number(110) == "1****"
    assert masked_text("验证码123456，请勿泄露") == "验证码***…"
    assert masked_text("123") == "***"


# -- the list -----------------------------------------------------------------------------------------


async def test_a_list_holds_what_is_in_sight_newest_first_with_state_and_reason(console: World) -> None:
    async with console.person("usr") as person:
        (own,) = rows((await person.get("/reports/messages")).text)
    assert str(USR_NUMBER) in own
    assert "text of usr" in own
    assert "Submit failed" in own
    assert "ESME_RTHROTTLED" in own
    async with console.person("adm") as person:
        texts = rows((await person.get("/reports/messages")).text)
        assert [login for row in texts for login in USERS if f" {login} " in row] == [
            "low",
            "usr",
            "peer",
            "adm",
        ]
    async with console.person("sys") as person:
        assert len(rows((await person.get("/reports/messages")).text)) == len(USERS)


async def found(console: World, login: str, query: str) -> list[str]:
    """Whose messages a query finds."""
    async with console.person(login) as person:
        answer = await person.get(f"/reports/messages?{query}&format=json")
        return [row["user"] for row in answer.json()["rows"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("number=8613700000004", ["usr"]),
        ("number=%2B8613700000004", ["usr"]),
        ("number=1370000", ["sibling7", "low", "usr", "peer", "adm", "sys"]),
        ("number=86137000000*", ["sibling7", "low", "usr", "peer", "adm", "sys"]),
        ("number=139", []),
        ("state=submit-failed", ["usr"]),
        ("state=undelivered", []),
        ("state=failed", ["usr"]),
        ("state=delivered&user=low", ["low"]),
        ("reason=ESME_RTHROTTLED", ["usr"]),
        ("reason=88", ["usr"]),
        ("reason=err+88", []),
        ("text=of+lo", ["low"]),
        ("text=OF+LO", []),
        ("group=deep", ["low"]),
        ("account=console:si", ["sibling7"]),
        ("task=7", ["usr"]),
        ("task=%237", ["usr"]),
        ("from=2023-11-15T06:13:20", ["sibling7", "low", "usr", "peer", "adm", "sys"]),
        ("from=2023-11-15T06:13:21", []),
        ("to=2023-11-15T06:13:19", []),
        ("to=2023-11-15T06:13:20&user=usr", ["usr"]),
        ("type=2&user=usr", ["usr"]),
        ("type=1", []),
    ],
)
async def test_each_filter_narrows_the_list(console: World, query: str, expected: list[str]) -> None:
    assert await found(console, "sys", query) == expected


@pytest.mark.parametrize(
    "query",
    ["number=8613700000006", "user=sibling7", "text=of+sibling7", "account=console:sibling7", "group=b"],
)
async def test_no_filter_reaches_out_of_the_scope(console: World, query: str) -> None:
    assert await found(console, "sys", query) == ["sibling7"]
    assert await found(console, "adm", query) == []
    assert "sibling7" not in await found(console, "usr", query)


async def test_a_list_goes_on_page_by_page_and_says_no_total(console: World) -> None:
    store = console.daemon.traffic()
    account = account_of(console, "usr")
    store.apply(Changes(parts=[part(id=id_at(1000 + n), account=account) for n in range(45)]))
    async with console.person("usr") as person:
        path, seen, pages = "/reports/messages?size=20&format=json", [], 0
        while path:
            answer = (await person.get(path)).json()
            seen += [row["id"] for row in answer["rows"]]
            path, pages = answer["next"], pages + 1
            assert (answer["count"], answer["count_exact"]) == (None, False)
        page = (await person.get("/reports/messages?size=20")).text
    assert pages == 3
    assert len(seen) == len(set(seen)) == 46
    assert seen == sorted(seen, reverse=True)
    assert "in all" not in page


async def test_what_makes_no_sense_in_a_filter_is_said(console: World) -> None:
    async with console.person("sys") as person:
        for query, said in (
            ("number=hello", "“hello” is no phone number"),
            ("reason=hello", "“hello” is no reason"),
            ("from=hello", "“hello” is no date and time"),
            ("task=no+such+task", "There is no task “no such task”"),
        ):
            page = (await person.get(f"/reports/messages?{query}")).text
            assert said in page
            assert rows(page) == []


async def test_texts_are_searched_within_a_bounded_time_and_the_page_says_so(console: World) -> None:
    store = console.daemon.traffic()
    account = account_of(console, "usr")
    old = MESSAGE_SECOND - 120 * 86_400
    store._files.file(old // 86_400)
    store.apply(Changes(parts=[part(id=id_at(1, second=old), account=account, body=b"text of old")]))
    clock.at = (MESSAGE_SECOND + 60) * 1000
    async with console.person("usr") as person:
        page = (await person.get("/reports/messages?text=text+of")).text
        assert "Texts are searched back to" in page
        assert len(rows(page)) == 1
        # Further back by saying until when.
        older = (await person.get("/reports/messages?text=text+of&to=2023-08-01T00:00:00")).text
        assert len(rows(older)) == 1
        assert "text of old" in older
        assert len(rows((await person.get("/reports/messages")).text)) == 2


async def test_a_search_that_ran_out_of_time_says_how_far_it_came(
    console: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    console.daemon.traffic()
    monkeypatch.setattr("admin.message_list.BUDGET_S", -1.0)
    monkeypatch.setattr("store.reads_messages.SCAN_PARTS", 2)
    async with console.person("sys") as person:
        page = (await person.get("/reports/messages?text=of+sys")).text
        assert "Nothing found so far" in page
        for _ in range(10):
            on = re.search(r'href="([^"]+)">Search further back', page)
            if not on or rows(page):
                break
            page = (await person.get(on[1].replace("&amp;", "&"))).text
        assert "text of sys" in page


async def test_an_export_has_every_column_and_is_masked_like_the_page(console: World) -> None:
    async with console.person("adm") as person:
        lines = (await person.get("/reports/messages?format=csv&user=usr")).text.splitlines()
        assert "Carrier's message id" in lines[0]
        assert "Asia/Shanghai" in lines[0]
        assert "86137****0004" in lines[1]
        assert "text of usr" not in lines[1]
        assert "ESME_RTHROTTLED" in lines[1]
        await person.post("/reports/messages/reveal", {"do": "show"})
        assert str(USR_NUMBER) in (await person.get("/reports/messages?format=csv&user=usr")).text
    assert [one[2] for one in console.audit() if one[1] == "export"] == ["messages"] * 2


# -- masks --------------------------------------------------------------------------------------------


async def test_others_are_masked_until_one_asks_which_is_written_down_and_ends(console: World) -> None:
    async with console.person("adm") as person:
        page = (await person.get("/reports/messages")).text
        assert str(USR_NUMBER) not in page
        assert "text of usr" not in page
        assert "86137****0004" in page
        assert "text of adm" in page  # one's own
        done = await person.post(
            "/reports/messages/reveal", {"do": "show", "next": "/reports/messages?user=usr"}
        )
        assert done.headers["location"] == "/reports/messages?user=usr"
        page = (await person.get("/reports/messages")).text
        assert str(USR_NUMBER) in page
        assert "text of usr" in page
        clock.at += 15 * 60_000
        assert str(USR_NUMBER) not in (await person.get("/reports/messages")).text
    written = [one for one in console.audit() if one[1] == "message.reveal"]
    assert [one[:3] for one in written] == [("console:adm", "message.reveal", "messages of others")]
    assert str(USR_NUMBER) not in str(written)


async def test_what_is_shown_can_be_hidden_again_and_is_of_this_person_only(console: World) -> None:
    async with console.person("adm") as person:
        await person.post("/reports/messages/reveal", {"do": "show"})
        async with console.person("peer") as other:
            assert str(USR_NUMBER) not in (await other.get("/reports/messages")).text
        await person.post("/reports/messages/reveal", {"do": "hide"})
        assert str(USR_NUMBER) not in (await person.get("/reports/messages")).text


async def test_one_message_is_unmasked_alone(console: World) -> None:
    path = f"/reports/messages/{MESSAGES['usr']}"
    async with console.person("adm") as person:
        assert str(USR_NUMBER) not in (await person.get(path)).text
        assert (await person.post(f"{path}/reveal")).headers["location"] == path
        assert str(USR_NUMBER) in (await person.get(path)).text
        assert (
            str(8613700000000 + USERS["low"])
            not in (await person.get(f"/reports/messages/{MESSAGES['low']}")).text
        )
    assert (f"message {MESSAGES['usr']}") in [one[2] for one in console.audit() if one[1] == "message.reveal"]


async def test_a_plain_user_sees_own_messages_as_they_are_and_cannot_unmask(console: World) -> None:
    async with console.person("usr") as person:
        page = (await person.get(f"/reports/messages/{MESSAGES['usr']}")).text
        assert str(USR_NUMBER) in page
        assert "Show number" not in page
        assert (await person.post("/reports/messages/reveal", {"do": "show"})).status_code == 403


# -- one message --------------------------------------------------------------------------------------


def live_long(console: World) -> tuple[int, list[Part]]:
    """A message of usr's in three parts with a life: masked, retried, received, told to the customer."""
    store, account = console.daemon.traffic(), account_of(console, "usr")
    detail = msgspec.msgpack.encode({"words": ["敏感"], "action": "mask", "failover": True})
    parts = [
        part(
            id=id_at(500 + n), account=account, dest=USR_NUMBER, part_no=n + 1, parts=3, detail=detail,
            body=f"piece {n + 1} ".encode(), carrier=1, registered_delivery=1,
            flags=PartFlag.MASKED | PartFlag.SPLIT_BY_US | (PartFlag.MAYBE_DUPLICATE if not n else 0),
        )
        for n in range(3)
    ]  # fmt: skip
    at = MESSAGE_SECOND * 1000
    lost = Attempt(parts[0].id, 1, 1, 0, 41, at + 100, at + 900, LINK_LOST, "", None)
    sent = [attempt(one, n=2, smsc_id=f"smsc-{one.part_no}") for one in parts]
    intermediate = Receipt(
        id_at(600), parts[0].id, account, 1, 3, at + 2000, 1, NO_ERROR, 0, b"id:1 stat:ENROUTE"
    )
    final = Receipt(
        id_at(601),
        parts[2].id,
        account,
        1,
        3,
        at + 3123,
        5,
        27,
        EventFor.BINDS | EventFor.CURSORS,
        b"id:3 stat:UNDELIV err:027",
    )
    store.apply(Changes(parts=parts))
    store.apply(Changes(attempts=[lost, *sent]))
    store.apply(Changes(receipts=[intermediate, final], outcomes=[outcome(parts[2], State.FAILED, 27)]))
    store.apply(Changes(delivered=[Delivered(account, "smpp:7", at + 4000, 0, [final.id], True)]))
    return parts[0].id, parts


async def test_a_message_shows_its_whole_life_part_by_part(console: World) -> None:
    message, _ = live_long(console)
    async with console.person("sys") as person:
        await person.post(f"/reports/messages/{message}/reveal")
        page = (await person.get(f"/reports/messages/{message}")).text
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    for said in (
        "piece 1 piece 2 piece 3",
        "Sensitive words masked",
        "敏感",
        "Cut into 3 parts; this is part 2",
        "Routed to carrier-a",
        "The carriers before it were down.",
        "Submitted to carrier-a",
        "Try 1 · bind 0 · sequence_number 41",
        "No answer from carrier-a",
        "The connection to the carrier broke before it answered",
        "Message id of the carrier: smsc-2",
        "1 part charged",
        "May have been sent twice",
        "Intermediate receipt from carrier-a",
        "The customer is not told of it.",
        "Receipt from carrier-a",
        "id:3 stat:UNDELIV err:027",
        "(err 27)",
        "Receipt handed to the customer",
        "SMPP bind 7 · ESME_ROK",
        "Webhook hook: is tried again",
        "3 attempts, the last: HTTP 500",
        "Ended: Undelivered",
        "2023-11-15 06:13:23.123 UTC+08:00",
    ):
        assert said in text, said
    assert [badge for badge in ("Undelivered", "Submitted") if f">{badge}<" in page] == [
        "Undelivered",
        "Submitted",
    ]


async def test_a_life_is_told_in_the_order_of_time(console: World) -> None:
    message, _ = live_long(console)
    async with console.person("usr") as person:
        page = (await person.get(f"/reports/messages/{message}")).text
    lives = re.findall(r'<ol class="timeline">(.*?)</ol>', page, re.DOTALL)
    assert len(lives) == 3
    for life in lives:
        times = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", life)
        assert times == sorted(times)
        assert len(times) >= 4


async def test_a_plain_user_is_told_of_no_carrier_by_name(console: World) -> None:
    message, _ = live_long(console)
    async with console.person("usr") as person:
        page = (await person.get(f"/reports/messages/{message}")).text
        assert "carrier-a" not in page
        assert "Submitted to the carrier" in page
        assert "敏感" not in page
        export = (await person.get("/reports/messages?format=csv")).text
        assert "carrier-a" not in export


async def test_times_are_those_of_the_viewer_s_zone(console: World) -> None:
    async with console.person("usr") as person:
        fields = {"language": "en", "theme": "auto", "zone": "America/New_York", "page_size": "50"}
        assert (await person.post("/me", fields)).status_code == 303
        page = (await person.get(f"/reports/messages/{MESSAGES['usr']}")).text
    assert "2023-11-14 17:13:20.000 UTC-05:00" in page


@pytest.mark.parametrize("wrong", ["0", "-5", "1", str(1 << 62), str(1 << 64), str(MESSAGES["sibling7"])])
async def test_a_message_that_is_not_there_or_not_in_sight_is_404(console: World, wrong: str) -> None:
    async with console.person("adm") as person:
        assert (await person.get(f"/reports/messages/{wrong}")).status_code == 404


async def test_a_message_is_in_sight_by_its_task_after_its_user_moved_away(console: World) -> None:
    with console.store.writing("test") as write:
        write.run("UPDATE user SET group_id = 4 WHERE login = 'usr'")  # the task stays where it was sent
    async with console.person("adm") as person:
        assert (await person.get(f"/reports/messages/{MESSAGES['usr']}")).status_code == 200
        assert rows((await person.get("/tasks/7/messages")).text)
        assert not rows((await person.get("/reports/messages?user=usr")).text)


# -- the blacklist ------------------------------------------------------------------------------------


async def test_from_a_failed_message_its_number_goes_onto_the_blacklist(console: World) -> None:
    async with console.person("adm") as person:
        page = (await person.get("/reports/messages?state=failed")).text
        link = re.search(r'href="(/settings/blacklist\?[^"]+)"', page)
        assert link
        form = (await person.get(link[1].replace("&amp;", "&"))).text
        assert re.search(rf'<textarea[^>]*name="numbers"[^>]*>{USR_NUMBER}</textarea>', form)
        assert '<option value="2" selected>' in form
        assert 'name="source" value="complaint"' in form
        fields = {"numbers": str(USR_NUMBER), "group": "2", "note": "complained", "source": "complaint"}
        assert (await person.post("/settings/blacklist/group", fields)).status_code == 303
        listed = (await person.get("/settings/blacklist?tab=group")).text
        assert str(USR_NUMBER) in listed
        assert "complaint" in listed
        out_of_sight = f"/settings/blacklist?tab=group&message={MESSAGES['sibling7']}"
        assert (await person.get(out_of_sight)).status_code == 404
    # The form shows the number, so this is an unmasking too.
    assert f"message {MESSAGES['usr']}" in [one[2] for one in console.audit() if one[1] == "message.reveal"]


async def test_complaints_are_found_by_five_filters_and_chosen_ones_go_onto_a_blacklist(
    console: World,
) -> None:
    async with console.person("adm") as person:
        page = (await person.get("/sms/complaints")).text
        for name in ("type", "from", "to", "number", "state", "text"):
            assert f'name="{name}"' in page
        assert len(rows(page)) == 4
        ids = [str(MESSAGES["usr"]), str(MESSAGES["low"])]
        on = (await person.post("/sms/complaints", {"ids": ids})).headers["location"]
        form = (await person.get(on)).text
        numbers = "\n".join(str(8613700000000 + USERS[login]) for login in ("usr", "low"))
        assert re.search(rf'<textarea[^>]*name="numbers"[^>]*>{numbers}</textarea>', form)
        assert "Complaints about 2 messages" in form
        fields = {"numbers": numbers, "group": "2", "source": "complaint"}
        assert (await person.post("/settings/blacklist/group", fields)).status_code == 303
        listed = rows((await person.get("/sms/complaints")).text)
        assert ["User group" in row for row in listed] == [True, True, False, False]
        nobody = await person.post("/sms/complaints", {"ids": ["hello"]})
        assert nobody.headers["location"] == "/sms/complaints"
        mixed = f"/settings/blacklist?tab=group&message={MESSAGES['usr']},{MESSAGES['sibling7']}"
        assert (await person.get(mixed)).status_code == 404
    assert "2 messages" in [one[2] for one in console.audit() if one[1] == "message.reveal"]


async def test_a_list_of_another_branch_is_no_business_of_a_complaint(console: World) -> None:
    with console.store.writing("test") as write:
        blacklist_add(write, BlacklistScope("group", 4), [USR_NUMBER], source="manual")
    async with console.person("usr") as person:
        assert "User group" not in rows((await person.get("/sms/complaints")).text)[0]


# -- the search ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "place"),
    [
        (str(MESSAGES["usr"]), f"/reports/messages/{MESSAGES['usr']}"),
        (f"msg_{MESSAGES['usr']}", f"/reports/messages/{MESSAGES['usr']}"),
        ("#7", "/tasks/7"),
        ("7", "/tasks/7"),
        ("task of low", "/tasks/5/preview"),
        ("low", ""),
        ("13700000004", "/reports/messages?number=13700000004"),
        ("+86 137 0000 0004", "/reports/messages?number=%2B86+137+0000+0004"),
        (str(MESSAGES["sibling7"]), ""),
        ("task of sibling7", ""),
        ("#6", ""),
        ("nothing like it", ""),
        ("", ""),
    ],
)
async def test_the_search_leads_straight_to_what_is_meant(console: World, query: str, place: str) -> None:
    async with console.person("adm") as person:
        answer = await person.get("/search", params={"q": query})
        assert answer.headers.get("location", "") == place
        if not place:
            assert answer.status_code == 200
            assert "task of sibling7</" not in answer.text
            assert ("Nothing fits" in answer.text or "What are you" in answer.text) == (query != "low")


async def test_the_search_stands_on_every_page_and_needs_no_script(console: World) -> None:
    async with console.person("usr") as person:
        for path in ("/", "/contacts", "/me"):
            page = (await person.get(path)).text
            assert re.search(r'<form class="find-all" method="get" action="/search"', page)
            assert "data-search" in page
    script = (Path(__file__).parents[2] / "admin/static/keys.js").read_text()
    assert "[data-search]" in script


async def test_a_plain_user_finds_neither_others_nor_their_tasks(console: World) -> None:
    async with console.person("usr") as person:
        for query in (str(MESSAGES["low"]), "#5", "task of low", "low"):
            answer = await person.get("/search", params={"q": query})
            assert answer.status_code == 200
            assert "Nothing fits" in answer.text


# -- the messages of a task ---------------------------------------------------------------------------


def run_task(console: World) -> None:
    """usr's task 7 with five messages more: delivered, throttled, undelivered twice, and one that waits."""
    store, account = console.daemon.traffic(), account_of(console, "usr")
    parts = [
        part(id=id_at(700 + n), account=account, task=7, dest=8613700000100 + n, body=b"hi") for n in range(5)
    ]
    store.apply(Changes(parts=parts))
    store.apply(
        Changes(attempts=[attempt(one, status=0x58 if n == 1 else 0) for n, one in enumerate(parts[:4])])
    )
    ends = [outcome(parts[0]), outcome(parts[1], State.FAILED, 0x58)]
    ends += [outcome(one, State.FAILED, 27) for one in parts[2:4]]
    store.apply(Changes(outcomes=ends))
    data = console.store.path.parent
    with TaskFile.open(folder_of(data, 7) / ROWS, writes=True) as file:
        file.record(Pass(2, 2, parts[0].id, parts[-1].id, 5, clock.at), [(2, int(Reason.BLACKLISTED_GROUP))])


async def test_a_task_lists_its_messages_only_with_filters_and_export(console: World) -> None:
    run_task(console)
    async with console.person("usr") as person:
        assert len(rows((await person.get("/tasks/7/messages")).text)) == 6
        throttled = rows((await person.get("/tasks/7/messages?reason=ESME_RTHROTTLED")).text)
        assert len(throttled) == 2
        assert len(rows((await person.get("/tasks/7/messages?state=undelivered")).text)) == 2
        assert len(rows((await person.get("/tasks/7/messages?number=8613700000102")).text)) == 1
        lines = (await person.get("/tasks/7/messages?state=undelivered&format=csv")).text.splitlines()
        assert len(lines) == 3
        assert all("err 27" in line for line in lines[1:])
        refused = rows((await person.get("/tasks/7/messages?show=refused")).text)
        assert len(refused) == 1
        assert "on the blacklist of" in refused[0]
        assert rows((await person.get("/tasks/7/messages?show=unsent")).text) == []
    async with console.person("sibling7") as person:
        assert (await person.get("/tasks/7/messages")).status_code == 404


async def test_why_messages_failed_is_counted_and_leads_to_them(console: World) -> None:
    run_task(console)
    with TaskFile.open(folder_of(console.store.path.parent, 7) / ROWS, writes=True) as file:
        file.count([(0, 0, 0, 3, 0, 0, 0, 1, 2)])
    async with console.person("usr") as person:
        page = (await person.get("/tasks/7")).text
        assert "(err 27)" in page
        assert "ESME_RTHROTTLED" in page
        links = re.findall(r'href="(/tasks/7/messages\?[^"]+)"', page)
        assert len(links) == 3
        counts = [len(rows((await person.get(link.replace("&amp;", "&"))).text)) for link in links]
    assert counts == [2, 2, 1]


async def test_a_filter_s_result_is_sent_again_as_a_new_task(console: World) -> None:
    run_task(console)
    async with console.person("usr") as person:
        page = (await person.get("/tasks/7/messages?state=undelivered")).text
        assert "Send again to these" in page
        assert 'name="f-state" value="undelivered"' in page
        answer = await person.post("/tasks/7/resend", {"which": "filter", "f-state": "undelivered"})
        assert answer.status_code == 303
        copy = int(answer.headers["location"].split("/")[2])
        nobody = await person.post("/tasks/7/resend", {"which": "filter", "f-number": "8613999999999"})
        assert nobody.status_code == 422
        assert "No message fits the filter." in nobody.text
        odd = await person.post(
            "/tasks/7/resend", {"which": "filter", "f-carrier": "hello", "f-state": "odd"}
        )
        assert odd.status_code == 303
    chosen = (folder_of(console.store.path.parent, copy) / RESENT).read_text().split()
    assert chosen == ["8613700000102", "8613700000103"]


async def test_too_large_a_result_is_refused_with_what_to_do(
    console: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_task(console)
    for module in ("task", "task_messages"):
        monkeypatch.setattr(f"admin.pages.{module}.FILTERED_MAX", 3)
    async with console.person("usr") as person:
        answer = await person.post("/tasks/7/resend", {"which": "filter", "f-number": "137"})
    assert answer.status_code == 422
    assert "Narrow the filter" in answer.text
