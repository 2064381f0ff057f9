"""What a customer's ESME is told: receipts and ids, by the version that it speaks."""

import pytest

from gateway.customer_pdus import customer_body, id_from_shown, shown_id, shown_ids
from gateway.delivery import RECEIPT, Event
from gateway.smpp.constants import VERSION_33, VERSION_34, CommandId
from gateway.smpp.decode import decode_body
from gateway.smpp.encode import submit_body
from gateway.smpp.pdu import DeliverSm, Tlvs
from store.model import NO_ERROR, Part, State

NOW_S = 1_795_000_000
MESSAGE_ID = NOW_S << 30 | 3 << 20 | 77
REFERENCE: Tlvs = ((0x0204, b"\x00\x07"),)


def receipt(
    text: bytes, *, esm_class: int = 0, data_coding: int = 0, tlvs: Tlvs = (), version: int = VERSION_34
) -> DeliverSm:
    body = submit_body(
        b"",
        5,
        0,
        b"ACME",
        1,
        1,
        b"8613800138000",
        esm_class,
        0,
        0,
        b"",
        b"",
        1,
        0,
        data_coding,
        0,
        text,
        tlvs,
    )
    part = Part(
        MESSAGE_ID, 1, 1, 1, State.DELIVERED, 1, 1, 8613800138000, b"ACME", 0, 0, 1, 1, data_coding,
        NOW_S * 1000, 0, 0, NOW_S * 1000, NO_ERROR, 0, body, None,
    )  # fmt: skip
    event = Event(1, RECEIPT, 1, part, 2, 0, NOW_S * 1000, b"")
    pdu = decode_body(CommandId.DELIVER_SM, customer_body(event, version))
    assert isinstance(pdu, DeliverSm)
    return pdu


@pytest.mark.parametrize(
    ("text", "fields", "echoed"),
    [
        (b"Your parcel no. 7 costs", {}, b"Your parcel no. 7 co"),
        (b"Hi", {}, b"Hi"),
        (b"Hi", {"tlvs": REFERENCE}, b"Hi"),
        (b"", {"tlvs": REFERENCE}, b""),
        (b"Hi", {"esm_class": 3}, b"Hi"),  # store and forward, as Kannel submits
        (b"\x05\x00\x03\x01\x02\x01Hi", {"esm_class": 0x40}, b""),
        ("您好".encode("utf-16-be"), {"data_coding": 8}, b""),
    ],
)
def test_a_receipt_echoes_the_first_of_a_gsm_text_and_nothing_else(
    text: bytes, fields: dict[str, int], echoed: bytes
) -> None:
    pdu = receipt(text, **fields)  # type: ignore[arg-type]
    assert pdu.short_message.partition(b" text:")[2] == echoed


def test_a_peer_of_3_3_is_told_the_id_that_it_was_answered() -> None:
    pdu = receipt(b"Hi", version=VERSION_33)
    (answered,) = shown_ids([MESSAGE_ID], VERSION_33)
    assert len(answered) == 8
    assert pdu.short_message.startswith(b"id:" + answered + b" ")
    assert pdu.tlvs == ()
    assert shown_ids([MESSAGE_ID], VERSION_34) == [b"%d" % MESSAGE_ID]


@pytest.mark.parametrize("version", [VERSION_33, VERSION_34])
def test_an_id_that_was_shown_is_found_again(version: int) -> None:
    assert id_from_shown(shown_id(MESSAGE_ID, version), NOW_S + 5, 3) == MESSAGE_ID
