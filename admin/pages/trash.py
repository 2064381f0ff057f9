"""What I deleted in the last thirty days, and how it comes back: the undo beside each message leads here too."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post
from litestar.exceptions import NotFoundException, PermissionDeniedException

from admin import lists
from admin.console import Flash
from admin.i18n import N_
from admin.lists import Act, Cell, Column, Empty, Filter, ListSpec, Row
from admin.pages.blacklist import may_write
from admin.pages.ledger import ListPage
from admin.permissions import Role, allow
from admin.view import FromView, View
from store import trash
from store.files import StoreError
from store.listing import Cut
from store.listing import Page as Rows
from store.people_list import list_groups
from store.trash import TrashRow

KINDS = {
    "contact": N_("Contacts"),
    "phrase": N_("Phrases"),
    "word": N_("Sensitive words"),
    "blacklist": N_("Blacklists"),
    "group": N_("User groups"),
    "task": N_("Previews"),
}
# Who may put it back: who may add such a thing. And where it is seen again.
PERMISSIONS = {
    "contact": "contacts",
    "phrase": "phrases",
    "word": "words.write",
    "blacklist": "blacklist.write",
    "group": "groups.write",
    "task": "sms.send",
}
PLACES = {
    "contact": "/contacts",
    "phrase": "/settings/phrases",
    "word": "/settings/words",
    "blacklist": "/settings/blacklist",
    "group": "/users/groups",
    "task": "/sms/pending",
}


def may_restore(view: View, row: TrashRow, connection: sqlite3.Connection) -> bool:
    """Whether the viewer may still do to it what putting it back does."""
    if not view.may(PERMISSIONS[row.kind]):
        return False
    if row.kind == "blacklist":
        reachable = list_groups(connection, view.within("blacklist.write"))
        groups = {one.id for one in reachable if view.role > Role.USER or one.id == view.me.group}
        return all(may_write(view, one.scope, groups) for one in trash.numbers_in(row))
    if row.kind == "group":
        above = {one.id for one in list_groups(connection, view.within("groups.write"))}
        return all(one.parent in above or view.role == Role.SYSTEM for one in trash.groups_in(row))
    return True


def spec_of(view: View) -> ListSpec:
    """What the viewer deleted."""

    def fetch(connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        return trash.list_trash(connection, view.me.id, cut, kind=values["kind"])

    def row(columns: tuple[Any, ...]) -> Row:
        one = TrashRow(*columns)
        act = Act(view.t(N_("Put back")), f"/trash/{one.id}/restore", "undo-2")
        return Row(
            (
                Cell(one.title),
                Cell(one.kind, view.t(KINDS[one.kind])),
                Cell(one.count),
                Cell(one.at),
                Cell(one.at + trash.KEPT_MS),
                Cell(None, actions=(act,)),
            )
        )

    return ListSpec(
        name="trash",
        path="/trash",
        columns=(
            Column("title", N_("What")),
            Column("kind", N_("Kind")),
            Column("count", N_("Entries"), "number"),
            Column("at", N_("Deleted at"), "time"),
            Column("until", N_("Kept until"), "time", wide=False),
            Column("actions", N_("Actions"), "actions"),
        ),
        filters=(Filter("kind", N_("Kind"), "choice", tuple(KINDS.items())),),
        fetch=fetch,
        row=row,
        empty=Empty(
            N_("You deleted nothing in the last thirty days"),
            N_(
                "Contacts, phrases, words, blacklisted numbers, groups and previews that you delete wait here."
            ),
        ),
    )


@get("/trash", **allow("session"))
async def deleted(view: FromView) -> Response[Any]:
    """What the viewer deleted, the newest first."""
    title = view.t(N_("Recently deleted"))
    return await lists.answer(view, spec_of(view), lambda listing, _: ListPage(title=title, listing=listing))


@post("/trash/{trash_id:int}/restore", **allow("session"))
async def restore(view: FromView) -> Response[str]:
    """Put something back."""
    identifier = int(view.at("trash_id"))

    def find(connection: sqlite3.Connection) -> tuple[TrashRow | None, bool]:
        row = trash.read_trash(connection, view.me.id, identifier)
        return row, row is not None and may_restore(view, row, connection)

    row, may = await view.read(find)
    if row is None:
        raise NotFoundException
    if not may:
        raise PermissionDeniedException
    found = row
    try:
        back = await view.write(lambda w: trash.restore(w, found))
    except StoreError as error:
        return view.go("/trash", flash=Flash(view.refusal(error), "bad"))
    text = view.t(N_("%(title)s: %(count)s are there again."), title=row.title, count=f"{back:,}")
    return view.go(PLACES[row.kind], flash=Flash(text))


ROUTES = (deleted, restore)
