"""Keys in a browser: they lead, list themselves, close, and stay out of the way of typing."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Gateway
from tests.browser.test_console import PASSWORD, Visit


@pytest.mark.slow
def test_keys_lead_and_never_while_somebody_types(browser: Browser, gateway: Gateway) -> None:
    visit = Visit(browser, gateway, locale="en-GB")
    page, keys = visit.page, visit.page.keyboard
    page.goto(gateway.setup)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password once more", exact=True).fill(PASSWORD)
    visit.press("Make the administrator")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    page.wait_for_load_state()  # the keys come with the page's last script

    keys.press("g")
    keys.press("u")
    expect(page).to_have_url(f"{visit.base}/users")
    page.wait_for_load_state()
    keys.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    keys.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    keys.press("/")
    search = page.locator("[data-search]")
    expect(search).to_be_focused()
    keys.type("g?u/gw")
    expect(search).to_have_value("g?u/gw")
    expect(page).to_have_url(f"{visit.base}/users")
    keys.press("Escape")
    expect(search).not_to_be_focused()
    page.locator(".topbar details.menu > summary").click()
    expect(page.get_by_role("link", name="My settings")).to_be_visible()
    keys.press("Escape")
    expect(page.get_by_role("link", name="My settings")).to_be_hidden()

    page.goto(f"{visit.base}/me")
    page.get_by_label("Keys: / searches").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Saved.")
    page.wait_for_load_state()
    keys.press("g")
    keys.press("u")
    keys.press("?")
    expect(page).to_have_url(f"{visit.base}/me")
    expect(page.locator("#keys")).to_have_count(0)
    assert not visit.faults
    visit.context.close()
