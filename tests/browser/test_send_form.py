"""P1 in a browser: what is typed is kept by itself, and leaving it behind unsent asks first."""

from playwright.sync_api import Browser, Dialog, expect

from tests.browser.conftest import Gateway
from tests.browser.test_console import PASSWORD, Visit

PATIENCE_MS = 30_000


def test_a_message_half_written_is_kept_asked_about_and_there_again(
    browser: Browser, gateway: Gateway
) -> None:
    visit = Visit(browser, gateway, locale="en-GB")
    page = visit.page
    page.goto(gateway.setup)
    page.get_by_label("Your organisation", exact=True).fill("集时通")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password once more", exact=True).fill(PASSWORD)
    visit.press("Make the administrator")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()

    page.goto(f"{visit.base}/sms/send")
    page.get_by_label("SMS type", exact=True).select_option(label="业务短信")
    page.get_by_label("Typed numbers", exact=True).fill("13800138001")
    page.get_by_label("Text", exact=True).fill("half a sentence")
    expect(page.get_by_text("Draft kept at")).to_be_visible(timeout=PATIENCE_MS)
    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", leave)
    page.goto(f"{visit.base}/contacts")
    assert asked == ["beforeunload"]

    page.goto(f"{visit.base}/sms/send")
    expect(page.get_by_text("This is the draft that you left")).to_be_visible()
    expect(page.get_by_label("Text", exact=True)).to_have_value("half a sentence")
    expect(page.get_by_label("SMS type", exact=True)).to_have_value("service")
    visit.press("Discard the draft")
    expect(page.get_by_role("status")).to_contain_text("The draft is discarded.")
    expect(page.get_by_label("Text", exact=True)).to_have_value("")
    assert asked == ["beforeunload", "confirm"]
    visit.context.close()
    assert visit.faults == []
