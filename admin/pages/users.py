"""Users (P16) and deleted users (P17): find, add, change, top up, disable, delete, restore."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from msgspec import Meta

from admin import lists, passwords
from admin.console import Flash
from admin.i18n import N_
from admin.lists import Cell, Column, Empty, Filter, Listing, ListSpec, Row
from admin.permissions import allow
from admin.rendering import Page
from admin.stale import Difference, differences, now_of, profile_of_row, seen_in, written
from admin.view import FromView, View
from filters.senders import problem_with_sender
from store import people_edit, quota
from store.config_db import Writing
from store.directory import Review
from store.files import StoreError
from store.ledgers import audit_of
from store.listing import Cut
from store.listing import Page as Rows
from store.owner_tasks import OpenTasks, open_tasks, pull_back
from store.people_edit import Profile
from store.people_list import (
    GroupRow,
    UserFilter,
    UserRow,
    effective_review,
    list_groups,
    list_users,
    read_user,
)
from store.quota_low import Threshold, threshold_of
from store.refusals import Refused
from store.rules_list import list_sms_types
from store.scope import Within
from store.second_factor import has_second_factor

ROLES = {"user": N_("User"), "admin": N_("Administrator")}
STATES = {
    "active": (N_("Active"), "good"),
    "disabled": (N_("Disabled"), "warn"),
    "deleted": (N_("Deleted"), "bad"),
}
REVIEWS = {"trust": (N_("Trusted"), "plain"), "review": (N_("Reviewed"), "info")}

Line = Annotated[str, Meta(max_length=64)]
_BETWEEN_SENDERS = re.compile(r"[\s,，;；、]+")


class UsersPage(Page, kw_only=True):
    """The list with the group tree beside it."""

    template = "users.html"
    listing: Listing
    groups: list[GroupRow]
    group: int
    can_add: bool


class DeletedPage(Page, kw_only=True):
    """Deleted users."""

    template = "users_deleted.html"
    listing: Listing


class UserForm(msgspec.Struct, frozen=True):
    """What a user form sends, password and state aside."""

    group: int
    name: Line = ""
    mobile: Line = ""
    email: Annotated[str, Meta(max_length=128)] = ""
    note: Annotated[str, Meta(max_length=500, extra={"lines": True})] = ""
    review: Review = "inherit"
    sms_types: tuple[str, ...] = ()
    senders: Annotated[str, Meta(max_length=2_000, extra={"lines": True})] = ""
    rate: Annotated[int, Meta(ge=0, le=1_000_000)] = 0

    @property
    def sender_list(self) -> tuple[str, ...]:
        """The senders, each once, in order."""
        return tuple(dict.fromkeys(one for one in _BETWEEN_SENDERS.split(self.senders) if one))


class NewUserForm(UserForm, frozen=True, kw_only=True):
    """A new user."""

    login: Line
    parts: Annotated[int, Meta(ge=0)] = 0


class NewUserPage(Page, kw_only=True):
    """The form of a new user."""

    template = "user_new.html"
    groups: list[GroupRow]
    values: Mapping[str, str]
    errors: Mapping[str, str]
    types: list[tuple[str, str]]
    chosen_types: set[str]


class UserPage(Page, kw_only=True):
    """One user: parts, profile, what can be done, and what was done."""

    template = "user.html"
    user: UserRow
    groups: list[GroupRow]
    values: Mapping[str, str]
    errors: Mapping[str, str]
    seen: str
    changes: list[Difference]
    used: int
    reserved: int
    available: int
    most: int  # parts that can be added; -1 is any number
    review: str
    review_from: str
    can_change: bool
    history: list[tuple[int, str, str, str]]
    low: Threshold
    second_factor: bool
    tasks: OpenTasks
    types: list[tuple[str, str]]
    chosen_types: set[str]
    password: str = ""  # a temporary one, shown this once


def badge(table: Mapping[str, tuple[str, str]], view: View, value: str) -> Cell:
    """A state as a word on its colour."""
    title, tone = table[value]
    return Cell(value, view.t(title), tone=tone)


def users_spec(view: View, groups: dict[int, GroupRow], group: int) -> ListSpec:
    """The list of users as this viewer may see it."""
    balances = view.console.operations.balances()

    def fetch(connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        states = (values["state"],) if values["state"] else ("active", "disabled")
        wanted = UserFilter(values["q"], group if group in groups else 0, values["role"], states)
        return list_users(connection, view.within("users.read"), wanted, cut)

    def row(columns: tuple[Any, ...]) -> Row:
        user = UserRow(*columns)
        review, source = effective_review(groups, user.review, user.group)
        return Row(
            (
                Cell(user.login, href=f"/users/{user.id}"),
                Cell(user.name),
                Cell(user.group_path),
                Cell(user.mobile),
                Cell(user.role, view.t(ROLES[user.role])),
                badge(STATES, view, user.state),
                Cell(balances.get(user.id, (user.used, 0))[0]),
                Cell(user.limit),
                Cell(
                    review,
                    view.t(REVIEWS[review][0]),
                    tone=REVIEWS[review][1],
                    note=review_note(view, source),
                ),
                Cell(user.signed_in_at),
            ),
            id=str(user.id),
            dim=user.state != "active",
        )

    return ListSpec(
        name="users",
        path="/users",
        columns=(
            Column("login", N_("Login"), "link", sort="login"),
            Column("name", N_("Name")),
            Column("group", N_("Group")),
            Column("mobile", N_("Mobile"), "code", wide=False),
            Column("role", N_("Role")),
            Column("state", N_("State"), "badge"),
            Column("used", N_("Used"), "number", sort="used"),
            Column("limit", N_("Limit"), "number"),
            Column("review", N_("Review"), "badge"),
            Column("signed_in_at", N_("Last sign-in"), "time", sort="seen", wide=False),
        ),
        filters=(
            Filter("q", N_("Search"), placeholder=N_("Login, name or mobile")),
            Filter("role", N_("Role"), "choice", tuple(ROLES.items())),
            Filter("state", N_("State"), "choice", (("active", N_("Active")), ("disabled", N_("Disabled")))),
        ),
        fetch=fetch,
        row=row,
        empty=Empty(
            N_("No users here yet"),
            N_("Add the first one, and give them parts from this group's quota."),
            "/users/new",
            N_("Add user"),
        ),
        sort="login",
        fixed={"group": str(group)} if group else {},
    )


def review_note(view: View, source: str) -> str:
    """Where an effective review setting comes from."""
    if not source:
        return ""
    if source == "*":
        return view.t(N_("by default"))
    return view.t(N_("from %(path)s"), path=source.rpartition("/")[2])


@get("/users", **allow("users.read"))
async def users(view: FromView) -> Response[Any]:
    """The users in reach."""
    asked = str(view.request.query_params.get("group", ""))
    group = int(asked) if asked.isdecimal() and len(asked) < 18 else 0
    groups = await view.read(lambda c: list_groups(c, view.within("users.read")))
    spec = users_spec(view, {row.id: row for row in groups}, group)
    return await lists.answer(
        view,
        spec,
        lambda listing, connection: UsersPage(
            title=view.t(N_("Users")),
            listing=listing,
            groups=groups,
            group=group,
            can_add=view.may("users.write"),
        ),
    )


@get("/users/deleted", **allow("users.deleted"))
async def deleted_users(view: FromView) -> Response[Any]:
    """Deleted users, to be found and restored."""

    def fetch(connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        wanted = UserFilter(values["q"], states=("deleted",))
        return list_users(connection, view.within("users.deleted"), wanted, cut)

    def row(columns: tuple[Any, ...]) -> Row:
        user = UserRow(*columns)
        cells = (
            Cell(user.login, href=f"/users/{user.id}"),
            Cell(user.name),
            Cell(user.group_path),
            Cell(user.mobile),
            Cell(user.used),
            Cell(user.deleted_at),
        )
        return Row(cells, id=str(user.id) if view.may_change_user(user) else "")

    spec = ListSpec(
        name="deleted-users",
        path="/users/deleted",
        columns=(
            Column("login", N_("Login"), "link"),
            Column("name", N_("Name")),
            Column("group", N_("Group")),
            Column("mobile", N_("Mobile"), "code", wide=False),
            Column("used", N_("Used"), "number"),
            Column("deleted_at", N_("Deleted at"), "time"),
        ),
        filters=(Filter("q", N_("Search"), placeholder=N_("Login, name or mobile")),),
        fetch=fetch,
        row=row,
        empty=Empty(
            N_("Nobody was deleted"),
            N_("A deleted user waits here and can be restored, with login and history."),
            "/users",
            N_("To the users"),
        ),
        sort="deleted",
    )
    return await lists.answer(
        view, spec, lambda listing, _: DeletedPage(title=view.t(N_("Deleted users")), listing=listing)
    )


# -- adding -----------------------------------------------------------------------------------------


async def _choosable(view: View) -> list[GroupRow]:
    """Groups that the viewer may put people into: all in reach, as nobody can be raised above it."""
    return await view.read(lambda c: list_groups(c, view.within("users.write")))


@get("/users/new", **allow("users.write"))
async def new_user_form(view: FromView) -> Response[str]:
    """An empty form."""
    values = {"group": str(view.request.query_params.get("group", view.me.group))}
    return await _new_user(view, values, {})


async def _new_user(view: View, values: Mapping[str, str], errors: Mapping[str, str]) -> Response[str]:
    page = NewUserPage(
        title=view.t(N_("Add user")),
        groups=await _choosable(view),
        values=values,
        errors=errors,
        types=await view.read(list_sms_types),
        chosen_types=set(view.form.get("sms_types", ())),
    )
    return await view.show(page, status=422 if errors else 200)


@post("/users/new", **allow("users.write", proof=True))
async def new_user(view: FromView) -> Response[str]:
    """Make a user; the temporary password is shown once, on the next page."""
    form, errors = view.parse(NewUserForm)
    if form:
        await check_rules(view, form, errors)
    if form and form.group not in {group.id for group in await _choosable(view)}:
        errors["group"] = view.t(N_("Choose one of those offered."))
    values = lists_values(view)
    if form is None or errors:
        return await _new_user(view, values, errors)
    password = passwords.temporary_password()
    password_hash = await passwords.hash_password(password)
    made, profile = form, profile_of(form)
    try:
        user = await view.write(
            lambda w: people_edit.create_user(
                w, made.login, made.group, profile, password_hash, parts=made.parts
            )
        )
    except quota.QuotaRefused as error:
        return await _new_user(view, values, {"parts": view.refusal(error)})
    except StoreError as error:
        return await _new_user(view, values, {"login": view.refusal(error)})
    return view.go(f"/users/{user}", flash=password_flash(view, made.login, password))


def password_flash(view: View, login: str, password: str) -> Flash:
    """Tells a temporary password, once."""
    text = view.t(
        N_(
            "Temporary password of %(login)s: %(password)s — it is shown only now, and must be changed at sign-in."
        ),
        login=login,
        password=password,
    )
    return Flash(text, tone="secret")


def lists_values(view: View) -> dict[str, str]:
    """What the form sent, without secrets."""
    return {
        name: sent[0]
        for name, sent in view.form.items()
        if sent and "password" not in name and name[0] != "_"
    }


def profile_of(form: UserForm) -> Profile:
    """The profile in a form."""
    return Profile(
        form.name, form.mobile, form.email, form.note, form.review,
        tuple(sorted(set(form.sms_types))), form.sender_list, form.rate,
    )  # fmt: skip


async def check_rules(view: View, form: UserForm, errors: dict[str, str]) -> None:
    """Types that there are, senders that a handset can show."""
    known = {name for name, _ in await view.read(list_sms_types)}
    if set(form.sms_types) - known:
        errors["sms_types"] = view.t(N_("Choose one of those offered."))
    wrong = [one for one in form.sender_list if problem_with_sender(one.removesuffix("*").encode())]
    if wrong:
        errors["senders"] = view.t(
            N_("No handset can show this as a sender: %(senders)s"), senders="、".join(wrong[:5])
        )


# -- one user ---------------------------------------------------------------------------------------


async def show_user(
    view: View,
    *,
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    changes: list[Difference] | None = None,
    status: int = 200,
) -> Response[str]:
    user = view.about_user
    parts = view.parts_of(user)

    def build(connection: sqlite3.Connection) -> UserPage:
        groups = list_groups(connection, view.within("users.read"))
        by_id = {group.id: group for group in groups}
        review, source = effective_review(by_id, user.review, user.group)
        profile = profile_of_row(user)
        balance = quota.group_balance(connection, user.group)
        shown = {**msgspec.to_builtins(profile), "group": str(user.group), "parts": ""}
        shown["senders"] = "\n".join(profile.senders)
        return UserPage(
            title=user.login,
            user=user,
            groups=groups,
            values=shown | dict(values or {}),
            errors=errors or {},
            seen=written(now_of(user)),
            changes=changes or [],
            used=parts.used,
            reserved=parts.reserved,
            available=user.limit - parts.used - parts.reserved,
            most=-1 if balance.unlimited else balance.remaining,
            review=review,
            review_from=review_note(view, source),
            can_change=view.may_change_user(user),
            history=audit_of(connection, f"user {user.login}", f"user {user.id}"),
            low=threshold_of(connection, "user", user.id),
            second_factor=has_second_factor(connection, user.id),
            tasks=open_tasks(connection, Within(), user=user.id),
            types=list_sms_types(connection),
            chosen_types=set(view.form.get("sms_types", ())) if values else set(profile.sms_types),
        )

    return await view.show(await view.read(build), status=status)


@get("/users/{user_id:int}", **allow("users.read", about="user"))
async def user(view: FromView) -> Response[str]:
    """One user."""
    return await show_user(view)


@post("/users/{user_id:int}", **allow("users.write", about="user"))
async def edit_user(view: FromView) -> Response[str]:
    """Save the profile and the group."""
    form, errors = view.parse(UserForm)
    if form:
        await check_rules(view, form, errors)
    if form and form.group not in {group.id for group in await _choosable(view)}:
        errors["group"] = view.t(N_("Choose one of those offered."))
    if form is None or errors:
        return await show_user(view, values=lists_values(view), errors=errors, status=422)
    user, made = view.about_user, form
    seen = seen_in(view.field("seen"))
    in_flight, back = view.parts_of(user).in_flight, bool(view.field("pull_back"))

    def change(write: Writing) -> list[int]:
        people_edit.edit_user(
            write, user.id, profile_of(made), made.group,
            seen=seen.profile, seen_group=seen.group, in_flight=in_flight,
        )  # fmt: skip
        return pull_back(write, Within(), user=user.id) if back else []

    try:
        pulled = await view.write(change)
    except StoreError as error:
        errors = {"": view.refusal(error)}
        if not isinstance(error, Refused) or error.code != "stale":
            return await show_user(view, errors=errors, status=409)
        groups = {group.id: group.path for group in await _choosable(view)}
        view.user = await view.read(lambda c: read_user(c, view.within("users.write"), user.id)) or user
        mine = {**msgspec.structs.asdict(profile_of(made)), "group": made.group}
        changes = differences(view, view.field("seen"), now_of(view.user), mine, groups)
        return await show_user(view, values=lists_values(view), errors=errors, changes=changes, status=409)
    return view.go(f"/users/{user.id}", flash=Flash(saved(view, pulled)))


def saved(view: View, pulled: Sequence[int]) -> str:
    """What to say after a change that may have pulled tasks back to review; tells the daemon of them."""
    for task in pulled:
        view.console.operations.task_changed(task)
    said = view.t(N_("Saved."))
    return (
        f"{said} {view.t(N_('Tasks pulled back to review: %(count)s.'), count=len(pulled))}"
        if pulled
        else said
    )


ROUTES = (users, deleted_users, new_user_form, new_user, user, edit_user)
