"""A campaign from an empty gateway to its last complaint, as an operator lives it: in either language, with and without
script, wide and narrow, light and dark."""

import csv
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from admin.i18n import Language, translate
from tests.browser.conftest import Gateway
from tests.browser.test_console import Visit
from tests.browser.test_sending import simulated_carrier

NUMBERS = 1_000
FIRST = 8613700000000
PATIENCE_MS = 60_000
PASSWORD = "a sentence that is long enough"
NEW_PASSWORD = "another sentence, only mine"

VISITS: dict[str, tuple[Language, dict[str, Any]]] = {
    "English, wide, light": (
        "en",
        {"locale": "en-GB", "viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    ),
    "Chinese, narrow, dark, without script": (
        "zh",
        {
            "locale": "zh-CN",
            "viewport": {"width": 360, "height": 740},
            "color_scheme": "dark",
            "java_script_enabled": False,
        },
    ),
}


class Person(Visit):
    """Somebody at the console, who reads one language."""

    def __init__(self, browser: Browser, gateway: Gateway, language: Language, **options: Any) -> None:
        super().__init__(browser, gateway, **options)
        self.language = language
        self.script = options.get("java_script_enabled", True)

    def t(self, text: str, **values: object) -> str:
        return translate(self.language, text, **values)

    def go(self, path: str) -> Page:
        answer = self.page.goto(self.base + path)
        assert answer is not None and answer.status == 200, path
        return self.page

    def fill(self, label: str, text: str) -> None:
        self.page.get_by_label(self.t(label), exact=True).first.fill(text)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=self.t(name), exact=True).first.click()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=self.t(name), exact=True).first.click()

    def reads(self, text: str) -> None:
        expect(self.page.locator("main")).to_contain_text(text, timeout=PATIENCE_MS)

    def waits_for(self, text: str) -> None:
        """Live pages come to it by themselves; without script somebody has to look again."""
        main = self.page.locator("main")
        if self.script:
            expect(main).to_contain_text(text, timeout=PATIENCE_MS)
        for _ in range(400):
            if text in main.inner_text():
                return
            self.page.reload()
        raise AssertionError(f"{text!r} never came:\n{main.inner_text()}")


@pytest.mark.parametrize("visit", VISITS)
def test_a_campaign_from_the_first_start_to_the_last_complaint(
    browser: Browser, gateway: Gateway, tmp_path: Path, visit: str
) -> None:
    language, options = VISITS[visit]
    admin = Person(browser, gateway, language, **options)
    with simulated_carrier(tmp_path, "--states", "DELIVRD=0.97,UNDELIV=0.03", "--seed", "5", rate=1_000):
        begin(admin, gateway)
        operator = Person(browser, gateway, language, **options)
        sign_in_first(operator, *import_users(admin, tmp_path))
        task = send(operator, tmp_path)
        approve(admin)
        watch(operator, task)
        number = find_a_failed_message(operator, task)
        blacklist_a_complainer(admin, number)
        resend_the_failed(operator, task)
    for person in (admin, operator):
        person.context.close()
        assert person.faults == []


def begin(admin: Person, gateway: Gateway) -> None:
    """First start, a branch with parts."""
    admin.page.goto(gateway.setup)
    admin.fill("Your organisation", "集时通")
    admin.fill("Password", PASSWORD)
    admin.fill("Password once more", PASSWORD)
    admin.press("Make the administrator")
    admin.go("/users/groups/new")
    admin.fill("Name", "福建分公司")
    admin.press("Add group")
    admin.fill("Parts", "20000")
    admin.press("Top up")
    admin.reads("20,000")


def import_users(admin: Person, tmp_path: Path) -> tuple[str, str]:
    """Two users from a file as Excel in China saves it, one of them wrong at first; gives a login and its password."""
    wrong = "登录名,姓名,用户组,手机,类型,条数\nlin,林,集时通/福建分公司,13800138001,用户,6000\nlin,双,集时通,,,\n"
    path = tmp_path / "users.csv"
    path.write_bytes(wrong.encode("gb18030"))
    admin.go("/users/import")
    admin.page.get_by_label(admin.t("File"), exact=True).set_input_files(str(path))
    admin.press("Look at the file")
    admin.reads("林")
    admin.press("Look at the rows")
    admin.waits_for(
        admin.t("All rows are written or none. Mend the rows beside in the file, and choose it again.")
    )
    path.write_bytes(wrong.replace("lin,双,集时通,,,", "chen,陈,集时通/福建分公司,,,500").encode("gb18030"))
    admin.follow("Choose another file")
    admin.page.get_by_label(admin.t("File"), exact=True).set_input_files(str(path))
    admin.press("Look at the file")
    admin.press("Look at the rows")
    admin.waits_for(
        admin.t("%(count)s rows are written when you confirm; nothing is written before.", count=2)
    )
    admin.press("Add the users")
    admin.waits_for(admin.t("%(count)s rows are written.", count=2))
    with admin.page.expect_download() as download:
        admin.press("Fetch the passwords")
    rows = list(csv.reader(StringIO(download.value.path().read_text(encoding="utf-8-sig"))))
    passwords = {row[0]: row[-1] for row in rows[1:]}
    assert set(passwords) == {"lin", "chen"}
    return "lin", passwords["lin"]


def sign_in_first(operator: Person, login: str, password: str) -> None:
    """With the password of the file, which opens nothing but its change."""
    operator.page.goto(operator.base + "/")
    operator.fill("Login", login)
    operator.fill("Password", password)
    operator.press("Sign in")
    operator.fill("Temporary password", password)
    operator.fill("New password", NEW_PASSWORD)
    operator.fill("New password once more", NEW_PASSWORD)
    operator.press("Change password")
    expect(operator.page.get_by_role("heading", level=1)).to_have_text(operator.t("Dashboard"))


def send(operator: Person, tmp_path: Path) -> str:
    """To a file of numbers; gives the path of the task."""
    rows = "".join(f"客户{n},{FIRST + n}\n" for n in range(NUMBERS))
    (tmp_path / "customers.csv").write_text("姓名,手机号码\n" + rows, encoding="gb18030")
    page = operator.go("/sms/send")
    page.get_by_label(operator.t("Text"), exact=True).fill("您的保单即将到期，请及时续保。")
    page.get_by_label(operator.t("File"), exact=True).set_input_files(str(tmp_path / "customers.csv"))
    page.get_by_role("button", name=operator.t("Go to the preview")).last.click()
    expect(page.get_by_label(operator.t("Column with the numbers"))).to_have_value("1")
    operator.press("Go to the preview")
    operator.waits_for(operator.t("Confirm and send"))
    expect(page.locator("tfoot")).to_contain_text("1,000")
    operator.press("Confirm and send")
    expect(page.get_by_role("status")).to_be_visible()
    return re.sub(r"^\w+://[^/]+", "", page.url)


def approve(admin: Person) -> None:
    page = admin.go("/review/tasks")
    page.locator("table a").first.click()
    page.once("dialog", lambda dialog: dialog.accept())  # it asks before, as nothing is called back after
    admin.press("Approve")
    expect(page.get_by_role("status")).to_be_visible()


def watch(operator: Person, task: str) -> None:
    """On the page where the confirmation led, which comes anew by itself when the task begins."""
    assert operator.page.url.endswith(task)
    operator.waits_for(operator.t("Finished"))
    operator.waits_for(operator.t("Why messages failed"))


def find_a_failed_message(operator: Person, task: str) -> str:
    """By the reason on the task's page; gives its number."""
    operator.go(task)
    section = operator.page.locator(
        "section", has=operator.page.get_by_role("heading", name=operator.t("Why messages failed"))
    )
    section.locator("tbody a").first.click()
    row = operator.page.locator("main tbody tr").first
    number = re.search(r"8613\d{9}", row.inner_text())
    assert number is not None
    row.get_by_role("link").first.click()
    operator.reads("UNDELIV")
    operator.reads(operator.t("Timeline"))
    return number[0]


def blacklist_a_complainer(admin: Person, number: str) -> None:
    """Found by the search at the top, by its number."""
    page = admin.go("/")
    page.locator("#find-all").fill(number)
    page.locator("#find-all").press("Enter")
    page.locator("main tbody tr a, main .results a").first.click()
    admin.follow("Add to a blacklist")
    expect(page.locator("#numbers")).to_have_value(number)
    admin.press("Add numbers")
    admin.go(f"/settings/blacklist?check={number}")
    admin.reads(admin.t("Listed"))


def resend_the_failed(operator: Person, task: str) -> None:
    """As a new task, from which the listed number is left out."""
    page = operator.go(task)
    page.get_by_role("button", name=re.compile("^" + re.escape(operator.t("Those that failed")))).click()
    operator.waits_for(operator.t("Confirm and send"))
    listed_row = page.locator("main tr").filter(has_text=operator.t("Blacklisted"))
    expect(listed_row.locator(".k-number").first).to_have_text("1")
    operator.press("Confirm and send")
    operator.go("/sms/tasks")
    assert page.locator("main tbody tr").count() == 2
