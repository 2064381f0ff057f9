"""Texts from people and programs become submits: the alphabet that fits, and nothing lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.constants import Tag
from gateway.smpp.text import decode_text
from gateway.smpp.tlv import tlv_get
from gateway.submissions import with_text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
def test_the_text_is_whole_wherever_it_goes(text: str) -> None:
    pdu = with_text("8613800138000", text)
    payload = tlv_get(pdu.tlvs, Tag.MESSAGE_PAYLOAD)
    octets = pdu.short_message if payload is None else payload
    # A byte order mark is a mark, wherever it comes from.
    assert decode_text(octets, pdu.data_coding) == text.removeprefix("\ufeff")
    assert len(pdu.short_message) <= 254 and not (pdu.short_message and payload)


@pytest.mark.parametrize(
    ("text", "coding"), [("", 0), ("hello", 0), ("[€]", 0), ("你好", 8), ("hello…", 8), ("😀", 8)]
)
def test_gsm_where_all_of_it_is_gsm(text: str, coding: int) -> None:
    assert with_text("1", text).data_coding == coding


@pytest.mark.parametrize(("length", "in_payload"), [(254, False), (255, True)])
def test_what_does_not_fit_goes_as_payload(length: int, in_payload: bool) -> None:
    assert bool(with_text("1", "a" * length).tlvs) is in_payload


def test_spaces_around_a_number_are_nobodys() -> None:
    assert with_text(" +86 138 ", "x").destination_addr == b"+86 138"
