"""What a request's body may be, and which status answers it when it is not."""

import pytest

from gateway.smpp.constants import CommandId, EsmClass, RegisteredDelivery, Status, Tag
from gateway.smpp.decode import decode_body, decode_pdus
from gateway.smpp.fields import LAYOUT_OF, LAYOUTS, Layout
from gateway.smpp.pdu import (
    AlertNotification,
    BadPdu,
    BindTransceiver,
    BindTransmitter,
    CancelSm,
    DataSm,
    DeliverSm,
    DistributionList,
    Outbind,
    Pdu,
    QuerySm,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
)
from gateway.smpp.tlv import tlv_get
from tests.smpp.octets import ENQUIRE_LINK, bind, frame, message, tlv

SUBMIT_SM = CommandId.SUBMIT_SM
DELIVER_SM = CommandId.DELIVER_SM
DATA_SM_BODY = b"\0" + b"\1\1" + b"355\0" + b"\1\1" + b"9695\0" + b"\0\1\0"
MULTI_HEAD = b"\0" + b"\1\1" + b"4455\0"
SME = b"\1\1\1" + b"123\0"  # dest_flag, ton, npi, address
MULTI_TAIL = b"\0\0\0" + b"\0" + b"\0" + b"\0\0\0\0" + b"\4Test"

# One good body of every request that has one, with every string filled.
BODIES: dict[CommandId, bytes] = {
    CommandId.BIND_RECEIVER: bind(system_type=b"SUBMIT1\0", address_range=b"^3579\0"),
    CommandId.BIND_TRANSMITTER: bind(),
    CommandId.BIND_TRANSCEIVER: bind(),
    CommandId.OUTBIND: b"smsc1\0secret\0",
    CommandId.SUBMIT_SM: message(service_type=b"CMT\0", validity_period=b"000000010000000R\0"),
    CommandId.DELIVER_SM: message(service_type=b"CMT\0"),
    CommandId.SUBMIT_MULTI: MULTI_HEAD + b"\2" + SME + b"\2list\0" + MULTI_TAIL,
    CommandId.DATA_SM: DATA_SM_BODY,
    CommandId.QUERY_SM: b"12345\0\1\1" + b"40404\0",
    CommandId.CANCEL_SM: b"\0" + b"12345\0" + b"\1\1" + b"40404\0" + b"\1\1" + b"44951361920\0",
    CommandId.REPLACE_SM: b"12345\0" + b"\1\1" + b"40404\0" + b"150203040506708+\0" + b"\0" + b"\1\0\4text",
    CommandId.ALERT_NOTIFICATION: b"\1\1" + b"5552710000\0" + b"\1\1" + b"40404\0",
}
REQUESTS = [layout for layout in LAYOUTS if layout.fields and not layout.is_response]
every_request = pytest.mark.parametrize("layout", REQUESTS, ids=[r.command_id.name for r in REQUESTS])


def refused(command_id: int, body: bytes) -> BadPdu:
    """The BadPdu that `body` becomes, having checked that header and next PDU are unharmed."""
    bad, link = decode_pdus(frame(command_id, body, sequence_number=77) + ENQUIRE_LINK).pdus
    assert link.sequence_number == 0x0A342EE7
    assert isinstance(bad, BadPdu), bad
    assert (bad.command_id, bad.sequence_number) == (command_id, 77)
    assert bad == decode_body(command_id, body, 77)
    return bad


def taken(command_id: int, body: bytes) -> Pdu:
    pdu, link = decode_pdus(frame(command_id, body, sequence_number=77) + ENQUIRE_LINK).pdus
    assert link.sequence_number == 0x0A342EE7
    assert not isinstance(pdu, BadPdu), pdu
    assert pdu == decode_body(command_id, body, 77)
    return pdu


def status_of(command_id: int, body: bytes) -> Status:
    return Status(refused(command_id, body).answer_status)


def test_every_request_with_a_body_is_in_these_tests() -> None:
    assert set(BODIES) == {layout.command_id for layout in REQUESTS}
    for command_id, body in BODIES.items():
        assert type(taken(command_id, body)) is LAYOUT_OF[command_id].pdu_type


# --- fields


@every_request
def test_a_body_cut_inside_any_field_is_refused_with_the_lengths_or_the_fields_status(layout: Layout) -> None:
    own = {field.fault for field in layout.fields}
    for cut in range(len(BODIES[layout.command_id])):
        status = status_of(layout.command_id, BODIES[layout.command_id][:cut])
        assert status == Status.ESME_RINVCMDLEN or status in own


@every_request
def test_an_empty_body_is_refused_as_too_short(layout: Layout) -> None:
    assert status_of(layout.command_id, b"") == Status.ESME_RINVCMDLEN


@pytest.mark.parametrize(
    ("field", "octets_max", "status"),
    [
        ("service_type", 5, Status.ESME_RINVSERTYP),
        ("source_addr", 20, Status.ESME_RINVSRCADR),
        ("destination_addr", 20, Status.ESME_RINVDSTADR),
    ],
)
@pytest.mark.parametrize("command_id", [SUBMIT_SM, DELIVER_SM])
def test_a_string_too_long_is_refused_with_its_own_status(
    command_id: CommandId, field: str, octets_max: int, status: Status
) -> None:
    assert (
        getattr(taken(command_id, message(**{field: b"9" * octets_max + b"\0"})), field) == b"9" * octets_max
    )
    assert status_of(command_id, message(**{field: b"9" * (octets_max + 1) + b"\0"})) == status


@pytest.mark.parametrize(
    ("field", "status"),
    [("schedule_delivery_time", Status.ESME_RINVSCHED), ("validity_period", Status.ESME_RINVEXPIRY)],
)
@pytest.mark.parametrize("characters", [1, 12, 15, 17, 20])
def test_a_time_of_a_submit_sm_has_16_characters_or_none(field: str, status: Status, characters: int) -> None:
    assert status_of(SUBMIT_SM, message(**{field: b"1" * characters + b"\0"})) == status
    assert getattr(taken(SUBMIT_SM, message(**{field: b"1" * 16 + b"\0"})), field) == b"1" * 16


def test_a_deliver_sm_may_have_any_time_that_fits() -> None:
    pdu = taken(DELIVER_SM, message(schedule_delivery_time=b"150203040506\0", validity_period=b"x\0"))
    assert isinstance(pdu, DeliverSm)
    assert (pdu.schedule_delivery_time, pdu.validity_period) == (b"150203040506", b"x")
    assert status_of(DELIVER_SM, message(validity_period=b"1" * 17 + b"\0")) == Status.ESME_RINVEXPIRY


@pytest.mark.parametrize("field", ["service_type", "source_addr", "destination_addr"])
def test_a_string_that_never_ends_is_refused_after_one_scan(field: str) -> None:
    body = message(**{field: b"1" * 65_000})
    body = body[: body.index(b"1" * 65_000) + 65_000]
    assert status_of(SUBMIT_SM, body) == Status.ESME_RINVCMDLEN


@pytest.mark.parametrize("command_id", [SUBMIT_SM, DELIVER_SM])
@pytest.mark.parametrize(("sm_length", "octets"), [(200, 5), (16, 8), (1, 0), (255, 254)])
def test_sm_length_beyond_the_pdu_is_refused_and_nothing_is_read_past_it(
    command_id: CommandId, sm_length: int, octets: int
) -> None:
    body = message(short_message=bytes((sm_length,)) + b"x" * octets)
    bad = refused(command_id, body)
    assert bad.answer_status == Status.ESME_RINVMSGLEN
    assert bad.reason == f"sm_length is {sm_length}, {octets} octets are left"


@pytest.mark.parametrize("octets", [0, 254, 255])
def test_a_short_message_of_every_size_that_its_length_can_say_is_taken(octets: int) -> None:
    pdu = taken(SUBMIT_SM, message(short_message=bytes((octets,)) + b"\0" * octets))
    assert isinstance(pdu, SubmitSm)
    assert pdu.short_message == b"\0" * octets


def test_odd_octets_in_strings_are_kept_as_they_came_and_stay_out_of_reasons() -> None:
    odd = b"\x01\r\n\xff%s'\x7f"
    pdu = taken(SUBMIT_SM, message(source_addr=odd + b"\0"))
    assert isinstance(pdu, SubmitSm)
    assert pdu.source_addr == odd
    bad = refused(SUBMIT_SM, message(source_addr=odd * 3 + b"\0"))
    assert bad.reason == "source_addr has 25 octets, its NUL included; 21 fit"


def test_command_status_of_a_request_does_not_matter() -> None:
    (pdu,) = decode_pdus(frame(SUBMIT_SM, message(), status=0x45)).pdus
    assert isinstance(pdu, SubmitSm)
    assert pdu.short_message == b"Hello"


def test_values_out_of_range_are_the_owners_to_judge() -> None:
    pdu = taken(SUBMIT_SM, message(priority_flag=b"\x0f", registered_delivery=b"\3", esm_class=b"\x30"))
    assert isinstance(pdu, SubmitSm)
    assert pdu.priority_flag == 0x0F
    assert pdu.registered_delivery & RegisteredDelivery.RECEIPT_MASK == RegisteredDelivery.SUCCESS_ONLY
    assert pdu.esm_class & EsmClass.TYPE_MASK == 0x30


@pytest.mark.parametrize("data_coding", [0x02, 0x04, 0x08, 0x10, 0x18, 0xF0, 0xF1, 0xF2, 0xF5, 0xF6])
def test_text_and_data_coding_are_kept_octet_for_octet(data_coding: int) -> None:
    octets = bytes(range(256))[:255]
    pdu = taken(SUBMIT_SM, message(data_coding=bytes((data_coding,)), short_message=b"\xff" + octets))
    assert isinstance(pdu, SubmitSm)
    assert (pdu.data_coding, pdu.short_message) == (data_coding, octets)


def test_latin_1_labelled_ucs_2_is_kept() -> None:
    octets = bytes.fromhex("c1e1e9edf3faf1fc")
    pdu = taken(DELIVER_SM, message(data_coding=b"\x08", short_message=b"\x08" + octets))
    assert isinstance(pdu, DeliverSm)
    assert pdu.short_message == octets


def test_an_empty_source_address_is_taken() -> None:
    pdu = taken(SUBMIT_SM, message(source_addr=b"\0"))
    assert isinstance(pdu, SubmitSm)
    assert pdu.source_addr == b""
    assert status_of(SUBMIT_SM, message(destination_addr=b"1" * 22 + b"\0")) == Status.ESME_RINVDSTADR


# --- binds


def test_a_bind_decodes_whatever_its_interface_version() -> None:
    octets = bytes.fromhex(
        "0000002F 00000002 00000000 00000001 534D50503354455354 00 7365637265743038 00"
        "5355424D495431 00 00 01 01 00"
    )
    for version in (0x00, 0x33, 0x34, 0x50, 0x7B, 0x2C):
        (pdu,) = decode_pdus(octets[:-4] + bytes((version,)) + octets[-3:]).pdus
        assert pdu == BindTransmitter(1, 0, b"SMPP3TEST", b"secret08", b"SUBMIT1", version, 1, 1, b"")


def test_a_bind_without_any_nul_is_refused_as_too_short() -> None:
    assert status_of(CommandId.BIND_TRANSCEIVER, b"acme") == Status.ESME_RINVCMDLEN
    assert status_of(CommandId.BIND_TRANSCEIVER, b"a" * 200) == Status.ESME_RINVCMDLEN


@pytest.mark.parametrize(
    ("field", "characters_max", "status"),
    [
        ("system_id", 64, Status.ESME_RINVSYSID),
        ("password", 64, Status.ESME_RINVPASWD),
        ("system_type", 12, Status.ESME_RINVSYSTYP),
        ("address_range", 40, Status.ESME_RBINDFAIL),
    ],
)
def test_a_binds_strings_have_their_limits(field: str, characters_max: int, status: Status) -> None:
    for characters in (0, 8, 9, characters_max):
        pdu = taken(CommandId.BIND_TRANSCEIVER, bind(**{field: b"x" * characters + b"\0"}))
        assert isinstance(pdu, BindTransceiver)
        assert getattr(pdu, field) == b"x" * characters
    assert (
        status_of(CommandId.BIND_TRANSCEIVER, bind(**{field: b"x" * (characters_max + 1) + b"\0"})) == status
    )


def test_a_password_is_in_no_repr_and_no_reason() -> None:
    assert "secret08" not in repr(taken(CommandId.BIND_TRANSCEIVER, bind()))
    assert "secret08" not in repr(refused(CommandId.BIND_TRANSCEIVER, bind() + b"\0"))
    assert "secret08" not in repr(refused(CommandId.BIND_TRANSCEIVER, bind(password=b"secret08" * 9 + b"\0")))
    assert "secret08" not in repr(taken(CommandId.OUTBIND, b"smsc1\0secret08\0"))


def test_an_outbind_takes_a_password_of_any_length_that_a_bind_takes() -> None:
    octets = bytes.fromhex("0000001D 0000000B 00000000 00000001 736D736331 00 736563726574 00")
    assert decode_pdus(octets).pdus == [Outbind(1, 0, b"smsc1", b"secret")]
    assert taken(CommandId.OUTBIND, b"inventory\0ipassword\0") == Outbind(77, 0, b"inventory", b"ipassword")
    assert status_of(CommandId.OUTBIND, b"smsc1\0" + b"x" * 65 + b"\0") == Status.ESME_RINVPASWD


# --- TLVs


def test_an_empty_message_payload_is_an_empty_text() -> None:
    for text in (b"\0", b"\5Hello"):
        pdu = taken(SUBMIT_SM, message(short_message=text) + tlv(Tag.MESSAGE_PAYLOAD, b""))
        assert isinstance(pdu, SubmitSm)
        assert pdu.tlvs == ((Tag.MESSAGE_PAYLOAD, b""),)


BROKEN_STREAMS = [
    tlv(Tag.MESSAGE_PAYLOAD, b"12345", 0xFFFF),
    tlv(Tag.MESSAGE_PAYLOAD, b"12345", 0x8000),
    bytes.fromhex("000E0001010006000101 0424 0001"),
    b"\0",
    b"\2\x10",
    b"\2\x10\0",
    tlv(0x1400, b"") * 257,
]


@pytest.mark.parametrize("tail", BROKEN_STREAMS)
@pytest.mark.parametrize(
    "command_id", [SUBMIT_SM, CommandId.SUBMIT_MULTI, CommandId.DATA_SM, CommandId.QUERY_SM]
)
def test_a_request_with_a_broken_tlv_stream_is_refused_and_says_what_was_readable(
    command_id: CommandId, tail: bytes
) -> None:
    readable = tlv(Tag.USER_MESSAGE_REFERENCE, b"\0\1")
    bad = refused(command_id, BODIES[command_id] + readable + tail)
    assert bad.answer_status == Status.ESME_RINVTLVSTREAM
    assert isinstance(bad.partial, LAYOUT_OF[command_id].pdu_type)
    assert getattr(bad.partial, "tlvs")[0] == (Tag.USER_MESSAGE_REFERENCE, b"\0\1")  # noqa: B009


def test_a_receipt_whose_last_tlv_overruns_keeps_the_others() -> None:
    text = b"id:0000003005 sub:001 dlvrd:001 stat:DELIVRD err:000 te"
    body = message(esm_class=b"\4", short_message=bytes((len(text),)) + text)
    pdu = taken(DELIVER_SM, body + bytes.fromhex("0427000102 001E 0041 3330303500"))
    assert isinstance(pdu, DeliverSm)
    assert (pdu.short_message, pdu.tlvs) == (text, ((Tag.MESSAGE_STATE, b"\2"),))


def test_a_deliver_sm_whose_only_text_overruns_is_refused() -> None:
    body = message(short_message=b"\0") + tlv(Tag.SOURCE_NETWORK_TYPE, b"\1")
    bad = refused(DELIVER_SM, body + tlv(Tag.MESSAGE_PAYLOAD, b"", 1))
    assert bad.answer_status == Status.ESME_RINVTLVSTREAM
    assert isinstance(bad.partial, DeliverSm)
    assert bad.partial.tlvs == ((Tag.SOURCE_NETWORK_TYPE, b"\1"),)


@pytest.mark.parametrize("command_id", [SUBMIT_SM, DELIVER_SM])
def test_unknown_odd_sized_and_misplaced_tlvs_are_kept(command_id: CommandId) -> None:
    tlvs = (
        (0x1403, b"12345"),
        (0x1418, b"(null)"),
        (Tag.SOURCE_NETWORK_ID, b"12700100"),
        (Tag.SOURCE_NODE_ID, b"12345"),  # six digits in the standard
        (Tag.MORE_MESSAGES_TO_SEND, b"\1"),
        (Tag.SOURCE_NETWORK_TYPE, b"\1"),
        (Tag.DEST_NETWORK_TYPE, b"\1"),
        (Tag.SC_INTERFACE_VERSION, b"\x34"),
        (Tag.USER_MESSAGE_REFERENCE, b"\7"),  # two octets in the standard
        (Tag.NETWORK_ERROR_CODE, b"000"),
        (0x1400, b""),
        (0x1400, b"again"),
    )
    pdu = taken(command_id, message() + b"".join(tlv(tag, value) for tag, value in tlvs))
    assert getattr(pdu, "tlvs") == tlvs  # noqa: B009


def test_udh_and_sar_together_are_both_kept_for_the_reader_of_parts() -> None:
    sar = tlv(Tag.SAR_MSG_REF_NUM, b"\0\1") + tlv(Tag.SAR_TOTAL_SEGMENTS, b"\2")
    body = (
        message(esm_class=b"\x40", short_message=b"\6\5\0\3\1\2\1") + sar + tlv(Tag.SAR_SEGMENT_SEQNUM, b"\1")
    )
    pdu = taken(SUBMIT_SM, body)
    assert isinstance(pdu, SubmitSm)
    assert pdu.esm_class == EsmClass.UDHI
    assert pdu.short_message == b"\5\0\3\1\2\1"
    assert len(pdu.tlvs) == 3


@pytest.mark.parametrize("command_id", [SUBMIT_SM, CommandId.SUBMIT_MULTI, CommandId.REPLACE_SM])
def test_a_text_in_both_places_is_refused(command_id: CommandId) -> None:
    bad = refused(command_id, BODIES[command_id] + tlv(Tag.MESSAGE_PAYLOAD, b"other"))
    assert bad.answer_status == Status.ESME_RTLVNOTALLWD


def test_a_deliver_sm_with_a_text_in_both_places_is_taken() -> None:
    pdu = taken(DELIVER_SM, message() + tlv(Tag.MESSAGE_PAYLOAD, b"other"))
    assert isinstance(pdu, DeliverSm)
    assert pdu.short_message == b"Hello"
    assert tlv_get(pdu.tlvs, Tag.MESSAGE_PAYLOAD) == b"other"


def test_a_payload_of_65_535_octets_is_taken() -> None:
    pdu = taken(SUBMIT_SM, message(short_message=b"\0") + tlv(Tag.MESSAGE_PAYLOAD, b"x" * 65_535))
    assert isinstance(pdu, SubmitSm)
    assert tlv_get(pdu.tlvs, Tag.MESSAGE_PAYLOAD) == b"x" * 65_535


# --- the other operations


def test_a_query_is_read() -> None:
    octets = bytes.fromhex("0000001E 00000003 00000000 00004FE8 3132333435 00 01 01 3430343034 00")
    assert decode_pdus(octets).pdus == [QuerySm(0x4FE8, 0, b"12345", 1, 1, b"40404")]
    assert status_of(CommandId.QUERY_SM, b"x" * 65 + b"\0\0\0\0") == Status.ESME_RINVMSGID


def test_a_cancel_with_an_id_or_without_one_is_read() -> None:
    assert taken(CommandId.CANCEL_SM, BODIES[CommandId.CANCEL_SM]) == CancelSm(
        77, 0, b"", b"12345", 1, 1, b"40404", 1, 1, b"44951361920"
    )
    assert taken(CommandId.CANCEL_SM, bytes(8)) == CancelSm(77)


def test_a_replace_is_read() -> None:
    assert taken(CommandId.REPLACE_SM, BODIES[CommandId.REPLACE_SM]) == ReplaceSm(
        77, 0, b"12345", 1, 1, b"40404", b"150203040506708+", b"", 1, 0, b"text"
    )


def test_a_submit_multi_is_read_with_addresses_and_lists() -> None:
    pdu = taken(CommandId.SUBMIT_MULTI, BODIES[CommandId.SUBMIT_MULTI])
    assert isinstance(pdu, SubmitMulti)
    assert pdu.destinations == (SmeAddress(1, 1, b"123"), DistributionList(b"list"))
    assert pdu.short_message == b"Test"


@pytest.mark.parametrize(
    ("destinations", "statuses"),
    [
        (b"\0", {Status.ESME_RINVNUMDESTS}),
        (b"\1\3" + SME[1:], {Status.ESME_RINVDESTFLAG}),
        (b"\xff" + SME * 2, {Status.ESME_RINVDESTFLAG, Status.ESME_RINVCMDLEN}),
        (b"\1\1\0\0" + b"1" * 21 + b"\0", {Status.ESME_RINVDSTADR}),
        (b"\1\2" + b"l" * 21 + b"\0", {Status.ESME_RINVDLNAME}),
    ],
)
def test_a_bad_list_of_destinations_has_its_own_statuses(destinations: bytes, statuses: set[Status]) -> None:
    assert status_of(CommandId.SUBMIT_MULTI, MULTI_HEAD + destinations + MULTI_TAIL) in statuses


def test_255_destinations_are_taken() -> None:
    pdu = taken(CommandId.SUBMIT_MULTI, MULTI_HEAD + b"\xff" + SME * 255 + MULTI_TAIL)
    assert isinstance(pdu, SubmitMulti)
    assert len(pdu.destinations) == 255


def test_a_data_sm_is_read_with_long_addresses_and_without_a_payload() -> None:
    pdu = taken(CommandId.DATA_SM, DATA_SM_BODY)
    assert isinstance(pdu, DataSm)
    assert (
        tlv_get(pdu.tlvs, Tag.MESSAGE_PAYLOAD) is None
    )  # a receipt has none; for others the owner answers C3
    pdu = taken(CommandId.DATA_SM, DATA_SM_BODY.replace(b"9695", b"9" * 64))
    assert isinstance(pdu, DataSm)
    assert pdu.destination_addr == b"9" * 64
    assert status_of(CommandId.DATA_SM, DATA_SM_BODY.replace(b"9695", b"9" * 65)) == Status.ESME_RINVDSTADR


def test_an_alert_notification_is_read_whatever_its_status() -> None:
    octets = bytes.fromhex(
        "00000025 00000102 00000002 00004FE8 0101 35353532373130303030 00 0101 3430343034 00"
    )
    assert decode_pdus(octets).pdus == [AlertNotification(0x4FE8, 2, 1, 1, b"5552710000", 1, 1, b"40404")]
