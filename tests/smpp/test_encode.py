"""What we send fits SMPP, or says which field does not; what a 3.3 peer cannot read is left out."""

from typing import Any

import msgspec
import pytest

from gateway.smpp.constants import TLVS_MAX, VERSION_33, CommandId, Status, Tag
from gateway.smpp.decode import decode_body, decode_pdus
from gateway.smpp.encode import (
    COMMAND_OF,
    LocalProtocolError,
    body_of,
    deliver_body,
    encode,
    error_response,
    header,
    submit_body,
)
from gateway.smpp.fields import LAYOUTS, Kind, Layout
from gateway.smpp.pdu import (
    BindTransceiver,
    BindTransceiverResp,
    DataSm,
    DeliverSm,
    DeliverSmResp,
    DistributionList,
    EnquireLink,
    GenericNack,
    Pdu,
    QuerySmResp,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
    UnsuccessSme,
)
from gateway.smpp.table_encode import body_by_table
from gateway.smpp.tlv import tlv_all
from tests.smpp.octets import frame, message, tlv

HELLO = SubmitSm(
    7, 0, b"", 5, 0, b"SLUICE", 1, 1, b"8613800138000", registered_delivery=1, short_message=b"Hello"
)
SOME_TLVS = ((Tag.USER_MESSAGE_REFERENCE, b"\0\1"), (0x1400, b""))

every_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.command_id.name for layout in LAYOUTS])


def with_fields(pdu: Pdu, **fields: Any) -> Pdu:
    return msgspec.structs.replace(pdu, **fields)


def smallest(layout: Layout) -> Pdu:
    pdu = layout.pdu_type()
    return with_fields(pdu, destinations=(SmeAddress(1, 1, b"1"),)) if layout.pdu_type is SubmitMulti else pdu


def fault_of(pdu: Pdu) -> str:
    """The field that is named, by both ways to encode."""
    with pytest.raises(LocalProtocolError) as of_pdu:
        encode(pdu)
    with pytest.raises(LocalProtocolError) as of_table:
        body_by_table(pdu)
    assert str(of_pdu.value) == str(of_table.value)
    assert of_pdu.value.command_id == COMMAND_OF[type(pdu)]
    assert of_pdu.value.field in str(of_pdu.value)
    return of_pdu.value.field


def test_a_submit_sm_has_the_octets_of_the_standard() -> None:
    assert encode(HELLO) == frame(CommandId.SUBMIT_SM, message(), sequence_number=7)
    assert body_of(HELLO) == message()


@pytest.mark.parametrize(("pack", "pdu_type"), [(submit_body, SubmitSm), (deliver_body, DeliverSm)])
def test_a_body_is_built_from_fields_alone(pack: Any, pdu_type: type[Pdu]) -> None:
    fields = msgspec.structs.astuple(HELLO)[2:-1]
    assert pack(*fields) == pack(*fields[:-1]) == message()
    octets = tlv(Tag.USER_MESSAGE_REFERENCE, b"\0\1") + tlv(0x1400, b"")
    assert pack(*fields[:-1], SOME_TLVS) == message() + octets
    assert decode_body(COMMAND_OF[pdu_type], pack(*fields)) == pdu_type(0, 0, *fields)


@every_layout
def test_every_pdu_encodes_at_its_smallest_and_comes_back(layout: Layout) -> None:
    pdu = with_fields(smallest(layout), sequence_number=0xFFFFFFFF)
    octets = encode(pdu)
    assert octets[:4] == len(octets).to_bytes(4, "big")
    assert decode_pdus(octets).pdus == [pdu]
    assert body_of(pdu) == octets[16:]


def test_the_smallest_submit_sm_has_33_octets() -> None:
    assert len(encode(SubmitSm(1))) == 33


def test_header_and_error_response_have_sixteen_octets() -> None:
    assert header(CommandId.SUBMIT_SM, 0, 7, 5).hex() == "00000015000000040000000000000007"
    assert error_response(
        CommandId.SUBMIT_SM_RESP, Status.ESME_RINVBNDSTS, 9
    ).hex() == "10800000040000000400000009".zfill(32)
    assert error_response(CommandId.GENERIC_NACK, 3, 0x0A342EE7) == encode(GenericNack(0x0A342EE7, 3))
    assert error_response(CommandId.ENQUIRE_LINK, 0, 1) == encode(EnquireLink(1))


@pytest.mark.parametrize("sequence_number", [0, 0x80000000, 0xA2859F22, 0x806A179B, 0xFFFFFFFF])
def test_a_response_echoes_any_sequence_number(sequence_number: int) -> None:
    octets = encode(DeliverSmResp(sequence_number))
    assert octets.hex() == "0000001180000005" + "00000000" + f"{sequence_number:08x}" + "00"


@pytest.mark.parametrize(
    "pdu",
    [SubmitSmResp(5, 0x45), BindTransceiverResp(5, 0x0E), QuerySmResp(5, 0x67), SubmitMultiResp(5, 0x58)],
)
def test_an_error_response_without_content_is_header_only(pdu: Pdu) -> None:
    assert encode(pdu) == error_response(COMMAND_OF[type(pdu)], pdu.command_status, 5)


def test_a_good_response_has_its_body_even_when_empty() -> None:
    assert encode(SubmitSmResp(5))[16:] == b"\0"
    assert encode(DeliverSmResp(5))[16:] == b"\0"
    assert encode(BindTransceiverResp(5))[16:] == b"\0"


@pytest.mark.parametrize("version", [0x00, VERSION_33])
def test_a_33_peer_gets_no_tlvs(version: int) -> None:
    for pdu in (
        with_fields(HELLO, tlvs=SOME_TLVS),
        DeliverSm(7, 0, esm_class=4, tlvs=((Tag.RECEIPTED_MESSAGE_ID, b"1\0"), (Tag.MESSAGE_STATE, b"\2"))),
        BindTransceiverResp(7, 0, b"sluice", ((Tag.SC_INTERFACE_VERSION, b"\x34"),)),
        SubmitSmResp(7, 0, b"12345678", SOME_TLVS),
    ):
        bare = with_fields(pdu, tlvs=())
        assert encode(pdu, peer_version=version) == encode(bare) == encode(bare, peer_version=version)
        assert body_of(pdu, peer_version=version) == body_of(bare)
        assert encode(pdu, peer_version=0x34) != encode(bare)


def test_repeated_tlvs_keep_their_order() -> None:
    tlvs = tuple((Tag.CALLBACK_NUM, b"\1\1\1%d" % n) for n in range(3))
    tlvs += tuple((Tag.CALLBACK_NUM_PRES_IND, b"%c" % n) for n in range(3))
    (pdu,) = decode_pdus(encode(with_fields(HELLO, tlvs=tlvs))).pdus
    assert isinstance(pdu, SubmitSm)
    assert pdu.tlvs == tlvs
    assert tlv_all(pdu.tlvs, Tag.CALLBACK_NUM_PRES_IND) == [b"\0", b"\1", b"\2"]


# --- what does not fit


@every_layout
def test_every_field_that_does_not_fit_is_named(layout: Layout) -> None:
    for field in layout.fields:
        if field.kind is Kind.OCTET:
            bad: list[Any] = [-1, 256, 1 << 40, "1", None]
        elif field.kind in (Kind.CSTRING, Kind.TIME):
            bad = [b"x" * field.octets_max, b"a\0b", "text", None, 5]
        elif field.kind is Kind.TEXT:
            bad = [b"x" * 256, "text", None, 5]
        else:
            bad = [None, 5, (SmeAddress(1, 1, b"1"),) * 256]
        for value in bad:
            assert fault_of(with_fields(smallest(layout), **{field.name: value})) == field.name


@pytest.mark.parametrize("field", ["schedule_delivery_time", "validity_period"])
@pytest.mark.parametrize("value", [b"1", b"1" * 12, b"1" * 15, b"1" * 17, b"1" * 15 + b"\0"])
def test_a_time_has_sixteen_characters_or_none(field: str, value: bytes) -> None:
    assert fault_of(with_fields(HELLO, **{field: value})) == field
    assert fault_of(with_fields(ReplaceSm(1), **{field: value})) == field
    ok = with_fields(HELLO, **{field: b"000000010000000R"})
    assert decode_pdus(encode(ok)).pdus == [ok]


def test_a_deliver_sm_passes_on_any_time_that_fits() -> None:
    pdu = DeliverSm(1, validity_period=b"150203040506")
    assert decode_pdus(encode(pdu)).pdus == [pdu]


def test_a_client_can_send_a_password_longer_than_the_standards() -> None:
    for octets in (8, 9, 64):
        pdu = BindTransceiver(1, 0, b"acme", b"x" * octets)
        assert decode_pdus(encode(pdu)).pdus == [pdu]
    assert fault_of(BindTransceiver(1, 0, b"acme", b"x" * 65)) == "password"


def test_no_value_is_in_the_message() -> None:
    with pytest.raises(LocalProtocolError) as raised:
        encode(BindTransceiver(1, 0, b"acme", b"secret08" * 9))
    assert str(raised.value) == "bind_transceiver cannot be encoded: password has 72 octets; 64 fit"


@pytest.mark.parametrize(
    "tlvs",
    [
        ((0x10000, b""),),
        ((-1, b""),),
        ((Tag.MESSAGE_PAYLOAD, b"x" * 65_536),),
        ((0x1400, b""),) * (TLVS_MAX + 1),
        ((Tag.MESSAGE_PAYLOAD, b"another text"),),
    ],
)
def test_tlvs_that_do_not_fit_are_named(tlvs: Any) -> None:
    assert fault_of(with_fields(HELLO, tlvs=tlvs)) == "tlvs"


def test_as_many_tlvs_as_are_read_can_be_sent() -> None:
    pdu = with_fields(HELLO, tlvs=((0x1400, b""),) * TLVS_MAX)
    assert decode_pdus(encode(pdu)).pdus == [pdu]


def test_a_deliver_sm_may_repeat_its_text_as_a_carrier_did() -> None:
    pdu = DeliverSm(1, short_message=b"Hello", tlvs=((Tag.MESSAGE_PAYLOAD, b"Hello"),))
    assert decode_pdus(encode(pdu)).pdus == [pdu]


@pytest.mark.parametrize("number", [-1, 1 << 32])
@pytest.mark.parametrize("field", ["sequence_number", "command_status"])
def test_a_header_number_that_does_not_fit_is_named(field: str, number: int) -> None:
    with pytest.raises(LocalProtocolError) as raised:
        encode(with_fields(DataSm(), **{field: number}))
    assert raised.value.field == "header"


def test_entries_of_lists_that_do_not_fit_are_named() -> None:
    for entry, name in (
        (SmeAddress(1, 1, b"1" * 21), "destination_addr"),
        (SmeAddress(256, 1, b"1"), "dest_addr_ton or dest_addr_npi"),
        (DistributionList(b"l" * 21), "dl_name"),
    ):
        assert fault_of(SubmitMulti(1, destinations=(entry,))) == name
    assert fault_of(SubmitMulti(1, destinations=())) == "destinations"
    assert fault_of(SubmitMultiResp(1, unsuccess=(UnsuccessSme(1, 1, b"1", -1),))) == "error_status_code"


def test_lists_come_back() -> None:
    multi = SubmitMulti(
        1, destinations=(SmeAddress(1, 1, b"123"), DistributionList(b"list")), short_message=b"x"
    )
    answer = SubmitMultiResp(1, 0, b"7", (UnsuccessSme(1, 1, b"123", 0xDEADBEEF),))
    assert decode_pdus(encode(multi) + encode(answer)).pdus == [multi, answer]
