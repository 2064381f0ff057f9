"""What a customer's bind gets: receipts that any parser reads, in the words of the customer's own message."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.verdict import Reason
from gateway.customer_pdus import customer_body, id_from_shown, message_id_of, shown_id, shown_ids
from gateway.delivery import INBOUND, RECEIPT, Event
from gateway.smpp.constants import VERSION_33, VERSION_34, MessageState, Tag
from gateway.smpp.receipts import is_receipt, parse_receipt
from gateway.smpp.segments import build_concat_udh
from gateway.smpp.text import encode_text
from gateway.smpp.tlv import tlv_cstring, tlv_int
from store.ids import NODE_BITS, NODE_MASK, NUMBER_MASK, SECOND_BITS
from store.model import NO_ERROR, Part, PartFlag
from tests.gateway.core_world import DEST, NOW_MS, SENDER, delivered, make_body, make_part

NOW_S = NOW_MS // 1000
# SMPP 3.4 appendix B, and what people made of it in ten thousand scripts.
TEXTBOOK = re.compile(
    rb"id:(\S+) sub:(\d{3}) dlvrd:(\d{3}) submit date:(\d{10}) done date:(\d{10}) stat:([A-Z]{7}) err:(\d{3})"
    rb" text:(.{0,20})",
    re.DOTALL,
)


def told(part: Part | None = None, state: int = MessageState.DELIVERED, error: int = 0) -> Event:
    return Event(9, RECEIPT, 1, part or make_part(1), state, error, NOW_MS + 61_000, b"")


# -- ids ----------------------------------------------------------------------------------------------

ids = st.builds(
    lambda second, node, number: second << SECOND_BITS | node << NODE_BITS | number,
    st.integers(NOW_S - 200_000_000, NOW_S + 80_000),
    st.integers(0, NODE_MASK),
    st.integers(0, NUMBER_MASK),
)


@given(ids)
def test_an_id_of_eight_characters_finds_its_message_again(message_id: int) -> None:
    node = message_id >> NODE_BITS & NODE_MASK
    short = shown_id(message_id, VERSION_33)
    assert len(short) == 8 and short.isascii() and re.fullmatch(rb"[0-9A-Za-z_-]{8}", short)
    assert id_from_shown(short, NOW_S, node) == message_id


@given(ids)
def test_an_id_of_nineteen_digits_is_the_id(message_id: int) -> None:
    for version in (VERSION_34, 0x50):
        assert shown_id(message_id, version) == b"%d" % message_id
    assert id_from_shown(b"%d" % message_id, NOW_S, 0) == message_id


@given(st.lists(ids, max_size=5), st.sampled_from([VERSION_33, VERSION_34]))
def test_many_ids_are_shown_as_each_would_be(many: list[int], version: int) -> None:
    assert shown_ids(many, version) == [shown_id(one, version) for one in many]


@given(st.binary(max_size=66))
def test_what_is_no_id_of_ours_never_raises(text: bytes) -> None:
    assert 0 <= id_from_shown(text, NOW_S, 5) < 1 << 63


@pytest.mark.parametrize(
    "text", [b"", b"1", b"abc", b"12345678901234567890", b"-123456789012345678", b"1234567\xb2", b"abcdefg!"]
)
def test_foreign_ids_are_none(text: bytes) -> None:
    assert id_from_shown(text, NOW_S, 0) == 0


def test_a_number_too_large_for_any_id_is_none() -> None:
    assert id_from_shown(b"9" * 19, NOW_S, 0) == 0


def test_the_parts_of_a_message_name_the_message() -> None:
    assert [message_id_of(make_part(100 + n, part_no=n + 1, parts=3)) for n in range(3)] == [100, 100, 100]
    one_of_many = make_part(7, flags=PartFlag.ONE_OF_MANY, detail=msgspec.msgpack.encode({"first": 5}))
    assert message_id_of(one_of_many) == 5


# -- receipts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [s for s in MessageState if s <= 9])
@pytest.mark.parametrize("version", [VERSION_33, VERSION_34, 0x50])
def test_a_receipt_is_read_back_as_it_was_meant(state: int, version: int) -> None:
    event = told(make_part(NOW_S << SECOND_BITS | 77), state, 21)
    pdu = delivered(event, version)
    notified = state in (MessageState.SCHEDULED, MessageState.ENROUTE, MessageState.ACCEPTED)
    assert is_receipt(pdu) == ("intermediate" if notified else "receipt")
    fields = parse_receipt(pdu)
    assert event.part is not None
    assert fields.message_id == shown_id(event.part.id, version).decode()
    assert fields.error_code == 21 and fields.text == b"hello"
    assert (fields.submit_date, fields.done_date) == ("2701150800", "2701150801")
    if version >= VERSION_34 or state:
        assert fields.state == state


@given(
    st.sampled_from([s for s in MessageState if s <= 9]),
    st.one_of(st.integers(0, 1200), st.sampled_from([NO_ERROR, *Reason])),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.sampled_from([VERSION_33, VERSION_34]),
)
def test_any_textbook_parser_reads_it(state: int, error: int, text: str, version: int) -> None:
    try:
        octets, coding = encode_text(text, 0), 0
    except ValueError:
        octets, coding = encode_text(text, 8)[:140], 8
    part = make_part(
        NOW_S << SECOND_BITS | 77, data_coding=coding, body=make_body(octets[:160], data_coding=coding)
    )
    match = TEXTBOOK.fullmatch(delivered(told(part, state, error), version).short_message)
    assert match is not None
    message_id, sub, dlvrd, _, _, _, shown_error, head = match.groups()
    assert message_id == shown_id(part.id, version)
    assert (sub, dlvrd) == (b"001", b"001" if state == MessageState.DELIVERED else b"000")
    assert shown_error == (b"%03d" % error if error < 1000 else b"000"), (
        "our own reasons are no network errors"
    )
    assert head == (b"" if coding else text[:20].encode("ascii", "replace")[: len(head)])


def test_the_tlvs_say_the_same_and_an_old_peer_gets_none() -> None:
    part = make_part(NOW_S << SECOND_BITS | 77)
    pdu = delivered(told(part, MessageState.EXPIRED))
    assert tlv_cstring(pdu.tlvs, Tag.RECEIPTED_MESSAGE_ID) == b"%d" % part.id
    assert tlv_int(pdu.tlvs, Tag.MESSAGE_STATE) == MessageState.EXPIRED
    assert delivered(told(part), VERSION_33).tlvs == ()


def test_a_receipt_comes_from_the_recipient_to_the_sender() -> None:
    body = make_body(source=b"Sluice", ton=5)
    pdu = delivered(told(make_part(1, body=body, source=b"Sluice")))
    assert (pdu.source_addr, pdu.source_addr_ton, pdu.source_addr_npi) == (b"%d" % DEST, 1, 1)
    assert (pdu.destination_addr, pdu.dest_addr_ton, pdu.dest_addr_npi) == (b"Sluice", 5, 1)
    assert pdu.esm_class == 4 and pdu.data_coding == 0 and pdu.registered_delivery == 0
    assert delivered(told(make_part(1, body=make_body(source=b"")))).destination_addr == b""
    assert delivered(told()).destination_addr == SENDER


@pytest.mark.parametrize(
    ("body", "coding", "head"),
    [
        (make_body(b"hi", tlvs=((0x1401, b"secret of the TLV"),)), 0, b"hi"),
        (make_body(b"", tlvs=((0x1401, b"secret"),)), 0, b""),
        (make_body(b"a" * 25), 0, b"a" * 20),
        (make_body(b"hi", esm_class=0x03), 0, b"hi"),
        (make_body(build_concat_udh(1, 2, 1) + b"hi", esm_class=0x40), 0, b""),
        (make_body(b"\0h\0i", data_coding=8), 8, b""),
        (make_body(b"\xff\x00", data_coding=4), 4, b""),
    ],
)
def test_only_the_head_of_a_plain_text_is_echoed(body: bytes, coding: int, head: bytes) -> None:
    pdu = delivered(told(make_part(1, body=body, data_coding=coding)))
    assert pdu.short_message.endswith(b" text:" + head)


def test_a_split_message_is_named_by_its_first_part() -> None:
    part = make_part((NOW_S << SECOND_BITS) + 12, part_no=3, parts=3, flags=PartFlag.SPLIT_BY_US)
    assert parse_receipt(delivered(told(part))).message_id == str((NOW_S << SECOND_BITS) + 10)


def test_one_of_many_is_named_by_the_id_that_was_given_for_all() -> None:
    detail = msgspec.msgpack.encode({"first": NOW_S << SECOND_BITS})
    part = make_part((NOW_S << SECOND_BITS) + 2, flags=PartFlag.ONE_OF_MANY, detail=detail)
    assert parse_receipt(delivered(told(part))).message_id == str(NOW_S << SECOND_BITS)


def test_an_inbound_message_is_passed_on_unchanged() -> None:
    event = Event(9, INBOUND, 1, None, 0, 0, NOW_MS, b"any octets")
    assert customer_body(event, VERSION_33) == customer_body(event, VERSION_34) == b"any octets"
