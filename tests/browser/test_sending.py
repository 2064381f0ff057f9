"""Sending in a browser: from the numbers to the delivered messages, with and without script, wide and narrow."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from bench.processes import event_of
from tests.browser.conftest import ROOT, Gateway
from tests.browser.test_console import Visit, first_day

NUMBERS = 300
PATIENCE_MS = 30_000


@contextmanager
def simulated_carrier(tmp_path: Path, *behaviour: str, rate: int) -> Iterator[None]:
    """A simulated carrier with a route to it, for the daemon whose data is in `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.sim", "carrier", "--port", "0", *behaviour],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        events = (event_of(line) for line in process.stdout)
        address = next(event["address"] for event in events if event.get("name") == "carrier")
        document = tmp_path / "carrier.toml"
        document.write_text(
            '[[carrier]]\nname = "c"\nhost = "127.0.0.1"\n'
            f"port = {address.rpartition(':')[2]}\n"
            f'system_id = "carrier"\npassword = "password"\nrate = {rate}\n'
            '[[route]]\nprefix = ""\ncarriers = ["c"]\n'
        )
        command = [sys.executable, "-m", "gateway", "apply", str(document), "--data", str(tmp_path / "data")]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        yield
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture
def carrier(gateway: Gateway, tmp_path: Path) -> Iterator[None]:
    with simulated_carrier(tmp_path, rate=150):
        yield


def write_and_confirm(visit: Visit, page: Page, tmp_path: Path, *, script: bool) -> str:
    """From the empty form to the task's page; gives its address."""
    page.goto(f"{visit.base}/users/1")
    page.get_by_label("Parts", exact=True).fill("5000")
    visit.press("Top up")
    page.goto(f"{visit.base}/contacts")
    page.get_by_label("People", exact=True).fill("Zhang San, 8613900000001\nLi Si, 8613900000002")
    page.get_by_role("textbox", name="Contact group", exact=True).fill("friends")
    visit.press("Add contacts")
    page.goto(f"{visit.base}/settings/phrases")
    page.get_by_label("Text", exact=True).fill("Come to the casino.")
    page.get_by_label("Phrase group", exact=True).fill("usual")
    visit.press("Add a phrase")

    page.goto(f"{visit.base}/sms/send")
    page.get_by_text("Insert a phrase").click()
    page.get_by_role("button", name="Come to the casino.").click()
    expect(page.get_by_label("Text", exact=True)).to_have_value("Come to the casino.")
    if not script:
        visit.press("Count")
    expect(page.locator("#figures mark")).to_have_text("casino")
    expect(page.locator("#figures .counter strong")).to_have_text("1")
    page.get_by_label("Typed numbers", exact=True).fill("8613800138000, 12ab")
    rows = "".join(f"customer {n},{8613700000000 + n}\n" for n in range(NUMBERS))
    (tmp_path / "customers.csv").write_text("name,mobile\n" + rows)
    page.get_by_label("File", exact=True).set_input_files(str(tmp_path / "customers.csv"))
    page.locator("fieldset label.tickbox", has_text="friends").click()
    if script:
        page.get_by_role("button", name="Pick single contacts").click()
    page.get_by_role("textbox", name="Find contacts").or_(
        page.get_by_role("searchbox", name="Find contacts")
    ).fill("Li Si")
    page.get_by_role("button", name="Find", exact=True).click()
    page.get_by_role("button", name="Choose all 1 found").click()
    expect(page.locator("[data-picked]")).to_have_text("1")
    if script:
        page.get_by_role("button", name="Done with picking").click()
        expect(page.locator("[data-picked-copy]")).to_have_text("1")
    page.get_by_role("button", name="Go to the preview").last.click()

    expect(page.get_by_label("Column with the numbers")).to_have_value("1")
    visit.press("Go to the preview")
    confirm = page.get_by_role("button", name="Confirm and send")
    if not script:
        while not confirm.is_visible():
            page.get_by_role("link", name="Look again").click()
    expect(confirm).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator(".bubble")).to_have_text("Come to the ******.")
    expect(page.locator("tfoot")).to_contain_text(str(NUMBERS + 5))
    confirm.click()
    expect(page.get_by_role("status")).to_contain_text("waits for its review")
    return page.url


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.usefixtures("carrier")
def test_a_task_is_written_reviewed_and_delivered(
    browser: Browser, gateway: Gateway, tmp_path: Path, script: bool
) -> None:
    visit = Visit(browser, gateway, locale="en-GB", java_script_enabled=script)
    first_day(visit, gateway)
    page = visit.page
    task = write_and_confirm(visit, page, tmp_path, script=script)
    page.get_by_role("link", name=re.compile("wait for review")).click()
    approve(visit, page, script=script)
    page.goto(task)
    delivered = page.locator(".legend div").filter(has_text="Delivered").locator("dd")
    # 8613800138000 is on the blacklist: all of the file and both friends are left.
    if script:
        expect(delivered).to_contain_text(str(NUMBERS + 2), timeout=PATIENCE_MS)
        expect(page.get_by_text("Finished · Completed")).to_be_visible(timeout=PATIENCE_MS)
    else:
        while str(NUMBERS + 2) not in delivered.inner_text():
            page.reload()
    page.goto(task + "/messages")
    assert page.locator("tbody tr").count() == 50
    expect(page.locator("tbody .badge").first).to_have_text("Delivered")
    look_for_a_message(visit, page, script=script)
    state = visit.context.storage_state()
    visit.context.close()
    assert visit.faults == []
    if script:
        look_at_every_page(browser, gateway, state, task.rpartition("/")[2])


def approve(visit: Visit, page: Page, *, script: bool) -> None:
    """From the queue of reviews to the approval; with script by keys alone."""
    if not script:
        page.locator("table a").first.click()
        expect(page.locator("mark")).to_have_text("casino")
        visit.press("Approve")
        return
    page.wait_for_load_state()
    page.keyboard.press("j")
    expect(page.locator("tr[data-key-row] a").first).to_be_focused()
    page.keyboard.press("r")
    expect(page.get_by_label("Reason or note")).to_be_focused()
    expect(page.locator("mark")).to_have_text("casino")
    page.keyboard.type("a")  # is only a letter here
    expect(page.get_by_label("Reason or note")).to_have_value("a")
    page.locator("h1").click()
    questions: list[str] = []

    def agree(dialog: Dialog) -> None:
        questions.append(dialog.message)
        dialog.accept()

    page.once("dialog", agree)
    page.keyboard.press("a")
    expect(page.get_by_role("status")).to_contain_text("is approved")
    assert "It begins at once" in questions[0]


def look_for_a_message(visit: Visit, page: Page, *, script: bool) -> None:
    """From the search in the top bar to one message and its timeline."""
    if script:
        page.keyboard.press("/")
        expect(page.get_by_label("Search everything")).to_be_focused()
    page.get_by_label("Search everything").fill("8613900000001")
    page.keyboard.press("Enter") if script else page.get_by_label("Search everything").press("Enter")
    expect(page).to_have_url(f"{visit.base}/reports/messages?number=8613900000001")
    page.get_by_role("link", name="8613900000001", exact=True).click()
    expect(page.locator(".bubble")).to_have_text("Come to the ******.")
    for said in ("Accepted by c", "Sensitive words masked", "Receipt from c", "Ended: Delivered"):
        expect(page.locator(".timeline")).to_contain_text(said)
    expect(page.locator(".timeline")).to_contain_text("stat:DELIVRD")
    page.get_by_role("link", name="Add to a blacklist").click()
    expect(page.get_by_label("Numbers", exact=True)).to_have_value("8613900000001")


def look_at_every_page(browser: Browser, gateway: Gateway, state: object, task: str) -> None:
    """Nothing is wider than the window, and no page breaks a rule, in both languages, light and dark."""
    paths = ["/sms/send", "/sms/tasks", "/sms/pending", f"/tasks/{task}", f"/tasks/{task}/messages"]
    paths += ["/reports/messages", f"/tasks/{task}/messages?show=unsent"]
    paths += [f"/tasks/{task}/blocked", "/review/tasks", "/contacts", "/settings/phrases"]
    for locale, width, scheme in (("zh-CN", 1280, "dark"), ("en-GB", 360, "light")):
        visit = Visit(
            browser,
            gateway,
            locale=locale,
            storage_state=state,
            color_scheme=scheme,
            viewport={"width": width, "height": 800},
        )
        for path in paths:
            answer = visit.page.goto(visit.base + path)
            assert answer is not None
            assert answer.status == 200, path
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width, (path, locale)
        visit.context.close()
        assert visit.faults == [], (locale, width)
