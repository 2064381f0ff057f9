"""What a carrier's settings make of a stored body, on the octets that go out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dress import Dresser
from gateway.smpp.constants import Tag
from gateway.smpp.gsm import fill_bits_after, unpack_septets
from gateway.smpp.pdu import SubmitSm
from gateway.smpp.segments import build_concat_udh
from gateway.smpp.text import encode_text
from gateway.smpp.tlv import tlv_get
from gateway.smpp.udh import Concat, sar_concat
from store.directory import Carrier
from store.model import PartFlag
from tests.gateway.core_world import NOW_MS, decoded, make_body, make_part

MINUTE_MS = 60_000
UDH = build_concat_udh(0x24, 3, 2)
PARTS = st.builds(
    make_body,
    st.binary(max_size=140),
    source=st.sampled_from([b"", b"10690", b"Sluice"]),
    data_coding=st.sampled_from([0, 8, 4, 0xF1]),
    esm_class=st.sampled_from([0, 0x40, 0x43]),
    tlvs=st.sampled_from([(), ((0x1401, b"x"), (0x0204, b"\0\1"))]),
)


def sent(
    body: bytes = b"", *, now_ms: int = NOW_MS, part: dict[str, Any] | None = None, **settings: Any
) -> SubmitSm:
    """The PDU as a carrier with these settings gets it."""
    dresser = Dresser(Carrier(1, "a", **settings))
    return decoded(dresser.dress(make_part(1, body=body or make_body(), **(part or {})), now_ms))


@given(PARTS)
def test_a_carrier_without_wishes_gets_the_stored_octets(body: bytes) -> None:
    part = make_part(1, body=body)
    dresser = Dresser(Carrier(1, "a"))
    assert dresser.plain and dresser.dress(part, NOW_MS) is part.body


@given(PARTS)
def test_dressing_changes_nothing_that_was_not_asked_for(body: bytes) -> None:
    # Dressed by a wish that does not apply: only the validity, which is not given.
    dresser = Dresser(Carrier(1, "a", tlv_drop=(0x3FFF,)))
    assert not dresser.plain
    assert dresser.dress(make_part(1, body=body), NOW_MS) == body


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "alphabet": st.sampled_from(["gsm", "latin1", "ascii", "gsm-packed"]),
        "gsm_data_coding": st.sampled_from([0, 1, 3, 0xF1]),
        "source_ton": st.integers(-1, 6),
        "source_npi": st.integers(-1, 18),
        "dest_ton": st.integers(-1, 6),
        "dest_npi": st.integers(-1, 18),
        "default_sender": st.sampled_from(["", "10690", "Sluice"]),
        "validity_s_max": st.sampled_from([0, 60, 86_400]),
        "validity_form": st.sampled_from(["relative", "absolute", "none"]),
        "split": st.sampled_from(["udh8", "udh16", "sar", "payload"]),
        "receipts": st.sampled_from(["always", "asked", "never"]),
        "tlv_drop": st.sampled_from([(), (0x1401,), (int(Tag.MESSAGE_PAYLOAD),)]),
        "tlv_add": st.sampled_from([(), ((0x1402, "0a"),)]),
        "interface_version": st.sampled_from([0x33, 0x34, 0x50]),
    },
)


@given(PARTS, SETTINGS, st.sampled_from([0, PartFlag.VALIDITY_GIVEN]))
def test_any_body_can_be_dressed_for_any_carrier(body: bytes, settings: dict[str, Any], flags: int) -> None:
    # A body that cannot would come back after every restart.
    pdu = sent(body, part={"flags": flags}, **settings)
    assert pdu.destination_addr == decoded(body).destination_addr
    assert not pdu.schedule_delivery_time
    # Packing takes an eighth away, a replacement one character for two; nothing grows.
    payload = tlv_get(pdu.tlvs, Tag.MESSAGE_PAYLOAD)
    assert len(payload if payload is not None else pdu.short_message) <= len(decoded(body).short_message)


def test_a_stored_body_that_is_none_is_damage_and_said_so() -> None:
    with pytest.raises(AssertionError, match="stored body of part 1"):
        sent(b"\0\1", source_ton=1)


# -- addresses ----------------------------------------------------------------------------------------


def test_type_and_plan_of_numbers_are_the_carriers() -> None:
    pdu = sent(source_ton=3, source_npi=8, dest_ton=2, dest_npi=9)
    assert (pdu.source_addr_ton, pdu.source_addr_npi) == (3, 8)
    assert (pdu.dest_addr_ton, pdu.dest_addr_npi) == (2, 9)


def test_one_of_them_alone_leaves_the_others_as_given() -> None:
    pdu = sent(dest_npi=9)
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.dest_addr_ton, pdu.dest_addr_npi) == (1, 1, 1, 9)


def test_a_name_stays_a_name() -> None:
    pdu = sent(make_body(source=b"Sluice", ton=5), source_ton=1, source_npi=1)
    assert (pdu.source_addr, pdu.source_addr_ton) == (b"Sluice", 5)


@pytest.mark.parametrize(("sender", "type_and_plan"), [("10690", (1, 1)), ("Sluice", (5, 0))])
def test_an_empty_sender_becomes_the_carriers_with_the_type_of_its_shape(
    sender: str, type_and_plan: tuple[int, int]
) -> None:
    pdu = sent(make_body(source=b"", ton=0), default_sender=sender)
    assert pdu.source_addr == sender.encode()
    assert (pdu.source_addr_ton, pdu.source_addr_npi) == type_and_plan
    assert sent(default_sender=sender).source_addr == b"10690", "only where there is none"


# -- validity -----------------------------------------------------------------------------------------

GIVEN = {"flags": PartFlag.VALIDITY_GIVEN, "expires_at": NOW_MS + 60 * MINUTE_MS}


def test_the_validity_that_is_left_is_told() -> None:
    # One hour was given, 20 minutes were spent in our queue.
    later = NOW_MS + 20 * MINUTE_MS
    assert sent(part=GIVEN, now_ms=later).validity_period == b"000000004000000R"
    absolute = sent(part=GIVEN, now_ms=later, validity_form="absolute")
    assert absolute.validity_period == b"270115090000000+"
    assert sent(part=GIVEN, now_ms=later, validity_form="none").validity_period == b""


def test_a_validity_is_clamped_to_what_the_carrier_keeps() -> None:
    assert sent(part=GIVEN, validity_s_max=600).validity_period == b"000000001000000R"
    assert sent(part=GIVEN, validity_s_max=86_400).validity_period == b"000000010000000R"


def test_without_a_given_validity_only_a_clamp_is_told() -> None:
    assert sent().validity_period == b""
    assert sent(validity_s_max=86_400).validity_period == b"000001000000000R"
    assert sent(validity_s_max=86_400, validity_form="none").validity_period == b""


def test_a_validity_is_never_told_as_over() -> None:
    assert sent(part=GIVEN, now_ms=GIVEN["expires_at"] - 1).validity_period == b"000000000001000R"


# -- receipts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [0, 1, 2, 0x11])
def test_what_is_asked_of_the_carrier(asked: int) -> None:
    part = {"registered_delivery": asked}
    assert sent(part=part).registered_delivery == 1, "so that every part ends in a known state"
    assert sent(part=part, receipts="asked").registered_delivery == asked
    assert sent(part=part, receipts="never").registered_delivery == 0


# -- alphabets ----------------------------------------------------------------------------------------

EURO = encode_text("10 € à Ñandù", 0)


@pytest.mark.parametrize("coding", [1, 3, 0xF1])
def test_gsm_text_goes_under_the_carriers_coding(coding: int) -> None:
    pdu = sent(make_body(EURO), gsm_data_coding=coding)
    assert (pdu.data_coding, pdu.short_message) == (coding, EURO)
    assert sent(make_body(b"\0a", data_coding=8), gsm_data_coding=coding).data_coding == 8


@pytest.mark.parametrize(
    ("alphabet", "octets"), [("latin1", b"10 ? \xe0 \xd1and\xf9"), ("ascii", b"10 ? ? ?and?"), ("gsm", EURO)]
)
def test_gsm_text_is_written_in_the_carriers_alphabet(alphabet: str, octets: bytes) -> None:
    assert sent(make_body(EURO), alphabet=alphabet).short_message == octets
    ucs2 = make_body("à".encode("utf-16-be"), data_coding=8)
    assert sent(ucs2, alphabet=alphabet).short_message == b"\0\xe0"


def test_packed_septets_begin_on_a_border_behind_the_header() -> None:
    octets = sent(make_body(UDH + EURO, esm_class=0x40), alphabet="gsm-packed").short_message
    assert octets[:6] == UDH
    assert unpack_septets(octets[6:], fill_bits=fill_bits_after(6)) == EURO
    assert unpack_septets(sent(make_body(EURO), alphabet="gsm-packed").short_message) == EURO


def test_a_full_part_stays_a_full_part_when_packed() -> None:
    octets = sent(make_body(UDH + b"a" * 153, esm_class=0x40), alphabet="gsm-packed").short_message
    assert len(octets) == 140


@pytest.mark.parametrize("alphabet", ["latin1", "ascii", "gsm-packed"])
@pytest.mark.parametrize("text", [b"", b"\xff", b"\xe9t\xe9", b"test222"])
def test_a_text_flagged_as_having_a_header_by_mistake_still_goes(alphabet: str, text: bytes) -> None:
    pdu = sent(make_body(text, esm_class=0x40), alphabet=alphabet)
    assert pdu.esm_class == 0x40 and len(pdu.short_message) <= len(text)


# -- long messages ------------------------------------------------------------------------------------


def test_segments_go_with_a_header_by_default() -> None:
    body = make_body(UDH + b"text", esm_class=0x43)
    for split in ("udh8", "udh16"):
        assert sent(body, split=split, tlv_drop=(1,)).short_message == UDH + b"text"


def test_segments_go_by_sar_tlvs() -> None:
    pdu = sent(make_body(UDH + b"text", esm_class=0x43), split="sar")
    assert (pdu.short_message, pdu.esm_class) == (b"text", 0x03)
    assert sar_concat(pdu.tlvs) == Concat(0x24, 3, 2, 16)
    with_ports = make_body(b"\x0b\x05\x04\x0b\x84\x23\xf0" + UDH[1:] + b"x", esm_class=0x40)
    assert sent(with_ports, split="sar") == decoded(with_ports), "ports have no TLV that may stand beside SAR"


def test_segments_go_as_message_payload() -> None:
    pdu = sent(
        make_body(UDH + b"text", esm_class=0x40), split="payload", tlv_drop=(int(Tag.MESSAGE_PAYLOAD),)
    )
    assert (pdu.short_message, pdu.esm_class) == (b"", 0x40)
    assert tlv_get(pdu.tlvs, Tag.MESSAGE_PAYLOAD) == UDH + b"text"
    assert sent(split="payload").short_message == b"hello", "a short message stays one"


@pytest.mark.parametrize("split", ["sar", "payload"])
def test_an_old_carrier_gets_headers_as_it_reads_no_tlvs(split: str) -> None:
    pdu = sent(make_body(UDH + b"text", esm_class=0x40), split=split, interface_version=0x33)
    assert (pdu.short_message, pdu.esm_class, pdu.tlvs) == (UDH + b"text", 0x40, ())


# -- TLVs ---------------------------------------------------------------------------------------------

TLVS = ((0x1401, b"x"), (0x0204, b"\0\1"))


def test_tlvs_are_dropped_and_added() -> None:
    body = make_body(tlvs=TLVS)
    assert sent(body, tlv_drop=(0x0204,)).tlvs == ((0x1401, b"x"),)
    assert sent(body, tlv_add=((0x1402, "0A1F"), (0x1403, ""))).tlvs == (
        *TLVS,
        (0x1402, b"\x0a\x1f"),
        (0x1403, b""),
    )
    assert sent(body, tlv_drop=(0x1401,), tlv_add=((0x1401, "79"),)).tlvs == (TLVS[1], (0x1401, b"y"))


def test_an_old_carrier_gets_no_tlvs() -> None:
    assert sent(make_body(tlvs=TLVS), interface_version=0x33, tlv_add=((0x1402, "0A"),)).tlvs == ()
    assert sent(make_body(tlvs=TLVS), interface_version=0x50).tlvs == TLVS
