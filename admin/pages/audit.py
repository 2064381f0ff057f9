"""The audit log (P32): who did what, when, from where; nothing in it can be changed."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Response, get

from admin import lists
from admin.i18n import N_
from admin.lists import Cell, Column, Empty, Filter, ListSpec, Row
from admin.pages.ledger import ListPage
from admin.permissions import Reach, allow, reach
from admin.rendering import describe
from admin.view import FromView
from store.ledgers import AuditFilter, list_audit
from store.listing import Cut
from store.listing import Page as Rows

ACTIONS = {
    "sign-in": N_("Sign-in"),
    "sign-out": N_("Sign-out"),
    "user": N_("Users"),
    "group": N_("Groups"),
    "quota": N_("Quota"),
    "word": N_("Words"),
    "blacklist": N_("Blacklists"),
    "carrier": N_("Carriers"),
    "export": N_("Exports"),
    "message": N_("Messages"),
    "apply": N_("sluice apply"),
}


@get("/audit", **allow("audit.read"))
async def audit(view: FromView) -> Response[Any]:
    """Events in reach, the newest first."""
    only = view.me.login if reach(view.role, "audit.read") == Reach.OWN else ""

    def fetch(connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        wanted = AuditFilter(values["actor"], values["action"], values["target"], values["request"])
        return list_audit(connection, view.within("audit.read"), wanted, cut, only=only)

    def row(columns: tuple[Any, ...]) -> Row:
        _, at, actor, action, target, detail = columns
        said = msgspec.json.decode(detail)
        address, request = said.pop("address", ""), said.pop("request", "")
        return Row(
            (
                Cell(at),
                Cell(actor),
                Cell(address),
                Cell(action),
                Cell(target),
                Cell(describe(msgspec.json.encode(said).decode())),
                Cell(request, href=f"/audit?request={request}" if request else ""),
            )
        )

    spec = ListSpec(
        name="audit",
        path="/audit",
        columns=(
            Column("at", N_("Time"), "time"),
            Column("actor", N_("Who")),
            Column("address", N_("From"), "code", wide=False),
            Column("action", N_("What was done"), "code"),
            Column("target", N_("On what")),
            Column("detail", N_("Details"), wide=False),
            Column("request", N_("Request"), "link", wide=False),
        ),
        filters=(
            Filter("actor", N_("Who"), placeholder=N_("Login")),
            Filter("action", N_("What was done"), "choice", tuple(ACTIONS.items())),
            Filter("target", N_("On what")),
            Filter("request", N_("Request"), placeholder=N_("All that one click did"), more=True),
        ),
        fetch=fetch,
        row=row,
        empty=Empty(N_("Nothing is written down yet"), N_("Every sign-in and every change shows here.")),
    )
    intro = view.t(N_("Append-only; each entry is sealed by the hash of the one before."))
    return await lists.answer(
        view, spec, lambda listing, _: ListPage(title=view.t(N_("Audit log")), listing=listing, intro=intro)
    )


ROUTES = (audit,)
