"""What is done to a user from their page: top up, disable, delete, restore, role, new password."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Protocol

import msgspec
from litestar import Response, get, post
from msgspec import Meta

from admin import importing, passwords
from admin.console import Flash
from admin.i18n import N_
from admin.pages.users import lists_values, password_flash, show_user
from admin.permissions import Role, allow
from admin.rendering import Page
from admin.view import FromView, View
from store import people_edit, quota
from store.address_book import count_contacts
from store.config_db import Writing
from store.files import StoreError
from store.owner_tasks import discard_previews, stop_running
from store.people_list import UserRow
from store.quota_low import Threshold, set_threshold
from store.task_file import remove_folder


class PartsForm(msgspec.Struct, frozen=True):
    """A top-up; `reclaim` takes back instead."""

    parts: Annotated[int, Meta(ge=1, le=10**12)]
    note: Annotated[str, Meta(max_length=200)] = ""
    way: Literal["topup", "reclaim"] = "topup"


@post("/users/{user_id:int}/parts", **allow("users.write", about="user", proof=True))
async def top_up_user(view: FromView) -> Response[str]:
    """Give parts from the group's remaining ones, or take back what is not used."""
    user = view.about_user
    in_flight = view.parts_of(user).in_flight
    return await change_parts(
        view, user.login, f"/users/{user.id}", show_user,
        lambda w, parts, note: quota.topup_user(w, user.id, parts, note=note, in_flight=in_flight),
    )  # fmt: skip


class Show(Protocol):
    """A page that shows itself again with what is wrong."""

    async def __call__(
        self, view: View, *, values: Mapping[str, str], errors: Mapping[str, str], status: int
    ) -> Response[str]: ...


async def change_parts(
    view: View, name: str, path: str, show: Show, change: Callable[[Writing, int, str], None]
) -> Response[str]:
    """Top up or take back, of a user or a group: the form of both."""
    form, errors = view.parse(PartsForm)
    if form is None:
        return await show(view, values=lists_values(view), errors=errors, status=422)
    parts, note = form.parts if form.way == "topup" else -form.parts, form.note
    try:
        await view.write(lambda w: change(w, parts, note))
    except StoreError as error:
        errors = {"parts": view.refusal(error)}
        return await show(view, values=lists_values(view), errors=errors, status=422)
    text = (
        N_("%(name)s has %(parts)s parts more.")
        if parts > 0
        else N_("%(parts)s parts taken back from %(name)s.")
    )
    return view.go(path, flash=Flash(view.t(text, name=name, parts=f"{abs(parts):,}")))


class LowForm(msgspec.Struct, frozen=True):
    """When parts count as low: a number of parts, or a share of the limit."""

    low: Annotated[int, Meta(ge=0, le=10**12)]
    low_unit: Literal["percent", "parts"] = "percent"


def threshold_from(view: View) -> tuple[Threshold | None, dict[str, str]]:
    """The threshold that a form asks for, or what is wrong with it."""
    form, errors = view.parse(LowForm)
    if form and form.low_unit == "percent" and form.low > 100:
        errors["low"] = view.t(N_("A share is 0 to 100 percent."))
    if form is None or errors:
        return None, errors
    return (Threshold(parts=form.low) if form.low_unit == "parts" else Threshold(percent=form.low)), {}


@post("/users/{user_id:int}/low", **allow("users.write", about="user"))
async def set_user_low(view: FromView) -> Response[str]:
    """Say when this user's parts count as low."""
    user = view.about_user
    threshold, errors = threshold_from(view)
    if threshold is None:
        return await show_user(view, values=lists_values(view), errors=errors, status=422)
    wanted = threshold
    await view.write(lambda w: set_threshold(w, "user", user.id, user.login, wanted))
    return view.go(f"/users/{user.id}", flash=Flash(view.t(N_("Saved."))))


class StateForm(msgspec.Struct, frozen=True):
    """`stop`: what is on its way ends along with the user."""

    state: Literal["active", "disabled", "deleted"]
    stop: bool = False


STATE_DONE = {
    "active": N_("%(login)s is active again."),
    "disabled": N_("%(login)s is disabled, signed out, and can no longer bind or send."),
    "deleted": N_("%(login)s is deleted. What was available went back to the group."),
    "restored": N_("%(login)s is restored, disabled and without parts. Enable and top up when ready."),
}


@post("/users/{user_id:int}/state", **allow("users.write", about="user"))
async def set_user_state(view: FromView) -> Response[str]:
    """Enable, disable, delete, restore."""
    form, errors = view.parse(StateForm)
    user = view.about_user
    if form is None:
        return await show_user(view, errors={"": next(iter(errors.values()))}, status=422)
    me, in_flight, state = view.me.id, view.parts_of(user).in_flight, form.state
    stop = form.stop and state != "active"

    def change(write: Writing) -> tuple[str, list[int], list[int]]:
        # Before the state: what is stopped gives back its parts, and the daemon hears of it below.
        stopped = stop_running(write, user.id) if stop else []
        previews = discard_previews(write, user.id) if state != "active" else []
        return people_edit.set_state(write, user.id, state, by=me, in_flight=in_flight), stopped, previews

    try:
        before, stopped, previews = await view.write(change)
    except StoreError as error:
        return await show_user(view, errors={"": view.refusal(error)}, status=409)
    for task in stopped:
        view.console.operations.task_changed(task)
    for task in previews:
        await view.console.off_loop(remove_folder, view.console.data, task)
    done = "restored" if before == "deleted" else state
    undo = {"disabled": "active", "deleted": "active"}.get(state, "")
    said = [view.t(STATE_DONE[done], login=user.login)]
    if previews:
        said.append(view.t(N_("Previews discarded: %(count)s."), count=len(previews)))
    if stopped:
        said.append(view.t(N_("Tasks stopped: %(count)s."), count=len(stopped)))
    flash = Flash(
        " ".join(said),
        undo=f"/users/{user.id}/state" if undo and done != "restored" else "",
        fields={"state": undo},
    )
    return view.go("/users" if state == "deleted" else f"/users/{user.id}", flash=flash)


class RoleForm(msgspec.Struct, frozen=True):
    role: Literal["user", "admin"]


@post("/users/{user_id:int}/role", **allow("users.write", about="user", proof=True))
async def set_user_role(view: FromView) -> Response[str]:
    """Make somebody an administrator of their group, or a plain user again."""
    form, errors = view.parse(RoleForm)
    user = view.about_user
    if form is None:
        return await show_user(view, errors={"": next(iter(errors.values()))}, status=422)
    role, me = form.role, view.me.id
    if role == "admin" and view.role != Role.SYSTEM and user.group == view.me.group:
        # An equal of oneself is made by whoever stands above.
        text = view.t(N_("Administrators of your own group are made by an administrator above it."))
        return await show_user(view, errors={"": text}, status=403)
    try:
        await view.write(lambda w: people_edit.set_role(w, user.id, role, by=me))
    except StoreError as error:
        return await show_user(view, errors={"": view.refusal(error)}, status=409)
    text = (
        N_("%(login)s is an administrator of %(group)s now, and must sign in again.")
        if role == "admin"
        else N_("%(login)s is a plain user now, and must sign in again.")
    )
    flash = Flash(view.t(text, login=user.login, group=user.group_path))
    return view.go(f"/users/{user.id}", flash=flash)


@post("/users/{user_id:int}/password", **allow("users.write", about="user", proof=True))
async def reset_password(view: FromView) -> Response[str]:
    """A temporary password, shown once; all sessions of that user end."""
    user = view.about_user
    if user.id == view.me.id:
        return view.go("/me")
    password = passwords.temporary_password()
    password_hash = await passwords.hash_password(password)
    await view.write(
        lambda w: people_edit.set_password(w, user.id, password_hash, temporary=True), reload=False
    )
    return view.go(f"/users/{user.id}", flash=password_flash(view, user.login, password))


class AnonymisePage(Page, kw_only=True):
    """The second step before somebody is forgotten."""

    template = "user_anonymise.html"
    user: UserRow
    contacts: int
    errors: Mapping[str, str]


async def _anonymise(view: View, errors: Mapping[str, str], status: int = 200) -> Response[str]:
    user = view.about_user
    if user.state != "deleted" or user.anonymised_at:
        return view.go(f"/users/{user.id}")
    contacts = await view.read(lambda c: count_contacts(c, user.id))
    page = AnonymisePage(title=view.t(N_("Make anonymous")), user=user, contacts=contacts, errors=errors)
    return await view.show(page, status=status)


@get("/users/{user_id:int}/anonymise", **allow("users.write", about="user"))
async def anonymise_form(view: FromView) -> Response[str]:
    """What is forgotten, what stays, and the login to be typed."""
    return await _anonymise(view, {})


@post("/users/{user_id:int}/anonymise", **allow("users.write", about="user", proof=True))
async def anonymise_user(view: FromView) -> Response[str]:
    """Forget for good who a deleted user was."""
    user = view.about_user
    if view.field("login").strip() != user.login:
        said = view.t(N_("Type the login, %(login)s, to be sure."), login=user.login)
        return await _anonymise(view, {"login": said}, 422)
    try:
        await view.write(lambda w: people_edit.anonymise(w, user.id))
        await view.console.off_loop(importing.purge, view.console)  # what they uploaded goes at once
    except StoreError as error:
        return await show_user(view, errors={"": view.refusal(error)}, status=409)
    flash = Flash(view.t(N_("Nothing of %(login)s is kept but the login."), login=user.login))
    return view.go("/users/deleted", flash=flash)


ROUTES = (
    anonymise_form,
    anonymise_user,
    top_up_user,
    set_user_low,
    set_user_state,
    set_user_role,
    reset_password,
)
