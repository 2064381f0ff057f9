"""What no message of a customer and no receipt of a carrier may do to the core: `tests/gateway/core_world.py`."""

from functools import cache
from typing import Any

import msgspec

from filters.verdict import Reason
from filters.words import Word
from gateway.customer_pdus import customer_body
from gateway.delivery import RECEIPT, Event
from gateway.dress import Dresser
from gateway.smpp.constants import CommandId
from gateway.smpp.decode import decode_body
from gateway.smpp.pdu import DeliverSm, SubmitSm
from gateway.smpp.segments import CannotSplit, count_segments
from gateway.smpp.text import alphabet_of
from gateway.smpp.tlv import read_tlvs
from gateway.smpp.udh import payload_of
from store.directory import Account, Carrier, User
from store.model import Part
from tests.gateway.core_world import NOW_MS, World, ok, refusal

from .reader import Reader

WORDS = (Word("stupid"), Word("敏感"), Word("审核词", "review"), Word("禁词", "reject"))
# Carriers that want something of every kind.
CARRIERS = [
    Carrier(1, "plain"),
    Carrier(1, "packed", alphabet="gsm-packed", split="sar", validity_s_max=60),
    Carrier(1, "latin", alphabet="latin1", gsm_data_coding=3, split="payload", default_sender="ACME"),
    Carrier(
        1, "ascii", alphabet="ascii", split="udh16", validity_form="absolute", validity_s_max=9, source_ton=0
    ),
    Carrier(
        1, "3.3", interface_version=0x33, receipts="asked", tlv_add=((0x1400, "00"),), tlv_drop=(0x0204,)
    ),
]
TIMES = (b"", b"", b"", b"000001000000000R", b"270115120000000+", b"990101000000000-")
NUMBERS = (b"8613800138000", b"+8613800138000", b"13800138000", b"008613800138000")
UNLIMITED = 1 << 60


@cache
def _world() -> World:
    return World(
        words=WORDS,
        user=User(1, "u", 1, limit=UNLIMITED),
        account=Account(1, 1, "u", "", senders=("*",), default_sender="10690"),
    )


def _message(reader: Reader) -> dict[str, Any]:
    """Fields of a submit_sm or deliver_sm, as a decoder would let them pass."""
    return {
        "source_addr_ton": reader.octet(),
        "source_addr": reader.choice((b"", b"10690", b"ACME", reader.take(5))).replace(b"\0", b"")[:20],
        "destination_addr": reader.choice((*NUMBERS, reader.take(12))).replace(b"\0", b"")[:20],
        "esm_class": reader.choice((0, 0x40, 3, 0x43, 4, reader.octet())),
        "protocol_id": reader.octet(),
        "priority_flag": reader.octet() % 6,
        "registered_delivery": reader.choice((0, 1, 2, 3, 0x11, reader.octet())),
        "data_coding": reader.choice((0, 1, 3, 4, 8, 8, reader.octet())),
    }


def intake(octets: bytes) -> None:
    """A message is refused for a reason or becomes parts that any carrier can be sent, and that are charged."""
    world = _world()
    reader = Reader(octets)
    fields = _message(reader)
    fields["schedule_delivery_time"] = reader.choice(TIMES)
    fields["validity_period"] = reader.choice(TIMES)
    options = read_tlvs(block := reader.some(), 0, len(block)).tlvs
    tlvs = tuple(each for each in options if each[0] != 0x0424)
    stretch = reader.choice((1, 1, 2, 40))
    text = reader.rest() * stretch
    if len(text) > 254 or reader.octet():
        fields["tlvs"] = (*tlvs, (0x0424, text))
    else:
        fields["tlvs"] = tlvs
        fields["short_message"] = text
    before = world.balance.reserved
    results, changes = world.accept(SubmitSm(**fields))
    (result,) = results
    if result < 0:
        assert Reason(-result)
        assert not changes.parts
        assert world.balance.reserved == before
        return
    parts = changes.parts
    assert world.balance.reserved == before + len(parts)
    assert [part.part_no for part in parts] == list(range(1, len(parts) + 1))
    for part in parts:
        stored = decode_body(CommandId.SUBMIT_SM, part.body)
        assert isinstance(stored, SubmitSm), stored
        assert len(payload_of(stored)) <= 254
        for dresser in DRESSERS:
            dressed = decode_body(CommandId.SUBMIT_SM, dresser.dress(part, NOW_MS))
            assert isinstance(dressed, SubmitSm), (dressed, dresser)
    _tell(parts[0], reader)
    try:
        counted = count_segments(
            text, alphabet_of(fields["data_coding"]), udh_indicator=bool(fields["esm_class"] & 0x40)
        )
    except CannotSplit:
        counted = 0
    masked = parts[0].detail is not None
    assert masked or parts[0].parts == counted, (counted, len(parts), fields)


DRESSERS = [Dresser(carrier) for carrier in CARRIERS]


def _tell(part: Part, reader: Reader) -> None:
    """Its receipt as customers of either version read it."""
    for version in (0x33, 0x34):
        event = Event(1, RECEIPT, 1, part, reader.octet() % 9, reader.octet() << 4, NOW_MS, b"", 1)
        told = decode_body(CommandId.DELIVER_SM, customer_body(event, version))
        assert isinstance(told, DeliverSm), told
        assert told.source_addr == decode_body(CommandId.SUBMIT_SM, part.body).destination_addr  # type: ignore[union-attr]


def outcomes(octets: bytes) -> None:
    """Whatever carriers answer and report, quota adds up, and what customers are told can be read."""
    world = World(user=User(1, "u", 1, limit=UNLIMITED))
    reader = Reader(octets)
    ids = (b"abc1", b"ABC1", b"123", b"0000000123", b"7b", b"", reader.some()[:64].replace(b"\0", b""))
    flights = []
    for _ in range(1 + reader.octet() % 4):
        flight = world.sent()
        flights.append(flight)
        how = reader.octet() % 4
        if how == 3:
            world.unanswered(flight, lost=reader.flag())
        else:
            answer = ok(reader.choice(ids)) if how else refusal(reader.octet() << (reader.octet() % 4))
            _read(world.answer((flight, answer), late=reader.flag())[0])
    for _ in range(6):
        if not reader.left:
            break
        fields = _message(reader)
        fields["source_addr"], fields["destination_addr"] = fields["destination_addr"], fields["source_addr"]
        tlvs = read_tlvs(block := reader.some(), 0, len(block)).tlvs
        said = reader.some()
        if reader.flag():
            said = (
                b"id:"
                + reader.choice(ids)
                + b" stat:"
                + reader.choice((b"DELIVRD", b"ENROUTE", b"UNDELIV"))
                + said
            )
        _read(world.receive(DeliverSm(**fields, short_message=said[:254], tlvs=tlvs, raw=b"raw"))[0])
        world.clock.advance(reader.octet())
    assert world.quota_is_settled()
    assert world.balance.reserved >= 0


def _read(events: list[Event]) -> None:
    for event in events:
        if event.kind == RECEIPT and event.part is not None:
            for version in (0x33, 0x34):
                told = decode_body(CommandId.DELIVER_SM, customer_body(event, version))
                assert isinstance(told, DeliverSm), told
        msgspec.structs.asdict(event)
