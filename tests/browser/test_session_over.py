"""A sign-in that ends while a page is open: nothing typed is lost, with script or without, and what moved moves on."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Gateway
from tests.browser.test_console import PASSWORD, Visit


def begin(visit: Visit, gateway: Gateway) -> Page:
    page = visit.page
    page.goto(gateway.setup)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password once more", exact=True).fill(PASSWORD)
    visit.press("Make the administrator")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    return page


@pytest.mark.slow
def test_a_dialog_signs_in_again_and_the_page_goes_on(browser: Browser, gateway: Gateway) -> None:
    visit = Visit(browser, gateway, locale="en-GB")
    page = begin(visit, gateway)
    page.goto(f"{visit.base}/gateway")
    elsewhere = browser.new_context(storage_state=visit.context.storage_state(), locale="en-GB")
    other = elsewhere.new_page()
    other.goto(visit.base)
    other.locator(".topbar details.menu > summary").click()
    other.get_by_role("button", name="Sign out").click()
    elsewhere.close()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible(timeout=15_000)
    expect(dialog).to_contain_text("this page goes on as it is")
    dialog.get_by_label("Login", exact=True).fill("admin")
    dialog.get_by_label("Password", exact=True).fill("not the right one")
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog.get_by_role("alert")).to_contain_text("is wrong")
    dialog.get_by_label("Password", exact=True).fill(PASSWORD)
    with page.expect_request("**/stream*"):  # what moved moves on
        dialog.get_by_role("button", name="Sign in").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="中文").click()  # a form of this page, with its new token
    expect(page.get_by_role("button", name="English")).to_be_visible()
    visit.context.close()
    assert visit.faults == []


@pytest.mark.slow
def test_without_script_a_form_is_sent_after_sign_in(browser: Browser, gateway: Gateway) -> None:
    visit = Visit(browser, gateway, locale="en-GB", java_script_enabled=False)
    page = begin(visit, gateway)
    page.goto(f"{visit.base}/users/groups/new")
    page.get_by_label("Name", exact=True).fill("福建分公司")
    visit.context.clear_cookies()
    visit.press("Add group")
    expect(page.get_by_role("alert")).to_contain_text("What you sent is kept")
    page.get_by_label("Login", exact=True).fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    visit.press("Sign in")
    expect(page.get_by_text("福建分公司")).to_be_visible()
    visit.press("Send it now")
    expect(page.get_by_role("heading", name="福建分公司")).to_be_visible()
    visit.context.close()
    assert [fault for fault in visit.faults if "401" not in fault] == []


@pytest.mark.slow
def test_what_cannot_be_loaded_says_so_in_its_place_and_comes_back(
    browser: Browser, gateway: Gateway
) -> None:
    visit = Visit(browser, gateway, locale="en-GB")
    page = begin(visit, gateway)
    page.goto(f"{visit.base}/gateway")
    part = page.locator("[data-refresh]").first
    path = part.get_attribute("data-refresh") or ""
    page.route(f"**{path}", lambda route: route.fulfill(status=500, body="x"))
    part.evaluate("part => htmx.ajax('GET', part.dataset.refresh, { target: part })")
    notice = page.get_by_text("This could not be loaded just now.")
    expect(notice).to_have_count(1)
    page.unroute(f"**{path}")
    page.get_by_role("button", name="Try again").click()
    expect(notice).to_have_count(0)
    visit.context.close()
