"""Events as reports: which bit or level each is, what it says."""

import msgspec
import pytest

from filters.verdict import Reason
from gateway.legacy import ids, inbound, reports
from gateway.legacy.callback import Callback, callback_of, detail_of
from gateway.legacy.calls import Heard, is_heard, is_never
from gateway.smpp.constants import MessageState
from gateway.smpp.receipts import ReceiptFields
from store.model import NO_ERROR, Inbound, Part, Receipt
from tests.gateway.core_world import make_part

PART = make_part(1_927_793_986_676_719_620)


def told(state: int, error: int = NO_ERROR, *, by_carrier: bool = False, part: Part = PART) -> reports.Told:
    receipt = Receipt(2, part.id, 1, 1, 1, 1_795_348_805_000, state, error, 2, b"")
    one = reports.Told(part, receipt, "carrier-a", "acme")
    if by_carrier:
        one.fields = ReceiptFields(
            "7F", "", "7F", state, True, "034", 34, "2611221200", "2611221201", b"hel", True
        )
        one.text, one.foreign_id = b"id:7F stat:X", "7F"
    return one


KINDS = [
    (told(MessageState.DELIVERED, by_carrier=True), 1),
    (told(MessageState.UNDELIVERABLE, by_carrier=True), 2),
    (told(MessageState.EXPIRED, by_carrier=True), 2),
    (told(MessageState.DELETED, by_carrier=True), 2),
    (told(MessageState.REJECTED, by_carrier=True), 2),
    (told(MessageState.UNKNOWN, by_carrier=True), 2),
    (told(MessageState.ENROUTE, by_carrier=True), 4),
    (told(MessageState.ACCEPTED, by_carrier=True), 4),
    (told(MessageState.ACCEPTED), 8),
    (told(MessageState.UNDELIVERABLE, 0x0B), 16),
    (told(MessageState.EXPIRED, Reason.EXPIRED_IN_QUEUE), 16),
    (told(MessageState.REJECTED, Reason.BLACKLISTED_AT_DISPATCH), 16),
    (told(MessageState.DELETED, Reason.CANCELLED), 16),
    (told(MessageState.UNKNOWN, Reason.NO_RECEIPT), 2),
    (told(MessageState.UNKNOWN, Reason.OUTCOME_UNKNOWN), 2),
]


@pytest.mark.parametrize(("one", "kind"), KINDS)
def test_each_end_is_one_bit_of_the_mask(one: reports.Told, kind: int) -> None:
    assert reports.kannel_kind(one) == kind
    everything = Callback(style="kannel", url="http://x/", mask=63)
    values = reports.kannel_values(one, everything)
    assert values is not None
    assert values.kind == kind
    others = Callback(style="kannel", url="http://x/", mask=63 & ~(kind | (2 if kind == 16 else 0)))
    assert reports.kannel_values(one, others) is None


def test_a_refusal_is_told_to_who_asks_for_failures_too() -> None:
    assert reports.kannel_wants(2, reports.REFUSED)
    assert not reports.kannel_wants(16, reports.UNDELIVERED)


def test_the_error_of_a_carrier_is_in_the_meta_data() -> None:
    values = reports.kannel_values(
        told(MessageState.UNDELIVERABLE, 34, by_carrier=True),
        Callback(style="kannel", url="http://x/", mask=2),
    )
    assert values is not None
    assert values.meta_data == b"?smpp?dlr_err=%03%00%22&"
    assert values.text == b"id:7F stat:X"


def pairs(one: reports.Told, level: int) -> dict[str, str] | None:
    found = reports.jasmin_pairs(one, Callback(style="jasmin", url="http://x/", level=level))
    return None if found is None else dict(found)


def test_levels_are_told_what_they_ask_for() -> None:
    accepted, delivered = told(MessageState.ACCEPTED), told(MessageState.DELIVERED, by_carrier=True)
    refused, ended = told(MessageState.UNDELIVERABLE, 0x0B), told(MessageState.UNKNOWN, Reason.NO_RECEIPT)
    first = {"id": ids.show(PART.id), "level": "1", "message_status": "ESME_ROK", "connector": "carrier-a"}
    assert pairs(accepted, 1) == pairs(accepted, 3) == first
    assert pairs(accepted, 2) is None
    assert pairs(refused, 1) == pairs(refused, 3) == {**first, "message_status": "ESME_RINVDSTADR"}
    second = {
        **first, "level": "2", "message_status": "DELIVRD", "id_smsc": "7F", "sub": "001", "dlvrd": "001",
        "subdate": "2611221200", "donedate": "2611221201", "err": "034", "text": "hel",
    }  # fmt: skip
    assert pairs(delivered, 2) == pairs(delivered, 3) == second
    assert pairs(delivered, 1) is None
    assert (pairs(refused, 2) or {})["message_status"] == "UNDELIV"
    assert pairs(ended, 1) is None
    assert (pairs(ended, 3) or {})["message_status"] == "UNKNOWN"
    late = pairs(told(MessageState.EXPIRED, Reason.EXPIRED_IN_QUEUE), 2) or {}
    assert (late["message_status"], late["dlvrd"], late["err"], late["text"]) == ("EXPIRED", "000", "000", "")


def test_a_receipt_that_cannot_be_read_is_still_told() -> None:
    receipt = Receipt(2, PART.id, 1, 1, 1, 0, MessageState.DELIVERED, NO_ERROR, 2, b"\xff")
    one = reports.read(PART, receipt, "carrier-a", "acme")
    assert reports.kannel_kind(one) == reports.DELIVERED
    assert (pairs(one, 2) or {})["message_status"] == "DELIVRD"


def test_a_callback_is_kept_with_a_part_whatever_else_is() -> None:
    callback = Callback(style="kannel", url="http://x/?%d", mask=31, meta="?smpp?a=b")
    detail = msgspec.msgpack.encode({"original": "text", **(detail_of(callback) or {})})
    assert callback_of(make_part(detail=detail)) == callback
    assert callback_of(make_part()) is None
    assert callback_of(make_part(detail=msgspec.msgpack.encode({"ref": "a"}))) is None


HEARD = [
    ("kannel", Heard(200), True, False),
    ("kannel", Heard(202), True, False),
    ("kannel", Heard(204), False, False),
    ("kannel", Heard(404), False, False),
    ("jasmin", Heard(200, b"ACK/Jasmin"), True, False),
    ("jasmin", Heard(200, b"  ACK/Jasmin\r\n"), True, False),
    ("jasmin", Heard(200, b"ACK/jasmin"), False, False),
    ("jasmin", Heard(200, b""), False, False),
    ("jasmin", Heard(404, b"ACK/Jasmin"), False, True),
    ("jasmin", Heard(500, b"ACK/Jasmin"), False, False),
]


@pytest.mark.parametrize(("style", "heard", "arrived", "never"), HEARD)
def test_what_counts_as_heard(style: str, heard: Heard, arrived: bool, never: bool) -> None:
    assert is_heard(style, heard) is arrived  # type: ignore[arg-type]
    assert is_never(style, heard) is never  # type: ignore[arg-type]


# -- inbound --------------------------------------------------------------------------------------


def mo(text: str, data_coding: int) -> inbound.Mo:
    row = Inbound(5, 1, 1, 0, b"8613900000001", b"1069", data_coding, 0, -1, 1, 1, 0, 2, b"", text)
    return inbound.read(row, "carrier-a", "acme", recode=False)


REPLIES = [
    (b"never", "text/plain", b"never", 0),
    (b"caf\xe9", "text/plain", b"caf\x05", 0),
    ("café".encode(), 'text/plain; charset="utf-8"', b"caf\x05", 0),
    ("您好".encode(), "text/plain; charset=utf-8", "您好".encode("utf-16-be"), 8),
    (b"a" * 200, "text/plain", b"a" * 160, 0),
    ("您".encode() * 80, "text/plain; charset=utf-8", "您".encode("utf-16-be") * 70, 8),
    (b"\x00\x01", "application/octet-stream", b"\x00\x01", 4),
]


@pytest.mark.parametrize(("body", "kind", "octets", "data_coding"), REPLIES)
def test_an_answer_becomes_a_message(body: bytes, kind: str, octets: bytes, data_coding: int) -> None:
    submit = inbound.reply_to(mo("x", 0), body, kind, b"1069", messages_max=1)
    assert submit is not None
    assert (submit.destination_addr, submit.source_addr) == (b"8613900000001", b"1069")
    assert (submit.short_message, submit.data_coding) == (octets, data_coding)


@pytest.mark.parametrize(
    ("body", "kind"), [(b"", "text/plain"), (b" \n", "text/plain"), (b"<p>", "text/html"), (b"x", "")]
)
def test_some_answers_are_no_message(body: bytes, kind: str) -> None:
    assert inbound.reply_to(mo("x", 0), body, kind, b"1069", messages_max=1) is None


def test_an_answer_in_no_known_charset_is_an_error() -> None:
    with pytest.raises(ValueError, match="charset"):
        inbound.reply_to(mo("x", 0), b"x", "text/plain; charset=none", b"1069", messages_max=1)


def test_longer_answers_may_be_allowed() -> None:
    submit = inbound.reply_to(mo("x", 0), b"a" * 400, "text/plain", b"1069", messages_max=2)
    assert submit is not None
    assert (submit.short_message or submit.tlvs[0][1]) == b"a" * 306


@pytest.mark.parametrize(
    ("text", "data_coding", "octets", "coding"),
    [
        ("é", 0, "é".encode(), 0),
        ("您", 8, "您".encode("utf-16-be"), 2),
        ("\x00\xff", 4, b"\x00\xff", 1),
        ("é", 3, "é".encode(), 0),
    ],
)
def test_inbound_texts_are_told_in_kannels_codings(
    text: str, data_coding: int, octets: bytes, coding: int
) -> None:
    one = mo(text, data_coding)
    assert (one.octets, one.coding) == (octets, coding)
