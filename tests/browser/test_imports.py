"""Users from a file, in a browser: with and without script, from the upload to the passwords."""

import csv
import io

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Gateway
from tests.browser.test_console import Visit, first_day

PATIENCE_MS = 30_000
FILE = "登录名,姓名,所属组,条数\nzhang,张三,集时通/福建分公司,100\nwang,王五,集时通/福建分公司,\n"


@pytest.mark.parametrize("script", [True, False])
def test_users_are_imported_and_their_passwords_fetched_once(
    browser: Browser, gateway: Gateway, script: bool
) -> None:
    visit = Visit(browser, gateway, locale="en-GB", java_script_enabled=script)
    first_day(visit, gateway)
    page = visit.page
    page.goto(f"{visit.base}/users")
    page.get_by_role("link", name="Import").click()
    upload = {"name": "people.txt", "mimeType": "text/plain", "buffer": FILE.encode("gb18030")}
    page.get_by_label("File", exact=True).set_input_files(upload)  # type: ignore[arg-type]
    visit.press("Look at the file")
    expect(page.get_by_label("User group", exact=True)).to_have_value("2")
    expect(page.get_by_label("Encoding")).to_have_value("gb18030")
    visit.press("Look at the rows")
    confirm = page.get_by_role("button", name="Add the users")
    passwords = page.get_by_role("button", name="Fetch the passwords")
    for wanted in (confirm, passwords):
        if not script:
            while not wanted.is_visible():
                page.get_by_role("link", name="Look again").click()
        expect(wanted).to_be_visible(timeout=PATIENCE_MS)
        if wanted is confirm:
            expect(page.locator("tfoot")).to_contain_text("2")
            wanted.click()
    with page.expect_download() as fetched:
        passwords.click()
    with open(fetched.value.path(), encoding="utf-8-sig") as file:
        rows = list(csv.reader(io.StringIO(file.read())))
    assert [row[0] for row in rows] == ["login", "zhang", "wang"]
    page.reload()
    expect(page.get_by_text("The passwords have been fetched.")).to_be_visible()
    page.goto(f"{visit.base}/users")
    expect(page.get_by_role("link", name="zhang", exact=True)).to_be_visible()
    visit.context.close()
    assert visit.faults == []
