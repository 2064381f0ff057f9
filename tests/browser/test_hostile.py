"""What a browser makes of hostile texts in people's fields: nothing runs, nothing is asked for, no policy is broken."""

import re

import pytest
from playwright.sync_api import Browser, Dialog

from tests.admin.hostile import PAYLOADS
from tests.browser.conftest import Gateway
from tests.browser.test_console import Visit, first_day

SOME = PAYLOADS[::6] + PAYLOADS[27:36:4]
PAGES = (
    "/", "/users", "/users/2", "/users/groups", "/settings/words", "/settings/blacklist", "/settings/phrases",
    "/contacts",
    "/users/ledger", "/audit", "/sms/send", "/sms/pending", "/jobs",
)  # fmt: skip


@pytest.mark.slow
def test_nothing_that_people_write_runs_in_a_browser(browser: Browser, gateway: Gateway) -> None:
    visit = Visit(browser, gateway, locale="en-GB")
    dialogs: list[str] = []
    visit.page.on("dialog", lambda dialog: _note(dialogs, dialog))
    first_day(visit, gateway)
    page, ask = visit.page, visit.context.request
    token = page.locator("meta[name=csrf]").get_attribute("content") or ""

    def post(path: str, **fields: str) -> None:
        answer = ask.post(visit.base + path, form={"_csrf": token, **fields}, headers={"origin": visit.base})
        assert answer.status in (200, 422), (path, answer.status)

    for number, text in enumerate(SOME):
        post(
            "/users/new",
            login=f"hostile{number}",
            group="2",
            name=text[:60],
            mobile=text[:60],
            email=text,
            note=text,
        )
        post("/users/groups/new", name=re.sub(r"[^ -~]|/", "", text)[:60], parent="1")
        post("/settings/words", words=text[:60], category=text[:60], note=text)
        post("/settings/blacklist/global", numbers=f"861371000000{number}", note=text)
        post("/settings/phrases", text=text, group=text[:40].replace("/", ""), shared="1")
        post(
            "/contacts",
            people=f"{text.replace(',', ' ')[:40]},1380013800{number % 10}",
            group=text[:40].replace("/", ""),
        )
    for path in PAGES:
        page.goto(visit.base + path)
        page.mouse.move(300, 300)
        page.keyboard.press("Tab")
    for text in SOME:
        page.goto(f"{visit.base}/users?q={_quoted(text)}")
        page.goto(f"{visit.base}/settings/words?try={_quoted(text)}")
    assert not dialogs
    assert not visit.faults
    visit.context.close()


def _note(dialogs: list[str], dialog: Dialog) -> None:
    dialogs.append(dialog.message)
    dialog.dismiss()


def _quoted(text: str) -> str:
    return "".join(f"%{octet:02X}" for octet in text.encode())
