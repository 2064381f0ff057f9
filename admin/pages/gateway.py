"""Connections and routes (P30): what carriers do and what keeps them from more; pause, rebind, rate; try a route."""

import sqlite3
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException
from msgspec import Meta

from admin.console import Flash
from admin.i18n import N_
from admin.live import Figures, Moment, Topic, by_reach
from admin.operations import Carrier, RouteAnswer
from admin.permissions import allow
from admin.rendering import Page, format_number, format_time
from admin.view import FromView, View
from store.carriers_edit import (
    RATE_MAX,
    CarrierRow,
    RouteRow,
    list_carriers,
    list_routes,
    note_rebind,
    set_carrier_rate,
    set_carrier_state,
)
from store.rules_list import list_sms_types

LIMITED_BY = {
    "nothing to send": (N_("nothing to send"), "plain"),
    "bind": (N_("no bind"), "bad"),
    "window": (N_("its window"), "info"),
    "rate": (N_("its rate"), "info"),
    "paused": (N_("paused"), "warn"),
    "disk": (N_("the disk"), "warn"),
    "disk full": (N_("the full disk"), "bad"),
    "throttled by the carrier": (N_("throttled by the carrier"), "warn"),
}
BIND_STATES = {
    "open": (N_("connecting"), "warn"),
    "bound_tx": (N_("bound, sends"), "good"),
    "bound_rx": (N_("bound, receives"), "good"),
    "bound_trx": (N_("bound, both ways"), "good"),
    "unbound": (N_("unbound"), "bad"),
    "closed": (N_("closed"), "bad"),
}


class CarrierCard(msgspec.Struct, frozen=True):
    """A carrier as configured and as it does now; `live` is None before the daemon has taken it over."""

    row: CarrierRow
    live: Carrier | None


class ConnectionsPage(Page, kw_only=True):
    """The moving part: carriers and their binds. `errors` of a rate that was refused, for carrier `tried_rate`."""

    template = "gateway_live.html"
    carriers: list[CarrierCard]
    live: Figures
    errors: Mapping[str, str] = msgspec.field(default_factory=dict)
    rate_of: int = 0
    rate_typed: str = ""


class GatewayPage(ConnectionsPage, kw_only=True):
    """All of it."""

    template = "gateway.html"
    routes: list[RouteRow]
    types: list[tuple[str, str]]
    tried: str
    sms_type: str
    answer: RouteAnswer | None
    try_error: str


class RateForm(msgspec.Struct, frozen=True):
    rate: Annotated[int, Meta(ge=0, le=RATE_MAX)]


def _moving(
    view: View, connection: sqlite3.Connection, live: list[Carrier]
) -> tuple[list[CarrierCard], Figures]:
    by_name = {carrier.name: carrier for carrier in live}
    cards: list[CarrierCard] = []
    figures: Figures = {}
    shape: list[str] = []
    for row in list_carriers(connection):
        now = by_name.get(row.name)
        cards.append(CarrierCard(row, now))
        shape.append(f"{row.id}{row.state}{'+' if now else '-'}{bool(now and now.trouble)}{row.rate}")
        if now is None:
            continue
        shape += [str(bind.number) for bind in now.binds]
        figures |= _figures(view, row, now)
    figures["shape.live"] = "|".join(shape)
    return cards, figures


def _figures(view: View, row: CarrierRow, now: Carrier) -> Figures:
    key = f"g.{row.id}"
    if row.state == "paused":
        state = [view.t(N_("Paused")), "warn"]
    else:
        state = [view.t(N_("Up")), "good"] if now.up else [view.t(N_("Down")), "bad"]
    title, tone = LIMITED_BY.get(now.limited_by, (now.limited_by, "plain"))
    figures: Figures = {
        f"{key}.state": state,
        f"{key}.limit": [view.t(title), tone],
        f"{key}.rate": format_number(round(now.accepted_rate)),
        f"{key}.pace": format_number(round(now.pace)) if now.pace else "∞",
        f"{key}.receipts_rate": format_number(round(now.receipt_rate)),
        f"{key}.queued": format_number(now.queued),
        f"{key}.accepted": format_number(now.accepted),
        f"{key}.sent": format_number(now.sent),
        f"{key}.receipts": format_number(now.receipts),
        f"{key}.awaiting": format_number(now.awaiting_receipt),
        f"{key}.throttled": format_number(now.throttled),
        f"{key}.refused": format_number(sum(now.refused.values())),
        f"{key}.slowed": "" if now.slowed >= 1 else f"{100 * now.slowed:.0f} %",
        f"{key}.trouble": now.trouble,
        f"{key}.error": now.last_error or "—",
        f"{key}.error_at": format_time(now.last_error_at, view.zone),
    }
    for bind in now.binds:
        name = f"{key}.{bind.number}"
        title, tone = BIND_STATES.get(bind.state, (bind.state, "plain"))
        figures[f"{name}.state"] = [view.t(title), tone]
        figures[f"{name}.window"] = f"{bind.window_used}/{bind.window_max}"
        figures[f"{name}.used"] = bind.window_used
        figures[f"{name}.rtt"] = "—" if bind.enquire_link_ms < 0 else f"{bind.enquire_link_ms:.1f} ms"
    return figures


def _connections(view: View, moment: Moment, connection: sqlite3.Connection, _: tuple[int, ...]) -> Figures:
    return _moving(view, connection, moment.live.carriers)[1]


TOPICS = (Topic("connections", "gateway.read", _connections, by_reach),)


async def _show(
    view: View, *, errors: dict[str, str] | None = None, rate_of: int = 0, status: int = 200
) -> Response[str]:
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
        cards, figures = _moving(view, connection, live)
        return GatewayPage(
            title=view.t(N_("Connections and routes")),
            topics=("connections",),
            carriers=cards,
            live=figures,
            errors=errors or {},
            rate_of=rate_of,
            rate_typed=view.field("rate"),
            routes=list_routes(connection),
            types=[(name, view.t(title)) for name, title in list_sms_types(connection)],
            tried=tried,
            sms_type=sms_type,
            answer=answer,
            try_error=try_error,
        )

    return await view.show(await view.read(build), status=status)


@get("/gateway", **allow("gateway.read"))
async def gateway(view: FromView) -> Response[str]:
    """Carriers, routes, and the route tester."""
    return await _show(view)


@get("/gateway/live", **allow("gateway.read", quiet=True))
async def moving(view: FromView) -> Response[str]:
    """Only what moves, where other rows stand there by now."""
    live = view.console.live().carriers
    title = view.t(N_("Connections and routes"))

    def build(connection: sqlite3.Connection) -> ConnectionsPage:
        cards, figures = _moving(view, connection, live)
        return ConnectionsPage(title=title, carriers=cards, live=figures)

    return await view.show(await view.read(build))


@post("/gateway/carriers/{carrier_id:int}/state", **allow("gateway.write"))
async def set_state(view: FromView) -> Response[Any]:
    """Pause a carrier (it is unbound and gets nothing) or let it go on."""
    carrier_id, wanted = int(view.at("carrier_id")), view.field("state")
    if wanted not in ("active", "paused"):
        raise NotFoundException
    name = await view.write(lambda w: set_carrier_state(w, carrier_id, wanted), reload=False)
    if not name:
        raise NotFoundException
    await view.console.operations.reload_directory()
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


@post("/gateway/carriers/{carrier_id:int}/rate", **allow("gateway.write"))
async def set_rate(view: FromView) -> Response[Any]:
    """Another rate for the whole carrier; it counts for the next part."""
    carrier_id = int(view.at("carrier_id"))
    rows = await view.read(list_carriers)
    row = next((one for one in rows if one.id == carrier_id), None)
    if row is None:
        raise NotFoundException
    form, errors = view.parse(RateForm)
    if form is None:
        return await _show(view, errors=errors, rate_of=carrier_id, status=422)
    rate = form.rate
    await view.write(lambda w: set_carrier_rate(w, carrier_id, rate), reload=False)
    await view.console.operations.reload_directory()
    text = (
        view.t(N_("%(name)s may have %(rate)s parts a second from now on."), name=row.name, rate=f"{rate:,}")
        if rate
        else view.t(N_("%(name)s has no limit of rate from now on."), name=row.name)
    )
    undo = {"rate": str(row.rate)}
    return view.go("/gateway", flash=Flash(text, undo=f"/gateway/carriers/{carrier_id}/rate", fields=undo))


@post("/gateway/carriers/{carrier_id:int}/rebind", **allow("gateway.write"))
async def rebind(view: FromView) -> Response[Any]:
    """Unbind politely and bind anew."""
    carrier_id = int(view.at("carrier_id"))
    name = await view.write(lambda w: note_rebind(w, carrier_id), reload=False)
    if not name or not view.console.operations.rebind(carrier_id):
        raise NotFoundException
    text = N_("%(name)s is binding anew: its answers come first, nothing is lost.")
    return view.go("/gateway", flash=Flash(view.t(text, name=name)))


ROUTES = (gateway, moving, set_state, set_rate, rebind)
