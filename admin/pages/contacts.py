"""Contacts (P8): a tree of groups, find, add one or many, delete; groups are moved and deleted."""

import sqlite3
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from msgspec import Meta

from admin import lists
from admin.cleaning import clean
from admin.console import Flash
from admin.i18n import N_
from admin.import_kinds import REASONS
from admin.lists import Act, Cell, Column, Empty, Filter, Listing, ListSpec, Row
from admin.permissions import allow
from admin.rendering import Page
from admin.undo import undo_flash
from admin.view import FromView, View
from store.address_book import ContactGroup, add_contacts, contact_groups, list_contacts
from store.contact_groups import empty_into_above, move_contact_group, problem_with_path
from store.files import StoreError
from store.listing import Cut
from store.listing import Page as Rows
from store.trash import delete_contact_group, delete_contacts

AT_ONCE_MAX = 20_000
BAD_SHOWN_MAX = 5


class ContactsPage(Page, kw_only=True):
    """The list with the form to add."""

    template = "contacts.html"
    listing: Listing
    groups: list[ContactGroup]
    chosen: ContactGroup | None
    values: Mapping[str, str]
    errors: Mapping[str, str]


class ContactsForm(msgspec.Struct, frozen=True):
    """One contact a line: a number, or a name and a number."""

    people: Annotated[str, Meta(max_length=900_000, extra={"lines": True})]
    group: Annotated[str, Meta(max_length=255)]


def spec_of(view: View, groups: list[ContactGroup]) -> ListSpec:
    """The viewer's own contacts."""

    def fetch(connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        group = int(values["group"]) if values["group"] else 0
        return list_contacts(connection, view.me.id, cut, search=values["q"], group=group)

    def row(columns: tuple[Any, ...]) -> Row:
        identifier, name, mobile, group = columns
        send = Act(view.t(N_("Send SMS")), f"/sms/send?to={mobile}", icon="send", post=False)
        return Row((Cell(name), Cell(mobile), Cell(group), Cell(None, actions=(send,))), id=str(identifier))

    return ListSpec(
        name="contacts",
        path="/contacts",
        columns=(
            Column("name", N_("Name")),
            Column("mobile", N_("Number"), "code"),
            Column("group", N_("Contact group")),
            Column("actions", N_("Actions"), "actions"),
        ),
        filters=(
            Filter("q", N_("Search"), placeholder=N_("Name, number or group")),
            Filter("group", N_("Contact group"), "choice", tuple((str(one.id), one.name) for one in groups)),
        ),
        fetch=fetch,
        row=row,
        empty=Empty(
            N_("No contacts yet"),
            N_("Add people beside this list; then pick them, or their group, when you send."),
        ),
    )


async def _show(
    view: View,
    values: Mapping[str, str],
    errors: Mapping[str, str],
    status: int = 200,
    group: int = 0,
) -> Response[Any]:
    groups = await view.read(lambda c: contact_groups(c, view.me.id))
    asked = str(group) if group else str(view.request.query_params.get("group", ""))
    chosen = next((one for one in groups if str(one.id) == asked), None)
    values = ({"group": chosen.name, "path": chosen.name} if chosen else {}) | dict(values)
    spec = spec_of(view, groups)

    def page(listing: Listing, _: sqlite3.Connection) -> ContactsPage:
        return ContactsPage(
            title=view.t(N_("Contacts")),
            listing=listing,
            groups=groups,
            chosen=chosen,
            values=values,
            errors=errors,
        )

    if status != 200:
        return await view.show(await view.read(lambda c: page(lists.build(view, spec, c), c)), status=status)
    return await lists.answer(view, spec, page)


@get("/contacts", **allow("contacts"))
async def contacts(view: FromView) -> Response[Any]:
    """The viewer's contacts."""
    return await _show(view, {}, {})


@post("/contacts", **allow("contacts"))
async def add(view: FromView) -> Response[Any]:
    """Put people into a group."""
    form, errors = view.parse(ContactsForm)
    given = {name: sent[0] for name, sent in view.form.items() if sent}
    if form is None:
        return await _show(view, given, errors, 422)
    people, bad = [], []
    for line in form.people.splitlines():
        if not line.strip():
            continue
        name, number = _read(view, line)
        if number:
            people.append((name[:64], number))
        else:
            bad.append(line.strip()[:40])
    if problem_with_path(form.group.replace("／", "/").strip("/")):
        errors["group"] = view.t(REASONS["path-form"])
    if bad:
        errors["people"] = view.t(
            N_("These lines have no phone number: %(lines)s"), lines="、".join(bad[:BAD_SHOWN_MAX])
        )
    elif len(people) > AT_ONCE_MAX:
        errors["people"] = view.t(N_("At most %(limit)s at once."), limit=AT_ONCE_MAX)
    if errors:
        return await _show(view, given, errors, 422)
    group = form.group.replace("／", "/").strip("/")
    added, known = await view.write(lambda w: add_contacts(w, view.me.id, group, people), reload=False)
    text = view.t(
        N_("%(added)s contacts added; %(known)s were in the group already."), added=added, known=known
    )
    return view.go("/contacts", flash=Flash(text))


def _read(view: View, line: str) -> tuple[str, int]:
    """(name, number) of a line: the number stands first or last; 0 for none."""
    fields = [clean(one) for one in line.replace("，", ",").replace("\t", ",").replace(";", ",").split(",")]
    for position in (-1, 0):
        try:
            number = view.console.operations.canonical_number(fields[position])
        except ValueError:
            continue
        del fields[position]
        return " ".join(one for one in fields if one), number
    return "", 0


@post("/contacts/delete", **allow("contacts"))
async def delete(view: FromView) -> Response[Any]:
    """Delete the chosen ones."""
    ids = [int(one) for one in view.form.get("ids", ()) if one.isdecimal() and len(one) < 18]
    gone = await view.write(lambda w: delete_contacts(w, view.me.id, ids), reload=False)
    return view.go(
        "/contacts", flash=undo_flash(view.t(N_("%(count)s contacts deleted."), count=gone.count), gone)
    )


@post("/contacts/groups/{group_id:int}", **allow("contacts"))
async def move_group(view: FromView) -> Response[Any]:
    """Give a group another path: rename it, or put it with all below it somewhere else."""
    group, path = int(view.at("group_id")), clean(view.field("path")).replace("／", "/").strip("/")
    errors = {"path": view.t(REASONS["path-form"])} if problem_with_path(path) else {}
    if not errors:
        try:
            await view.write(lambda w: move_contact_group(w, view.me.id, group, path), reload=False)
        except StoreError as error:
            errors = {"path": view.refusal(error)}
    if errors:
        return await _show(view, {"path": view.field("path")}, errors, 422, group)
    return view.go(f"/contacts?group={group}", flash=Flash(view.t(N_("Moved, with all below it."))))


@post("/contacts/groups/{group_id:int}/delete", **allow("contacts"))
async def delete_group(view: FromView) -> Response[Any]:
    """Delete a group and those below it: their contacts go to the group above, or away."""
    group, owner = int(view.at("group_id")), view.me.id
    try:
        if view.field("contents") == "keep":
            count = await view.write(lambda w: empty_into_above(w, owner, group), reload=False)
            said = view.t(N_("The group is gone; %(count)s contacts went to the group above."), count=count)
            return view.go("/contacts", flash=Flash(said))
        gone = await view.write(lambda w: delete_contact_group(w, owner, group), reload=False)
    except StoreError as error:
        return view.go("/contacts", flash=Flash(view.refusal(error), "bad"))
    said = view.t(N_("The group and its %(count)s contacts are deleted."), count=gone.count)
    return view.go("/contacts", flash=undo_flash(said, gone))


ROUTES = (move_group, delete_group, contacts, add, delete)
