"""Every page under axe: no finding that is serious or critical, light and dark, wide and narrow, in both languages."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from tests.browser.conftest import ROOT, Gateway
from tests.browser.test_console import Visit, first_day

AXE = ROOT / ".interop" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = (
    "/", "/sms/send", "/sms/tasks", "/sms/pending", "/contacts", "/users", "/users/new", "/users/2",
    "/users/groups", "/users/groups/2", "/users/deleted", "/users/ledger", "/settings/words?try=casino",
    "/settings/blacklist?check=8613800138000", "/settings/phrases", "/review/tasks", "/gateway", "/audit",
    "/me", "/jobs", "/nothing/here", "/users/import", "/settings/blacklist/import", "/contacts/import",
    "/contacts?group=1", "/imports/1", "/imports/2", "/imports/2/rows?kind=invalid",
)  # fmt: skip
LOOKS = (("zh-CN", 1280, "light"), ("en-GB", 1280, "dark"), ("en-GB", 360, "light"), ("zh-CN", 360, "dark"))
RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
}"""


def import_contacts(visit: Visit) -> None:
    """A contact in a group; an import whose columns wait to be bound, and one whose rows are judged."""
    page = visit.page
    page.goto(f"{visit.base}/contacts")
    page.get_by_label("People", exact=True).fill("Zhang San, 8613900000001")
    page.get_by_role("textbox", name="Contact group", exact=True).fill("friends/old")
    visit.press("Add contacts")
    upload = {
        "name": "people.csv",
        "mimeType": "text/csv",
        "buffer": b"name,mobile\nA,8613900000002\nB,12ab\n",
    }
    for number in (1, 2):
        page.goto(f"{visit.base}/contacts/import")
        page.get_by_role("textbox", name="Group of rows that name none").fill("friends")
        page.get_by_label("File", exact=True).set_input_files(upload)  # type: ignore[arg-type]
        visit.press("Look at the file")
        if number == 2:
            visit.press("Look at the rows")
            expect(page.get_by_role("button", name="Add the contacts")).to_be_visible(timeout=30_000)


def test_no_page_has_a_serious_finding(browser: Browser, gateway: Gateway) -> None:
    assert AXE.exists(), "Run tests/interop/install.sh: it installs axe-core with npm."
    begin = Visit(browser, gateway, locale="en-GB")
    first_day(begin, gateway)
    import_contacts(begin)
    state = begin.context.storage_state()
    begin.context.close()
    findings: list[str] = []
    script = Path(AXE).read_text(encoding="utf-8")
    for locale, width, scheme in LOOKS:
        options: dict[str, Any] = {"storage_state": state, "color_scheme": scheme}
        visit = Visit(browser, gateway, locale=locale, viewport={"width": width, "height": 800}, **options)
        for path in PAGES:
            visit.page.goto(visit.base + path)
            visit.page.evaluate(script)  # as a debugger would: the page's own policy lets no such script in
            for finding in visit.page.evaluate(RUN):
                findings.append(f"{path} {locale} {width} {scheme}: {finding}")
        visit.context.close()
        assert [fault for fault in visit.faults if "404" not in fault] == []
    assert findings == []
