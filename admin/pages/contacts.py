"""Contacts (P8), the least that sending needs: find, add one or many, delete."""

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
from admin.lists import Cell, Column, Empty, Filter, Listing, ListSpec, Row
from admin.permissions import allow
from admin.rendering import Page
from admin.undo import undo_flash
from admin.view import FromView, View
from store.address_book import ContactGroup, add_contacts, contact_groups, list_contacts
from store.listing import Cut
from store.listing import Page as Rows
from store.trash import delete_contacts

AT_ONCE_MAX = 20_000
BAD_SHOWN_MAX = 5


class ContactsPage(Page, kw_only=True):
    """The list with the form to add."""

    template = "contacts.html"
    listing: Listing
    groups: list[ContactGroup]
    values: Mapping[str, str]
    errors: Mapping[str, str]


class ContactsForm(msgspec.Struct, frozen=True):
    """One contact a line: a number, or a name and a number."""

    people: Annotated[str, Meta(max_length=900_000, extra={"lines": True})]
    group: Annotated[str, Meta(max_length=64)]


def spec_of(view: View, groups: list[ContactGroup]) -> ListSpec:
    """The viewer's own contacts."""

    def fetch(connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        group = int(values["group"]) if values["group"] else 0
        return list_contacts(connection, view.me.id, cut, search=values["q"], group=group)

    def row(columns: tuple[Any, ...]) -> Row:
        identifier, name, mobile, group = columns
        return Row((Cell(name), Cell(mobile), Cell(group)), id=str(identifier))

    return ListSpec(
        name="contacts",
        path="/contacts",
        columns=(
            Column("name", N_("Name")),
            Column("mobile", N_("Number"), "code"),
            Column("group", N_("Contact group")),
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
    view: View, values: Mapping[str, str], errors: Mapping[str, str], status: int = 200
) -> Response[Any]:
    groups = await view.read(lambda c: contact_groups(c, view.me.id))
    spec = spec_of(view, groups)

    def page(listing: Listing, _: sqlite3.Connection) -> ContactsPage:
        return ContactsPage(
            title=view.t(N_("Contacts")), listing=listing, groups=groups, values=values, errors=errors
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
    if bad:
        errors["people"] = view.t(
            N_("These lines have no phone number: %(lines)s"), lines="、".join(bad[:BAD_SHOWN_MAX])
        )
    elif len(people) > AT_ONCE_MAX:
        errors["people"] = view.t(N_("At most %(limit)s at once."), limit=AT_ONCE_MAX)
    if errors:
        return await _show(view, given, errors, 422)
    group = form.group
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


ROUTES = (contacts, add, delete)
