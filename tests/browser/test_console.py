"""A first day with the console, in a browser: with and without script, wide and narrow, in both languages."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.browser.conftest import ROOT, Gateway

PASSWORD = "a sentence that is long enough"
PAGES = (
    "/",
    "/users",
    "/users/new",
    "/users/import",
    "/users/2",
    "/users/groups",
    "/users/groups/new",
    "/users/groups/2",
    "/users/deleted",
    "/users/ledger",
    "/settings/words?try=casino",
    "/settings/blacklist/import",
    "/contacts",
    "/contacts/import",
    "/settings/blacklist?check=8613800138000",
    "/reports/messages?number=138&state=failed&reason=err+27",
    "/sms/complaints",
    "/search?q=nothing",
    "/gateway",
    "/audit",
    "/jobs",
    "/trash",
    "/me",
)


class Visit:
    """A browser window that notes every fault, and can reach nothing but the console."""

    def __init__(self, browser: Browser, gateway: Gateway, **options: Any) -> None:
        self.faults: list[str] = []
        self.base = gateway.base
        self.context: BrowserContext = browser.new_context(**options)
        self.context.route(
            re.compile(r"^(?!" + re.escape(gateway.base) + ")"),
            lambda route: (self.faults.append(f"asked for {route.request.url}"), route.abort()),
        )
        self.page: Page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def _hear(self, said: ConsoleMessage) -> None:
        # A refused form is part of the day: browsers call its status a failure.
        if said.type in ("error", "warning") and "status of 422" not in said.text:
            self.faults.append(said.text)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()


def first_day(visit: Visit, gateway: Gateway) -> None:
    """Make the administrator, a group with parts, a user; screen a word; list a number."""
    page = visit.page
    page.goto(gateway.setup)
    page.get_by_label("Your organisation", exact=True).fill("集时通")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password once more", exact=True).fill(PASSWORD)
    visit.press("Make the administrator")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()

    page.goto(f"{visit.base}/users/groups/new")
    page.get_by_label("Name", exact=True).fill("福建分公司")
    visit.press("Add group")
    page.get_by_label("Parts", exact=True).fill("5,000")
    visit.press("Top up")
    expect(page.get_by_role("status")).to_contain_text("5,000 parts more")

    page.goto(f"{visit.base}/users/new")
    page.get_by_label("Login", exact=True).fill("acme")
    page.get_by_label("User group", exact=True).select_option(label="集时通/福建分公司")
    page.get_by_label("Parts to begin with", exact=True).fill("5001")
    visit.press("Add user")
    expect(page.get_by_text("At most 5,000 parts")).to_be_visible()
    page.get_by_label("Parts to begin with", exact=True).fill("3000")
    visit.press("Add user")
    expect(page.get_by_role("status")).to_contain_text("Temporary password of acme")

    page.goto(f"{visit.base}/settings/words")
    page.get_by_label("Words", exact=True).fill("casino")
    visit.press("Add words")
    page.get_by_label("Text", exact=True).fill("win at the C.a.s.i.n.o")
    visit.press("Try")
    expect(page.locator("mark")).to_have_text("C.a.s.i.n.o")

    page.goto(f"{visit.base}/settings/blacklist")
    page.get_by_label("Numbers", exact=True).fill("+86 138 0013 8000")
    visit.press("Add numbers")
    expect(page.get_by_role("cell", name="8613800138000").first).to_be_visible()


@pytest.mark.parametrize("script", [True, False])
def test_a_first_day_goes_well_with_and_without_script(
    browser: Browser, gateway: Gateway, script: bool
) -> None:
    visit = Visit(browser, gateway, locale="en-GB", java_script_enabled=script)
    first_day(visit, gateway)
    visit.context.close()
    assert visit.faults == []


def test_every_page_fits_and_follows_the_rules_wide_and_narrow_in_both_languages(
    browser: Browser, gateway: Gateway
) -> None:
    begin = Visit(browser, gateway, locale="en-GB")
    first_day(begin, gateway)
    state = begin.context.storage_state()
    begin.context.close()
    for locale, width, scheme in (
        ("zh-CN", 1280, "light"),
        ("en-GB", 1280, "dark"),
        ("zh-CN", 360, "dark"),
        ("en-GB", 360, "light"),
    ):
        visit = Visit(
            browser,
            gateway,
            locale=locale,
            storage_state=state,
            color_scheme=scheme,
            viewport={"width": width, "height": 800},
        )
        for path in PAGES:
            answer = visit.page.goto(visit.base + path)
            assert answer is not None
            assert answer.status == 200
            assert visit.page.locator("html").get_attribute("lang") == locale[:2] + (
                "-CN" if locale[0] == "z" else ""
            )
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width, (path, locale)
        visit.context.close()
        assert visit.faults == [], (locale, width)


def test_live_figures_move_by_themselves_and_stop_at_sign_out(
    browser: Browser, gateway: Gateway, tmp_path: Path
) -> None:
    visit = Visit(browser, gateway, locale="en-GB")
    first_day(visit, gateway)
    page = visit.page
    page.goto(visit.base)
    expect(page.locator("body[data-live=streamed]")).to_be_attached()
    expect(page.locator(".chart canvas")).to_be_visible()
    with page.expect_response("**/live"):  # another carrier is another row: the part comes anew
        new_carrier(tmp_path)
    expect(page.get_by_role("cell", name="north").first).to_be_visible()
    # Whoever ends the session elsewhere ends it here too, without a click.
    other = Visit(browser, gateway, locale="en-GB", storage_state=visit.context.storage_state())
    other.page.goto(f"{visit.base}/users")
    other.page.locator(".topbar details.menu > summary").click()
    other.press("Sign out")
    other.context.close()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=10_000)
    page.goto(f"{visit.base}/users")
    assert page.url == f"{visit.base}/login?next=/users"
    visit.context.close()
    assert visit.faults == []


def test_without_a_stream_figures_are_asked_for(browser: Browser, gateway: Gateway) -> None:
    visit = Visit(browser, gateway, locale="en-GB")
    first_day(visit, gateway)
    page = visit.page
    page.route("**/stream?**", lambda route: route.fulfill(status=503))
    with page.expect_response("**/figures?**") as answer:
        page.goto(visit.base)
    assert answer.value.status == 200
    expect(page.locator("body[data-live=polled]")).to_be_attached()
    visit.context.close()
    assert [fault for fault in visit.faults if "503" not in fault] == []


def new_carrier(tmp_path: Path) -> None:
    """Declare a carrier that nobody answers for."""
    document = tmp_path / "north.toml"
    document.write_text(
        '[[carrier]]\nname = "north"\nhost = "127.0.0.1"\nport = 9\nsystem_id = "a"\npassword = "b"\n'
    )
    command = [sys.executable, "-m", "gateway", "apply", str(document), "--data", str(tmp_path / "data")]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)


def test_a_page_prints_without_what_surrounds_it(browser: Browser, gateway: Gateway) -> None:
    visit = Visit(browser, gateway, locale="en-GB", color_scheme="dark")
    first_day(visit, gateway)
    page = visit.page
    page.goto(f"{visit.base}/users")
    expect(page.locator(".rail")).to_be_visible()
    page.emulate_media(media="print")
    for around in (".rail", ".topbar", ".filters", ".page-head .actions"):
        expect(page.locator(around).first).to_be_hidden()
    expect(page.get_by_role("cell", name="acme").first).to_be_visible()
    ink = page.evaluate("getComputedStyle(document.querySelector('h1')).color")
    assert max(int(part) for part in re.findall(r"\d+", ink)[:3]) < 100  # dark on paper, whatever the screen
    visit.context.close()
    assert visit.faults == []
