"""Every page under axe: no finding that is serious or critical, light and dark, wide and narrow, in both languages."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from tests.browser.conftest import ROOT, Gateway
from tests.browser.test_console import Visit, first_day

AXE = ROOT / ".interop" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = (
    "/", "/sms/send", "/sms/tasks", "/sms/pending", "/contacts", "/users", "/users/new", "/users/2",
    "/users/groups", "/users/groups/2", "/users/deleted", "/users/ledger", "/settings/words?try=casino",
    "/settings/blacklist?check=8613800138000", "/settings/phrases", "/review/tasks", "/gateway", "/audit",
    "/me", "/jobs", "/nothing/here",
)  # fmt: skip
LOOKS = (("zh-CN", 1280, "light"), ("en-GB", 1280, "dark"), ("en-GB", 360, "light"), ("zh-CN", 360, "dark"))
RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
}"""


def test_no_page_has_a_serious_finding(browser: Browser, gateway: Gateway) -> None:
    assert AXE.exists(), "Run tests/interop/install.sh: it installs axe-core with npm."
    begin = Visit(browser, gateway, locale="en-GB")
    first_day(begin, gateway)
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
