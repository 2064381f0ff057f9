"""A second factor from its picture to the second sign-in, in a browser with and without script."""

import base64
import time

import pytest
from playwright.sync_api import Browser, expect

from store import totp
from tests.browser.conftest import Gateway
from tests.browser.test_console import PASSWORD, Visit


@pytest.mark.slow
@pytest.mark.parametrize("script", [True, False])
def test_a_second_factor_is_set_up_and_asked_for(browser: Browser, gateway: Gateway, script: bool) -> None:
    visit = Visit(browser, gateway, locale="en-GB", java_script_enabled=script)
    page = visit.page
    page.goto(gateway.setup)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password once more", exact=True).fill(PASSWORD)
    visit.press("Make the administrator")

    page.goto(f"{visit.base}/me")
    page.get_by_role("link", name="Set up").click()
    picture = page.get_by_role("img", name="QR code of the key")
    expect(picture).to_be_visible()
    if script:
        assert picture.evaluate("image => image.naturalWidth > 0")
    key = base64.b32decode(page.locator(".key-text").inner_text().replace(" ", ""))
    step = totp.step_of(int(time.time() * 1000))
    page.get_by_label("Type the code that the app shows now.").fill(totp.code_at(key, step))
    visit.press("Switch on")
    codes = page.locator(".recovery li").all_inner_texts()
    assert len(codes) == 10
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("10 recovery codes are left.")).to_be_visible()

    for code in (totp.code_at(key, step + 1), codes[0]):  # the first one was used
        visit.context.clear_cookies()
        page.goto(f"{visit.base}/users?q=x")
        page.get_by_label("Login", exact=True).fill("admin")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        visit.press("Sign in")
        expect(page.get_by_role("heading", name="Second step")).to_be_visible()
        page.get_by_label("Code of your authenticator app").fill("000000")
        visit.press("Sign in")
        expect(page.get_by_role("alert")).to_contain_text("This code is wrong")
        page.get_by_label("Code of your authenticator app").fill(code)
        visit.press("Sign in")
        expect(page.get_by_label("Main menu")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("9 are left")
    assert not visit.faults
    visit.context.close()
