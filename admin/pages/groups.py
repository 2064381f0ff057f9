"""User groups (P16): a tree of branches or departments, each with its quota and its review setting."""

import sqlite3
from collections.abc import Mapping
from typing import Annotated

import msgspec
from litestar import Response, get, post
from msgspec import Meta

from admin.console import Flash
from admin.i18n import N_
from admin.pages.user_actions import change_parts, threshold_from
from admin.pages.users import lists_values, review_note, saved
from admin.permissions import allow
from admin.rendering import Page
from admin.stale import Difference, differences, written
from admin.undo import undo_flash
from admin.view import FromView, View
from store import groups_edit, quota
from store.config_db import Writing
from store.directory import GroupReview
from store.files import StoreError
from store.ledgers import audit_of
from store.owner_tasks import OpenTasks, open_tasks, pull_back
from store.people_list import GroupRow, list_groups, read_group
from store.quota_low import Threshold, set_threshold, threshold_of
from store.refusals import Refused
from store.scope import Within
from store.trash import delete_group as delete_group_row

Name = Annotated[str, Meta(max_length=64)]


class GroupsPage(Page, kw_only=True):
    """The tree with its balances."""

    template = "groups.html"
    groups: list[GroupRow]
    search: str
    can_add: bool
    can_add_root: bool
    changeable: set[int]


class GroupPage(Page, kw_only=True):
    """One group."""

    template = "group.html"
    group: GroupRow
    values: Mapping[str, str]
    errors: Mapping[str, str]
    most: int  # parts that can be added; -1 is any number
    review_from: str
    can_change: bool
    history: list[tuple[int, str, str, str]]
    low: Threshold
    tasks: OpenTasks
    places: list[tuple[int, str]]
    seen: str
    changes: list[Difference]


class NewGroupPage(Page, kw_only=True):
    """The form of a new group."""

    template = "group_new.html"
    groups: list[GroupRow]
    can_add_root: bool
    values: Mapping[str, str]
    errors: Mapping[str, str]


class GroupForm(msgspec.Struct, frozen=True):
    name: Name
    review: GroupReview = "inherit"


class NewGroupForm(GroupForm, frozen=True, kw_only=True):
    """A new group; parent 0 makes a root group."""

    parent: Annotated[int, Meta(ge=0)]


@get("/users/groups", **allow("groups.read"))
async def groups(view: FromView) -> Response[str]:
    """All groups in reach."""
    rows = await view.read(lambda c: list_groups(c, view.within("groups.read")))
    search = str(view.request.query_params.get("q", "")).strip()[:64]
    rows = [row for row in rows if search.casefold() in row.path.casefold()]
    page = GroupsPage(
        search=search,
        title=view.t(N_("User groups")),
        groups=rows,
        can_add=view.may("groups.write"),
        can_add_root=view.may("groups.root"),
        changeable={row.id for row in rows if view.may_change_group(row)},
    )
    return await view.show(page)


async def _new(view: View, values: Mapping[str, str], errors: Mapping[str, str]) -> Response[str]:
    page = NewGroupPage(
        title=view.t(N_("Add group")),
        groups=await view.read(lambda c: list_groups(c, view.within("groups.write"))),
        can_add_root=view.may("groups.root"),
        values=values,
        errors=errors,
    )
    return await view.show(page, status=422 if errors else 200)


@get("/users/groups/new", **allow("groups.write"))
async def new_group_form(view: FromView) -> Response[str]:
    """An empty form."""
    parent = str(view.request.query_params.get("parent", view.me.group))
    return await _new(view, {"parent": parent}, {})


@post("/users/groups/new", **allow("groups.write"))
async def new_group(view: FromView) -> Response[str]:
    """Make a group below one in reach; root groups are made by system administrators."""
    form, errors = view.parse(NewGroupForm)
    if form and form.parent == 0 and not view.may("groups.root"):
        errors["parent"] = view.t(N_("Choose one of those offered."))
    if form and form.parent:
        reachable = await view.read(lambda c: list_groups(c, view.within("groups.write")))
        if form.parent not in {group.id for group in reachable}:
            errors["parent"] = view.t(N_("Choose one of those offered."))
    if form is None or errors:
        return await _new(view, lists_values(view), errors)
    made = form
    try:
        group = await view.write(
            lambda w: groups_edit.create_group(w, made.parent or None, made.name, review=made.review)
        )
    except StoreError as error:
        return await _new(view, lists_values(view), {"name": view.refusal(error)})
    return view.go(
        f"/users/groups/{group}",
        flash=Flash(view.t(N_("Group made. Now give it parts, so that its users can be given some."))),
    )


class SeenGroup(msgspec.Struct, frozen=True):
    """How a group was when the form was opened."""

    name: str
    review: str


def _now(group: GroupRow) -> dict[str, str]:
    return {"name": group.name, "review": group.review}


async def _show(
    view: View,
    *,
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    changes: list[Difference] | None = None,
    status: int = 200,
) -> Response[str]:
    group = view.about_group
    shown = {
        "name": group.name,
        "review": group.review,
        "parts": "",
        "parent": str(group.parent),
        **(values or {}),
    }

    def read(
        connection: sqlite3.Connection,
    ) -> tuple[int, list[tuple[int, str, str, str]], Threshold, OpenTasks]:
        history = audit_of(connection, f"group {group.path}", f"group {group.id}")
        low = threshold_of(connection, "group", group.id)
        tasks = open_tasks(connection, Within(group.id))
        if not group.parent:
            return -1, history, low, tasks
        above = quota.group_balance(connection, group.parent)
        return (-1 if above.unlimited else above.remaining), history, low, tasks

    limit, history, low, tasks = await view.read(read)
    page = GroupPage(
        title=group.name,
        group=group,
        values=shown,
        errors=errors or {},
        seen=written(_now(group)),
        changes=changes or [],
        most=limit,
        review_from="" if group.review != "inherit" else review_note(view, group.review_from or "*"),
        can_change=view.may_change_group(group),
        history=history,
        low=low,
        tasks=tasks,
        places=await view.read(lambda c: _places(view, c, group)),
    )
    return await view.show(page, status=status)


@get("/users/groups/{group_id:int}", **allow("groups.read", about="group"))
async def group(view: FromView) -> Response[str]:
    """One group."""
    return await _show(view)


@post("/users/groups/{group_id:int}", **allow("groups.write", about="group"))
async def edit_group(view: FromView) -> Response[str]:
    """Rename, or say whether its tasks are reviewed."""
    form, errors = view.parse(GroupForm)
    if form is None:
        return await _show(view, values=lists_values(view), errors=errors, status=422)
    about, made, back = view.about_group, form, bool(view.field("pull_back"))
    try:
        opened = msgspec.json.decode(view.field("seen"), type=SeenGroup)
        seen = (opened.name, opened.review)
    except msgspec.MsgspecError:
        seen = None

    def change(write: Writing) -> list[int]:
        groups_edit.edit_group(write, about.id, made.name, made.review, seen=seen)
        return pull_back(write, Within(about.id)) if back else []

    try:
        pulled = await view.write(change)
    except StoreError as error:
        given = lists_values(view)
        if not isinstance(error, Refused) or error.code != "stale":
            return await _show(view, values=given, errors={"name": view.refusal(error)}, status=409)
        view.group = await view.read(lambda c: read_group(c, view.within("groups.write"), about.id)) or about
        now, mine = _now(view.group), {"name": made.name, "review": made.review}
        changes = differences(view, view.field("seen"), now, mine)
        return await _show(view, values=given, errors={"": view.refusal(error)}, changes=changes, status=409)
    return view.go(f"/users/groups/{about.id}", flash=Flash(saved(view, pulled)))


@post("/users/groups/{group_id:int}/parts", **allow("groups.write", about="group", proof=True))
async def top_up_group(view: FromView) -> Response[str]:
    """Give parts from the parent's remaining ones (root groups: out of nothing), or take back."""
    about = view.about_group
    return await change_parts(
        view, about.path, f"/users/groups/{about.id}", _show,
        lambda w, parts, note: quota.topup_group(w, about.id, parts, note=note),
    )  # fmt: skip


@post("/users/groups/{group_id:int}/move", **allow("groups.write", about="group", proof=True))
async def move_group(view: FromView) -> Response[str]:
    """Put a group with all below it under another one in reach."""
    about = view.about_group
    asked = view.field("parent")
    parent = int(asked) if asked.isdecimal() and len(asked) < 18 else -1
    offered = await view.read(lambda c: _places(view, c, about))
    if parent not in {value for value, _ in offered}:
        errors = {"parent": view.t(N_("Choose one of those offered."))}
        return await _show(view, values=lists_values(view), errors=errors, status=422)
    try:
        await view.write(lambda w: groups_edit.move_group(w, about.id, parent or None))
    except StoreError as error:
        return await _show(
            view, values=lists_values(view), errors={"parent": view.refusal(error)}, status=409
        )
    return view.go(f"/users/groups/{about.id}", flash=Flash(view.t(N_("Moved, with all below it."))))


def _places(view: View, connection: sqlite3.Connection, group: GroupRow) -> list[tuple[int, str]]:
    """Where a group may be put: (id, path) of every group in reach but those inside it; 0 is the top."""
    rows = list_groups(connection, view.within("groups.write"))
    inside = {row.id for row in rows if row.path == group.path or row.path.startswith(f"{group.path}/")}
    top = [(0, view.t(N_("None: a root group")))] if view.may("groups.root") else []
    return top + [(row.id, row.path) for row in rows if row.id not in inside]


@post("/users/groups/{group_id:int}/low", **allow("groups.write", about="group"))
async def set_group_low(view: FromView) -> Response[str]:
    """Say when this group's parts count as low."""
    about = view.about_group
    threshold, errors = threshold_from(view)
    if threshold is None:
        return await _show(view, values=lists_values(view), errors=errors, status=422)
    wanted = threshold
    await view.write(lambda w: set_threshold(w, "group", about.id, about.path, wanted))
    return view.go(f"/users/groups/{about.id}", flash=Flash(view.t(N_("Saved."))))


@post("/users/groups/{group_id:int}/delete", **allow("groups.write", about="group"))
async def delete_group(view: FromView) -> Response[str]:
    """Delete a group that nobody is in."""
    about = view.about_group
    try:
        gone = await view.write(lambda w: delete_group_row(w, view.me.id, about.id))
    except StoreError as error:
        return await _show(view, errors={"": view.refusal(error)}, status=409)
    text = view.t(N_("Group %(path)s is deleted; its parts went back to the group above."), path=about.path)
    return view.go("/users/groups", flash=undo_flash(text, gone))


ROUTES = (
    move_group,
    groups,
    new_group_form,
    new_group,
    group,
    edit_group,
    top_up_group,
    set_group_low,
    delete_group,
)
