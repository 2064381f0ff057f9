"""Receipts: known for what they are, read whatever the carrier made of them, written by the book."""

import json
import string
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.decode import decode_body, decode_pdus
from gateway.smpp.pdu import BadPdu, DataSm, DeliverSm, Tlvs
from gateway.smpp.receipts import (
    FINAL_STATES,
    STATE_OF_WORD,
    STATE_WORDS,
    ReceiptFields,
    format_receipt,
    is_receipt,
    parse_date,
    parse_receipt,
    receipt_body,
    supersedes,
    text_head,
)
from tests.smpp.growth import assert_linear

SCHEDULED, ENROUTE, DELIVERED, EXPIRED, DELETED, UNDELIVERABLE, ACCEPTED, UNKNOWN, REJECTED, SKIPPED = range(
    10
)

VECTORS = {
    vector["id"]: bytes.fromhex(vector["hex"])
    for vector in json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))
}


def captured(name: str) -> DeliverSm:
    """A captured deliver_sm; of one with a broken TLV stream what the codec salvaged."""
    pdu = decode_pdus(VECTORS[name], octets_max=70_000).pdus[0]
    if isinstance(pdu, BadPdu):
        assert pdu.partial is not None
        pdu = pdu.partial
    assert isinstance(pdu, DeliverSm)
    return pdu


def read(text: str | bytes, *tlvs: tuple[int, bytes], data_coding: int = 0) -> ReceiptFields:
    octets = text.encode("latin-1") if isinstance(text, str) else text
    return parse_receipt(DeliverSm(esm_class=4, short_message=octets, tlvs=tlvs, data_coding=data_coding))


TEXTBOOK = (
    "id:0059113978 sub:001 dlvrd:001 submit date:1002101730 done date:1002101731"
    " stat:DELIVRD err:000 text:Hello"
)


def test_the_textbook_receipt() -> None:
    assert read(TEXTBOOK) == ReceiptFields(
        message_id="0059113978",
        message_id_from_tlv="",
        message_id_from_text="0059113978",
        state=DELIVERED,
        final=True,
        error="000",
        error_code=0,
        submit_date="1002101730",
        done_date="1002101731",
        text=b"Hello",
        readable=True,
        state_word="DELIVRD",
    )


def test_tlvs_come_before_the_text() -> None:
    fields = parse_receipt(captured("P032"))
    assert (fields.message_id, fields.message_id_from_tlv) == ("38601fa", "38601fa")
    assert fields.message_id_from_text == "0059113978"
    assert (fields.state, fields.final, fields.text) == (DELIVERED, True, b"@$#!%&/:")
    contradiction = read(TEXTBOOK, (0x0427, b"\x05"))
    assert (contradiction.state, contradiction.state_word) == (UNDELIVERABLE, "DELIVRD")


@pytest.mark.parametrize(
    ("name", "message_id", "text_id"),
    [
        ("P042", "94251430923", "94251430923"),
        ("P043", "126e85a6edeac1a02020099312479564", "126e85a6edeac1a02020099312479564"),
        ("P101", "6a3ed98a66444e8abac3acd9bba8656f", "6a3ed98a66444e8abac3acd9bba8656f"),
        ("P103", "bc59b8aa-2fd2-4035-8113-19301e050079", "bc59b8aa-2fd2-4035-8113-19301e050079"),
        ("P104", "6aad5", "0000436949"),
        ("P107", "145100315320224957", "145100315320224957"),
        ("P108", "4D19C83C", "4D19C83C"),
        ("P112", "18d0e03a", "0416342074"),
        ("P120", "70BA8A69", "1891273321"),
        ("P130", "bc59b8aa-2fd2-4035-8113-19301e050079", "bc59b8aa-2fd2-4035-8113-19301e050079"),
        ("P131", "bc59b8aa-2fd2-4035-8113-19301e050079", "bc59b8aa-2fd2-4035-8113-19301e050079"),
    ],
)
def test_captured_receipts(name: str, message_id: str, text_id: str) -> None:
    pdu = captured(name)
    fields = parse_receipt(pdu)
    assert is_receipt(pdu) == "receipt"
    assert (fields.message_id, fields.message_id_from_text) == (message_id, text_id)
    assert fields.readable
    assert fields.state in (DELIVERED, UNDELIVERABLE, ACCEPTED)
    assert parse_date(fields.submit_date) is not None
    assert parse_date(fields.done_date) is not None


def test_details_of_captured_receipts() -> None:
    accepted = parse_receipt(captured("P042"))
    assert (accepted.state, accepted.final, accepted.error, accepted.error_code) == (
        ACCEPTED,
        False,
        "107",
        107,
    )
    assert accepted.text == b" 26F102"
    assert parse_receipt(captured("P112")).text == b"\x84A\x89O\x88 ENTO\x84H. \x8cAPAKA"
    assert parse_receipt(captured("P120")).text == b"DLVRD TO MOBILE"  # without the NUL
    assert parse_receipt(captured("P107")).text == b"Test (mehdi)"
    assert parse_receipt(captured("P101")).state == UNDELIVERABLE


def test_a_tlv_that_overruns_costs_only_itself() -> None:
    fields = parse_receipt(captured("P033"))
    assert (fields.message_id, fields.state, fields.error) == ("0000003005", DELIVERED, "000")


# The deviations of real carriers, by letter: text -> id, state, error, (submit, done), echo of the message.
# fmt: off
DEVIATIONS = {
    "a: any order, stat after text": (
        "sub:001 id:77 err:000 dlvrd:001 done date:1002101731 submit date:1002101730 text: stat:DELIVRD",
        "77", DELIVERED, "000", ("1002101730", "1002101731"), b""),
    "b: case": (
        "ID:77 SUB:001 DLVRD:001 SUBMIT DATE:1002101730 DONE DATE:1002101731 STAT:delivrd ERR:000 TEXT:x",
        "77", DELIVERED, "000", ("1002101730", "1002101731"), b"x"),
    "c: text without its key": (
        "id:7 sub:001 dlvrd:001 submit date:1002101730 done date:1002101731 stat:DELIVRD err:000 Hi there",
        "7", DELIVERED, "000", ("1002101730", "1002101731"), b"Hi there"),
    "d: no text, no counts": (
        "id:1526758174 submit date:1701240904 done date:1701250907 stat:DELIVRD err:000",
        "1526758174", DELIVERED, "000", ("1701240904", "1701250907"), b""),
    "e: the state alone": ("stat:DELIVRD", "", DELIVERED, "", ("", ""), b""),
    "f: seconds": (
        "id:7 sub:001 dlvrd:001 submit date:080901113012 done date:080901113013 stat:EXPIRED err:0 text:",
        "7", EXPIRED, "0", ("080901113012", "080901113013"), b""),
    "g: fourteen digits": (
        "id:7 submit date:20110314181534 done date:20110314181535 stat:DELETED err:1",
        "7", DELETED, "1", ("20110314181534", "20110314181535"), b""),
    "h: twelve digits": (
        "id:7 submit date:201506201641 done date:201506201641 stat:DELIVRD err:0",
        "7", DELIVERED, "0", ("201506201641", "201506201641"), b""),
    "i: one-digit fields": (
        "id:7 sub:1 dlvrd:13 submit date:1002101730 done date:1002101731 stat:DELIVRD err:0 Text:\x04\x1a",
        "7", DELIVERED, "0", ("1002101730", "1002101731"), b"\x04\x1a"),
    "j: hexadecimal error": ("id:7 stat:UNDELIV err:21b text:", "7", UNDELIVERABLE, "21b", ("", ""), b""),
    "j: empty error": ("id:7 stat:UNDELIV err: text:x", "7", UNDELIVERABLE, "", ("", ""), b"x"),
    "k: cut short": ("id:7 stat:UNDELIV err:0000 te", "7", UNDELIVERABLE, "0000", ("", ""), b""),
    "m: octets of any charset": (
        "id:7 stat:UNDELIV err:000 text:\x84A\x89O", "7", UNDELIVERABLE, "000", ("", ""), b"\x84A\x89O"),
    "p: FAILED": ("id:7 stat:FAILED err:1", "7", UNDELIVERABLE, "1", ("", ""), b""),
    "p: ACKED": ("id:7 stat:ACKED", "7", ACCEPTED, "", ("", ""), b""),
    "p: BUFFRED": ("id:7 stat:BUFFRED", "7", ENROUTE, "", ("", ""), b""),
    "p: DELIVERED": ("id:7 stat:DELIVERED", "7", DELIVERED, "", ("", ""), b""),
    "p: UNDELIVERABLE": ("id:7 stat:UNDELIVERABLE.", "7", UNDELIVERABLE, "", ("", ""), b""),
    "q: id and digit": ("362d9701 2", "362d9701", DELIVERED, "", ("", ""), b""),
    "q: digit as state": ("id:7 stat:8", "7", REJECTED, "", ("", ""), b""),
    "r: underscores": (
        "id:7 sub:1 dlvrd:1 submit_date:1002101730 done_date:1002101731 stat:DELIVRD err:000 txt:x",
        "7", DELIVERED, "000", ("1002101730", "1002101731"), b"x"),
    "r: underscores in GSM": (
        "id:7 submit\x11date:1002101730 done\x11date:1002101731 stat:DELIVRD",
        "7", DELIVERED, "", ("1002101730", "1002101731"), b""),
    "s: CSV": (
        "00,0210021543,0210021500,,447887123456,10110200000000,we2345678i9o03er45ty67u",
        "we2345678i9o03er45ty67u", UNKNOWN, "00", ("0210021500", "0210021543"), b""),
    "t: USSD": ("id:7 stat:UNDELIV err:21 Text:*100#", "7", UNDELIVERABLE, "21", ("", ""), b"*100#"),
    "x: NUL": ("id:7 stat:DELIVRD err:000 text:x\0", "7", DELIVERED, "000", ("", ""), b"x"),
    "z: no id": ("id: stat:REJECTD err:011 text:", "", REJECTED, "011", ("", ""), b""),
    "z: id 0": ("id:0 stat:REJECTD err:011 text:", "0", REJECTED, "011", ("", ""), b""),
    "commas": ("id:7,sub:001,stat:DELIVRD,err:000", "7", DELIVERED, "000", ("", ""), b""),
    "lines": ("id: 7\nstat: DELIVRD\nerr: 3\n", "7", DELIVERED, "3", ("", ""), b""),
    "a word nobody knows": ("id:7 stat:NOVEL err:9", "7", UNKNOWN, "9", ("", ""), b""),
}
# fmt: on


@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_deviations(deviation: str) -> None:
    text, message_id, state, error, dates, echo = DEVIATIONS[deviation]
    fields = read(text)
    assert fields.readable
    assert (fields.message_id, fields.state, fields.error) == (message_id, state, error)
    assert ((fields.submit_date, fields.done_date), fields.text) == (dates, echo)
    assert fields.final == (state in FINAL_STATES)


@pytest.mark.parametrize(
    "message_id",
    ["145100315320224957", "6a3ed98a66444e8abac3acd9bba8656f", "bc59b8aa-2fd2-4035-8113-19301e050079"],
)
def test_l_long_ids(message_id: str) -> None:
    assert read(f"id:{message_id} stat:DELIVRD").message_id == message_id
    assert read(TEXTBOOK.replace("0059113978", message_id)).message_id == message_id


@pytest.mark.parametrize("data_coding", [8, 0])
def test_n_a_receipt_in_ucs2_also_under_a_false_label(data_coding: int) -> None:
    fields = read((TEXTBOOK + "字").encode("utf-16-be"), data_coding=data_coding)
    assert (fields.message_id, fields.state, fields.error) == ("0059113978", DELIVERED, "000")
    assert fields.text == "Hello字".encode()
    marked = read(TEXTBOOK.encode("utf-16-be").join((b"\xfe\xff", b"")), data_coding=data_coding)
    assert marked.message_id == "0059113978"


def test_o_an_ascii_receipt_labelled_ucs2() -> None:
    assert read(TEXTBOOK, data_coding=8).message_id == "0059113978"
    assert read("stat:EXPIRED id:5", data_coding=8).state == EXPIRED


@pytest.mark.parametrize("data_coding", [0, 1, 3, 8, 0xF1])
def test_u_other_header_fields_do_not_matter(data_coding: int) -> None:
    pdu = DeliverSm(
        esm_class=4,
        short_message=TEXTBOOK.encode(),
        data_coding=data_coding,
        registered_delivery=1,
        priority_flag=3,
    )
    assert parse_receipt(pdu).state == DELIVERED


def test_v_tlvs_alone_in_deliver_sm_and_in_data_sm() -> None:
    tlvs: Tlvs = ((0x001E, b"abc\0"), (0x0427, b"\x03"), (0x0423, b"\x03\x00\x21"))
    for pdu in (DeliverSm(esm_class=4, tlvs=tlvs), DataSm(esm_class=4, tlvs=tlvs)):
        assert is_receipt(pdu) == "receipt"
        fields = parse_receipt(pdu)
        assert (fields.message_id, fields.state, fields.final) == ("abc", EXPIRED, True)
        assert (fields.error, fields.error_code, fields.readable) == ("33", 33, True)


@pytest.mark.parametrize(
    ("value", "message_id"),
    [
        (b"abc", "abc"),
        (b"abc\0", "abc"),
        (b"abc\0junk", "abc"),
        (b"abc \0", "abc"),
        (b"a" * 80, "a" * 80),
        (b"\0", "7"),
    ],
)
def test_x_receipted_message_id_with_and_without_its_nul(value: bytes, message_id: str) -> None:
    assert read("id:7 stat:DELIVRD", (0x001E, value)).message_id == message_id


def test_y_a_sequence_number_of_zero_is_any_other() -> None:
    assert parse_receipt(DeliverSm(0, 0, esm_class=4, short_message=TEXTBOOK.encode())).state == DELIVERED


def test_the_receipt_may_stand_in_message_payload() -> None:
    octets = TEXTBOOK.encode() + b"\0"
    for pdu in (
        DeliverSm(esm_class=4, tlvs=((0x0424, octets),)),
        DataSm(esm_class=4, tlvs=((0x0424, octets),)),
        DeliverSm(esm_class=4, short_message=b"see payload", tlvs=((0x0424, octets),)),
    ):
        fields = parse_receipt(pdu)
        assert (fields.message_id, fields.state) == ("0059113978", DELIVERED)


def test_the_message_s_own_words_never_beat_the_receipt_s() -> None:
    forged = read(TEXTBOOK.replace("text:Hello", "text:id:999 stat:UNDELIV err:001"))
    assert (forged.message_id, forged.state, forged.error) == ("0059113978", DELIVERED, "000")
    assert forged.text == b"id:999 stat:UNDELIV err:001"
    forged = read("id:1 err:000 text:id:999 stat:UNDELIV err:001")  # no state of its own: taken from behind
    assert (forged.message_id, forged.error, forged.state) == ("1", "000", UNDELIVERABLE)
    forged = read("id:1 err:001 text:stat:DELIVRD stat:UNDELIV")  # a carrier that writes its state last
    assert (forged.state, forged.text) == (UNDELIVERABLE, b"stat:DELIVRD")
    twice = read("id:1 stat:DELIVRD err:000 id:2 stat:EXPIRED")
    assert (twice.message_id, twice.state) == ("1", DELIVERED)


@pytest.mark.parametrize(
    "text", ["9" * 500 + " 2", "id:" + "9" * 500 + " stat:DELIVRD", "1,2,3,4," + "9" * 500]
)
def test_an_endless_id_is_cut(text: str) -> None:
    assert read(text).message_id == "9" * 128


def test_of_two_equal_tlvs_the_first_counts() -> None:
    fields = read("", (0x001E, b"a\0"), (0x001E, b"b\0"), (0x0427, b"\2"), (0x0427, b"\3"))
    assert (fields.message_id, fields.state) == ("a", DELIVERED)


@pytest.mark.parametrize(
    ("value", "state", "final"),
    [
        (b"\x00", SCHEDULED, False),
        (b"\x01", ENROUTE, False),
        (b"\x02", DELIVERED, True),
        (b"\x06", ACCEPTED, False),
        (b"\x07", UNKNOWN, False),
        (b"\x08", REJECTED, True),
        (b"\x09", SKIPPED, True),
        (b"\x00\x02", DELIVERED, True),  # two octets
        (b"2", DELIVERED, True),  # an ASCII digit
        (b"\xff", EXPIRED, True),  # no state: the text decides
        (b"", EXPIRED, True),
    ],
)
def test_message_state_values(value: bytes, state: int, final: bool) -> None:
    fields = read("id:7 stat:EXPIRED", (0x0427, value))
    assert (fields.state, fields.final) == (state, final)


def test_unknown_and_accepted_are_final_only_where_a_carrier_means_them_so() -> None:
    unknown = DeliverSm(esm_class=4, short_message=b"id:7 stat:UNKNOWN err:000")
    accepted = DeliverSm(esm_class=4, short_message=b"id:7 stat:ACCEPTD err:000")
    assert not parse_receipt(unknown).final
    assert parse_receipt(unknown, unknown_is_final=True).final
    assert not parse_receipt(unknown, accepted_is_final=True).final
    assert not parse_receipt(accepted).final
    assert parse_receipt(accepted, accepted_is_final=True).final


@pytest.mark.parametrize(
    "text", ["", "hello", "\0\0", "id:", "text:x", "dlvrd:1 sub:1", "id: text:", " , ,", "1,2"]
)
def test_what_says_neither_id_nor_state_is_unreadable(text: str) -> None:
    fields = read(text)
    assert (fields.readable, fields.message_id, fields.state, fields.final) == (False, "", UNKNOWN, False)
    unreadable = DeliverSm(esm_class=4, short_message=text.encode())
    assert not parse_receipt(unreadable, unknown_is_final=True).final


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("000", 0),
        ("0", 0),
        ("0000", 0),
        ("107", 107),
        ("21b", 0x21B),
        ("", -1),
        ("x9z", -1),
        ("65535", 65535),
        ("9" * 20, -1),
    ],
)
def test_error_codes(error: str, code: int) -> None:
    fields = read(f"id:7 stat:UNDELIV err:{error} text:")
    assert (fields.error, fields.error_code) == (error, code)


def test_the_network_s_error_is_used_where_the_text_has_none() -> None:
    assert read("id:7 stat:UNDELIV err:000", (0x0423, b"\x03\x00\x15")).error_code == 21
    assert read("id:7 stat:UNDELIV err:107", (0x0423, b"\x03\x00\x15")).error_code == 107
    assert read("id:7 stat:UNDELIV", (0x0423, b"000")).error_code == 0
    assert read("id:7 stat:UNDELIV", (0x0423, b"9")).error_code == -1


@pytest.mark.parametrize(
    ("esm_class", "kind"),
    [
        (0x04, "receipt"), (0x44, "receipt"), (0x07, "receipt"), (0x84, "receipt"), (0xC7, "receipt"),
        (0x00, "mo"), (0x40, "mo"), (0x80, "mo"), (0x03, "mo"),
        (0x20, "intermediate"), (0x60, "intermediate"),
        (0x08, "ack"), (0x10, "ack"), (0x18, "ack"), (0x48, "ack"),
    ],
)  # fmt: skip
def test_esm_class_tells_a_receipt(esm_class: int, kind: str) -> None:
    assert is_receipt(DeliverSm(esm_class=esm_class)) == kind
    assert is_receipt(DataSm(esm_class=esm_class)) == kind


def test_without_the_bit_the_tlv_tells_a_receipt() -> None:
    for name in ("P130", "P131"):
        assert captured(name).esm_class == 0
        assert is_receipt(captured(name)) == "receipt"


def test_a_subscriber_s_text_is_never_a_receipt_unless_the_carrier_is_trusted_to() -> None:
    forged = DeliverSm(esm_class=0, short_message=TEXTBOOK.encode())
    assert is_receipt(forged) == "mo"
    assert is_receipt(forged, by_text=True) == "receipt"
    for text in (b"my id: please", b"stat:DELIVRD", b"id:7 stat:NOVEL", b""):
        assert is_receipt(DeliverSm(short_message=text), by_text=True) == "mo"


def test_states_only_move_forward() -> None:
    state = SCHEDULED
    history = []
    for new in (ENROUTE, ACCEPTED, DELIVERED, ENROUTE, UNDELIVERABLE, DELIVERED):
        if supersedes(new, state):
            state = new
            history.append(new)
    assert history == [ENROUTE, ACCEPTED, DELIVERED]


def test_delivered_after_a_failure_is_believed_by_policy_only() -> None:
    for failed in (UNDELIVERABLE, EXPIRED):
        assert not supersedes(DELIVERED, failed)
        assert supersedes(DELIVERED, failed, late_delivery_wins=True)
    for final in (DELETED, REJECTED, DELIVERED):
        assert not supersedes(DELIVERED, final, late_delivery_wins=True)
    assert not supersedes(UNDELIVERABLE, DELIVERED, late_delivery_wins=True)


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("1002101730", datetime(2010, 2, 10, 17, 30, tzinfo=UTC)),
        ("141023215253", datetime(2014, 10, 23, 21, 52, 53, tzinfo=UTC)),
        ("201506201641", datetime(2015, 6, 20, 16, 41, tzinfo=UTC)),
        ("20110314181534", datetime(2011, 3, 14, 18, 15, 34, tzinfo=UTC)),
        ("9912312359", datetime(1999, 12, 31, 23, 59, tzinfo=UTC)),
    ],
)
def test_dates(value: str, date: datetime) -> None:
    assert parse_date(value) == date


@pytest.mark.parametrize(
    "value",
    [
        "",
        "123456789",
        "12345678901",
        "1234567890123",
        "0000000000",
        "1013101730",
        "100210173x",
        "１００２１０１７３０",
        "99999999999999",
    ],
)
def test_what_is_no_date_stays_as_it_came(value: str) -> None:
    assert parse_date(value) is None
    if value.isascii():
        assert read(f"id:7 submit date:{value} done date:{value} stat:DELIVRD err:000").submit_date == value


def test_every_state_has_a_word_that_is_read_back() -> None:
    assert sorted(STATE_WORDS) == list(range(10))
    for state, word in STATE_WORDS.items():
        assert len(word) == 7
        assert STATE_OF_WORD[word] == (ENROUTE if state == SCHEDULED else state)


IDS = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=64)
DATES = st.text("0123456789", min_size=10, max_size=10)


@given(
    IDS, st.integers(0, 9), DATES, DATES, st.text("0123456789", min_size=3, max_size=3),
    st.text(st.characters(max_codepoint=0x7F), max_size=20), st.booleans(),
)  # fmt: skip
def test_what_we_write_we_read(
    message_id: str, state: int, submitted: str, done: str, error: str, text: str, with_tlvs: bool
) -> None:
    body = receipt_body(
        1, 1, b"8613800138000", 5, 0, b"ACME", message_id.encode(), submitted.encode(), done.encode(),
        state, error.encode(), text_head(text), with_tlvs,
    )  # fmt: skip
    pdu = decode_body(0x00000005, body)
    assert isinstance(pdu, DeliverSm)
    short_message, tlvs = format_receipt(
        message_id=message_id.encode(),
        state=state,
        submit_date=submitted.encode(),
        done_date=done.encode(),
        error=error.encode(),
        text=text_head(text),
        with_tlvs=with_tlvs,
    )
    assert pdu == DeliverSm(
        source_addr_ton=1,
        source_addr_npi=1,
        source_addr=b"8613800138000",
        dest_addr_ton=5,
        dest_addr_npi=0,
        destination_addr=b"ACME",
        esm_class=0x20 if state in (SCHEDULED, ENROUTE, ACCEPTED) else 4,
        short_message=short_message,
        tlvs=tlvs,
    )
    fields = parse_receipt(pdu)
    assert is_receipt(pdu) == ("intermediate" if pdu.esm_class == 0x20 else "receipt")
    assert (fields.message_id, fields.error, fields.submit_date, fields.done_date) == (
        message_id,
        error,
        submitted,
        done,
    )
    assert fields.state == (state if with_tlvs or state else ENROUTE)
    assert fields.text == text.rstrip("\0").encode()


def test_a_receipt_to_a_customer_by_the_book() -> None:
    body = receipt_body(
        1, 1, b"8613800138000", 5, 0, b"ACME", b"7", b"1002101730", b"1002101731",
        DELIVERED, b"000", b"Hello", True,
    )  # fmt: skip
    assert body == (
        b"\0" b"\1\1" b"8613800138000\0" b"\5\0" b"ACME\0" b"\x04\0\0" b"\0\0" b"\0\0\0\0"
        b"\x62" b"id:7 sub:001 dlvrd:001 submit date:1002101730 done date:1002101731 stat:DELIVRD err:000"
        b" text:Hello"
        b"\0\x1e\0\2" b"7\0" b"\4\x27\0\1\2"
    )  # fmt: skip
    bare = receipt_body(
        1, 1, b"8", 5, 0, b"A", b"7", b"1002101730", b"1002101731", EXPIRED, b"001", b"", False
    )
    assert bare.endswith(b"dlvrd:000 submit date:1002101730 done date:1002101731 stat:EXPIRED err:001 text:")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"state": 10}, "message_state 10"),
        ({"message_id": b""}, "message_id"),
        ({"message_id": b"a b"}, "message_id"),
        ({"message_id": b"a" * 65}, "message_id"),
        ({"submit_date": b"100210173"}, "submit_date"),
        ({"done_date": b"100210173x"}, "done_date"),
        ({"error": b"0000"}, "error"),
        ({"text": b"x" * 21}, "20 ASCII"),
        ({"text": b"\xff"}, "20 ASCII"),
        ({"network_error_code": b"\0"}, "network_error_code"),
    ],
)
def test_a_receipt_that_would_not_be_read_is_not_written(wrong: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "message_id": b"7", "state": 2, "submit_date": b"1002101730", "done_date": b"1002101731"
    }  # fmt: skip
    assert format_receipt(**good, network_error_code=b"\3\0\0")[1][2] == (0x0423, b"\3\0\0")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        format_receipt(**good | wrong)  # type: ignore[arg-type]


def test_the_head_of_a_message_is_twenty_ascii_characters() -> None:
    assert text_head("a" * 30) == b"a" * 20
    assert text_head("验证码1") == b"???1"


pieces = st.sampled_from(
    [
        b"id:",
        b"stat:",
        b"text:",
        b"err:",
        b" ",
        b"submit date:",
        b"DELIVRD",
        b"\0",
        b"7",
        b"\xff",
        b"\x11",
        b",",
        b"sub:1",
    ]
)
some_tlvs = st.lists(
    st.tuples(st.sampled_from([0x001E, 0x0427, 0x0423, 0x0424, 0x1400]), st.binary(max_size=70)), max_size=6
).map(tuple)


@given(
    st.one_of(st.binary(max_size=200), st.lists(pieces, max_size=40).map(b"".join)),
    some_tlvs,
    st.integers(0, 255),
)
def test_any_octets_are_read_somehow(octets: bytes, tlvs: Tlvs, data_coding: int) -> None:
    for pdu in (
        DeliverSm(esm_class=4, short_message=octets, tlvs=tlvs, data_coding=data_coding),
        DataSm(tlvs=(*tlvs, (0x0424, octets)), data_coding=data_coding),
    ):
        fields = parse_receipt(pdu)
        assert 0 <= fields.state <= 9
        assert len(fields.message_id) <= 128
        is_receipt(pdu, by_text=True)
        parse_date(fields.submit_date)
        parse_date(fields.done_date)


@pytest.mark.parametrize(
    "pattern",
    [
        b"id:",
        b"id:1 stat:DELIVRD ",
        b" ",
        b"\0",
        b"a",
        b"id:1 sub:",
        b"submit ",
        b"text:",
        b"submit date:1 ",
        b"1,",
        b"\0i\0d\0:",
    ],
)
@pytest.mark.parametrize("data_coding", [0, 8])
def test_reading_is_linear(pattern: bytes, data_coding: int) -> None:
    def work(n: int) -> object:
        pdu = DeliverSm(short_message=pattern * (n // len(pattern)), data_coding=data_coding)
        return lambda: (parse_receipt(pdu), is_receipt(pdu, by_text=True))

    assert_linear(work)  # type: ignore[arg-type]
