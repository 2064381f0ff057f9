"""`make screenshots`: every page of the console as a picture, in both languages, wide and narrow, to be looked at.

A real daemon with a day's work in it: users, words, lists, imports, a carrier, and a task in each state. The pictures
go to build/screenshots, named PAGE-LANGUAGE-WIDTH.png; a sheet that shows them side by side goes beside them.
Run by name only: pytest does not find this file by itself, but `test_page_shots.py` holds it complete.
"""

import base64
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from playwright.sync_api import Browser, Page, expect

from admin.i18n import Language
from store import totp
from tests.browser.conftest import ROOT, Gateway
from tests.browser.test_accessible import import_contacts
from tests.browser.test_sending import simulated_carrier
from tests.browser.test_story import (
    NEW_PASSWORD,
    PASSWORD,
    Person,
    approve,
    begin,
    import_users,
    send,
    sign_in_first,
    watch,
)

TARGET = ROOT / "build" / "screenshots"
SHEET_SHOTS = 6
PATIENCE_MS = 8_000
SLOW_NUMBERS = 600  # at one a second: a task that goes on while the pictures are taken


class Look(msgspec.Struct, frozen=True):
    """How a picture is taken."""

    language: Language
    locale: str
    width: int
    scheme: str


LOOKS = (
    Look("zh", "zh-CN", 1280, "light"),
    Look("en", "en-GB", 1280, "dark"),
    Look("zh", "zh-CN", 360, "dark"),
    Look("en", "en-GB", 360, "light"),
)

# The addresses of a route that are worth a picture; what stands in braces is filled in from the day's work.
SHOTS: dict[str, tuple[str, ...]] = {
    "/": ("/",),
    "/me": ("/me",),
    "/me/second-factor": ("/me/second-factor",),
    "/sms/send": ("/sms/send",),
    "/sms/tasks": ("/sms/tasks", "/sms/tasks?q=nothing"),
    "/sms/pending": ("/sms/pending",),
    "/sms/complaints": ("/sms/complaints",),
    "/tasks/{task_id:int}": tuple(
        f"/tasks/{{{state}}}" for state in ("finished", "executing", "paused", "waiting", "review", "rejected")
    ),
    "/tasks/{task_id:int}/edit": ("/tasks/{preview}/edit",),
    "/tasks/{task_id:int}/file": ("/tasks/{columns}/file",),
    "/tasks/{task_id:int}/preview": ("/tasks/{preview}/preview",),
    "/tasks/{task_id:int}/blocked": ("/tasks/{preview}/blocked",),
    "/tasks/{task_id:int}/messages": ("/tasks/{finished}/messages", "/tasks/{executing}/messages?show=unsent"),
    "/review/tasks": ("/review/tasks",),
    "/review/tasks/{task_id:int}": ("/review/tasks/{review}",),
    "/users": ("/users",),
    "/users/new": ("/users/new",),
    "/users/deleted": ("/users/deleted",),
    "/users/{user_id:int}": ("/users/2", "/users/{gone}"),
    "/users/{user_id:int}/anonymise": ("/users/{gone}/anonymise",),
    "/users/groups": ("/users/groups",),
    "/users/groups/new": ("/users/groups/new",),
    "/users/groups/{group_id:int}": ("/users/groups/2",),
    "/users/ledger": ("/users/ledger",),
    "/users/import": ("/users/import",),
    "/contacts": ("/contacts", "/contacts?group=1"),
    "/contacts/import": ("/contacts/import",),
    "/settings/words": ("/settings/words?try=点击C.a.s.i.n.o领取",),
    "/settings/words/import": ("/settings/words/import",),
    "/settings/blacklist": ("/settings/blacklist?check=8613800138000", "/settings/blacklist?tab=group"),
    "/settings/blacklist/import": ("/settings/blacklist/import",),
    "/settings/phrases": ("/settings/phrases",),
    "/imports/{import_id:int}": ("/imports/{written}", "/imports/{bind}", "/imports/{judged}"),
    "/imports/{import_id:int}/rows": ("/imports/{judged}/rows?kind=invalid",),
    "/reports/messages": ("/reports/messages", "/reports/messages?state=failed", "/reports/messages?number=999"),
    "/reports/messages/{message_id:int}": ("/reports/messages/{message}",),
    "/search": ("/search?q=1390000", "/search?q=nothing"),
    "/gateway": ("/gateway?try=8613800138000",),
    "/audit": ("/audit",),
    "/jobs": ("/jobs",),
    "/trash": ("/trash",),
}  # fmt: skip
# Pages that show to nobody or once only: a function each, which comes to them on the way that people come.
ON_THE_WAY = frozenset({"/setup/{token:str}", "/login", "/login/code", "/me/password", "/me/resume"})
# What a GET gives that is no page of its own.
NO_PAGES = frozenset(
    {
        "/static/{digest:str}/{name:str}", "/favicon.ico", "/stream", "/figures", "/live", "/gateway/live",
        "/tasks/{task_id:int}/live", "/tasks/{task_id:int}/preview/live", "/imports/{import_id:int}/live",
        "/me/second-factor/qr.svg", "/users/import/sample", "/contacts/import/sample",
        "/settings/words/import/sample", "/settings/blacklist/import/sample", "/jobs/{job_id:int}/file",
    }
)  # fmt: skip
NOT_THERE = "/nothing/here"


def test_every_page_is_taken(browser: Browser, gateway: Gateway, tmp_path: Path) -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    for old in TARGET.glob("*.png"):
        old.unlink()

    def person(look: Look, **options: object) -> Person:
        return Person(
            browser, gateway, look.language, locale=look.locale, color_scheme=look.scheme,
            viewport={"width": look.width, "height": 800}, **options,
        )  # fmt: skip

    for look in LOOKS:
        stranger = person(look)
        stranger.page.goto(gateway.setup)
        take(stranger, look, "setup")
        stranger.context.close()
    with simulated_carrier(tmp_path, "--states", "DELIVRD=0.97,UNDELIV=0.03", "--seed", "5", rate=1_000):
        admin = person(LOOKS[1])
        admin.page.set_default_timeout(PATIENCE_MS)
        admin.page.on("dialog", lambda dialog: dialog.accept())
        places, temporary = a_day(admin, person(LOOKS[1]), gateway, tmp_path)
        for look in LOOKS:
            doors(look, person, temporary)
            looking = person(look, storage_state=admin.context.storage_state())
            for addresses in (*SHOTS.values(), (NOT_THERE,)):
                for address in addresses:
                    looking.page.goto(looking.base + address.format(**places))
                    take(looking, look, address)
            looking.context.close()
            assert [fault for fault in looking.faults if "404" not in fault] == []
    sheets(browser)


def take(person: Person, look: Look, address: str) -> None:
    """The whole page as it stands, once its chart is drawn."""
    page = person.page
    name = re.sub(r"\W+", "-", address).strip("-") or "dashboard"
    page.wait_for_load_state("load")
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= look.width, (name, look)
    page.screenshot(
        path=TARGET / f"{name}-{look.language}-{look.width}.png", full_page=True, animations="disabled"
    )


def doors(look: Look, person: Callable[..., Person], temporary: str) -> None:
    """Sign-in, its second step, the change of a temporary password, and a form that waited for a sign-in."""
    who = person(look)
    who.page.goto(f"{who.base}/login")
    take(who, look, "login")
    sign_in(who, "lin", NEW_PASSWORD)
    expect(who.page).to_have_url(re.compile("/login/code"))
    take(who, look, "login/code")
    who.context.clear_cookies()
    who.page.goto(f"{who.base}/login")
    sign_in(who, "acme", temporary)
    expect(who.page).to_have_url(re.compile("/me/password"))
    take(who, look, "me/password")
    who.context.close()
    who = person(look, java_script_enabled=False)
    who.page.goto(f"{who.base}/login")
    sign_in(who, "admin", PASSWORD)
    who.go("/users/groups/new")
    who.fill("Name", "厦门分公司")
    who.context.clear_cookies()
    who.press("Add group")
    sign_in(who, "admin", PASSWORD)
    take(who, look, "me/resume")
    who.context.close()


def sign_in(who: Person, login: str, password: str) -> None:
    who.fill("Login", login)
    who.fill("Password", password)
    who.press("Sign in")


def a_day(admin: Person, operator: Person, gateway: Gateway, tmp_path: Path) -> tuple[dict[str, str], str]:
    """The day's work; gives what stands in the addresses, and a temporary password."""
    begin(admin, gateway)
    sign_in_first(operator, *import_users(admin, tmp_path))
    finished = send(operator, tmp_path)
    second_factor(operator)
    lists(admin)
    temporary, deleted = users(admin)
    approve(admin)
    watch(admin_at(admin, finished), finished)
    places = {"finished": number_in(finished), "gone": deleted, **tasks(admin, tmp_path)}
    admin.go(f"/tasks/{places['finished']}/messages?state=failed")
    href = admin.page.locator("main tbody tr a[href^='/reports/messages/']").first.get_attribute("href") or ""
    places["message"] = number_in(href)
    import_contacts(admin)
    newest = int(number_in(admin.page.url))
    places |= {"written": "2", "bind": str(newest - 1), "judged": str(newest)}
    operator.context.close()
    return places, temporary


def admin_at(admin: Person, path: str) -> Person:
    admin.go(path)
    return admin


def number_in(url: str) -> str:
    return re.findall(r"\d+", re.sub(r"^\w+://[^/]+", "", url))[0]


def second_factor(operator: Person) -> None:
    page = operator.go("/me/second-factor")
    key = base64.b32decode(page.locator(".key-text").inner_text().replace(" ", ""))
    page.locator(".otp").first.fill(totp.code_at(key, totp.step_of(int(time.time() * 1000))))
    operator.press("Switch on")
    expect(page.locator(".recovery li")).to_have_count(10)


def lists(admin: Person) -> None:
    """Words, numbers, contacts, phrases; parts for the administrator."""
    admin.go("/users/1")
    admin.fill("Parts", "9000")
    admin.press("Top up")
    for words, category in (("casino\n中奖\n发票代开", "诈骗"), ("赌博\n六合彩", "赌博")):
        admin.go("/settings/words")
        admin.fill("Words", words)
        admin.page.locator("#category").fill(category)
        admin.press("Add words")
    admin.go("/settings/blacklist")
    admin.fill("Numbers", "+86 138 0013 8000\n13900139000\n13700137000")
    admin.page.locator("#note").fill("客户投诉")
    admin.press("Add numbers")
    for people, group in (
        ("张三, 13900000001\n李四, 13900000002", "客户/福建"),
        ("王五, 13900000003", "员工"),
    ):
        admin.go("/contacts")
        admin.fill("People", people)
        admin.page.get_by_role("textbox", name=admin.t("Contact group"), exact=True).fill(group)
        admin.press("Add contacts")
    for text in ("您的保单即将到期，请及时续保。", "尊敬的客户：您的验证码为 839201，五分钟内有效。"):
        admin.go("/settings/phrases")
        admin.page.locator("#text").fill(text)
        admin.page.locator("#group").fill("常用")
        admin.press("Add a phrase")


def users(admin: Person) -> tuple[str, str]:
    """One with a temporary password, and one deleted: (password, id of the deleted)."""
    made = ""
    for login in ("zhao", "acme"):
        page = admin.go("/users/new")
        admin.fill("Login", login)
        admin.press("Add user")
        said = page.get_by_role("status").first.inner_text()
        made = re.search(r"\b(\w{14})\b", said)[1] if re.search(r"\b(\w{14})\b", said) else made
        if login == "zhao":
            deleted = number_in(page.url)
            page.locator("button[name=state][value=deleted]").click()
            expect(page.get_by_role("status").first).to_be_visible()
    return made, deleted


def tasks(admin: Person, tmp_path: Path) -> dict[str, str]:
    """One in each state that a task can be in; gives their numbers."""
    later = (datetime.now().astimezone() + timedelta(days=1)).strftime("%Y-%m-%dT09:00:00")
    many = ", ".join(str(13600000000 + n) for n in range(SLOW_NUMBERS))
    made: dict[str, str] = {}
    for state, name, numbers in (
        ("rejected", "积分兑换", "13900000001"),
        ("executing", "双十一活动", many),
        ("paused", "满减提醒", many),
        ("waiting", "会员日预告", "13900000001, 13900000002"),
        ("review", "新品上市", "13900000001, 13900000002, 13900000004"),
        ("preview", "生日祝福", "13800138000, 12ab, 13900000001, 13900000001, 139000000"),
    ):
        page = compose(
            admin, name, numbers, start="" if state in ("rejected", "review", "preview") else later
        )
        admin.waits_for(admin.t("Confirm and send"))
        made[state] = number_in(page.url)
        if state == "preview":
            continue
        admin.press("Confirm and send")
        expect(page.get_by_role("status")).to_be_visible()
        decide(admin, made[state], state)
    page = compose(admin, "续保名单", "", file=str(tmp_path / "customers.csv"))
    expect(page.get_by_label(admin.t("Column with the numbers"))).to_be_visible()
    made["columns"] = number_in(page.url)
    return made


def compose(admin: Person, name: str, numbers: str, *, start: str = "", file: str = "") -> Page:
    page = admin.go("/sms/send")
    admin.fill("Task name", name)
    admin.fill("Text", "尊敬的会员：恭喜您中奖，双十一满 300 减 50，详询门店。回复 T 退订")
    admin.fill("Typed numbers", numbers)
    if file:
        page.get_by_label(admin.t("File"), exact=True).set_input_files(file)
    if start:
        page.locator("#start_at").fill(start)
    page.get_by_role("button", name=admin.t("Go to the preview")).last.click()
    return page


def decide(admin: Person, task: str, state: str) -> None:
    """Review a task, and bring it to where it should be."""
    if state == "review":
        return
    page = admin.go(f"/review/tasks/{task}")
    if state == "rejected":
        page.locator("#note").fill("请写明活动期限。")
        admin.press("Reject")
        return
    admin.press("Approve")
    page = admin.go(f"/tasks/{task}")
    if state == "waiting":
        return
    admin.fill("Messages per second, at most", "1")
    admin.press("Change")
    move(admin, "send-now")
    expect(page.locator("form:has(input[value=pause])").first).to_be_visible(timeout=30_000)
    if state == "paused":
        move(admin, "pause")
        expect(page.locator("form:has(input[value=resume])").first).to_be_visible(timeout=30_000)


def move(admin: Person, name: str) -> None:
    admin.page.locator(f"form:has(input[name=move][value={name}]) button").first.click()


def sheets(browser: Browser) -> None:
    """The pictures of one look side by side, a few a sheet: for a first look at all of them."""
    for look in LOOKS:
        names = sorted(TARGET.glob(f"*-{look.language}-{look.width}.png"))
        for at in range(0, len(names), SHEET_SHOTS):
            page = browser.new_page(viewport={"width": 1680, "height": 600})
            page.goto(TARGET.as_uri())
            page.set_content(
                "<style>body{display:flex;flex-wrap:wrap;gap:8px;margin:8px;font:12px sans-serif}"
                "figure{margin:0;max-width:calc(33.3% - 6px)}img{max-width:100%;outline:1px solid #888}</style>"
                + "".join(
                    f"<figure><figcaption>{one.stem}</figcaption>"
                    f"<img src='data:image/png;base64,{base64.b64encode(one.read_bytes()).decode()}'></figure>"
                    for one in names[at : at + SHEET_SHOTS]
                )
            )
            page.screenshot(
                path=TARGET / f"sheet-{look.language}-{look.width}-{at // SHEET_SHOTS + 1}.png",
                full_page=True,
            )
            page.close()
