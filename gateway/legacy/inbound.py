"""Inbound messages as the requests that Kannel's and Jasmin's applications wait for, and the reply that they give."""

from datetime import UTC, datetime

import msgspec

from gateway.api.build import sender
from gateway.legacy import ids
from gateway.legacy.escapes import CHARSETS, Values, encode, fill
from gateway.legacy.wire import Wanted, decode_charset, gsm_octets, submit
from gateway.smpp.constants import CommandId
from gateway.smpp.decode import decode_body
from gateway.smpp.pdu import DeliverSm, SubmitSm
from gateway.smpp.text import alphabet_of, choose_coding, encode_text, message_class
from gateway.smpp.udh import segment_of
from store.model import Inbound

AGENT = "Kannel/1.4.4 (compatible; Sluice)"
INTERNATIONAL = 1  # type of number (SMPP 3.4 section 5.2.5)
Pairs = list[tuple[str, bytes]]
Headers = list[tuple[str, str]]


class Mo(msgspec.Struct):
    """A whole inbound message. `coding` is Kannel's: 0 text in UTF-8, 1 octets, 2 UTF-16BE."""

    row: Inbound
    carrier: str
    service: str
    pdu: DeliverSm | None
    octets: bytes
    coding: int
    udh: bytes = b""

    @property
    def handset(self) -> bytes:
        """Who sent it, an international number with its + as Kannel's SMPP driver writes it."""
        return _international(self.row.source, self.pdu.source_addr_ton if self.pdu else 0)

    @property
    def ours(self) -> bytes:
        """The number that was texted, likewise."""
        return _international(self.row.dest, self.pdu.dest_addr_ton if self.pdu else 0)


def _international(address: bytes, ton: int) -> bytes:
    return b"+" + address if ton == INTERNATIONAL and address[:1].isdigit() else address


def read(row: Inbound, carrier: str, service: str, *, recode: bool) -> Mo:
    """An inbound message of the store; `recode` gives UCS-2 as UTF-8 (Kannel's mo-recode)."""
    pdu = decode_body(CommandId.DELIVER_SM, row.body) if row.body else None
    alphabet = alphabet_of(row.data_coding)
    coding = {"octets": 1, "ucs2": 0 if recode else 2}.get(alphabet, 0)
    octets = row.text.encode({1: "latin-1", 2: "utf-16-be"}.get(coding, "utf-8"), "replace")
    mo = Mo(row, carrier, service, pdu if isinstance(pdu, DeliverSm) else None, octets, coding)
    if mo.pdu is not None and row.parts == 1:
        segment = segment_of(mo.pdu)
        if segment.udh is not None:
            mo.udh = mo.pdu.short_message[: segment.udh.octets]
    return mo


# -- Kannel ---------------------------------------------------------------------------------------


def kannel_url(pattern: str, mo: Mo) -> str:
    """get-url or post-url with its escape codes replaced."""
    row = mo.row
    named = message_class(row.data_coding)
    return fill(
        pattern,
        Values(
            handset=mo.handset,
            ours=mo.ours,
            text=mo.octets,
            time_s=row.received_at // 1000,
            carrier=mo.carrier,
            message_id=ids.show(row.id),
            service=mo.service,
            udh=mo.udh,
            coding=mo.coding,
            mclass=-1 if named is None else named,
            data_coding=row.data_coding,
        ),
    )


def kannel_headers(mo: Mo, now_ms: int) -> Headers:
    """The head of a POST: what the codes of a GET say."""
    row = mo.row
    charset = CHARSETS.get(mo.coding, "UTF-8")
    kind = "application/octet-stream" if mo.coding == 1 else f'text/plain; charset="{charset}"'
    named = message_class(row.data_coding)
    headers = [
        ("content-type", kind),
        ("X-Kannel-From", _plain(mo.handset)),
        ("X-Kannel-To", _plain(mo.ours)),
        ("X-Kannel-Time", _moment(row.received_at)),
        ("Date", _moment(now_ms)),
        ("X-Kannel-UDH", encode(mo.udh)),
        ("X-Kannel-SMSC", encode(mo.carrier.encode())),
        ("X-Kannel-MClass", "" if named is None else str(named)),
        ("X-Kannel-Coding", str(mo.coding)),
        ("X-Kannel-Service", encode(mo.service.encode())),
    ]
    return [(name, value) for name, value in headers if value]


def reply_to(mo: Mo, body: bytes, content_type: str, source: bytes, *, messages_max: int) -> SubmitSm | None:
    """The message that an answer to get-url or post-url asks for, None for none: an empty answer, or a type other
    than text/plain and application/octet-stream. Raises ValueError for a text that is not in its charset, Invalid
    for a sender that cannot be one.

    Args:
      source: who it comes from.
      messages_max: SMS at most; the rest of the text is cut off, as Kannel's max-messages does.
    """
    kind, _, parameter = content_type.partition(";")
    kind = kind.strip().lower()
    if kind == "application/octet-stream" and body:
        octets, data_coding = body[: 140 if messages_max == 1 else 134 * messages_max], 4
    elif kind == "text/plain":
        charset = parameter.partition("=")[2].strip().strip('"') or "ISO-8859-1"
        text = decode_charset(body, charset)
        if not text.strip():
            return None
        data_coding = choose_coding(text)[0]
        if data_coding:
            text = text[: 70 if messages_max == 1 else 67 * messages_max]
            octets = encode_text(text, data_coding)
        else:
            octets = gsm_octets(text)[0][: 160 if messages_max == 1 else 153 * messages_max]
    else:
        return None
    to = _plain(mo.row.source)
    return submit(
        Wanted(source=sender(source.decode("utf-8", "replace")), octets=octets, data_coding=data_coding), to
    )


# -- Jasmin ---------------------------------------------------------------------------------------


def jasmin_pairs(mo: Mo) -> Pairs:
    """What is pushed. `content` is the text in the coding that it came in, `binary` the same in hex."""
    row = mo.row
    content = _content(mo)
    pairs = [
        ("id", ids.show(row.id).encode()),
        ("from", row.source),
        ("to", row.dest),
        ("origin-connector", mo.carrier.encode()),
        ("content", content),
        ("binary", content.hex().encode()),
    ]
    if mo.pdu is not None:
        pairs.append(("priority", b"%d" % mo.pdu.priority_flag))
    pairs.append(("coding", b"%d" % row.data_coding))
    if mo.pdu is not None and mo.pdu.validity_period:
        pairs.append(("validity", mo.pdu.validity_period))
    return pairs


def _content(mo: Mo) -> bytes:
    row = mo.row
    if mo.pdu is not None and row.parts == 1:
        return segment_of(mo.pdu).text
    alphabet = alphabet_of(row.data_coding)
    if alphabet == "ucs2":
        return row.text.encode("utf-16-be", "replace")
    return gsm_octets(row.text)[0] if alphabet == "gsm" else row.text.encode("latin-1", "replace")


def _plain(address: bytes) -> str:
    return "".join(chr(octet) for octet in address if 0x20 < octet < 0x7F)


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
