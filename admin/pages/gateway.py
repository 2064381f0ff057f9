"""Connections and routes (P30): what each carrier does and what keeps it from doing more; pause; try a route."""

import sqlite3
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException

from admin.console import Flash
from admin.i18n import N_
from admin.operations import Carrier, RouteAnswer
from admin.permissions import allow
from admin.rendering import Page
from admin.view import FromView, View
from store.carriers_edit import CarrierRow, RouteRow, list_carriers, list_routes, set_carrier_state
from store.rules_list import list_sms_types

LIMITED_BY = {
    "nothing to send": (N_("nothing to send"), "plain"),
    "bind": (N_("no bind"), "bad"),
    "window": (N_("its window"), "info"),
    "rate": (N_("its rate"), "info"),
    "paused": (N_("paused"), "warn"),
    "disk full": (N_("the full disk"), "bad"),
    "throttled by the carrier": (N_("throttled by the carrier"), "warn"),
}


class CarrierCard(msgspec.Struct, frozen=True):
    """A carrier as configured and as it does now; `live` is None before the daemon has taken it over."""

    row: CarrierRow
    live: Carrier | None
    limited_by: str
    tone: str


class ConnectionsPage(Page, kw_only=True):
    """The moving part: carriers and their binds."""

    template = "gateway_live.html"
    carriers: list[CarrierCard]


class GatewayPage(ConnectionsPage, kw_only=True):
    """All of it."""

    template = "gateway.html"
    routes: list[RouteRow]
    types: list[tuple[str, str]]
    tried: str
    sms_type: str
    answer: RouteAnswer | None
    try_error: str


def _cards(view: View, connection: sqlite3.Connection, live: list[Carrier]) -> list[CarrierCard]:
    by_name = {carrier.name: carrier for carrier in live}
    cards = []
    for row in list_carriers(connection):
        now = by_name.get(row.name)
        text, tone = LIMITED_BY.get(now.limited_by, (now.limited_by, "plain")) if now else ("", "plain")
        cards.append(CarrierCard(row, now, view.t(text), tone))
    return cards


@get("/gateway", **allow("gateway.read"))
async def gateway(view: FromView) -> Response[str]:
    """Carriers, routes, and the route tester."""
    query = view.request.query_params
    tried, sms_type = str(query.get("try", "")).strip()[:64], str(query.get("type", ""))[:64]
    answer, try_error = None, ""
    if tried:
        try:
            number = view.console.operations.canonical_number(tried)
            answer = view.console.route_of(number, sms_type)
        except ValueError:
            try_error = view.t(N_("This is no phone number."))
    live = view.console.live().carriers

    def build(connection: sqlite3.Connection) -> GatewayPage:
        return GatewayPage(
            title=view.t(N_("Connections and routes")),
            carriers=_cards(view, connection, live),
            routes=list_routes(connection),
            types=[(name, view.t(title)) for name, title in list_sms_types(connection)],
            tried=tried,
            sms_type=sms_type,
            answer=answer,
            try_error=try_error,
        )

    return await view.show(await view.read(build))


@get("/gateway/live", **allow("gateway.read", quiet=True))
async def moving(view: FromView) -> Response[str]:
    """Only what moves."""
    live = view.console.live().carriers
    title = view.t(N_("Connections and routes"))
    return await view.show(
        await view.read(lambda c: ConnectionsPage(title=title, carriers=_cards(view, c, live)))
    )


@post("/gateway/carriers/{carrier_id:int}/state", **allow("gateway.write"))
async def set_state(view: FromView) -> Response[Any]:
    """Pause a carrier (it keeps its binds and gets nothing new) or let it go on."""
    carrier_id, wanted = int(view.at("carrier_id")), view.field("state")
    if wanted not in ("active", "paused"):
        raise NotFoundException
    name = await view.write(lambda w: set_carrier_state(w, carrier_id, wanted))
    if not name:
        raise NotFoundException
    text = (
        N_("%(name)s is paused: what is for it waits, or takes another carrier of its route.")
        if wanted == "paused"
        else N_("%(name)s goes on.")
    )
    undo = {"active": "paused", "paused": "active"}[wanted]
    flash = Flash(
        view.t(text, name=name), undo=f"/gateway/carriers/{carrier_id}/state", fields={"state": undo}
    )
    return view.go("/gateway", flash=flash)


ROUTES = (gateway, moving, set_state)
