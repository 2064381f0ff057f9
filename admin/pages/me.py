"""My settings (P28): password, language, colours, time zone, page size, where I am signed in."""

from collections.abc import Mapping
from typing import Annotated
from zoneinfo import available_timezones

import msgspec
from litestar import Response, get, post
from msgspec import Meta

from admin import passwords
from admin.console import Flash
from admin.i18n import N_
from admin.pages import second_factor as own_second_factor
from admin.pages.sign_in import new_password_errors
from admin.permissions import allow
from admin.proofs import WRONG_PASSWORD
from admin.rendering import Page
from admin.view import FromView, View
from store import people_edit, second_factor, sessions
from store.config_db import Writing
from store.preferences import Language, Preferences, Theme

ZONES = sorted(
    zone for zone in available_timezones() if "/" in zone and not zone.startswith(("Etc/", "posix/"))
)


class MePage(Page, kw_only=True):
    """All settings of one person."""

    template = "me.html"
    sessions: list[sessions.SessionRow]
    errors: Mapping[str, str]
    zones: list[str]
    recovery_left: int


class PasswordPage(Page, kw_only=True):
    """The first sign-in with a temporary password."""

    template = "me_password.html"
    errors: Mapping[str, str]


class PreferencesForm(msgspec.Struct, frozen=True):
    language: Language
    theme: Theme
    zone: Annotated[str, Meta(max_length=64)]
    page_size: Annotated[int, Meta(ge=20, le=200)]
    shortcuts: bool = False


async def _show(view: View, errors: Mapping[str, str], *, status: int = 200) -> Response[str]:
    me, now_ms = view.me, view.console.wall_ms()
    rows, left = await view.read(
        lambda c: (sessions.sessions_of(c, me.id, now_ms), second_factor.recovery_left(c, me.id))
    )
    page = MePage(
        title=view.t(N_("My settings")), sessions=rows, errors=errors, zones=ZONES, recovery_left=left
    )
    return await view.show(page, status=status)


@get("/me", **allow("session"))
async def me(view: FromView) -> Response[str]:
    """My settings."""
    if view.me.password_temporary:
        return view.go("/me/password")
    return await _show(view, {})


@post("/me", **allow("session"))
async def save(view: FromView) -> Response[str]:
    """Save how the console looks to me."""
    form, errors = view.parse(PreferencesForm)
    if form and form.zone not in ZONES:
        errors["zone"] = view.t(N_("Choose one of those offered."))
    if form and form.page_size not in (20, 50, 100, 200):
        errors["page_size"] = view.t(N_("Choose one of those offered."))
    if form is None or errors:
        return await _show(view, errors, status=422)
    wanted = Preferences(form.language, form.theme, form.zone, form.page_size, form.shortcuts)  # type: ignore[arg-type]
    await view.write(lambda w: people_edit.set_preferences(w, view.me.id, wanted), reload=False)
    return view.go("/me", flash=Flash(view.t(N_("Saved."))))


@get("/me/password", **allow("session"))
async def password_form(view: FromView) -> Response[str]:
    """The form alone: what somebody with a temporary password sees first."""
    return await view.show(PasswordPage(title=view.t(N_("Choose a password")), errors={}))


@post("/me/password", **allow("session"))
async def change_password(view: FromView) -> Response[str]:
    """A new password of my own; all other sessions end."""
    me, session = view.me, view.me.session
    found = await view.read(lambda c: sessions.credentials(c, me.login))
    now = view.console.now()
    wait = view.console.backoff.wait_s(me.login, view.address, now)
    right = (
        wait <= 0
        and found is not None
        and await passwords.matches(
            found.password_hash, view.field("password_old")[: passwords.CHARACTERS_MAX]
        )
    )
    errors = new_password_errors(view, me.login)
    if not right:
        view.console.backoff.failed(me.login, view.address, now)
        errors["password_old"] = view.t(WRONG_PASSWORD)
    if errors:
        if me.password_temporary:
            page = PasswordPage(title=view.t(N_("Choose a password")), errors=errors)
            return await view.show(page, status=422)
        return await _show(view, errors, status=422)
    password_hash = await passwords.hash_password(view.field("password"))
    await view.write(
        lambda w: people_edit.set_password(w, me.id, password_hash, temporary=False, keep=session),
        reload=False,
    )
    text = view.t(N_("Your password is changed; every other session is signed out."))
    return view.go("/" if me.password_temporary else "/me", flash=Flash(text))


@post("/me/second-factor/remove", **allow("session"))
async def remove_second_factor(view: FromView) -> Response[str]:
    """Sign in by password alone again: the password says so."""
    problem = await own_second_factor.remove(view)
    if problem:
        return await _show(view, {"password_now": problem}, status=422)
    return view.go("/me", flash=Flash(view.t(N_("Your second factor is removed."))))


@post("/me/sessions/end", **allow("session"))
async def end_others(view: FromView) -> Response[str]:
    """Sign out everywhere else."""
    me = view.me

    def end(write: Writing) -> int:
        ended = sessions.end_sessions(write, me.id, but=me.session)
        write.audit("sign-out.others", f"user {me.login}", changes=False, sessions=ended)
        return ended

    ended = await view.write(end, reload=False)
    return view.go("/me", flash=Flash(view.t(N_("%(count)s other sessions ended."), count=ended)))


ROUTES = (me, save, password_form, change_password, remove_second_factor, end_others)
