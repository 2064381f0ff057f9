"""Carriers and routes as the console shows them; pausing one, and its rate."""

import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec

from store.directory import Carrier
from store.refusals import Refused

if TYPE_CHECKING:
    from store.config_db import Writing


RATE_MAX = 1_000_000


class CarrierRow(msgspec.Struct, frozen=True):
    """A carrier as configured, without its password. `address` is "" where the carrier connects to us."""

    id: int
    name: str
    state: str
    mode: str
    address: str
    system_id: str
    binds: int
    window: int
    rate: int


class RouteRow(msgspec.Struct, frozen=True):
    """A route with the names of what it refers to; "" stands for any."""

    id: int
    prefix: str
    sms_type: str
    account: str
    policy: str
    carriers: list[str]


def list_carriers(connection: sqlite3.Connection) -> list[CarrierRow]:
    """All carriers, by name."""
    rows = []
    for identifier, name, settings, state in connection.execute(
        "SELECT id, name, settings, state FROM carrier WHERE state <> 'deleted' ORDER BY name"
    ):
        known: dict[str, Any] = msgspec.json.decode(settings)
        carrier = msgspec.convert({**known, "id": identifier, "name": name, "state": state}, Carrier)
        address = f"{carrier.host}:{carrier.port}" if carrier.host else ""
        rows.append(
            CarrierRow(
                identifier, name, state, carrier.mode, address, carrier.system_id, carrier.binds,
                carrier.window, carrier.rate,
            )
        )  # fmt: skip
    return rows


def list_routes(connection: sqlite3.Connection) -> list[RouteRow]:
    """All routes, the shortest prefix first, carriers in their order."""
    hops: dict[int, list[str]] = {}
    for route, name in connection.execute(
        "SELECT route_id, name FROM route_carrier r JOIN carrier c ON c.id = r.carrier_id"
        " ORDER BY route_id, position"
    ):
        hops.setdefault(route, []).append(name)
    return [
        RouteRow(row[0], row[1], row[2], row[3] or "", row[4], hops.get(row[0], []))
        for row in connection.execute(
            "SELECT r.id, prefix, sms_type, a.system_id, policy FROM route r"
            " LEFT JOIN account a ON a.id = r.account_id WHERE r.state = 'active' ORDER BY prefix, r.id"
        )
    ]


def set_carrier_state(transaction: "Writing", carrier: int, state: str) -> str:
    """`active` or `paused`; gives the carrier's name, "" if there is none."""
    row = transaction.run(
        "SELECT name, state FROM carrier WHERE id = ? AND state <> 'deleted'", (carrier,)
    ).fetchone()
    if row is None:
        return ""
    if row[1] != state:
        transaction.run("UPDATE carrier SET state = ? WHERE id = ?", (state, carrier))
        transaction.audit("carrier.state", f"carrier {row[0]}", state=[row[1], state])
    return str(row[0])


def set_carrier_rate(transaction: "Writing", carrier: int, rate: int) -> str:
    """Parts a second over all binds, 0 for no limit; gives the carrier's name, "" if there is none.

    Raises Refused ("carrier-rate") for a rate that no carrier can have.
    """
    row = transaction.run(
        "SELECT name, settings FROM carrier WHERE id = ? AND state <> 'deleted'", (carrier,)
    ).fetchone()
    if row is None:
        return ""
    if not 0 <= rate <= RATE_MAX:
        raise Refused(
            "carrier-rate", f"The rate is 0 (no limit) to {RATE_MAX:,} parts a second.", most=RATE_MAX
        )
    known: dict[str, Any] = msgspec.json.decode(row[1])
    before = known.get("rate", 0)
    if before != rate:
        known["rate"] = rate
        transaction.run(
            "UPDATE carrier SET settings = ? WHERE id = ?", (msgspec.json.encode(known).decode(), carrier)
        )
        transaction.audit("carrier.rate", f"carrier {row[0]}", rate=[before, rate])
    return str(row[0])


def note_rebind(transaction: "Writing", carrier: int) -> str:
    """Write down that somebody has a carrier bind anew; gives its name, "" if there is none."""
    row = transaction.run(
        "SELECT name FROM carrier WHERE id = ? AND state <> 'deleted'", (carrier,)
    ).fetchone()
    if row is None:
        return ""
    transaction.audit("carrier.rebind", f"carrier {row[0]}", changes=False)
    return str(row[0])
