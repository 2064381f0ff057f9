"""The quota ledger: every movement of parts, who made it, and what it left."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from litestar import Response, get

from admin import lists
from admin.i18n import N_
from admin.lists import Cell, Column, Empty, Filter, Listing, ListSpec, Row
from admin.permissions import allow
from admin.rendering import Page
from admin.view import FromView
from store.ledgers import LedgerRow, list_ledger
from store.listing import Cut
from store.listing import Page as Rows

KINDS = {
    "topup": (N_("Top-up"), "good"),
    "reclaim": (N_("Reclaim"), "warn"),
    "return": (N_("Return"), "plain"),
    "move": (N_("Move"), "plain"),
}


class ListPage(Page, kw_only=True):
    """A page that is a list and nothing else."""

    template = "list.html"
    listing: Listing
    intro: str = ""


@get("/users/ledger", **allow("ledger.read"))
async def ledger(view: FromView) -> Response[Any]:
    """Movements in reach, the newest first."""
    query = view.request.query_params
    about = {
        name: str(query.get(name, ""))
        for name in ("user", "group")
        if str(query.get(name, "")).isdecimal() and len(str(query.get(name, ""))) < 18
    }

    def fetch(connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        user, group = int(about.get("user", 0)), int(about.get("group", 0))
        within = view.within("ledger.read")
        return list_ledger(connection, within, cut, user=user, group=group, kind=values["kind"])

    def row(columns: tuple[Any, ...]) -> Row:
        one = LedgerRow(*columns)
        title, tone = KINDS[one.kind]
        href = f"/users/{one.user}" if one.user else f"/users/groups/{one.group}"
        return Row(
            (
                Cell(one.at),
                Cell(one.kind, view.t(title), tone=tone),
                Cell(one.subject, href=href),
                Cell(one.delta),
                Cell(one.balance),
                Cell(one.actor.removeprefix("console:")),
                Cell(one.note),
            )
        )

    spec = ListSpec(
        name="ledger",
        path="/users/ledger",
        columns=(
            Column("at", N_("Time"), "time"),
            Column("kind", N_("Kind"), "badge"),
            Column("subject", N_("User or group"), "link"),
            Column("delta", N_("Parts"), "number"),
            Column("balance", N_("Limit after"), "number"),
            Column("actor", N_("By"), wide=False),
            Column("note", N_("Note"), wide=False),
        ),
        filters=(
            Filter("kind", N_("Kind"), "choice", tuple((kind, title) for kind, (title, _) in KINDS.items())),
        ),
        fetch=fetch,
        row=row,
        empty=Empty(
            N_("No parts were moved yet"),
            N_("Top up a group first, then give its users their share."),
            "/users/groups",
            N_("To the groups"),
        ),
        fixed=about,
    )
    return await lists.answer(
        view, spec, lambda listing, _: ListPage(title=view.t(N_("Quota ledger")), listing=listing)
    )


ROUTES = (ledger,)
