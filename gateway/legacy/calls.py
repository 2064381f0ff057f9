"""Events of an account's log as the HTTP calls that tell them, and when an answer counts as heard."""

import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode

import msgspec

from gateway.customer_pdus import message_id_of
from gateway.legacy import inbound, reports
from gateway.legacy.callback import Callback, callback_of
from gateway.legacy.escapes import fill
from store.model import Inbound
from store.port import Event

if TYPE_CHECKING:
    from gateway.core import Core

ACK = b"ACK/Jasmin"
FORM = "application/x-www-form-urlencoded"
Style = Literal["kannel", "jasmin"]
Headers = list[tuple[str, str]]


class Call(msgspec.Struct):
    """One request to somebody's URL."""

    style: Style
    method: Literal["GET", "POST"]
    url: str
    headers: Headers
    body: bytes = b""
    chain: int = 0  # calls of the same chain (the reports of one message) keep their order
    mo: inbound.Mo | None = None  # whose answer may be a reply


class Heard(msgspec.Struct):
    """What the other side answered."""

    status: int
    body: bytes = b""
    content_type: str = ""


def is_heard(style: Style, heard: Heard) -> bool:
    """Whether an answer means that the report has arrived."""
    if style == "kannel":
        return heard.status in (200, 202)
    return heard.status < 400 and heard.body.strip() == ACK


def is_never(style: Style, heard: Heard) -> bool:
    """Whether another try makes no sense."""
    return style == "jasmin" and heard.status == 404


def wants_foreign_id(event: Event) -> bool:
    """Whether this tells Kannel's form of a carrier's ROK to a URL that asks for the carrier's message id."""
    if event.receipt is None or event.part is None or event.receipt.raw:
        return False
    callback = callback_of(event.part)
    return callback is not None and callback.style == "kannel" and "%F" in callback.url


def call_of(core: "Core", event: Event, foreign_id: str = "") -> Call | None:
    """The call that tells an event, None where nobody asked for one.

    Args:
      foreign_id: the carrier's message id, where no receipt of its says it.
    """
    account = core.accounts.get(event.account)
    if account is None:
        return None
    service = account.account.system_id
    if event.inbound is not None:
        url, form = account.account.mo_url, account.account.mo_form
        if not url or not event.inbound.text:
            return None
        carrier = carrier_name(core, event.inbound.carrier)
        return inbound_call(core, event.inbound, carrier, service, url, form)
    if event.receipt is None or event.part is None:
        return None
    callback = callback_of(event.part)
    if callback is None:
        return None
    told = reports.read(event.part, event.receipt, carrier_name(core, event.receipt.carrier), service)
    told.foreign_id = told.foreign_id or foreign_id
    return report_call(told, callback)


def carrier_name(core: "Core", carrier: int) -> str:
    known = core.directory.carriers.get(carrier)
    return known.name if known is not None else ""


def report_call(told: reports.Told, callback: Callback) -> Call | None:
    """The call of a report."""
    chain = message_id_of(told.part)
    if callback.style == "kannel":
        values = reports.kannel_values(told, callback)
        if values is None:
            return None
        url = fill(callback.url, values)
        return Call("kannel", "GET", clean(url), [("user-agent", inbound.AGENT)], chain=chain)
    pairs = reports.jasmin_pairs(told, callback)
    if pairs is None:
        return None
    return jasmin_call(callback.url, callback.method, urlencode(pairs), "DLRThrower", chain)


def inbound_call(core: "Core", row: Inbound, carrier: str, service: str, url: str, form: str) -> Call:
    """The call of an inbound message."""
    mo = inbound.read(row, carrier, service, recode=core.config.kannel.mo_recode)
    if form.startswith("jasmin"):
        encoded = urlencode(inbound.jasmin_pairs(mo))
        method = "GET" if form.endswith("get") else "POST"
        return jasmin_call(url, method, encoded, "deliverSmHttpThrower", row.id)
    agent = [("user-agent", inbound.AGENT)]
    filled = clean(inbound.kannel_url(url, mo))
    if form.endswith("get"):
        return Call("kannel", "GET", filled, agent, chain=row.id, mo=mo)
    headers = agent + inbound.kannel_headers(mo, core.clock.wall_ms())
    return Call("kannel", "POST", filled, headers, mo.octets, row.id, mo)


def jasmin_call(url: str, method: str, encoded: str, agent: str, chain: int) -> Call:
    """A push in Jasmin's form."""
    headers = [
        ("content-type", FORM),
        ("accept", "text/plain"),
        ("user-agent", f"Jasmin gateway/1.0 {agent}"),
    ]
    if method == "GET":
        return Call("jasmin", "GET", clean(with_query(url, encoded)), headers, chain=chain)
    return Call("jasmin", "POST", clean(url), headers, encoded.encode(), chain)


def once_call(url: str, told: dict[str, str]) -> Call:
    """A GET that tells how a message of a batch went in."""
    agent = [("user-agent", "Jasmin gateway/1.0"), ("accept", "*/*")]
    return Call("jasmin", "GET", clean(with_query(url, urlencode(told))), agent)


def with_query(url: str, encoded: str) -> str:
    """A URL with further parameters."""
    return url + ("&" if "?" in url else "?") + encoded


_DOUBTFUL = re.compile(r'[^!-~]|[\\"<>^`{|}]|%(?![0-9A-Fa-f]{2})')


def clean(url: str) -> str:
    """A URL whose odd characters are written as %XX: old configurations hold spaces and worse."""
    return _DOUBTFUL.sub(
        lambda found: "".join(f"%{octet:02X}" for octet in found.group().encode("utf-8", "replace")), url
    )
