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
    "reserve": (N_("Held by a task"), "info"),
    "settle": (N_("Used by a task"), "plain"),
    "release": (N_("Back from a task"), "good"),
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
        for name in ("user", "group", "task")
        if str(query.get(name, "")).isdecimal() and len(str(query.get(name, ""))) < 18
    }

    def fetch(connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        within = view.within("ledger.read")
        only = {name: int(one) for name, one in about.items()}
        return list_ledger(connection, within, cut, kind=values["kind"], **only)

    def row(columns: tuple[Any, ...]) -> Row:
        one = LedgerRow(*columns)
        title, tone = KINDS[one.kind]
        href = f"/users/{one.user}" if one.user else f"/users/groups/{one.group}"
        return Row(
            (
                Cell(one.at),
                Cell(one.kind, view.t(title), tone=tone),
                Cell(one.subject, href=href),
                Cell(one.parts),
                Cell(one.delta),
                Cell(one.available, "" if one.available is not None else "—"),
                Cell(one.balance),
                Cell(one.task_name, href=f"/tasks/{one.task}" if one.task else ""),
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
            Column("parts", N_("Parts"), "number"),
            Column("delta", N_("Available changes by"), "number"),
            Column("available", N_("Available after"), "number"),
            Column("balance", N_("Limit after"), "number", wide=False),
            Column("task", N_("Task"), "link"),
            Column("actor", N_("By")),
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
