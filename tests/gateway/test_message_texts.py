"""What stored messages say: texts of any coding are read back, and found by the octets that they are on the way."""

import pytest

from gateway.message_texts import message_text, needles, receipt_said
from gateway.smpp.constants import MessageState
from gateway.smpp.encode import body_of
from gateway.smpp.pdu import DeliverSm
from gateway.smpp.segments import segment
from gateway.smpp.text import encode_text
from store.model import Part
from tests.gateway.core_world import make_body, make_part


def parts_of(text: str, data_coding: int) -> list[Part]:
    """A text as the gateway stores it, cut where it is long."""
    octets = encode_text(text, data_coding)
    alphabet = "ucs2" if data_coding == 8 else "gsm"
    cut = segment(octets, alphabet, 7) if len(octets) > 140 else [octets]
    return [
        make_part(
            part_id=100 + number,
            part_no=number + 1,
            parts=len(cut),
            data_coding=data_coding,
            body=make_body(one, data_coding=data_coding, esm_class=0x40 if len(cut) > 1 else 0),
        )
        for number, one in enumerate(cut)
    ]


@pytest.mark.parametrize(
    ("text", "data_coding"),
    [
        ("hello", 0),
        ("price: 5€ [net] {x} @home_1", 0),
        ("您的验证码是 482913", 8),
        ("😀 emoji", 8),
        ("façade", 3),
        ("long " * 80, 0),
        ("很长的短信" * 40, 8),
    ],
)
def test_a_text_is_read_back_whole_and_found_by_its_pieces(text: str, data_coding: int) -> None:
    parts = parts_of(text, data_coding)
    assert message_text(parts) == text
    for piece in (text[:4], text[1:5], text[2:4]):
        assert any(needle in part.body for part in parts for needle in needles(piece)), piece


def test_what_is_no_submit_has_no_text_and_raises_nothing() -> None:
    assert message_text([make_part(body=b"\xff\xff")]) == ""


def test_a_receipt_is_told_as_its_carrier_wrote_it() -> None:
    text = (
        b"id:42 sub:001 dlvrd:000 submit date:2311142213 done date:2311142214 stat:UNDELIV err:027 text:hello"
    )
    raw = body_of(DeliverSm(esm_class=4, short_message=text))
    said = receipt_said(raw, MessageState.UNDELIVERABLE)
    assert (said.stat, said.err, said.smsc_message_id, said.done_date) == (
        "UNDELIV",
        "027",
        "42",
        "2311142214",
    )
    assert said.text == text.decode()


@pytest.mark.parametrize("raw", [b"", b"\xff", b"\x00" * 40])
def test_a_receipt_without_text_is_told_by_its_state(raw: bytes) -> None:
    assert receipt_said(raw, MessageState.EXPIRED).stat == "EXPIRED"
